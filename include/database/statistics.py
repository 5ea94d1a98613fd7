"""What the planner knows of tables, before it is asked about all of them."""

from __future__ import annotations

import sqlalchemy as sa


def refresh(engine: sa.Engine) -> int:
    """Counts anew what has changed much, as autovacuum would in a minute or so; returns how many tables.

    Of a table that was just filled for the first time the planner thinks that it holds next to nothing, and compares
    each row with each: seconds become hours.
    """
    with engine.begin() as connection:
        return int(connection.scalar(sa.text("select warehouse.refresh_statistics()")) or 0)
