"""Write audit entries about actions that change no table, such as the opening of a document.

Triggers in the database write the entries about changes, such as loads and decisions; see `0014_audit.sql`.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

_RECORD = sa.text("select control.record_audit(:actor, :action, :subject, cast(:details as jsonb))")


def record(
    connection: sa.Connection, actor: str, action: str, subject: str, details: dict[str, Any] | None = None
) -> int:
    """Add an entry to the audit trail; return its id. The database adds the time and the session's role.

    Args:
        connection: An open transaction. The entry is stored when the caller commits.
        actor: The person or program that acted.
        action: What was done, such as `document.opened`. The database accepts only actions that end in `opened`, `read`, `called`,
            `signed_in`, `signed_out` or `refused`.
        subject: Ids and keys of the object of the action; no names or values of clients.
        details: Further facts, such as counts and ids.
    """
    values = {"actor": actor, "action": action, "subject": subject, "details": json.dumps(details or {})}
    return int(connection.scalar(_RECORD, values) or 0)
