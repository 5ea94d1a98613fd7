"""Read the other tables that a map needs, and find the rows that are uncertain because a row of another table is a dead letter.

Example: a household's address comes from the row of its primary client. If that row is a dead letter, the household's address is
unknown, not null.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from include.contract import EntityMap, Table, Vendor
from include.errors import DataQualityError
from include.extract.columns import staged_schema
from include.staging.partitions import Partition
from include.transform.dead_rows import read_dead

Find = Callable[[str], Partition | None]
"""A function that returns the partition of a table by the table's name; None if there is none."""
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Dead:
    """Dead rows of a table in which a map looks up values.

    Attributes:
        rows: Lookup columns of the dead rows, as text; null if a value can't be read.
        good: Lookup columns of the good rows of this table, or of a table nested in it. If a lookup finds a good row, no dead row can be
            the one that it needs. None if the lookup columns don't identify a single row.
    """

    rows: pa.Table
    good: pa.Table | None

    def may_concern(self, values: pa.Table) -> pa.Array:
        """Return for each row of `values` (the lookup columns) whether it may refer to a dead row.

        Only the readable columns of a dead row are compared. If a dead row has no readable column, every row may refer to it, unless
        a good row has the same values (`good`).
        """
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
    """A second table, in which a map looks up values for the rows of its own table.

    Attributes:
        good: Good rows of the second table, with the columns that the map needs.
        dead: Dead rows of the second table and of its parent tables. A dead parent row counts because its child rows were never
            requested.
        found_by: Lookup column of the second table -> column of the map's own table that has the same value.
    """

    good: pa.Table
    dead: tuple[Dead, ...]
    found_by: Mapping[str, str]

    def is_uncertain(self, rows: pa.Table) -> pa.Array:
        """Return for each row of the map's own table whether it may refer to a dead row of the second table."""
        dead = [each for each in self.dead if each.rows.num_rows]
        if not dead or not self.found_by:
            return pa.repeat(pa.scalar(bool(dead)), rows.num_rows)
        lookup = pa.table({theirs: rows.column(own).cast(pa.string()) for theirs, own in self.found_by.items()})
        concerned = functools.reduce(pc.or_, (each.may_concern(lookup) for each in dead))
        return pc.and_(concerned, functools.reduce(pc.and_, map(pc.is_valid, lookup.columns))).combine_chunks()


def read_beside(vendor: Vendor, entity_map: EntityMap, find: Find, find_last: Find) -> list[Beside]:
    """Read the other tables that a map needs, in the order in which it declares them.

    A missing optional table is returned with no rows.

    Args:
        vendor: The declaration.
        entity_map: The map.
        find: Returns the partition that the same run staged of a table.
        find_last: Returns the last loaded partition of a table; used for optional tables that the run did not pull.

    Raises:
        DataQualityError: A required table was never pulled, or not by the same run.
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
            raise DataQualityError(
                "No rows of a table that this one needs: pull both tables in one run",
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
    """Yield the dead rows of a table, then those of its parent, its parent's parent, and so on.

    Args:
        vendor: The declaration.
        table: The table.
        find: Returns the partition of a table.
        lookup: Lookup column -> staged column of this table with its value.
        below: Lookup columns of the good rows of the child table, when `table` is a parent. The parent row of a good row is not dead.
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
