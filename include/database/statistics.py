"""Planner statistics of the schemas `control` and `warehouse`."""

from __future__ import annotations

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
