"""Read the other tables that a map needs, and find rows that are uncertain because a row of another table is dead.

Example: a household's address comes from its primary client. If that client's row is a dead letter, the household's address is
unknown, not null.
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
from include.staging.partitions import Partition
from include.transform.dead_rows import read_dead

Find = Callable[[str], Partition | None]
"""Return the partition of another table: from the same run, or the last loaded one."""
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Dead:
    """Dead rows that may concern rows of another table.

    Attributes:
        rows: Lookup columns of the dead rows, as text; null if a value can't be read.
        good: Lookup columns of good rows, of the same table or of one nested in it: a row that matches one of them is certain.
    """

    rows: pa.Table
    good: pa.Table | None

    def may_concern(self, values: pa.Table) -> pa.Array:
        """Return for each row of lookup values whether a dead row may concern it."""
        result = pa.repeat(pa.scalar(False), values.num_rows)
        readable = [pc.is_valid(column).to_pylist() for column in self.rows.columns]
        patterns = list(zip(*readable, strict=True))
        for pattern in dict.fromkeys(patterns):
            names = [name for name, is_read in zip(self.rows.column_names, pattern, strict=True) if is_read]
            if names:
                dead = _join_columns(self.rows.filter(pa.array([each == pattern for each in patterns])), names)
                result = pc.or_(result, pc.is_in(_join_columns(values, names), value_set=dead))
            else:
                result = pa.repeat(pa.scalar(True), values.num_rows)
        if self.good is not None:
            names = self.good.column_names
            result = pc.and_not(
                result, pc.is_in(_join_columns(values, names), value_set=_join_columns(self.good, names))
            )
        return result


@dataclass(frozen=True, slots=True)
class Beside:
    """Another table that a map reads.

    Attributes:
        good: Good rows of the table, with the columns that the map needs.
        dead: Dead rows of the table and of its parent tables: child rows of a dead row are never requested.
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
        lookup = pa.table({theirs: rows.column(own).cast(pa.string()) for theirs, own in self.found_by.items()})
        concerned = functools.reduce(pc.or_, (each.may_concern(lookup) for each in dead))
        return pc.and_(concerned, functools.reduce(pc.and_, map(pc.is_valid, lookup.columns))).combine_chunks()


def read_beside(vendor: Vendor, entity_map: EntityMap, find: Find, find_last: Find) -> list[Beside]:
    """Read the other tables that a map needs, in the order of its declaration.

    Args:
        vendor: The declaration.
        entity_map: The map.
        find: Returns the partition of a table in the same run.
        find_last: Returns the last loaded partition of an optional table.

    Raises:
        ConfigurationError: A required table was not pulled.
    """

    def find_any(name: str) -> Partition | None:
        return find(name) or find_last(name)

    others = []
    for name, declared in entity_map.beside.items():
        find_partition = find_any if declared.is_optional else find
        if (partition := find_partition(name)) is None and declared.is_optional:
            lacking = staged_schema(vendor.table(name)).empty_table().select(list(declared.columns))
            others.append(Beside(lacking, (), declared.found_by))
            continue
        if partition is None:
            raise ConfigurationError(
                "A table that this one needs was not pulled: pull both in the same run",
                vendor=vendor.name,
                table=entity_map.table,
                lacks=name,
            )
        table = vendor.table(name)
        good = _read_good(table, partition, list(declared.columns))
        dead = tuple(_read_dead(vendor, table, find_partition, {each: each for each in declared.found_by}))
        others.append(Beside(good, dead, declared.found_by))
    return others


def _read_dead(
    vendor: Vendor,
    table: Table,
    find: Find,
    lookup: Mapping[str, str],
    below: pa.Table | None = None,
) -> Iterator[Dead]:
    """Read the dead rows of a table, then of its parent.

    Args:
        vendor: The declaration.
        table: The table.
        find: Returns the partition of a table.
        lookup: Column of the result -> staged column of this table.
        below: Lookup columns of good rows of the nested table: a row that matches one of them has no dead parent in this table.
    """
    if (partition := find(table.name)) is None:
        return
    columns, names = list(lookup.values()), list(lookup)
    rows = read_dead(vendor, table, partition, columns or list(table.key))
    rows = rows.rename_columns(names) if names else pa.table({_UNKNOWN: pa.nulls(rows.num_rows, pa.string())})
    good = _read_good(table, partition, columns).rename_columns(names) if set(columns) == set(table.key) else below
    yield Dead(rows, good)
    if table.parent:
        carried = {col.name: col.source[1:] for col in table.columns if col.source[1:] in table.carried}
        of_parent = {name: carried[column] for name, column in lookup.items() if column in carried}
        yield from _read_dead(vendor, vendor.table(table.parent), find, of_parent, good)


def _read_good(table: Table, partition: Partition, columns: list[str]) -> pa.Table:
    empty = staged_schema(table).empty_table().select(columns)
    return pa.concat_tables([empty, *partition.good_rows(columns)])


def _join_columns(rows: pa.Table, names: list[str]) -> pa.ChunkedArray:
    texts = [rows.column(name).cast(pa.string()) for name in names]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, "\x1f")
