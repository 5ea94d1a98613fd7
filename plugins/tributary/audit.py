"""Write audit entries from the API server, about pages, API calls and logins."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from include.audit import trail

if TYPE_CHECKING:
    from sqlalchemy import Engine


@cache
def database() -> Engine:
    """Return the engine of the firm's database, for the pages of the API server. It is created once per process.

    The connection `tributary_db_web` is used if there is one, else `tributary_db`.
    """
    from tributary import connections

    return connections.database("tributary_db_web" if connections.is_connected("tributary_db_web") else "tributary_db")


def record(actor: str, action: str, subject: str, **details: Any) -> None:
    """Add an entry to the audit trail, and commit it. The arguments are those of `include.audit.trail.record`.

    Raises:
        TargetUnavailable: The database is unavailable.
    """
    with database().begin() as connection:
        trail.record(connection, actor, action, subject, details)
