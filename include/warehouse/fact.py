"""Load facts into the warehouse: one open row per key; a correction keeps both states."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from include.canonical import Entity
from include.control.ledger import Counts, Pull
from include.errors import BalanceError, TargetUnavailable
from include.warehouse import protection
from include.warehouse.statement import Statement


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


def load(connection: sa.Connection, entity: Entity, pull: Pull, source_run_id: int, reach: Reach | None) -> Counts:
    """Load the copied rows of a fact, in the caller's transaction.

    Args:
        connection: With the temporary table `incoming_<entity>`.
        entity: A snapshot or an event.
        pull: The pull that was copied.
        source_run_id: Written on every new row.
        reach: The range that the pull covers; None if it covers no range in full.

    Returns:
        Numbers of rows inserted, updated, unchanged, superseded and withdrawn. `money_out` is the money now stored under the
        pull's keys; None if the entity has no money. If pushed rows changed an event with money, `notes` has the `days` of these
        rows, because no reconciliation has compared them yet.

    Raises:
        BalanceError: A row refers to another entity by a key that was never loaded.
        TargetUnavailable: Another load changed the same rows meanwhile.
    """
    values: dict[str, Any] = {
        "vendor": pull.vendor,
        "business_date": pull.business_date,
        "source_run_id": source_run_id,
    }
    statement = Statement(entity)
    if entity.has_months:
        connection.execute(sa.text("select warehouse.ensure_month(:business_date)"), values)
    incoming = connection.scalar(statement.count_incoming) or 0
    if not connection.scalar(statement.any_open, values):
        inserted = connection.execute(statement.insert_all, values).rowcount
        _refuse_lost(entity, pull, incoming - inserted)
        money = connection.scalar(statement.money_of_run, values) if entity.money else None
        notes = _note_days(connection, entity, pull, statement.days_of_incoming, values)
        return Counts(inserted=inserted, money_out=_dollars(entity, money), notes=notes)
    connection.execute(statement.compare, values)
    outcomes: dict[str, int] = dict(connection.execute(statement.count_outcomes).tuples().all())
    _refuse_lost(entity, pull, outcomes.get("lost", 0))
    new, changed, older = (outcomes.get(outcome, 0) for outcome in ("new", "changed", "older"))
    notes = _note_days(connection, entity, pull, statement.days_of_changes, values)
    closed = connection.execute(statement.close_changed, values).rowcount
    opened = connection.execute(statement.insert_changed, values).rowcount
    if (closed, opened) != (changed, new + changed):
        raise TargetUnavailable(
            "Another load changed the same rows meanwhile; try again", entity=entity.name, pull=pull.pull_id
        )
    withdrawn, money = _settle(connection, statement, entity, pull, values, incoming, reach)
    return Counts(
        inserted=new,
        updated=changed,
        unchanged=incoming - new - changed - older,
        superseded=older,
        withdrawn=withdrawn,
        money_out=_dollars(entity, money),
        notes=notes,
    )


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
            if rows == incoming:
                return 0, money
        protection.find(connection, entity, pull)
        edited_from, edited_to = reach.edited or (None, None)
        bounds = {"edited_from": edited_from, "edited_to": edited_to, "is_edited": reach.edited is not None}
        withdrawn = connection.execute(statement.withdraw, values | bounds | {"first_date": reach.first_date}).rowcount
    return withdrawn, connection.scalar(statement.money_of_keys, values) if entity.money else None


def _refuse_lost(entity: Entity, pull: Pull, lost: int) -> None:
    if lost:
        raise BalanceError(
            "Rows refer to an unknown " + " or ".join(entity.references.values()) + "; nothing was loaded",
            vendor=pull.vendor, entity=entity.name, business_date=pull.business_date, rows=lost,
        )  # fmt: skip


def _dollars(entity: Entity, money: Decimal | None) -> Decimal | None:
    return (money or Decimal(0)) if entity.money else None
