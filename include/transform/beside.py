"""Tables that a map reads beside its own: what they state, and which rows are uncertain because a row of them is dead.

A household's address comes from its primary client. Where that client's row is a dead letter, the household has no address in what
was pulled, which is not the same as having none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from include.contract import EntityMap, Table, Vendor
from include.errors import ConfigurationError
from include.extract.columns import staged_schema
from include.staging.partitions import Staging
from include.staging.rows import good_rows
from include.transform.dead_rows import read_dead

Find = Callable[[str], str | None]
"""Find the partition of another table: of the same run, or the one that was loaded last."""
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Dead:
    """Dead rows that may concern rows of another table.

    Attributes:
        rows: The columns by which rows find them, as text; null where a value can't be read.
        good: Columns of good rows, of the same table or of one nested in it: a row that refers to one of them is certain.
    """

    rows: pa.Table
    good: pa.Table | None

    def may_concern(self, wanted: pa.Table) -> pa.Array:
        """Return for each row whether a dead row may concern it; `wanted` has the values that it refers to."""
        result = pa.repeat(pa.scalar(False), wanted.num_rows)
        readable = [pc.is_valid(column).to_pylist() for column in self.rows.columns]
        patterns = list(zip(*readable, strict=True))
        for pattern in dict.fromkeys(patterns):
            names = [name for name, is_read in zip(self.rows.column_names, pattern, strict=True) if is_read]
            if names:
                values = _joined(self.rows.filter(pa.array([each == pattern for each in patterns])), names)
                result = pc.or_(result, pc.is_in(_joined(wanted, names), value_set=values))
            else:
                result = pa.repeat(pa.scalar(True), wanted.num_rows)
        if self.good is not None:
            names = self.good.column_names
            result = pc.and_not(result, pc.is_in(_joined(wanted, names), value_set=_joined(self.good, names)))
        return result


@dataclass(frozen=True, slots=True)
class Beside:
    """One table that a map reads beside its own.

    Attributes:
        good: Its good rows, with the columns that the map needs.
        dead: Its dead rows, and those of the tables that it is nested in: nothing is requested below a dead row.
        found_by: Column of this table -> column of the map's own table.
    """

    good: pa.Table
    dead: tuple[Dead, ...]
    found_by: Mapping[str, str]

    def is_uncertain(self, rows: pa.Table) -> pa.Array:
        """Return for each row of the map's own table whether a dead row of this table may concern it."""
        dead = [each for each in self.dead if each.rows.num_rows]
        if not dead or not self.found_by:
            return pa.repeat(pa.scalar(bool(dead)), rows.num_rows)
        wanted = pa.table({theirs: rows.column(own).cast(pa.string()) for theirs, own in self.found_by.items()})
        concerned = functools.reduce(pc.or_, (each.may_concern(wanted) for each in dead))
        return pc.and_(concerned, functools.reduce(pc.and_, map(pc.is_valid, wanted.columns))).combine_chunks()


def read_beside(vendor: Vendor, entity_map: EntityMap, staging: Staging, find: Find, find_last: Find) -> list[Beside]:
    """Read the tables that a map needs beside its own, in the order of its declaration.

    Args:
        vendor: The declaration.
        entity_map: The map.
        staging: Where partitions are.
        find: Gives those of the same run.
        find_last: Gives those that were loaded last, of tables that the run may lack.

    Raises:
        ConfigurationError: One of them was not pulled, and may not be lacking.
    """

    def find_any(name: str) -> str | None:
        return find(name) or find_last(name)

    found = []
    for name, declared in entity_map.beside.items():
        finding = find_any if declared.is_optional else find
        if (path := finding(name)) is None and declared.is_optional:
            lacking = staged_schema(vendor.table(name)).empty_table().select(list(declared.columns))
            found.append(Beside(lacking, (), declared.found_by))
            continue
        if path is None:
            raise ConfigurationError(
                "A table that belongs to this one was not pulled",
                vendor=vendor.name,
                table=entity_map.table,
                lacks=name,
            )
        table = vendor.table(name)
        good = _good(table, path, staging, list(declared.columns))
        dead = tuple(_dead(vendor, table, staging, finding, {each: each for each in declared.found_by}))
        found.append(Beside(good, dead, declared.found_by))
    return found


def _dead(
    vendor: Vendor,
    table: Table,
    staging: Staging,
    find: Find,
    wanted: Mapping[str, str],
    below: pa.Table | None = None,
) -> Iterator[Dead]:
    """Read the dead rows of a table, then of the one that it is nested in.

    Args:
        vendor: The declaration.
        table: Which table.
        staging: Where partitions are.
        find: Gives their paths.
        wanted: Column to give -> staged column of this table.
        below: Good rows of the table nested in it: a row that refers to one of them has no dead parent here.
    """
    if (path := find(table.name)) is None:
        return
    columns, names = list(wanted.values()), list(wanted)
    rows = read_dead(vendor, table, path, staging, columns or list(table.key))
    rows = rows.rename_columns(names) if names else pa.table({_UNKNOWN: pa.nulls(rows.num_rows, pa.string())})
    good = _good(table, path, staging, columns).rename_columns(names) if set(columns) == set(table.key) else below
    yield Dead(rows, good)
    if table.over:
        carried = {col.name: col.source[1:] for col in table.columns if col.source[1:] in table.carried}
        of_parent = {name: carried[column] for name, column in wanted.items() if column in carried}
        yield from _dead(vendor, vendor.table(table.over), staging, find, of_parent, good)


def _good(table: Table, path: str, staging: Staging, columns: list[str]) -> pa.Table:
    empty = staged_schema(table).empty_table().select(columns)
    return pa.concat_tables([empty, *good_rows(staging, path, columns)])


def _joined(rows: pa.Table, names: list[str]) -> pa.ChunkedArray:
    texts = [rows.column(name).cast(pa.string()) for name in names]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, "\x1f")
