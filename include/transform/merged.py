"""Merge the canonical rows of one key into one row."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from include.canonical import Entity


def sum_by_key(rows: pa.Table, entity: Entity, summed: tuple[str, ...]) -> pa.Table:
    """Return the first row of each key, with the `summed` columns added up over all rows of the key.

    If a value is missing in one of the rows, the sum is missing: the sum of the others would be too small. In the money column, only the
    missing value itself adds nothing, because the control totals count it as zero.
    """
    key = entity.key
    first = keep_first(rows, key, pa.array([], pa.string()))
    if first.num_rows == rows.num_rows:
        return rows
    sums = [(name, "sum", pc.ScalarAggregateOptions(skip_nulls=name == entity.money)) for name in summed]
    wide = rows.select([key, *summed]).group_by(key, use_threads=False).aggregate(sums)
    place = pc.index_in(first.column(key), value_set=wide.column(key).combine_chunks())
    for name in summed:
        at = first.schema.get_field_index(name)
        values = wide.column(f"{name}_sum").take(place).cast(first.schema.field(name).type)
        first = first.set_column(at, first.schema.field(name), values)
    return first


def keep_newest(rows: pa.Table, entity: Entity) -> pa.Table:
    """Return one row per key: the newest by the entity's version. A final state wins over a newer non-final one that does not reopen it."""
    version = str(entity.version)
    order = [(version, "descending", "at_end")]
    if entity.final:
        ended = rows.filter(rows[entity.final]).group_by(entity.key).aggregate([(version, "max")])
        place = pc.index_in(rows[entity.key], value_set=ended[entity.key].combine_chunks())
        ended_at = ended[f"{version}_max"].combine_chunks().take(place.combine_chunks())
        continues = pc.and_(pc.invert(rows[entity.final]), pc.greater(rows[version], ended_at))
        is_reopened = pc.fill_null(pc.greater(rows[entity.reopened], ended_at), False)
        rows = rows.filter(pc.fill_null(pc.invert(pc.and_(continues, pc.invert(is_reopened))), True))
        order.append((entity.final, "descending", "at_end"))
    newest_first = rows.take(pc.sort_indices(rows, sort_keys=order))
    return keep_first(newest_first, entity.key, pa.array([], pa.string()))


def keep_first(rows: pa.Table, key: str, seen: pa.Array) -> pa.Table:
    """Return the first row of each key that is not in `seen`."""
    fresh = rows.filter(pc.invert(pc.is_in(rows.column(key), value_set=seen)))
    numbered = fresh.append_column("row", pa.array(range(fresh.num_rows), pa.int64()))
    first = numbered.group_by(key, use_threads=False).aggregate([("row", "min")]).column("row_min")
    return fresh.take(first.combine_chunks())
