"""What happened, one row each, from rows that hold a time for each thing that can happen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def happenings(part: pa.Table, stamps: Mapping[str, str]) -> pa.Table:
    """One row for each stamp of a row: `event` says what happened, `happened_at` when; for a map's `split`.

    Args:
        part: Staged rows.
        stamps: Event -> column of the time at which it happened; null where it did not.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    numbered = part.append_column("row", pa.array(range(part.num_rows), pa.int64())).drop_columns(list(stamps.values()))
    told = []
    for event, column in stamps.items():
        rows = numbered.append_column("happened_at", part[column])
        rows = rows.filter(pc.is_valid(rows["happened_at"]))
        told.append(rows.append_column("event", pa.repeat(pa.scalar(event), rows.num_rows)))
    return pa.concat_tables(told)
