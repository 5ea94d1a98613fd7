"""Compute a table's measures of the day. Each is one number, which batch-level expectations of the suite check.

rows                       number of good rows
rows_ratio                 rows divided by the median of recent days. For small firms, the difference from the median is first reduced by
                           1.5 * sqrt(median). Null if there are fewer than three recent days
dead_ratio                 share of dead rows among the fetched rows; duplicates are not counted
dead_money_ratio           for tables with money: the absolute money of dead rows divided by that of all rows. A row whose money can't be
                           read counts with the average of the others
duplicate_keys             rows beyond the first of each key
off_date_rows              rows of a snapshot that are not dated with the business date
<column>_without_<table>   rows whose parent row is missing from the same vendor-day; null if the parent table was not pulled
accounts_off               accounts whose rows do not add up to the value that another table states; null if that table was not pulled.
                           Accounts with a dead row are not counted. Each dead row without a readable account reduces the number by one,
                           unless rows are summed into positions

All tables have the measures of `compared` that apply to them, and transactions also have those of `posted`. The detail of a measure lists
keys, counts or sums.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.contract import Column, Table, Vendor
from include.contract.arrow import arrow_type
from include.extract.columns import staged_schema
from include.staging.files import total
from include.staging.partitions import Partition
from include.staging.sorted_keys import SortedKeys
from include.transform.dead_rows import read_dead
from include.validation.compared import compare
from include.validation.matched import Comparison, name_first
from include.validation.posted import measure_posted

REASONS = 5
"""Maximum number of reasons of dead rows to list, the most common first."""


def measure(
    vendor: Vendor,
    table: Table,
    partitions: Mapping[str, Partition],
    recent: Sequence[int],
    earlier: Sequence[Partition] = (),
    undelivered: Collection[str] = (),
) -> Comparison:
    """Measure one table of a vendor-day after its rows have been validated.

    Args:
        vendor: The declaration.
        table: The table to measure.
        partitions: Table -> partition, for every table pulled for the day.
        recent: Row counts of this table on recent days, for `rows_ratio`.
        earlier: Partitions of this table of the last loaded days, newest first.
        undelivered: Keys of accounts that `accounts_off` leaves out if they have no rows, because the vendor never delivers them.
    """
    partition = partitions[table.name]
    parent_keys = {column: _read_parent_keys(vendor, parent, partitions) for column, parent in table.references.items()}
    tally = _tally(table, partition, parent_keys)
    comparison = compare(vendor, table, partitions, earlier)
    posted = measure_posted(vendor, table, partition, earlier)
    comparison.details |= posted.details
    comparison.measures |= posted.measures
    _measure_rows(comparison, partition, tally.rows, recent)
    repeated = (0, "") if tally.is_ascending else _count_duplicates(table.key[0], partition)
    comparison.record("duplicate_keys", *repeated)
    if table.money:
        comparison.record("dead_money_ratio", *_measure_dead_money(vendor, table, partition, tally))
    if table.as_of:
        detail = f"rows not dated {partition.manifest.business_date}: {name_first(list(tally.off_keys))}"
        comparison.record("off_date_rows", tally.off_date, detail)
    for column, parent in table.references.items():
        orphans = None if parent_keys[column] is None else tally.orphans.get(column, 0)
        lacking = name_first(list(tally.lacking.get(column, ())))
        comparison.record(f"{column}_without_{parent}", orphans, f"{column} {lacking}")
    if table.agrees:
        off = _compare_totals(vendor, table, tally.sums, partitions, undelivered)
        comparison.record("accounts_off", *(off or (None, "")))
    return comparison


def _measure_rows(comparison: Comparison, partition: Partition, rows: int, recent: Sequence[int]) -> None:
    """Record the measures `rows`, `rows_ratio` and `dead_ratio`."""
    manifest = partition.manifest
    dead, distinct = manifest.dead + partition.faults.num_rows, manifest.fetched - manifest.duplicate
    usual = median(recent) if recent else 0.0
    comparison.measures["rows"] = rows
    comparison.measures["rows_ratio"] = _ease_ratio(rows, usual) if len(recent) >= 3 and usual else None
    if recent:
        comparison.details["rows_ratio"] = f"{rows:,} rows, median of {len(recent)} recent days {usual:,.0f}"
    detail = f"{dead:,} of {distinct:,} rows: {_name_reasons(partition)}"
    comparison.record("dead_ratio", dead / distinct if distinct else 0.0, detail)


def _measure_dead_money(vendor: Vendor, table: Table, partition: Partition, tally: _Tally) -> tuple[float, str]:
    """Return the measure `dead_money_ratio` and its detail."""
    amounts = read_dead(vendor, table, partition, [str(table.money)]).column(0)
    readable = pa.table({"money": amounts.drop_null().cast(pa.decimal128(38, 2))})
    size, unreadable = _sum_absolute(readable, "money"), amounts.null_count
    rows = tally.rows + readable.num_rows
    average = (tally.size + size) / rows if rows else Decimal(0)
    lost = size + average * unreadable
    everything = tally.size + lost
    return float(
        lost / everything
    ) if everything else 0.0, f"${size:,.2f} in {len(amounts):,} dead letters, {unreadable:,} of them unreadable"


def _sum_absolute(rows: pa.Table, column: str) -> Decimal:
    """Return the sum of the absolute amounts in a column."""
    return total(pa.table({"size": pc.abs(rows.column(column))}), "size")


def _ease_ratio(rows: int, usual: float) -> float:
    """Return rows / usual, after reducing the difference by 1.5 * sqrt(usual): a firm with five positions may buy two more."""
    slack = 1.5 * math.sqrt(usual)
    difference = rows - usual
    return (usual + math.copysign(max(0.0, abs(difference) - slack), difference)) / usual


@dataclass
class _Tally:
    """Running totals over the parts of a partition, so that memory does not grow with the table."""

    rows: int = 0
    size: Decimal = Decimal(0)
    off_date: int = 0
    off_keys: dict[str, None] = field(default_factory=dict)
    orphans: dict[str, int] = field(default_factory=dict)
    lacking: dict[str, dict[str, None]] = field(default_factory=dict)
    sums: list[pa.Table] = field(default_factory=list)
    is_ascending: bool = True
    highest: pa.Scalar | None = None

    def add(self, table: Table, part: pa.Table, day: date, parent_keys: Mapping[str, SortedKeys | None]) -> None:
        if not part.num_rows:
            return
        self.rows += part.num_rows
        if table.money:
            self.size += _sum_absolute(part, table.money)
        keys = part.column(table.key[0]).combine_chunks()
        rises = pc.all(pc.less(keys[:-1], keys[1:])).as_py() is not False
        self.is_ascending = (
            self.is_ascending and rises and (self.highest is None or pc.less(self.highest, keys[0]).as_py())
        )
        self.highest = keys[-1]
        if table.as_of:
            is_off = pc.fill_null(pc.not_equal(part.column(table.as_of), pa.scalar(day)), False)
            self.off_date += pc.sum(is_off).as_py() or 0
            self.off_keys |= _list_distinct(keys.filter(is_off.combine_chunks()))
        for column, parents in parent_keys.items():
            if parents is not None:
                lacking = part.column(column).filter(_is_orphan(part.column(column), parents))
                self.orphans[column] = self.orphans.get(column, 0) + len(lacking)
                self.lacking[column] = self.lacking.get(column, {}) | _list_distinct(lacking)
        if table.agrees:
            column = table.agrees[0]
            self.sums.append(
                part.select([column, str(table.money)]).group_by(column).aggregate([(str(table.money), "sum")])
            )


def _tally(table: Table, partition: Partition, parent_keys: Mapping[str, SortedKeys | None]) -> _Tally:
    tally, agreeing = _Tally(), _list_agreeing(table)
    columns = sorted({table.key[0], *table.references, *filter(None, (table.as_of, table.money, *agreeing))})
    for part in partition.good_rows(columns):
        tally.add(table, part, partition.manifest.business_date, parent_keys)
    return tally


def _list_distinct(values: pa.Array) -> dict[str, None]:
    """Return the distinct values as text, in order of appearance, as the keys of a dict."""
    return dict.fromkeys(map(str, pc.unique(values).to_pylist()))


def _list_agreeing(table: Table) -> tuple[str, ...]:
    """Return the columns that the comparison with another table (`agrees`) needs; none if the table declares no comparison."""
    return (table.agrees[0], str(table.money)) if table.agrees else ()


def _read_parent_keys(vendor: Vendor, parent: str, partitions: Mapping[str, Partition]) -> SortedKeys | None:
    """Return the keys of a parent table as text, including the keys of its dead rows; None if the table was not pulled.

    So a child of a dead parent row does not count as a row without a parent.
    """
    if parent not in partitions:
        return None
    key = vendor.table(parent).key[0]
    staged = [rows.column(key).cast(pa.string()) for _, rows in partitions[parent].rows([key])]
    dead = (json.loads(line)["key"] for line in partitions[parent].read_dead_lines())
    keys = pa.chunked_array([*(c for column in staged for c in column.chunks), pa.array(list(dead), pa.string())])
    return SortedKeys(keys.drop_null().combine_chunks())


def _is_orphan(values: pa.ChunkedArray, parent_keys: SortedKeys) -> pa.ChunkedArray:
    return pc.and_(pc.is_valid(values), pc.is_null(parent_keys.find(values.cast(pa.string()))))


def _count_duplicates(key: str, partition: Partition) -> tuple[int, str]:
    """Return the number of rows beyond the first of each key, and the repeated keys as text.

    It reads all keys at once, so it is called only if the rows are not in strictly ascending order of their keys.
    """
    keys = pa.concat_tables(list(partition.good_rows([key]))).column(key)
    counts = pa.Table.from_struct_array(pc.value_counts(keys))
    repeated = counts.filter(pc.greater(counts.column("counts"), 1)).sort_by("values").column("values")
    return len(keys) - counts.num_rows, f"{key} {name_first(repeated.slice(0, 20).to_pylist(), len(repeated))}"


def _name_reasons(partition: Partition) -> str:
    """Return the most common reasons of dead rows as text, with the number of rows of each."""
    counts = sorted(partition.count_reasons().items(), key=lambda each: (-each[1], each[0]))
    reasons = [f"{reason} ({count:,})" for reason, count in counts]
    more = f"; and {len(reasons) - REASONS:,} more" if len(reasons) > REASONS else ""
    return "; ".join(reasons[:REASONS]) + more


def _compare_totals(
    vendor: Vendor,
    table: Table,
    sums: list[pa.Table],
    partitions: Mapping[str, Partition],
    undelivered: Collection[str],
) -> tuple[int, str] | None:
    """Return the measure `accounts_off`, and the accounts with their differences as text, the largest first.

    None if the other table was not pulled.
    """
    assert table.agrees is not None
    column, other, money = table.agrees
    if other not in partitions:
        return None
    # An account whose row in the other table is a dead letter has no stated value there, and is not compared.
    none = staged_schema(vendor.table(other)).empty_table().select([column, money])
    stated = pa.concat_tables([none, *partitions[other].good_rows([column, money])])
    total_name = f"{table.money}_sum"
    empty = pa.table({column: stated.column(column)[:0], total_name: pa.array([], pa.decimal128(38, 2))})
    parts = [part.cast(empty.schema) for part in sums]
    summed = pa.concat_tables([empty, *parts]).group_by(column).aggregate([(total_name, "sum")])
    both = stated.join(summed, column, join_type="left outer")
    is_known = pc.is_in(both.column(column).cast(pa.string()), value_set=pa.array(list(undelivered), pa.string()))
    both = both.filter(pc.invert(pc.and_(is_known, pc.is_null(both.column(f"{total_name}_sum")))))
    difference = pc.subtract(
        pc.fill_null(both.column(f"{total_name}_sum"), Decimal(0)).cast(pa.decimal128(30, 2)),
        pc.fill_null(both.column(money), Decimal(0)).cast(pa.decimal128(30, 2)),
    )
    tolerance = pa.scalar(Decimal(vendor.total_tolerance_usd))
    off = pa.table({"key": both.column(column), "by": difference}).filter(pc.greater(pc.abs(difference), tolerance))
    if not len(off):
        return 0, ""
    explained, unreadable = _read_dead_values(table, column, partitions[table.name])
    if any(each.summed for each in vendor.maps if each.table == table.name):
        unreadable = 0  # such a dead row makes the sum of an unknown position wrong, which must not pass
    off = off.filter(pc.invert(pc.is_in(off.column("key"), value_set=explained)))
    off = off.append_column("size", pc.abs(off.column("by"))).sort_by([("size", "descending"), ("key", "ascending")])
    examples = [f"{row['key']} by {row['by']:+,.2f}" for row in off.select(["key", "by"]).slice(0, 20).to_pylist()]
    return max(0, len(off) - unreadable), f"{column} {name_first(examples, len(off))}"


def _read_dead_values(table: Table, column: str, partition: Partition) -> tuple[pa.Array, int]:
    """Return the distinct readable values of a column in the dead rows, and the number of dead rows without a readable value."""
    declared = table.named(column)
    dead_rows = map(json.loads, partition.read_dead_lines())
    read = pa.array([_read_value(declared, row) for row in dead_rows], arrow_type(declared.type))
    refused = (rows.column(column).combine_chunks() for _, rows in partition.refused_rows([column]))
    values = pa.chunked_array([read, *refused], read.type)
    return pc.unique(values.drop_null()), values.null_count


def _read_value(declared: Column, dead_row: dict[str, Any]) -> Any:
    """Return the value of a column in an unreadable row; None if the column is at fault or missing."""
    is_fault = any(reason.startswith(f"{declared.source}: ") for reason in dead_row["reasons"])
    return None if is_fault or dead_row["row"] is None else dead_row["row"].get(declared.source)
