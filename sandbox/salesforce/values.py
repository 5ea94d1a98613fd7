"""Convert field values from the formats that a caller may send to the stored form, and from there to the form in responses.

The stored forms are: numbers as decimal text (never a float), checkboxes as booleans, dates as `YYYY-MM-DD`, times as
Salesforce's `YYYY-MM-DDThh:mm:ss.000+0000` in UTC, references as 18-character ids, and everything else as text.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

import orjson

from sandbox.salesforce.errors import RowError
from sandbox.salesforce.schema import Field

StoredValue = str | bool | None
NUMBERS = frozenset({"Number", "Currency", "Percent"})
# The types whose length is checked, long texts included.
TEXTS = frozenset({"Text", "TextArea", "LongTextArea", "Phone", "Url", "Email", "AutoNumber"})
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;]+")
_ID = re.compile(r"[0-9A-Za-z]{15}([0-9A-Za-z]{3})?")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def value_parser(field: Field) -> Callable[[object], StoredValue]:
    """Return a function that converts a sent value (CSV text or JSON) to its stored form.

    The function raises `RowError` for an invalid value. Callers must not pass null: they handle empty fields themselves.
    """
    if field.is_reference:
        return lambda value: _parse_id(field, value)
    if field.type in NUMBERS:
        return _number_parser(field)
    if field.type == "Picklist":
        return _picklist_parser(field)
    if field.type not in _PARSERS:
        return _text_parser(field)
    parse = _PARSERS[field.type]
    return lambda value: parse(field, value)


def format_time(moment: datetime) -> str:
    """Return an aware time in the form that storage and JSON responses use."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03}+0000"


def render_json(field: Field, value: object) -> object:
    """Return a stored value in the form of a JSON response; numbers keep every digit. Null is False for a checkbox."""
    if value is None:
        return False if field.type == "Checkbox" else None
    if field.type in NUMBERS:
        return orjson.Fragment(str(value))
    return bool(value) if field.type == "Checkbox" else value


def make_id(prefix: str, number: int) -> str:
    """Return the 18-character id of a record by its key prefix and number; a higher number gives a higher id."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return complete_id(f"{prefix}Hp0{digits:0>9}")


def complete_id(value: str) -> str:
    """Return a 15-character id with three check characters, which encode the case of its letters. Other values are returned unchanged."""
    if len(value) != 15:
        return value
    return value + _check(value[:5]) + _check(value[5:10]) + _check(value[10:])


@lru_cache(maxsize=4096)
def _check(part: str) -> str:
    return _CHECK[sum(char.isupper() << place for place, char in enumerate(part))]


def _mistyped(field: Field, value: object) -> RowError:
    message = f"{field.label}: value not of required type: {str(value)[:255]}"
    return RowError("INVALID_TYPE_ON_FIELD_IN_RECORD", message, field.name)


def _parse_text(field: Field, value: object) -> str:
    if not isinstance(value, str):
        if isinstance(value, dict | list | bool):
            raise _mistyped(field, value)
        value = str(value)
    if len(value) > field.length:
        message = f"{field.label}: data value too large: {value[:255]} (max length={field.length})"
        raise RowError("STRING_TOO_LONG", message, field.name)
    return value


def _text_parser(field: Field) -> Callable[[object], str]:
    length = field.length

    def parse_text(value: object) -> str:
        return value if isinstance(value, str) and len(value) <= length else _parse_text(field, value)

    return parse_text


def _parse_email(field: Field, value: object) -> str:
    text = _parse_text(field, value)
    if not _EMAIL.fullmatch(text):
        raise RowError("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {text}", field.name)
    return text


def _plain_number(field: Field) -> str:
    """Return a regular expression for numbers that need no rounding: nearly all numbers of a sync. Others are parsed more slowly."""
    return rf"-?(?:0|[1-9][0-9]{{0,{field.precision - field.scale - 1}}})\.[0-9]{{1,{field.scale or 1}}}"


def _number_parser(field: Field) -> Callable[[object], str]:
    step = Decimal(1).scaleb(-field.scale)
    limit = Decimal(10) ** (field.precision - field.scale)
    is_plain = re.compile(_plain_number(field)).fullmatch

    def parse_number(value: object) -> str:
        if field.scale and isinstance(value, str) and is_plain(value):
            short = value.rstrip("0")
            return short + "0" if short[-1] == "." else short
        text = str(value)
        if isinstance(value, bool) or not _NUMBER.fullmatch(text):
            raise _mistyped(field, value)
        number = Decimal(text)
        if abs(number) >= limit:
            message = f"{field.label}: value outside of valid range on numeric field: {text}"
            raise RowError("NUMBER_OUTSIDE_VALID_RANGE", message, field.name)
        rounded = f"{number.quantize(step, ROUND_HALF_UP):f}"
        if "." not in rounded:
            return rounded + ".0"
        short = rounded.rstrip("0")
        return short + "0" if short.endswith(".") else short

    return parse_number


def _picklist_parser(field: Field) -> Callable[[object], str]:
    allowed = frozenset(field.picklist)

    def parse_choice(value: object) -> str:
        if not isinstance(value, str):
            raise _mistyped(field, value)
        if field.is_restricted and value not in allowed:
            message = f"{field.label}: bad value for restricted picklist field: {value}"
            raise RowError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, field.name)
        return value if len(value) <= field.length else _parse_text(field, value)

    return parse_choice


def _parse_multiselect(field: Field, value: object) -> str:
    choices = _parse_text(field, value).split(";")
    invalid = [choice for choice in choices if choice not in field.picklist]
    if field.is_restricted and invalid:
        message = f"{field.label}: bad value for restricted picklist field: {invalid[0]}"
        raise RowError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, field.name)
    return ";".join(choices)


def _parse_checkbox(field: Field, value: object) -> bool:
    parsed = _TRUTH.get(str(value).lower())
    if parsed is None:
        raise _mistyped(field, value)
    return parsed


def _parse_date(field: Field, value: object) -> str:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise _mistyped(field, value) from error
    raise _mistyped(field, value)


def _parse_time(field: Field, value: object) -> str:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise _mistyped(field, value) from error
    if moment.tzinfo is None:
        raise _mistyped(field, value)
    return format_time(moment)


def _parse_id(field: Field, value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise RowError("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", field.name)
    return complete_id(value)


_PARSERS: dict[str, Callable[[Field, object], StoredValue]] = {
    "Checkbox": _parse_checkbox,
    "Date": _parse_date,
    "DateTime": _parse_time,
    "Email": _parse_email,
    "MultiselectPicklist": _parse_multiselect,
}
