"""Load facts into the warehouse: one open row per key; a correction keeps both states."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from include.canonical import Entity
from include.control.ledger import Counts, Pull
from include.database.copy import copy_in, copy_rows
from include.errors import TargetUnavailable
from include.warehouse import protection
from include.warehouse.statement import Statement

_MOST_FEW = 10_000
_MOST_FEW_SHARE = 0.02

# A load sees what is committed. So one that might bring back an event waits for the pull that covers the event in full, and that pull for it.
_WAIT_FOR_PULLS = sa.text(
    "select pg_advisory_xact_lock_shared(hashtext('tributary events'), hashtext(:vendor || :entity))"
)
_WAIT_FOR_LOADS = sa.text("select pg_advisory_xact_lock(hashtext('tributary events'), hashtext(:vendor || :entity))")


@dataclass(frozen=True, slots=True)
class Reach:
    """The range that a full pull covers. A row stored within it that is missing from the pull was removed at the vendor.

    Attributes:
        edited: First and last edit time (from, to) of a window by edit time; None for a snapshot and for a window by date.
        first_date: First day of a window by date, whose last day is the business date; None for a snapshot and for a window by edit
            time.
    """

    edited: tuple[datetime, datetime] | None = None
    first_date: date | None = None

    @property
    def bounds(self) -> dict[str, date | None]:
        """The bounds by name."""
        edited_from, edited_to = self.edited or (None, None)
        return {"edited_from": edited_from, "edited_to": edited_to, "first_date": self.first_date}

    def to_note(self) -> dict[str, Any]:
        """Return the bounds as JSON, for the ledger. A pull that started earlier, and is loaded later, must not bring back what this one lacks."""
        return {name: bound.isoformat() for name, bound in self.bounds.items() if bound}


def load(
    connection: sa.Connection,
    entity: Entity,
    pull: Pull,
    source_run_id: int,
    reach: Reach | None,
    schema: pa.Schema,
    parts: Iterable[pa.Table],
    stored: int = 0,
) -> Counts:
    """Load the rows of a fact, in the caller's transaction.

    Args:
        connection: An open transaction.
        entity: A snapshot or an event.
        pull: The pull that has the rows.
        source_run_id: Written on every new row.
        reach: The range that the pull covers; None if it covers no range in full.
        schema: Schema of the rows.
        parts: The canonical rows, with surrogate ids in place of the references' keys.
        stored: For snapshots: number of the pull's other rows, which are open as they are.

    Returns:
        Numbers of rows produced, inserted, updated, unchanged, superseded and withdrawn. `money_out` is the money now stored under the
        pull's keys; None if the entity has no money. `notes` has the `reach` of a full pull of events and, if pushed rows changed an event
        with money, the `days` of these rows, because no reconciliation has compared them yet.

    Raises:
        TargetUnavailable: Another load changed the same rows meanwhile.
    """
    return _Load(connection, entity, pull, source_run_id, reach).run(schema, parts, stored)


class _Load:
    """The load of one fact; for the arguments and errors, see `load`."""

    def __init__(
        self, connection: sa.Connection, entity: Entity, pull: Pull, source_run_id: int, reach: Reach | None
    ) -> None:
        self._connection, self._entity, self._pull, self._reach = connection, entity, pull, reach
        self._values: dict[str, Any] = {
            "vendor": pull.vendor,
            "table_name": pull.table_name,
            "entity": entity.name,
            "business_date": pull.business_date,
            "source_run_id": source_run_id,
            "extracted_at": pull.extracted_at,
        }

    def run(self, schema: pa.Schema, parts: Iterable[pa.Table], stored: int) -> Counts:
        entity = self._entity
        if entity.is_removable:
            self._execute(_WAIT_FOR_LOADS if self._reach else _WAIT_FOR_PULLS)
        if entity.has_months:
            self._execute(sa.text("select warehouse.ensure_month(:business_date)"))
        if not self._scalar(Statement(entity).needs_comparison):
            return self._insert_all(schema, parts)
        copied = copy_in(self._connection, f"incoming_{entity.name}", schema, parts)
        return self._merge(Statement(entity, has_few=is_few(copied, stored)), stored + copied, has_stored=stored > 0)

    def _insert_all(self, schema: pa.Schema, parts: Iterable[pa.Table]) -> Counts:
        """Copy every row straight into the warehouse table; used only if no row of the vendor is open there."""
        entity, statement = self._entity, Statement(self._entity)
        now = self._scalar(sa.text("select now()"))
        added = {
            "vendor": pa.scalar(self._pull.vendor),
            "recorded_from": pa.scalar(now, pa.timestamp("us", "UTC")),
            "source_run_id": pa.scalar(self._values["source_run_id"], pa.int64()),
        }
        whole = pa.schema([*schema, *((name, value.type) for name, value in added.items())])
        rows = (
            pa.Table.from_arrays(
                [*part.columns, *(pa.repeat(value, part.num_rows) for value in added.values())], schema=whole
            )
            for part in parts
        )
        inserted = copy_rows(self._connection, f"warehouse.{entity.name}", whole, rows)
        money = self._scalar(statement.money_of_run) if entity.money else None
        notes = self._list_notes(statement.days_of_run)
        return Counts(produced=inserted, inserted=inserted, money_out=self._dollars(money), notes=notes)

    def _merge(self, statement: Statement, incoming: int, *, has_stored: bool) -> Counts:
        """Compare the copied rows with the open rows, and apply the differences.

        Args:
            statement: The statements.
            incoming: Number of the pull's rows.
            has_stored: Whether some of these are not copied; see `load`.
        """
        if statement.has_few:
            self._execute(statement.index_incoming)
        if self._entity.is_removable:
            protection.find(self._connection, self._entity, self._pull)
        self._execute(statement.compare)
        if statement.has_few:
            self._execute(statement.index_compared)
        outcomes: dict[str, int] = dict(self._execute(statement.count_outcomes).tuples().all())
        new, changed = outcomes.get("new", 0), outcomes.get("changed", 0)
        superseded = outcomes.get("older", 0) + outcomes.get("removed", 0)
        notes = self._list_notes(statement.days_of_changes)
        closed = self._execute(statement.close_changed).rowcount
        opened = self._execute(statement.insert_changed).rowcount
        if (closed, opened) != (changed, new + changed):
            raise build_conflict_error(self._entity, self._pull)
        withdrawn, money = self._withdraw_missing(statement, incoming, superseded, has_stored=has_stored)
        return Counts(
            produced=incoming,
            inserted=new,
            updated=changed,
            unchanged=incoming - new - changed - superseded,
            superseded=superseded,
            withdrawn=withdrawn,
            money_out=self._dollars(money),
            notes=notes,
        )

    def _withdraw_missing(
        self, statement: Statement, incoming: int, superseded: int, *, has_stored: bool
    ) -> tuple[int, Decimal | None]:
        """Withdraw the rows that were removed at the vendor.

        Returns:
            Number of withdrawn rows, and the money stored under the incoming keys (None if the entity has no money).
        """
        entity, withdrawn = self._entity, 0
        if self._reach is not None:
            if entity.kind == "snapshot":
                # The pull has all rows of the day. If there are as many open rows, there is nothing to withdraw.
                rows, money = self._execute(statement.sum_open).one()
                if rows == incoming and not superseded:
                    return 0, money
                if has_stored:  # their keys were not copied, so they would be withdrawn
                    raise build_conflict_error(entity, self._pull)
            if not entity.is_removable:  # else it was found before the comparison
                protection.find(self._connection, entity, self._pull)
            is_edited = self._reach.edited is not None
            withdrawn = self._execute(statement.withdraw, is_edited=is_edited, **self._reach.bounds).rowcount
        return withdrawn, self._scalar(statement.money_of_keys) if entity.money else None

    def _list_notes(self, days: sa.TextClause) -> dict[str, Any]:
        """Return the notes of the ledger's row; `days` selects the days of the changes."""
        entity, notes = self._entity, dict[str, Any]()
        if self._reach and entity.is_removable:
            notes["reach"] = self._reach.to_note()
        if self._pull.pulled == "pushed" and entity.kind == "event" and entity.money:
            notes["days"] = [day.isoformat() for day in self._connection.scalars(days, self._values) if day]
        return notes

    def _dollars(self, money: Decimal | None) -> Decimal | None:
        return (money or Decimal(0)) if self._entity.money else None

    def _execute(self, statement: sa.TextClause, **more: Any) -> sa.CursorResult[*tuple[Any, ...]]:
        return self._connection.execute(statement, self._values | more)

    def _scalar(self, statement: sa.TextClause) -> Any:
        return self._connection.scalar(statement, self._values)


def is_few(copied: int, stored: int) -> bool:
    """Return whether so few rows were copied that to look each up in an index is faster than to read all rows of the day.

    Args:
        copied: Number of copied rows.
        stored: Number of rows of the same day that are known to be stored.
    """
    return copied <= max(_MOST_FEW, _MOST_FEW_SHARE * stored)


def find_final_keys(engine: sa.Engine, vendor: str, entity: Entity) -> set[str]:
    """Return the keys of a vendor's events that are in a final state."""
    query = sa.text(
        f"select {entity.key} from warehouse.{entity.name}"  # noqa: S608
        f" where vendor = :vendor and recorded_to is null and {entity.final}"
    )
    with engine.connect() as connection:
        return set(connection.scalars(query, {"vendor": vendor}))


def build_conflict_error(entity: Entity, pull: Pull) -> TargetUnavailable:
    """Return the error of a load that another load disturbed. A retry compares with the rows that are stored by then."""
    return TargetUnavailable(
        "Another load changed the same rows meanwhile; try again", entity=entity.name, pull=pull.pull_id
    )
