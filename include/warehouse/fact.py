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

FEW = 10_000
"""Number of rows up to which each is looked up in an index."""

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

    def to_note(self) -> dict[str, Any]:
        """Return the bounds as JSON, for the ledger. A pull that started earlier, and is loaded later, must not bring back what this one lacks."""
        edited_from, edited_to = self.edited or (None, None)
        bounds = {"edited_from": edited_from, "edited_to": edited_to, "first_date": self.first_date}
        return {name: bound.isoformat() for name, bound in bounds.items() if bound}


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
    values: dict[str, Any] = {
        "vendor": pull.vendor,
        "table_name": pull.table_name,
        "entity": entity.name,
        "business_date": pull.business_date,
        "source_run_id": source_run_id,
        "extracted_at": pull.extracted_at,
    }
    statement = Statement(entity)
    reach_note = {"reach": reach.to_note()} if reach and entity.is_removable else {}
    if entity.is_removable:
        connection.execute(_WAIT_FOR_LOADS if reach else _WAIT_FOR_PULLS, values)
    if entity.has_months:
        connection.execute(sa.text("select warehouse.ensure_month(:business_date)"), values)
    if not connection.scalar(statement.needs_comparison, values):
        inserted = _insert_all(connection, entity, pull, source_run_id, schema, parts)
        money = connection.scalar(statement.money_of_run, values) if entity.money else None
        notes = reach_note | _note_days(connection, entity, pull, statement.days_of_run, values)
        return Counts(produced=inserted, inserted=inserted, money_out=_dollars(entity, money), notes=notes)
    copied = copy_in(connection, f"incoming_{entity.name}", schema, parts)
    incoming, statement = stored + copied, Statement(entity, has_few=copied <= FEW)
    if copied <= FEW:
        connection.execute(statement.index_incoming)
    if entity.is_removable:
        protection.find(connection, entity, pull)
    connection.execute(statement.compare, values)
    if copied <= FEW:
        connection.execute(statement.index_compared)
    outcomes: dict[str, int] = dict(connection.execute(statement.count_outcomes).tuples().all())
    new, changed = outcomes.get("new", 0), outcomes.get("changed", 0)
    superseded = outcomes.get("older", 0) + outcomes.get("removed", 0)
    notes = reach_note | _note_days(connection, entity, pull, statement.days_of_changes, values)
    closed = connection.execute(statement.close_changed, values).rowcount
    opened = connection.execute(statement.insert_changed, values).rowcount
    if (closed, opened) != (changed, new + changed):
        raise changed_meanwhile(entity, pull)
    withdrawn, money = _settle(connection, statement, entity, pull, values, incoming, stored, superseded, reach)
    return Counts(
        produced=incoming,
        inserted=new,
        updated=changed,
        unchanged=incoming - new - changed - superseded,
        superseded=superseded,
        withdrawn=withdrawn,
        money_out=_dollars(entity, money),
        notes=notes,
    )


def _insert_all(
    connection: sa.Connection,
    entity: Entity,
    pull: Pull,
    source_run_id: int,
    schema: pa.Schema,
    parts: Iterable[pa.Table],
) -> int:
    """Copy every row straight into the warehouse table; used only if no row of the vendor is open there. Return the number of rows."""
    now = connection.scalar(sa.text("select now()"))
    added = {
        "vendor": pa.scalar(pull.vendor),
        "recorded_from": pa.scalar(now, pa.timestamp("us", "UTC")),
        "source_run_id": pa.scalar(source_run_id, pa.int64()),
    }
    whole = pa.schema([*schema, *((name, value.type) for name, value in added.items())])
    rows = (
        pa.Table.from_arrays(
            [*part.columns, *(pa.repeat(value, part.num_rows) for value in added.values())], schema=whole
        )
        for part in parts
    )
    return copy_rows(connection, f"warehouse.{entity.name}", whole, rows)


def _note_days(
    connection: sa.Connection, entity: Entity, pull: Pull, days: sa.TextClause, values: dict[str, Any]
) -> dict[str, Any]:
    if pull.pulled != "pushed" or entity.kind != "event" or not entity.money:
        return {}
    return {"days": [day.isoformat() for day in connection.scalars(days, values) if day]}


def find_final_keys(engine: sa.Engine, vendor: str, entity: Entity) -> set[str]:
    """Return the keys of a vendor's events that are in a final state."""
    query = sa.text(
        f"select {entity.key} from warehouse.{entity.name}"  # noqa: S608
        f" where vendor = :vendor and recorded_to is null and {entity.final}"
    )
    with engine.connect() as connection:
        return set(connection.scalars(query, {"vendor": vendor}))


def _settle(
    connection: sa.Connection,
    statement: Statement,
    entity: Entity,
    pull: Pull,
    values: dict[str, Any],
    incoming: int,
    stored: int,
    superseded: int,
    reach: Reach | None,
) -> tuple[int, Decimal | None]:
    """Withdraw the rows that were removed at the vendor.

    Returns:
        Number of withdrawn rows, and the money stored under the incoming keys (None if the entity has no money).
    """
    withdrawn = 0
    if reach is not None:
        if entity.kind == "snapshot":
            # The pull has all rows of the day. If there are as many open rows, there is nothing to withdraw.
            rows, money = connection.execute(statement.sum_open, values).one()
            if rows == incoming and not superseded:
                return 0, money
            if stored:  # their keys were not copied, so they would be withdrawn
                raise changed_meanwhile(entity, pull)
        if not entity.is_removable:  # else it was found before the comparison
            protection.find(connection, entity, pull)
        edited_from, edited_to = reach.edited or (None, None)
        bounds = {"edited_from": edited_from, "edited_to": edited_to, "is_edited": reach.edited is not None}
        withdrawn = connection.execute(statement.withdraw, values | bounds | {"first_date": reach.first_date}).rowcount
    return withdrawn, connection.scalar(statement.money_of_keys, values) if entity.money else None


def changed_meanwhile(entity: Entity, pull: Pull) -> TargetUnavailable:
    """Return the error of a load that another load disturbed. A retry compares with the rows that are stored by then."""
    return TargetUnavailable(
        "Another load changed the same rows meanwhile; try again", entity=entity.name, pull=pull.pull_id
    )


def _dollars(entity: Entity, money: Decimal | None) -> Decimal | None:
    return (money or Decimal(0)) if entity.money else None
