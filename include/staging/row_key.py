"""The text of a row's key: the same for a row in every step, whether it is staged, dead or replayed.

A dead letter stores this text. Its row closes it when it is loaded, which requires that both texts are equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc


def format_keys(rows: pa.Table, key: Sequence[str]) -> pa.Array:
    """Return the key of each row as text.

    A key of one column is its value as text. Several columns are joined with `:`; in text values, `:` and the backslash are then
    escaped with a backslash, so that different keys have different texts.

    Args:
        rows: Rows with the key columns, in their staged types.
        key: The key columns, in the order of the declaration.
    """
    columns = [rows.column(name).combine_chunks() for name in key]
    if len(columns) == 1:
        return columns[0].cast(pa.string())
    return pc.binary_join_element_wise(*map(_escape, columns), ":", null_handling="replace")


def _escape(values: pa.Array) -> pa.Array:
    if not pa.types.is_string(values.type):
        return values.cast(pa.string())
    return pc.replace_substring(pc.replace_substring(values, "\\", "\\\\"), ":", "\\:")
