"""Convert the columns of a table from the types in which they are read to the types that the contract declares.

* Decimals are exact, by the rules of `include.extract.number`.
* A date is the day as the vendor writes it; an offset does not change it.
* A time becomes UTC. In UTC it must be in the years 1 to 9999.
* A sensitive value becomes its hash and its last four characters and, if the firm retains it, the sealed value.
* A tax id whose form is declared also becomes its form: how the vendor writes it.
* A hashed column becomes the hash of its value.
* A tax id inside any other text is masked, and so is the sensitive value of the same row. A row whose key contains a tax id, or whose only key
  is blank, becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from include.contract import DATE, STRING, TIMESTAMP, Column, Table
from include.contract.arrow import arrow_type
from include.extract import number
from include.sensitive import FORM, HAS_DIGITS, MASKS, MAY_HOLD_TAX_ID, Redactor, find_form, mask_own

# Maximum bytes of one column of a key; an index of the database accepts 2,704 bytes for the whole key.
_KEY_BYTES = 1_000
# A text that matches is checked more closely; all others can be stored as they are.
_UNUSUAL = rf"\x00|{MAY_HOLD_TAX_ID}"
# A date, with or without time and offset (ISO 8601). Whether the day exists in its month is checked by the cast.
_MOMENT = (
    r"\A\d{4}-\d\d-\d\d"
    r"(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?)?\z"
)


def staged_schema(table: Table) -> pa.Schema:
    """Return the schema of a staged table.

    A sensitive column becomes `<name>_hash` and `<name>_last4`, with a declared form also `<name>_form`, and if it is retained also
    `<name>_sealed`.
    """
    fields: list[pa.Field] = []
    for col in table.columns:
        if col.kind == "value":
            fields.append(pa.field(col.name, arrow_type(col.type)))
        elif col.is_sensitive:
            fields += [pa.field(f"{col.name}_hash", pa.string()), pa.field(f"{col.name}_last4", pa.string())]
        if col.has_form:
            fields.append(pa.field(f"{col.name}{FORM}", pa.string()))
        if col.kind == "retained":
            fields.append(pa.field(f"{col.name}_sealed", pa.binary()))
    return pa.schema(fields)


def wire_type(col: Column) -> pa.DataType:
    """Return the type in which a column is read before it is converted to its declared type."""
    if col.type in (DATE, TIMESTAMP, STRING):
        return pa.string()
    target = arrow_type(col.type)
    return number.WIRE if pa.types.is_decimal(target) else target


class ColumnConverter:
    """Converts the columns of one table.

    Args:
        table: The table's declaration.
        redactor: Hashes sensitive values.
        sentinels: Prefixes of date texts that mean null.
        zone: Time zone of times without an offset.
    """

    def __init__(self, table: Table, redactor: Redactor, sentinels: tuple[str, ...] = (), zone: str = "UTC") -> None:
        self.schema = staged_schema(table)
        self._table, self._redactor, self._sentinels, self._zone = table, redactor, sentinels, zone

    def stage(self, wire: pa.StructArray) -> tuple[pa.Table, bool]:
        """Return the staged rows, and whether a required value is missing in any of them.

        Args:
            wire: Rows with every field that is staged. Each field has the type that `wire_type` returns; a decimal may also be text.

        Raises:
            pa.ArrowException: A value does not fit its column's type.
        """
        arrays: list[pa.Array] = []
        missing = False
        fields = dict(zip((f.name for f in wire.type), wire.flatten(), strict=True))
        secrets = [fields[col.source] for col in self._table.columns if col.is_secret]
        for col in self._table.columns:
            if col.kind == "ignored":
                continue
            array = self.convert(col, fields[col.source])
            if col.is_sensitive:
                arrays += _redact(array, self._redactor)
                if col.has_form:
                    arrays.append(_find_forms(array))
                if col.kind == "retained":
                    arrays.append(_seal(array, self._redactor))
                continue
            missing = missing or (col.required and array.null_count > 0)
            if secrets and col.type == STRING and self._table.has_free_text(col):
                array = _mask_own(array, secrets)
            arrays.append(array)
        return pa.Table.from_arrays(arrays, schema=self.schema), missing

    def convert(self, col: Column, array: pa.Array) -> pa.Array:
        """Return the values of one column in its declared type (a sensitive column as clear text).

        Raises:
            pa.ArrowException: A value does not fit the type.
        """
        if col.type in (DATE, TIMESTAMP):
            return self._read_times(col, array)
        if col.type == STRING:
            return self._check_texts(col, array)
        return _read_numbers(col, array) if pa.types.is_decimal(arrow_type(col.type)) else array

    def _check_texts(self, col: Column, array: pa.Array) -> pa.Array:
        if pc.any(pc.match_substring_regex(array, _UNUSUAL)).as_py():
            if pc.any(pc.match_substring(array, "\0")).as_py():
                raise pa.ArrowInvalid("a text holds the character NUL, which no database takes")
            array = array if col.is_secret else self._mask_tax_ids(col, array)
        if col.hashed:
            hashed = _hash(array, self._redactor)
            if hashed.null_count > array.null_count:
                raise pa.ArrowInvalid("an empty text has no hash")
            array = hashed
        if col.name in self._table.key:
            if pc.any(pc.greater(pc.binary_length(array), _KEY_BYTES)).as_py():
                raise pa.ArrowInvalid("a key is longer than an index of a database takes")
            # In a key of several columns, a text that people enter may be blank.
            if len(self._table.key) == 1 and pc.any(pc.equal(pc.utf8_trim_whitespace(array), "")).as_py():
                raise pa.ArrowInvalid("a key is blank")
        return array

    def _mask_tax_ids(self, col: Column, array: pa.Array) -> pa.Array:
        masked = array
        for pattern, replacement in (*MASKS, *MASKS):  # twice: two tax ids may share the character between them
            masked = pc.replace_substring_regex(masked, pattern, replacement)
        if col.name in self._table.key and not masked.equals(array):
            raise pa.ArrowInvalid("a key holds a tax id")
        return masked

    def _read_times(self, col: Column, array: pa.Array) -> pa.Array:
        if array.null_count == len(array):
            return pa.nulls(len(array), arrow_type(col.type))
        if self._table.dates == "us":
            array = pc.replace_substring_regex(array, r"^(\d\d)/(\d\d)/(\d{4})$", r"\3-\1-\2")
        if not pc.all(pc.match_substring_regex(array, _MOMENT)).as_py():
            raise pa.ArrowInvalid("a text is not a date, or has more characters after one")
        for prefix in self._sentinels:
            array = pc.if_else(pc.starts_with(array, prefix), pa.scalar(None, pa.string()), array)
        is_date = col.type == DATE
        times = pc.utf8_slice_codeunits(array, 0, 10).cast(pa.date32()) if is_date else self._read_moments(array)
        years = pc.year(times)
        if not pc.all(pc.and_(pc.greater(years, 0), pc.less(years, 10_000)), min_count=0).as_py():
            raise pa.ArrowInvalid("Python has no date before the year 1 or after 9999")
        return times

    def _read_moments(self, array: pa.Array) -> pa.Array:
        array = pc.replace_substring_regex(array, r"(\.\d{6})\d+", r"\1")
        try:
            return array.cast(pa.timestamp("us", tz="UTC"))
        except pa.ArrowInvalid:
            # Times in the repeated or skipped hour of a clock change are accepted.
            aware = pc.assume_timezone(
                array.cast(pa.timestamp("us")), self._zone, ambiguous="earliest", nonexistent="earliest"
            )
            return aware.cast(pa.timestamp("us", tz="UTC"))


def _read_numbers(col: Column, array: pa.Array) -> pa.Array:
    read = number.read_texts if pa.types.is_string(array.type) else number.convert
    numbers = read(array, arrow_type(col.type), is_rounded=col.rounded)
    if numbers.null_count > array.null_count:
        raise pa.ArrowInvalid("a number is not of its declared type")
    return numbers


def _hash(array: pa.Array, redactor: Redactor) -> pa.Array:
    """Return the hash of each text; blanks at its start and end are removed first. Each distinct text is hashed once."""
    encoded = array.dictionary_encode()
    hashes = [redactor.hash_key(value) for value in encoded.dictionary.to_pylist()]
    return pc.take(pa.array(hashes, pa.string()), encoded.indices)


def _mask_own(texts: pa.Array, secrets: Iterable[pa.Array]) -> pa.Array:
    """Return the texts; in each, the sensitive values of the same row are masked. Only texts with digits are compared with them."""
    rows = pc.indices_nonzero(pc.match_substring_regex(texts, HAS_DIGITS.pattern))
    compared = pc.take(texts, rows).to_pylist()
    masked = compared
    for values in secrets:
        own = pc.take(values, rows).to_pylist()
        masked = [mask_own(text, value) if value else text for text, value in zip(masked, own, strict=True)]
    if masked == compared:
        return texts
    changed = texts.to_pylist()
    for row, text in zip(rows.to_pylist(), masked, strict=True):
        changed[row] = text
    return pa.array(changed, texts.type)


def _redact(array: pa.Array, redactor: Redactor) -> Iterable[pa.Array]:
    """Yield two arrays: the hashes of the values, then their last four characters. Each distinct value is hashed once."""
    encoded = array.dictionary_encode()
    pairs = [redactor.split(value) for value in encoded.dictionary.to_pylist()]
    for part in (0, 1):
        yield pc.take(pa.array([pair[part] for pair in pairs], pa.string()), encoded.indices)


def _find_forms(array: pa.Array) -> pa.Array:
    encoded = array.dictionary_encode()
    return pc.take(
        pa.array([find_form(value) for value in encoded.dictionary.to_pylist()], pa.string()), encoded.indices
    )


def _seal(array: pa.Array, redactor: Redactor) -> pa.Array:
    """Return the sealed values. Each distinct value is sealed once."""
    encoded = array.dictionary_encode()
    sealed = [redactor.seal(value) for value in encoded.dictionary.to_pylist()]
    return pc.take(pa.array(sealed, pa.binary()), encoded.indices)
