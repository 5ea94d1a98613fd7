"""Planner statistics of the schemas `control` and `warehouse`, and a query for which they are not enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa


def refresh(engine: sa.Engine) -> int:
    """Run ANALYZE on tables that have changed a lot, without waiting for autovacuum; return the number of tables.

    Without statistics, the planner assumes that a table that was just filled is nearly empty. It then chooses nested loops, and a query
    of seconds takes hours.
    """
    with engine.begin() as connection:
        return int(connection.scalar(sa.text("select warehouse.refresh_statistics()")) or 0)


def analyze(db: sa.Connection, *tables: str) -> None:
    """Run ANALYZE on tables that were just filled, in this transaction or just before it. `refresh` does not see such changes yet.

    Until the transaction ends, no other session can analyze the tables.

    Args:
        db: The transaction, as the loading role, which does not own the tables.
        tables: Tables of `control` or `warehouse`, with their schema.
    """
    db.execute(sa.text("select warehouse.analyze_tables(variadic :tables)"), {"tables": list(tables)})


@contextmanager
def without_nested_loops(db: sa.Connection) -> Iterator[None]:
    """Keep the planner from nested loops until the block ends, for a query that reads whole tables.

    The planner expects one row of a small temporary table and of the identity views. With nested loops, such a query of a small firm takes
    minutes.

    Args:
        db: A transaction.
    """
    db.execute(sa.text("set local enable_nestloop = off"))
    yield
    db.execute(sa.text("set local enable_nestloop = on"))
