"""Find the entities that a dead row may describe, and the row's money.

While the row's dead letter is open, these entities do not count as removed, and reports include the missing money. Often only one
field of a dead row is at fault, and other fields identify the entity:

- If every column of the key can be read, the row describes the entity with this key.
- Otherwise, if the parent can be read (the account of a position), the row may describe every entity of this parent.
- If neither can be read, the row may describe any entity of its kind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include import canonical
from include.contract import Constant, Derived, EntityMap, Table, Vendor
from include.control.dead_letters import DeadLetter
from include.extract.columns import staged_schema
from include.extract.exact_json import dump, load
from include.extract.page import PageReader
from include.sensitive import Redactor
from include.staging.files import total
from include.staging.partitions import Partition

_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class DeadMoney:
    """Money of dead rows.

    Attributes:
        usd: Sum of the readable amounts; None if no amount can be read.
        unreadable: Number of rows whose amount can't be read.
    """

    usd: Decimal | None
    unreadable: int

    def __add__(self, other: DeadMoney) -> DeadMoney:
        known = [each for each in (self.usd, other.usd) if each is not None]
        return DeadMoney(sum(known, Decimal(0)) if known else None, self.unreadable + other.unreadable)


def read_unreadable_dead_letters(vendor: Vendor, table: Table, partition: Partition) -> Iterator[DeadLetter]:
    """Yield a dead letter for each row of a partition that parsing could not read (`dead.jsonl`)."""
    for lines, rows, faults in _iterate_unreadable(vendor, table, partition):
        for (number, line), about in zip(lines, _describe(vendor, table, rows, faults), strict=True):
            yield DeadLetter(line["key"], line["reasons"], "dead.jsonl", number, **about)


def read_refused_dead_letters(vendor: Vendor, table: Table, partition: Partition) -> Iterator[DeadLetter]:
    """Yield a dead letter for each row of a partition that validation refused (`faults.parquet`)."""
    for listed, rows, faults in _iterate_refused(table, partition, _list_needed_columns(vendor, table)):
        for fault, about in zip(listed, _describe(vendor, table, rows, faults), strict=True):
            yield DeadLetter(fault["row_key"], fault["expectations"], fault["part"], fault["row_number"], **about)


def read_dead(vendor: Vendor, table: Table, partition: Partition, columns: list[str]) -> pa.Table:
    """Return the given columns, as text, of all unreadable and refused rows of a partition. A value that is unreadable or at fault is null."""
    schema = pa.schema([(name, pa.string()) for name in columns])
    tables = [schema.empty_table()]
    for _, rows, faults in _iterate_unreadable(vendor, table, partition):
        tables.append(_mask_faults(rows, faults, columns))
    for _, rows, faults in _iterate_refused(table, partition, columns):
        tables.append(_mask_faults(rows, faults, columns))
    return pa.concat_tables(tables)


def sum_refused_money(table: Table, partition: Partition) -> DeadMoney:
    """Sum the money of the rows that validation refused in a partition. An amount that is at fault itself counts as unreadable."""
    result = DeadMoney(None, 0)
    if table.money is None:
        return result
    names = set(staged_schema(table).names)
    for faults, rows in partition.refused_rows([table.money]):
        doubtful = [
            bool({table.money, ANY} & {find_expected_column(each, names) for each in failed})
            for failed in faults.column("expectations").to_pylist()
        ]
        sound = rows.filter(pa.array([not each for each in doubtful]))
        result += DeadMoney(total(sound, table.money) if sound.num_rows else None, sum(doubtful))
    return result


def sum_money(dead_letters: Iterable[DeadLetter]) -> DeadMoney:
    """Sum the money of dead letters."""
    known, unreadable, has_money = Decimal(0), 0, False
    for dead_letter in dead_letters:
        unreadable += dead_letter.is_money_unreadable
        if dead_letter.money_usd is not None:
            known, has_money = known + dead_letter.money_usd, True
    return DeadMoney(known if has_money else None, unreadable)


ANY = "*"
"""Stands for every column of a row, if a fault can't be attributed to one column."""


def _iterate_unreadable(
    vendor: Vendor, table: Table, partition: Partition
) -> Iterator[tuple[list[tuple[int, Any]], pa.Table, list[set[str]]]]:
    """Yield the unreadable rows of a partition in batches: (line number, line), the rows' readable values, and each row's columns at fault."""
    sources = {col.source: col.name for col in table.columns}
    lines = enumerate(map(load, partition.read_dead_lines()))
    while some := list(islice(lines, _AT_ONCE)):
        faults = [_find_fault_columns(line["reasons"], sources) for _, line in some]
        yield some, *_read_values(table, vendor, [line["row"] for _, line in some], faults)


def _iterate_refused(
    table: Table, partition: Partition, columns: list[str]
) -> Iterator[tuple[list[dict[str, Any]], pa.Table, list[set[str]]]]:
    """Yield the rows that validation refused in batches: entries of `faults.parquet`, the rows' `columns`, and each row's columns at fault."""
    names = set(staged_schema(table).names)
    for faults, rows in partition.refused_rows(columns):
        for start in range(0, rows.num_rows, _AT_ONCE):
            listed = faults.slice(start, _AT_ONCE).to_pylist()
            at_fault = [{find_expected_column(each, names) for each in fault["expectations"]} for fault in listed]
            yield listed, rows.slice(start, _AT_ONCE), at_fault


def _mask_faults(rows: pa.Table, faults: list[set[str]], columns: list[str]) -> pa.Table:
    """Return columns of rows as text, with null for each value whose column is at fault in that row."""
    values = {}
    for name in columns:
        is_read = pa.array([not {name, ANY} & bad for bad in faults])
        values[name] = pc.if_else(is_read, rows.column(name).cast(pa.string()), None)
    return pa.table(values)


def _find_fault_columns(reasons: list[str], sources: dict[str, str]) -> set[str]:
    """Return the staged columns named by the reasons of an unreadable row (`<source field>: ...`); `ANY` for a reason that names none."""
    columns = [sources.get(reason.partition(":")[0]) for reason in reasons]
    return {name or ANY for name in columns}


def find_expected_column(expectation: str, names: Collection[str]) -> str:
    """Return the staged column of a failed expectation; `ANY` if it is not a staged column.

    The format is `expect_x(column)`, `expect_x(column): limits` or, for a check of a column, `expect_x(column.check)`.
    """
    column = expectation.partition("(")[2].partition(")")[0].partition(".")[0]
    return column if column in names else ANY


def _read_values(
    table: Table, vendor: Vendor, raw: list[dict[str, Any] | None], faults: list[set[str]]
) -> tuple[pa.Table, list[set[str]]]:
    """Parse unreadable rows again without their fields at fault.

    Returns:
        The rows in the same order, null for each field at fault; and each row's columns at fault. A row that still can't be parsed
        has only nulls, and `ANY` as its columns at fault.
    """
    columns = tuple(replace(col, required=False) for col in table.columns if col.kind == "value")
    reader = PageReader(replace(table, columns=columns), Redactor(), vendor.sentinels, vendor.zone, vendor.name)
    sources = {col.name: col.source for col in columns}
    known, readable = [], []
    for row, bad in zip(raw, faults, strict=True):
        unread = {sources.get(name) for name in bad}
        readable.append({name: row[name] for name in sources.values() if row and name in row and name not in unread})
        known.append(bad if row is not None else {ANY})
    page = reader.read(b"[" + b",".join(map(dump, readable)) + b"]")
    if page.rows.num_rows == len(readable):
        return page.rows, known
    read = [reader.read(b"[" + dump(row) + b"]").rows for row in readable]
    nothing = pa.Table.from_pylist([dict.fromkeys(reader.schema.names)], schema=reader.schema)
    known = [bad if rows.num_rows else {ANY} for bad, rows in zip(known, read, strict=True)]
    return pa.concat_tables([rows if rows.num_rows else nothing for rows in read]), known


def _list_needed_columns(vendor: Vendor, table: Table) -> list[str]:
    """Return the staged columns from which `_describe` finds a dead row's money, date and entities."""
    needed: set[str] = {*table.key, *filter(None, [table.money])}
    for each in vendor.maps:
        if each.table == table.name:
            entity = canonical.named(each.entity)
            for column in (entity.key, *entity.references, *filter(None, [entity.dated]), "position_key", "quantity"):
                needed |= set(_list_columns(each, column) or ())
            needed |= set(each.also_moves.columns if each.also_moves else ())
    return sorted(needed)


def _describe(vendor: Vendor, table: Table, rows: pa.Table, faults: list[set[str]]) -> list[dict[str, Any]]:
    """Return for each dead row the fields of its dead letter: `money_usd`, `is_money_unreadable`, `row_date` and `describes`.

    `describes` has an entry per entity, with those of `key`, `parent`, `position` and `quantity` that can be read.
    """
    # A partial map only refers to an entity that another table describes, so a missing row can't remove the entity.
    own = (each for each in vendor.maps if each.table == table.name and not each.is_partial)
    maps = [(each, canonical.named(each.entity)) for each in own]
    described: list[list[dict[str, str]]] = [[] for _ in range(rows.num_rows)]
    days: list[date | None] = [None] * rows.num_rows
    for each, entity in maps:
        facts = {"key": _evaluate_canonical(each, entity.key, rows, faults)}
        facts["parent"] = _evaluate_canonical(each, f"{entity.parent}_key", rows, faults)
        if entity.kind == "event" and "position_key" in entity.fields:
            facts["position"] = _evaluate_canonical(each, "position_key", rows, faults)
            facts["quantity"] = _evaluate_canonical(each, "quantity", rows, faults)
        for n, about in enumerate(described):
            known = {name: values[n] for name, values in facts.items()}
            about.append({"entity": entity.name} | {name: value for name, value in known.items() if value is not None})
        if each.also_moves:
            _describe_second_leg(described, each.also_moves, table, rows, faults)
        if entity.kind == "event" and entity.dated:
            dated = _evaluate_canonical(each, entity.dated, rows, faults)
            days = [
                day or (None if text is None else date.fromisoformat(text))
                for day, text in zip(days, dated, strict=True)
            ]
    money = rows.column(table.money).to_pylist() if table.money else [None] * rows.num_rows
    doubts = [table.money is not None and bool({table.money, ANY} & bad) for bad in faults]
    return [
        {
            "money_usd": None if is_doubtful else amount,
            "is_money_unreadable": is_doubtful,
            "row_date": day,
            "describes": tuple(about),
        }
        for amount, is_doubtful, day, about in zip(money, doubts, days, described, strict=True)
    ]


def _describe_second_leg(
    described: list[list[dict[str, str]]], also_moves: Derived, table: Table, rows: pa.Table, faults: list[set[str]]
) -> None:
    """Add to each transaction's description a second entry: the position (cash) that the transaction's money changes.

    A transaction without such a position gets no second entry. If the position can't be read, the entry has no position.
    """
    positions = _evaluate(also_moves, rows, faults)
    amounts = _evaluate(str(table.money), rows, faults)
    for about, position, amount, at_fault in zip(described, positions, amounts, faults, strict=True):
        is_unreadable = bool({*also_moves.columns, ANY} & at_fault)
        if position is None and not is_unreadable:
            continue  # no second leg
        own = {name: value for name, value in about[-1].items() if name not in ("position", "quantity")}
        leg = {"position": position, "quantity": amount}
        about.append(own | {name: value for name, value in leg.items() if value is not None})


def _list_columns(each: EntityMap, column: str) -> tuple[str, ...] | None:
    """Return the staged columns from which a map computes a canonical column.

    None if the column is not mapped, is a constant, or is computed from a column that the map's `split` adds.
    """
    source = each.columns.get(column)
    if source is None or isinstance(source, Constant):
        return None
    columns = source.columns if isinstance(source, Derived) else (source,)
    is_split_off = each.split is not None and not set(columns) <= set(each.takes)
    return None if is_split_off else columns


def _evaluate_canonical(each: EntityMap, column: str, rows: pa.Table, faults: list[set[str]]) -> list[str | None]:
    """Compute a canonical column of dead rows as text; None for each row in which one of its staged columns is at fault.

    None for all rows if `_list_columns` returns no staged columns.
    """
    source = each.columns.get(column)
    if isinstance(source, Constant) or source is None or not _list_columns(each, column):
        return [None] * rows.num_rows
    return _evaluate(source, rows, faults)


def _evaluate(source: str | Derived, rows: pa.Table, faults: list[set[str]]) -> list[str | None]:
    """Compute a staged or derived column of dead rows as text; None for each row in which one of its staged columns is at fault."""
    columns = (source,) if isinstance(source, str) else source.columns
    arrays = [rows.column(name).combine_chunks() for name in columns]
    values = arrays[0] if isinstance(source, str) else source.function(*arrays)
    doubtful = {*columns, ANY}
    return [
        None if doubtful & at_fault else value
        for value, at_fault in zip(values.cast(pa.string()).to_pylist(), faults, strict=True)
    ]
