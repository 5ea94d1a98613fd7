"""Entries of the audit trail that no change of a table causes, such as the opening of a document.

The database itself records changes, such as loads and decisions, by triggers; see `0014_audit.sql`.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

_RECORD = sa.text("select control.record_audit(:actor, :action, :subject, cast(:details as jsonb))")


def record(
    connection: sa.Connection, actor: str, action: str, subject: str, details: dict[str, Any] | None = None
) -> int:
    """Add an entry; return its id. The database adds the time and the role of the session.

    Args:
        connection: An open transaction. The entry is stored if it commits.
        actor: The person or program that acted.
        action: What was done, as `<noun>.<past participle>`, such as `document.opened`.
        subject: What it was done to, as ids and keys; no names or values of clients.
        details: Further facts, such as counts and ids.
    """
    values = {"actor": actor, "action": action, "subject": subject, "details": json.dumps(details or {})}
    return int(connection.scalar(_RECORD, values) or 0)
