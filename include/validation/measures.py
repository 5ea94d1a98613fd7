"""The day's measures of a table: what batch-level expectations look at, one number each.

rows                       good rows
rows_ratio                 rows over the median of recent days; null before there are three
dead_ratio                 share of fetched rows that are dead letters
duplicate_keys             rows whose key another row has
off_date_rows              rows of a snapshot that are of another day
<column>_without_<table>   rows whose parent is not in the same vendor-day; null where that table was not pulled
accounts_off               keys whose money does not add up to what the other table states, beyond those that a
                           dead letter may explain; null where that table was not pulled
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

from include.arrow import arrow_type
from include.contract import Table, Vendor
from include.staging import Staging
from include.validation.rows import faults_of, good_rows

_CENT = Decimal("0.01")


def measure(
    vendor: Vendor, table: Table, paths: Mapping[str, str], staging: Staging, recent: Sequence[int]
) -> dict[str, float | None]:
    """Measures one table of a vendor-day whose rows have been validated.

    Args:
        vendor: The declaration.
        table: The table to measure.
        paths: Partition of every table pulled for the day.
        staging: Where they are.
        recent: Rows of recent days, for the band.
    """
    path = paths[table.name]
    manifest = staging.manifest(path)
    key = table.key[0]
    wanted = sorted({key, *table.parents, *filter(None, (table.as_of, *_agreeing(table)))})
    schema = pa.schema([(name, arrow_type(table.named(name).type)) for name in wanted])
    rows = pa.concat_tables([schema.empty_table(), *good_rows(staging, path, wanted)])
    dead = manifest.dead + faults_of(staging, path).num_rows
    measures: dict[str, float | None] = {
        "rows": rows.num_rows,
        "rows_ratio": rows.num_rows / median(recent) if len(recent) >= 3 and median(recent) else None,
        "dead_ratio": dead / manifest.fetched if manifest.fetched else 0.0,
        "duplicate_keys": rows.num_rows - pc.count_distinct(rows.column(key)).as_py(),
    }
    if table.as_of:
        other_day = pc.not_equal(rows.column(table.as_of), pa.scalar(manifest.business_date))
        measures["off_date_rows"] = pc.sum(other_day).as_py() or 0
    for column, parent in table.parents.items():
        measures[f"{column}_without_{parent}"] = _orphans(vendor, rows.column(column), parent, paths, staging)
    if table.agrees:
        measures["accounts_off"] = _off(table, rows, paths, staging, dead)
    return measures


def _agreeing(table: Table) -> tuple[str, ...]:
    """Columns that the control total needs."""
    return (table.agrees[0], str(table.money)) if table.agrees else ()


def _orphans(
    vendor: Vendor, values: pa.ChunkedArray, parent: str, paths: Mapping[str, str], staging: Staging
) -> int | None:
    if parent not in paths:
        return None
    key = vendor.table(parent).key[0]
    # A parent that is itself a dead letter is still there: its child is no orphan.
    staged = [rows.column(key).cast(pa.string()) for _, rows in staging.rows(paths[parent], [key])]
    dead = (json.loads(line)["key"] for line in staging.folder(paths[parent]).read("dead.jsonl").splitlines())
    known = [chunk for column in staged for chunk in column.chunks] + [pa.array(list(dead), pa.string())]
    orphan = pc.and_(
        pc.is_valid(values), pc.invert(pc.is_in(values.cast(pa.string()), value_set=pa.concat_arrays(known)))
    )
    return int(pc.sum(orphan).as_py() or 0)


def _off(table: Table, rows: pa.Table, paths: Mapping[str, str], staging: Staging, dead: int) -> int | None:
    assert table.agrees is not None
    assert table.money is not None
    column, other, money = table.agrees
    if other not in paths:
        return None
    stated = pa.concat_tables(list(good_rows(staging, paths[other], [column, money])))
    summed = rows.select([column, table.money]).group_by(column).aggregate([(table.money, "sum")])
    both = stated.join(summed, column, join_type="left outer")
    difference = pc.subtract(
        pc.fill_null(both.column(money), Decimal(0)).cast(pa.decimal128(30, 2)),
        pc.fill_null(both.column(f"{table.money}_sum"), Decimal(0)).cast(pa.decimal128(30, 2)),
    )
    off = pc.sum(pc.greater(pc.abs(difference), pa.scalar(_CENT, difference.type))).as_py() or 0
    return max(0, int(off) - dead)
