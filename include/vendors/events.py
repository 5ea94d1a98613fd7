"""Convert rows with one time column per kind of event to one row per event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def list_events(part: pa.Table, stamps: Mapping[str, str]) -> pa.Table:
    """Return one row per staged row and event that happened, with the columns `row`, `event` and `happened_at`, for a map's `split`.

    Args:
        part: Staged rows.
        stamps: Event -> column with the time of the event; null if the event did not happen.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    numbered = part.append_column("row", pa.array(range(part.num_rows), pa.int64())).drop_columns(list(stamps.values()))
    events = []
    for event, column in stamps.items():
        rows = numbered.append_column("happened_at", part[column])
        rows = rows.filter(pc.is_valid(rows["happened_at"]))
        events.append(rows.append_column("event", pa.repeat(pa.scalar(event), rows.num_rows)))
    return pa.concat_tables(events)
