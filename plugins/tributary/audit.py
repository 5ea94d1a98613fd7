"""Entries of the audit trail that pages and logins write."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from include.audit import trail

if TYPE_CHECKING:
    from sqlalchemy import Engine


@cache
def database() -> Engine:
    """Return the engine of the API server's pages."""
    from tributary import connections

    return connections.database()


def record(actor: str, action: str, subject: str, **details: Any) -> None:
    """Add an entry to the audit trail, and commit it.

    Raises:
        TargetUnavailable: The database is unavailable.
    """
    with database().begin() as connection:
        trail.record(connection, actor, action, subject, details)
