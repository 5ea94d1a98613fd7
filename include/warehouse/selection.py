"""Choose the rows of a fact that a load must copy. If a pull repeats a snapshot's day, these are only the rows that differ from its last load."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include.canonical import Entity
from include.control import ledger
from include.control.ledger import LastLoad, Pull
from include.errors import FatalError
from include.staging.files import Folder
from include.staging.reference import partition_path
from include.staging.sorted_keys import SortedKeys
from include.transform.entities import Canonical
from include.warehouse.statement import Statement

_MOST_CHANGED = 0.2
"""Share of changed rows above which all rows are copied: comparing the rest in the database is then cheaper than holding them here."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows of a pull that a load must copy.

    Attributes:
        rows: All rows of the pull.
        last: The load whose rows the others equal; None if all rows must be copied.
        changed: The rows that differ from those of `last`.
    """

    rows: Canonical
    last: LastLoad | None = None
    changed: tuple[pa.Table, ...] = ()

    @property
    def stored(self) -> int:
        """Number of rows that need not be copied, because they are stored as they are."""
        return self.rows.result.produced - self.copied if self.last else 0

    @property
    def copied(self) -> int:
        """Number of rows to copy."""
        return sum(part.num_rows for part in self.changed) if self.last else self.rows.result.produced

    def parts(self) -> Iterator[pa.Table]:
        """Yield the rows to copy, part by part."""
        return iter(self.changed) if self.last else self.rows.rows()

    def sort_keys(self, column: str) -> SortedKeys:
        """Return the distinct values of a key column over the rows to copy."""
        if not self.last:
            return self.rows.sort_keys(column)
        keys = [part.column(column).combine_chunks() for part in self.changed]
        return SortedKeys(pa.concat_arrays([pa.array([], pa.string()), *keys]).drop_null())


def select(connection: sa.Connection, entity: Entity, pull: Pull, rows: Canonical, folder: Folder) -> Selection:
    """Compare a pull with the last load of its day, and return the rows to copy.

    The canonical files of both are compared, so that neither has to be read from the database. `confirm` checks within the load whether
    the last load's rows are still the stored ones.

    Args:
        connection: The database.
        entity: The fact.
        pull: The pull.
        rows: Its canonical rows.
        folder: The folder of its partition.
    """
    if not pull.is_whole or not rows.result.digest:
        return Selection(rows)
    last = ledger.find_last_load(connection, pull, entity.name)
    if last is None or not last.digest:
        return Selection(rows)
    if last.digest == rows.result.digest:
        return Selection(rows, last)
    path = partition_path(pull.vendor, pull.table_name, pull.business_date, last.pull_id)
    changed = _list_changed(entity, rows, last, folder.at(path))
    return Selection(rows) if changed is None else Selection(rows, last, tuple(changed))


def confirm(connection: sa.Connection, entity: Entity, pull: Pull, selection: Selection) -> Selection:
    """Return the selection if the rows of its last load are still those stored; otherwise, the selection of all rows."""
    if selection.last is None:
        return selection
    values = {"vendor": pull.vendor, "business_date": pull.business_date}
    count, money = connection.execute(Statement(entity).sum_open, values).one()
    last = selection.last
    is_stored = (count, money or 0) == (last.produced, last.money or 0)
    if is_stored and ledger.find_last_load(connection, pull, entity.name) == last:
        return selection
    return Selection(selection.rows)


def _list_changed(entity: Entity, rows: Canonical, last: LastLoad, folder: Folder) -> list[pa.Table] | None:
    """Return the rows that differ from those of the last load.

    Returns:
        None if too many differ, if the two do not have the same columns, or the same keys in the same order, or if the files of the last
        load are missing or are not those that were loaded.
    """
    try:
        before = Canonical(folder, entity.name)
        if before.result.digest != last.digest or _list_sizes(before) != _list_sizes(rows):
            return None
        changed, count = [], 0
        for part, old in zip(rows.rows(), before.rows(), strict=True):
            # An earlier version of the declaration may have other columns.
            if part.schema != old.schema or not part.column(entity.key).equals(old.column(entity.key)):
                return None
            changed.append(part.filter(_differ(part, old)))
            count += changed[-1].num_rows
            if count > _MOST_CHANGED * rows.result.produced:
                return None
    except (FileNotFoundError, FatalError):
        return None
    return changed


def _list_sizes(rows: Canonical) -> list[int]:
    return [part.rows for part in rows.result.parts]


def _differ(part: pa.Table, old: pa.Table) -> pa.ChunkedArray | pa.Array:
    """Return whether each row differs from the row at the same place; two nulls are equal."""

    def differ(name: str) -> pa.ChunkedArray:
        values, others = part.column(name), old.column(name)
        return pc.or_(pc.fill_null(pc.not_equal(values, others), False), pc.xor(values.is_valid(), others.is_valid()))

    # To find that two columns are equal is much faster than to compare their rows.
    unequal = [name for name in part.column_names if not part.column(name).equals(old.column(name))]
    return functools.reduce(pc.or_, map(differ, unequal), pa.repeat(pa.scalar(False), part.num_rows))
