"""Facts into the warehouse: one open row a key; a correction keeps both states."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from include.canonical import Entity
from include.control.ledger import Counts, Pull
from include.warehouse.statement import Statement


def load(connection: sa.Connection, entity: Entity, pull: Pull, source_run_id: int, dead_keys: list[str]) -> Counts:
    """Loads the copied rows of a fact; in the caller's transaction.

    Args:
        connection: With the temporary table `incoming_<entity>`.
        entity: A snapshot or an event.
        pull: Whose rows they are.
        source_run_id: Written on every new row.
        dead_keys: Keys that are dead letters now: absent from the rows, but not withdrawn.

    Returns:
        inserted, updated, unchanged, superseded, withdrawn, and as `money_out` the money now stored under these keys.
    """
    values: dict[str, Any] = {
        "vendor": pull.vendor,
        "business_date": pull.business_date,
        "source_run_id": source_run_id,
        "dead_keys": dead_keys,
    }
    statement = Statement(entity)
    if entity.name == "position":
        connection.execute(sa.text("select warehouse.ensure_month(:business_date)"), values)
    incoming = connection.scalar(statement.count_incoming) or 0
    if not connection.scalar(statement.any_open, values):
        inserted = connection.execute(statement.insert_all, values).rowcount
        money = connection.scalar(statement.money_of_run, values) if entity.money else None
        return Counts(inserted=inserted, dead=incoming - inserted, money_out=_cents(entity, money))
    connection.execute(statement.resolve, values)
    superseded = (connection.scalar(statement.count_superseded, values) or 0) if entity.version else 0
    updated = connection.execute(statement.close_changed, values).rowcount
    inserted = connection.execute(statement.insert_missing, values).rowcount - updated
    withdrawn = connection.execute(statement.withdraw, values).rowcount if _is_whole(entity, pull) else 0
    money = connection.scalar(statement.money_of_keys, values) if entity.money else None
    return Counts(
        inserted=inserted,
        updated=updated,
        unchanged=incoming - inserted - updated - superseded,
        superseded=superseded,
        withdrawn=withdrawn,
        money_out=_cents(entity, money),
    )


def _is_whole(entity: Entity, pull: Pull) -> bool:
    """Whether the rows are all there are for the day, so that what is absent is gone."""
    return entity.kind == "snapshot" and pull.pulled != "replay"


def _cents(entity: Entity, money: Decimal | None) -> Decimal | None:
    return (money or Decimal(0)) if entity.money else None
