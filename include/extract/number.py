"""Convert numbers as vendors write them to exact decimals of the declared type; refuse ambiguous ones.

A number in a text (a cell of a report, a JSON string) is read in US notation:

* Allowed: commas between groups of three digits; one decimal point after them; a `$`; a leading minus or parentheses; blanks between
  these.
* Refused: a percent sign, an exponent, a plus, a trailing minus.
* Refused if the type has fewer than three decimals (money): a text with exactly three, because the point may separate thousands
  (`129.900`).

A JSON number has only one notation.

Surplus decimals are those beyond the scale of the declared type:

* Noise of binary floating point is rounded in every column: at most a part in 10^12 of the value (`101.95020000000001`).
* If the column is declared `rounded`, other surplus decimals are rounded half to even. In a text, this requires a type with three or more
  decimals.
* In all other cases they are a different value, and the number is refused.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TypeGuard

import pyarrow as pa
import pyarrow.compute as pc

DECIMALS = 38
"""Maximum number of decimals that the fast path can read: the scale of `WIRE`."""
WIRE = pa.decimal256(75, DECIMALS)
"""Type in which the numbers of a page are read, before they are converted to their declared types.

Its 75 digits leave one of Arrow's 76 free, so that a difference of two such numbers does not overflow.
"""

_NOISE = 1e-12
_DIGITS = r"(?:(?:[1-9]\d{0,2}(?:,\d{3}){1,11}|\d{1,36})(?:\.\d{1,38})?|\.\d{1,38})"
_US = rf"^(?:-? *\$? *{_DIGITS}|\$ *- *{_DIGITS}|\$? *\( *{_DIGITS} *\)|\( *\$ *{_DIGITS} *\))$"
_THREE_DECIMALS = r"\.\d{3}(?:\D|$)"
_INTEGER = r"^-?(?:[1-9]\d{0,2}(?:,\d{3}){1,6}|\d{1,19})$"
_SHAPE_LENGTH = 24
_SHOWN = frozenset(string.punctuation + " ")


def read_texts(texts: pa.Array, target: pa.DataType, *, is_rounded: bool = False) -> pa.Array:
    """Parse texts in US notation to decimals of the type `target`; null if a text is null or refused.

    Args:
        texts: Strings.
        target: An Arrow decimal type.
        is_rounded: Whether the column is declared `rounded`.
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    is_known = pc.match_substring_regex(trimmed, _US)
    if target.scale < 3:
        is_known = pc.and_(is_known, pc.invert(pc.match_substring_regex(trimmed, _THREE_DECIMALS)))
    bare = pc.replace_substring_regex(pc.if_else(is_known, trimmed, None), r"[-$,() ]", "")
    signed = pc.if_else(pc.match_substring_regex(trimmed, "[-(]"), pc.binary_join_element_wise("-", bare, ""), bare)
    return convert(signed.cast(WIRE), target, is_rounded=is_rounded and target.scale >= 3)


def read_integers(texts: pa.Array) -> pa.Array:
    """Return texts with the commas between groups of three digits removed from integers; every other text stays unchanged."""
    trimmed = pc.utf8_trim_whitespace(texts)
    bare = pc.replace_substring(trimmed, ",", "")
    return pc.if_else(pc.match_substring_regex(trimmed, _INTEGER), bare, texts)


def convert(values: pa.Array, target: pa.DataType, *, is_rounded: bool) -> pa.Array:
    """Convert numbers of the type `WIRE` to the decimal type `target`.

    A result is null if the number is null, is too large, or has surplus decimals that are not noise and `is_rounded` is false.

    Every result is compared with its input, because Arrow 26 can divide decimals wrongly (42949672.95999999 becomes a wrong dollar
    amount) and casts without a range check.
    """
    limit = pa.scalar(Decimal(1).scaleb(target.precision - target.scale), WIRE)
    values = pc.if_else(pc.less(pc.abs(values), limit), values, None)
    cut = values.cast(target, safe=False)
    is_exact = pc.equal(cut.cast(WIRE), values)
    if pc.all(is_exact).as_py() is not False:
        return cut
    is_surplus = pc.fill_null(pc.invert(is_exact), False)
    return pc.replace_with_mask(cut, is_surplus, _drop_surplus(values.filter(is_surplus), target, is_rounded))


def _drop_surplus(values: pa.Array, target: pa.DataType, is_rounded: bool) -> pa.Array:
    near = pc.round(values, target.scale, round_mode="half_to_even").cast(target, safe=False)
    off = _measure_distance(near, values)
    half = pa.scalar(Decimal(5).scaleb(-target.scale - 1), off.type)
    limit = pa.scalar(Decimal(1).scaleb(target.precision - target.scale), WIRE)
    is_open = pc.or_(pc.greater_equal(off, half), pc.equal(pc.abs(near.cast(WIRE)), limit))
    if pc.any(is_open).as_py():
        exact = [nearest(value, target) for value in values.filter(is_open).to_pylist()]
        near = pc.replace_with_mask(near, is_open, pa.array(exact, target))
        off = _measure_distance(near, values)
    if is_rounded:
        return near
    is_noise = pc.less_equal(off.cast(pa.float64()), pc.multiply(pc.abs(values).cast(pa.float64()), _NOISE))
    return pc.if_else(is_noise, near, None)


def _measure_distance(near: pa.Array, values: pa.Array) -> pa.Array:
    return pc.abs(pc.subtract(near.cast(WIRE), values))


def nearest(value: Decimal, target: pa.DataType) -> Decimal | None:
    """Return a finite number rounded half to even, to the scale of `target`; None if it is too large for `target`."""
    if value.adjusted() > target.precision - target.scale:
        return None
    with localcontext() as context:
        context.prec = 100
        near = value.quantize(Decimal(1).scaleb(-target.scale), ROUND_HALF_EVEN)
        return near if not near or near.adjusted() < target.precision - target.scale else None


def is_long(value: object) -> TypeGuard[Decimal]:
    """Return whether a value is a finite decimal with more decimals than `DECIMALS`."""
    return isinstance(value, Decimal) and value.is_finite() and int(value.as_tuple().exponent) < -DECIMALS


def fault(value: object, type_word: str, target: pa.DataType) -> str:
    """Describe why a value is rejected, without its digits and letters.

    Examples: `not decimal(20,2): 9,99` (see `shape`), `3 decimals, 2 declared`.

    Args:
        value: The value as written: a text, or another JSON value.
        type_word: The declared type's name.
        target: The declared type as an Arrow decimal type.
    """
    number = _parse_number(value)
    if number is not None and number.is_finite() and nearest(number, target) is not None:
        return f"{-int(number.as_tuple().exponent)} decimals, {target.scale} declared"
    return f"not {type_word}: {shape(value)}" if isinstance(value, str) else f"not {type_word}"


def _parse_number(value: object) -> Decimal | None:
    if isinstance(value, str):
        [read] = read_texts(pa.array([value]), pa.decimal128(38, 19)).to_pylist()
        return None if read is None else Decimal(value.translate(_BARE))
    return value if isinstance(value, Decimal) else None


_BARE = str.maketrans("", "", "-$,() \t")


def shape(text: str) -> str:
    """Return the shape of a text, which does not reveal its content: a digit becomes 9, a letter a or A.

    Punctuation, blanks and currency signs stay; any other character becomes `?`. A text longer than 24 characters is cut and ends in
    `...`. The shape of an empty or blank text is `blank`.
    """
    if not text.strip():
        return "blank"
    return "".join(map(_mask_character, text[:_SHAPE_LENGTH])) + ("..." if len(text) > _SHAPE_LENGTH else "")


def _mask_character(character: str) -> str:
    if character.isnumeric():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character if character in _SHOWN or unicodedata.category(character) == "Sc" else "?"


def texts_of(values: Sequence[object]) -> pa.Array:
    """Return the values of one JSON field as an Arrow array of strings: null where a value is not a string."""
    return pa.array([value if isinstance(value, str) else None for value in values], pa.string())
