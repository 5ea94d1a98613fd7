"""Format the key of a row as text, in the same way in every step.

A dead letter stores this text. When a row with the same text is loaded later, the dead letter is closed.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc


def format_keys(rows: pa.Table, key: Sequence[str]) -> pa.Array:
    """Return the key of each row as text.

    One key column: the value as text; null stays null.
    Several key columns: the values joined with `:`; a null becomes empty. In string values, `:` and the backslash are escaped with a
    backslash, so that different keys have different texts.

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
