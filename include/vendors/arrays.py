"""Pure functions on Arrow arrays that more than one vendor needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def join_key(*parts: pa.Array) -> pa.Array:
    """Join several values to one key, separated by colons; null if one of them is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*(part.cast(pa.string()) for part in parts), ":")


def day_of(at: pa.Array) -> pa.Array:
    """Return the UTC date of a time."""
    import pyarrow as pa

    return at.cast(pa.timestamp("us")).cast(pa.date32())


def new_york_day_of(at: pa.Array) -> pa.Array:
    """Return the New York date of a time: the day of an edit by a person, such as the last change of a plan."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.local_timestamp(at.cast(pa.timestamp("us", "America/New_York"))).cast(pa.date32())


def build_daily_key(key: pa.Array, at: pa.Array, word: str = "") -> pa.Array:
    """Return the key of a daily measurement: `<key>:<word>:<UTC date of at>`.

    Args:
        key: Key of the subject that is measured.
        at: Time of the measurement.
        word: Kind of measurement, if a subject has several; empty for none.
    """
    import pyarrow as pa

    sense = [pa.repeat(pa.scalar(word), len(key))] if word else []
    return join_key(key, *sense, day_of(at))


def full_name(first: pa.Array, last: pa.Array) -> pa.Array:
    """Join first and last name; if one is null, return the other."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(first, last, " ", null_handling="skip")


def look_up(values: pa.Array, table: Mapping[str, object], default: object) -> pa.Array:
    """Return the entry of `table` for each value; the default if the value is null or has no entry."""
    import pyarrow as pa
    import pyarrow.compute as pc

    places = pc.index_in(values, value_set=pa.array(list(table)))
    return pc.fill_null(pc.take(pa.array(list(table.values())), places), default)


def parse_household_key(key: pa.Array) -> pa.Array:
    """Convert `<vendor>:<id>`, as users enter it, to the household key `<vendor>:household:<id>`; null for any other text.

    An id may contain any characters but blanks and colons. Blanks around the text are ignored.
    """
    import pyarrow.compute as pc

    written = r"^\s*(\w+):([^\s:]+)\s*$"
    known = pc.if_else(pc.match_substring_regex(key, written), key, None)
    return pc.replace_substring_regex(known, written, r"\1:household:\2")


def is_word(values: pa.Array, word: str) -> pa.Array:
    """Return whether each text is equal to `word`; false for null."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.equal(values, word), False)


def is_missing(*values: pa.Array) -> pa.Array:
    """Return for each row whether all of the values are null."""
    import functools

    import pyarrow.compute as pc

    return functools.reduce(pc.and_, map(pc.is_null, values))


def ratio(values: pa.Array) -> pa.Array:
    """Convert probabilities to a ratio from 0 to 1. Numbers are fractions; texts are percentages, such as `82` or `82%`.

    The result is null for a text that is not a number from 0 to 100, such as `<50`. It is also null for a text between 0 and 1, which may
    be a fraction.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(values.type):
        bare = pc.replace_substring_regex(pc.utf8_trim_whitespace(values), r"%$", "")
        is_number = pc.match_substring_regex(bare, r"^(100(\.0{1,6})?|\d{1,2}(\.\d{1,6})?)$")
        percent = pc.if_else(is_number, bare, None).cast(pa.decimal128(9, 6))
        is_percent = pc.or_(pc.equal(percent, 0), pc.greater_equal(percent, 1))
        values = pc.multiply(pc.if_else(is_percent, percent, None), pa.scalar(Decimal("0.01")))
    return pc.round(values, 8, round_mode="half_to_even").cast(pa.decimal128(9, 8))


def left_join(left: pa.Table, right: pa.Table, keys: list[str]) -> pa.Table:
    """Left-join two tables by key. The added column `row` is the index of the left row, as `EntityMap.split` requires."""
    import pyarrow as pa

    numbered = left.append_column("row", pa.array(range(left.num_rows), pa.int64()))
    return numbered.join(right, keys, join_type="left outer").sort_by("row")


def each(function: Callable[[str], object], values: pa.Array, type_: pa.DataType) -> pa.Array:
    """Apply a function to each text, calling it once per distinct text; null stays null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = values.dictionary_encode()
    return pc.take(pa.array([function(text) for text in encoded.dictionary.to_pylist()], type_), encoded.indices)


_STATES = """
Alabama AL, Alaska AK, Arizona AZ, Arkansas AR, California CA, Colorado CO, Connecticut CT, Delaware DE, District of Columbia DC,
Florida FL, Georgia GA, Hawaii HI, Idaho ID, Illinois IL, Indiana IN, Iowa IA, Kansas KS, Kentucky KY, Louisiana LA, Maine ME,
Maryland MD, Massachusetts MA, Michigan MI, Minnesota MN, Mississippi MS, Missouri MO, Montana MT, Nebraska NE, Nevada NV,
New Hampshire NH, New Jersey NJ, New Mexico NM, New York NY, North Carolina NC, North Dakota ND, Ohio OH, Oklahoma OK, Oregon OR,
Pennsylvania PA, Puerto Rico PR, Rhode Island RI, South Carolina SC, South Dakota SD, Tennessee TN, Texas TX, Utah UT, Vermont VT,
Virginia VA, Washington WA, West Virginia WV, Wisconsin WI, Wyoming WY
"""
STATE_CODES = {name.upper(): code for name, _, code in (each.strip().rpartition(" ") for each in _STATES.split(","))}
"""Name of a US state in upper case -> its postal code."""


def state_code(values: pa.Array) -> pa.Array:
    """Replace names of US states by their postal codes; any other text stays as it is."""
    import pyarrow.compute as pc

    return pc.coalesce(look_up(pc.utf8_upper(pc.utf8_trim_whitespace(values)), STATE_CODES, None), values)
