"""Planner statistics of the warehouse."""

from __future__ import annotations

import sqlalchemy as sa


def refresh(engine: sa.Engine) -> int:
    """Analyze tables that have changed a lot, without waiting for autovacuum; return the number of tables.

    The planner takes a table that was just filled for the first time as nearly empty and chooses nested loops: seconds become hours.
    """
    with engine.begin() as connection:
        return int(connection.scalar(sa.text("select warehouse.refresh_statistics()")) or 0)
