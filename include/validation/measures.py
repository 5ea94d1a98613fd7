"""The day's measures of a table: what batch-level expectations look at, one number each.

rows                       good rows
rows_ratio                 rows over the median of recent days, less 1.5 times its square root of the difference, for small
                           firms; null before there are three
dead_ratio                 share of fetched rows, each counted once, that are dead letters
dead_money_ratio           of tables with money: the money of dead letters over all money, whatever its sign; a row whose money
                           can't be read counts as an average row
duplicate_keys             rows whose key another row has
off_date_rows              rows of a snapshot that are of another day
<column>_without_<table>   rows whose parent is not in the same vendor-day; null where that table was not pulled
accounts_off               keys whose money does not add up to what the other table states, less those of which a row
                           is a dead letter, and less one for each dead letter that does not say whose it is (not
                           where rows are summed into positions); null where that table was not pulled

Tables with money have the measures of `compared` in addition, transactions those of `posted`. Each measure has a detail in words: keys,
counts, sums.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
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
from include.staging.partitions import Staging, total
from include.staging.rows import count_reasons, faults_of, good_rows, name_first, refused_rows
from include.transform.dead_rows import read_dead
from include.validation.compared import compare
from include.validation.matched import Comparison
from include.validation.posted import measure_posted

REASONS = 5
"""Most reasons of dead rows that are named: the commonest."""


def measure(
    vendor: Vendor,
    table: Table,
    paths: Mapping[str, str],
    staging: Staging,
    recent: Sequence[int],
    earlier: Sequence[str] = (),
) -> Comparison:
    """Measures one table of a vendor-day whose rows have been validated.

    Args:
        vendor: The declaration.
        table: The table to measure.
        paths: Partition of every table pulled for the day.
        staging: Where they are.
        recent: Rows of recent days, for the band.
        earlier: Partitions of the last loaded days, the newest first.
    """
    path = paths[table.name]
    manifest = staging.manifest(path)
    known = {column: _known(vendor, parent, paths, staging) for column, parent in table.parents.items()}
    wanted = sorted({table.key[0], *table.parents, *filter(None, (table.as_of, table.money, *_agreeing(table)))})
    tally = _Tally()
    for part in good_rows(staging, path, wanted):
        tally.add(table, part, manifest.business_date, known)
    dead, distinct = manifest.dead + faults_of(staging, path).num_rows, manifest.fetched - manifest.duplicate
    found = compare(vendor, table, paths, staging, earlier)
    posted = measure_posted(vendor, table, path, staging, earlier)
    found.details |= posted.details
    found.measures |= posted.measures | {
        "rows": tally.rows,
        "rows_ratio": _eased(tally.rows, median(recent)) if len(recent) >= 3 and median(recent) else None,
        "dead_ratio": dead / distinct if distinct else 0.0,
    }
    found.measures["duplicate_keys"], found.details["duplicate_keys"] = (
        (0, "") if tally.is_ascending else _duplicates(table.key[0], path, staging)
    )
    found.details["dead_ratio"] = f"{dead:,} of {distinct:,} rows: {_name_reasons(path, staging)}"
    if table.money:
        found.measures["dead_money_ratio"], found.details["dead_money_ratio"] = _dead_money(
            vendor, table, path, staging, tally
        )
    if recent:
        found.details["rows_ratio"] = f"{tally.rows:,} rows, median of {len(recent)} recent days {median(recent):,.0f}"
    if table.as_of:
        found.measures["off_date_rows"] = tally.off_date
        found.details["off_date_rows"] = f"not of {manifest.business_date}: {name_first(list(tally.off_keys))}"
    for column, parent in table.parents.items():
        measure = f"{column}_without_{parent}"
        found.measures[measure] = None if known[column] is None else tally.orphans.get(column, 0)
        found.details[measure] = f"{column} {name_first(list(tally.lacking.get(column, ())))}"
    if table.agrees:
        off = _off(vendor, table, tally.sums, paths, staging)
        found.measures["accounts_off"], found.details["accounts_off"] = off or (None, "")
    return found


def _dead_money(vendor: Vendor, table: Table, path: str, staging: Staging, tally: _Tally) -> tuple[float, str]:
    """The share of money that is in dead rows, and how much it is."""
    amounts = read_dead(vendor, table, path, staging, [str(table.money)]).column(0)
    readable = pa.table({"money": amounts.drop_null().cast(pa.decimal128(38, 2))})
    size, unreadable = _size(readable, "money"), amounts.null_count
    rows = tally.rows + readable.num_rows
    average = (tally.size + size) / rows if rows else Decimal(0)
    lost = size + average * unreadable
    everything = tally.size + lost
    return float(
        lost / everything
    ) if everything else 0.0, f"${size:,.2f} in {len(amounts):,} dead letters, {unreadable:,} of them unreadable"


def _size(rows: pa.Table, column: str) -> Decimal:
    """The sum of amounts, whatever their signs."""
    return total(pa.table({"size": pc.abs(rows.column(column))}), "size")


def _eased(rows: int, usual: float) -> float:
    """Rows over what is usual, after a difference of a few rows: a firm of five positions may buy two."""
    slack = 1.5 * math.sqrt(usual)
    difference = rows - usual
    return (usual + math.copysign(max(0.0, abs(difference) - slack), difference)) / usual


@dataclass
class _Tally:
    """What adds up part by part, so that memory does not grow with the table."""

    rows: int = 0
    size: Decimal = Decimal(0)
    off_date: int = 0
    off_keys: dict[str, None] = field(default_factory=dict)
    orphans: dict[str, int] = field(default_factory=dict)
    lacking: dict[str, dict[str, None]] = field(default_factory=dict)
    sums: list[pa.Table] = field(default_factory=list)
    is_ascending: bool = True
    highest: pa.Scalar | None = None

    def add(self, table: Table, part: pa.Table, day: date, known: Mapping[str, pa.Array | None]) -> None:
        if not part.num_rows:
            return
        self.rows += part.num_rows
        if table.money:
            self.size += _size(part, table.money)
        keys = part.column(table.key[0]).combine_chunks()
        rises = pc.all(pc.less(keys[:-1], keys[1:])).as_py() is not False
        self.is_ascending = (
            self.is_ascending and rises and (self.highest is None or pc.less(self.highest, keys[0]).as_py())
        )
        self.highest = keys[-1]
        if table.as_of:
            is_off = pc.fill_null(pc.not_equal(part.column(table.as_of), pa.scalar(day)), False)
            self.off_date += pc.sum(is_off).as_py() or 0
            self.off_keys |= _keys(keys.filter(is_off.combine_chunks()))
        for column, parents in known.items():
            if parents is not None:
                lacking = part.column(column).filter(_is_orphan(part.column(column), parents))
                self.orphans[column] = self.orphans.get(column, 0) + len(lacking)
                self.lacking[column] = self.lacking.get(column, {}) | _keys(lacking)
        if table.agrees:
            column = table.agrees[0]
            self.sums.append(
                part.select([column, str(table.money)]).group_by(column).aggregate([(str(table.money), "sum")])
            )


def _keys(values: pa.Array) -> dict[str, None]:
    """Different values as texts, in the order in which they come."""
    return dict.fromkeys(map(str, pc.unique(values).to_pylist()))


def _agreeing(table: Table) -> tuple[str, ...]:
    """Columns that the control total needs."""
    return (table.agrees[0], str(table.money)) if table.agrees else ()


def _known(vendor: Vendor, parent: str, paths: Mapping[str, str], staging: Staging) -> pa.Array | None:
    """Keys of a parent table as text; None where it was not pulled.

    A parent that is itself a dead letter is still there: its child is no orphan.
    """
    if parent not in paths:
        return None
    key = vendor.table(parent).key[0]
    staged = [rows.column(key).cast(pa.string()) for _, rows in staging.rows(paths[parent], [key])]
    dead = (json.loads(line)["key"] for line in staging.folder(paths[parent]).read("dead.jsonl").splitlines())
    return pa.concat_arrays([*(c for column in staged for c in column.chunks), pa.array(list(dead), pa.string())])


def _is_orphan(values: pa.ChunkedArray, known: pa.Array) -> pa.ChunkedArray:
    return pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values.cast(pa.string()), value_set=known)))


def _duplicates(key: str, path: str, staging: Staging) -> tuple[int, str]:
    """Rows whose key another row has, and the keys; only called where the rows are not in the order of their keys."""
    keys = pa.concat_tables(list(good_rows(staging, path, [key]))).column(key)
    counts = pa.Table.from_struct_array(pc.value_counts(keys))
    repeated = counts.filter(pc.greater(counts.column("counts"), 1)).sort_by("values").column("values")
    return len(keys) - counts.num_rows, f"{key} {name_first(repeated.slice(0, 20).to_pylist(), len(repeated))}"


def _name_reasons(path: str, staging: Staging) -> str:
    """The commonest reasons of dead rows, with how many rows have each."""
    counts = sorted(count_reasons(staging, path).items(), key=lambda each: (-each[1], each[0]))
    reasons = [f"{reason} ({count:,})" for reason, count in counts]
    more = f"; and {len(reasons) - REASONS:,} more" if len(reasons) > REASONS else ""
    return "; ".join(reasons[:REASONS]) + more


def _off(
    vendor: Vendor, table: Table, sums: list[pa.Table], paths: Mapping[str, str], staging: Staging
) -> tuple[int, str] | None:
    """How many keys do not add up, and which, by how much, the largest difference first."""
    assert table.agrees is not None
    column, other, money = table.agrees
    if other not in paths:
        return None
    # Where the other table's own row is a dead letter, nothing is stated.
    none = staged_schema(vendor.table(other)).empty_table().select([column, money])
    stated = pa.concat_tables([none, *good_rows(staging, paths[other], [column, money])])
    held = f"{table.money}_sum"
    empty = pa.table({column: stated.column(column)[:0], held: pa.array([], pa.decimal128(38, 2))})
    parts = [part.cast(empty.schema) for part in sums]
    summed = pa.concat_tables([empty, *parts]).group_by(column).aggregate([(held, "sum")])
    both = stated.join(summed, column, join_type="left outer")
    difference = pc.subtract(
        pc.fill_null(both.column(f"{held}_sum"), Decimal(0)).cast(pa.decimal128(30, 2)),
        pc.fill_null(both.column(money), Decimal(0)).cast(pa.decimal128(30, 2)),
    )
    tolerance = pa.scalar(Decimal(vendor.total_tolerance_usd))
    off = pa.table({"key": both.column(column), "by": difference}).filter(pc.greater(pc.abs(difference), tolerance))
    if not len(off):
        return 0, ""
    explained, unsaid = _buried(table, column, paths[table.name], staging)
    if any(each.summed for each in vendor.maps if each.table == table.name):
        unsaid = 0  # a sum without one of its rows is wrong, and nothing says which one lacks it
    off = off.filter(pc.invert(pc.is_in(off.column("key"), value_set=explained)))
    off = off.append_column("size", pc.abs(off.column("by"))).sort_by([("size", "descending"), ("key", "ascending")])
    named = [f"{row['key']} by {row['by']:+,.2f}" for row in off.select(["key", "by"]).slice(0, 20).to_pylist()]
    return max(0, len(off) - unsaid), f"{column} {name_first(named, len(off))}"


def _buried(table: Table, column: str, path: str, staging: Staging) -> tuple[pa.Array, int]:
    """Values of a column in the rows that are dead letters, each once; and how many of those rows do not say it."""
    declared = table.named(column)
    letters = map(json.loads, staging.folder(path).read("dead.jsonl").splitlines())
    read = pa.array([_said(declared, letter) for letter in letters], arrow_type(declared.type))
    refused = (rows.column(column).combine_chunks() for rows in refused_rows(staging, path, [column]))
    buried = pa.chunked_array([read, *refused], read.type)
    return pc.unique(buried.drop_null()), buried.null_count


def _said(declared: Column, letter: dict[str, Any]) -> Any:
    """Value of a column in a row that could not be read; None where it is what could not be read."""
    is_fault = any(reason.startswith(f"{declared.source}: ") for reason in letter["reasons"])
    return None if is_fault or letter["row"] is None else letter["row"].get(declared.source)
