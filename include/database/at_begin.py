"""Run a query at the start of each transaction of a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import sqlalchemy as sa

from include.database.driver import find_driver
from include.errors import TargetUnavailable


def query(connection: sa.Connection, statement: str, values: Sequence[Any] = ()) -> Sequence[Any]:
    """Run a query in a listener of the event `begin`, and return its only row.

    SQLAlchemy can't run statements there, and does not translate the driver's errors.

    Raises:
        TargetUnavailable: The session was ended, or the database is unavailable.
    """
    try:
        row: Sequence[Any] | None = find_driver(connection).execute(statement, values).fetchone()
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError) as error:
        raise TargetUnavailable("The database went away or was busy", cause=type(error).__name__) from error
    assert row is not None
    return row


def give_up(connection: sa.Connection) -> None:
    """End the transaction that a query has begun, so that the listener can raise an error."""
    find_driver(connection).rollback()
