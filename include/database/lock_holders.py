"""Find the sessions that hold the lock on which a statement timed out."""

from __future__ import annotations

import re

import psycopg
import sqlalchemy as sa

_TABLE = re.compile(r'\b(?:control|warehouse|mart)\."?\w+"?')
_MOST = 3


def find_lock_holders(url: sa.URL, texts: str, waiting_pid: int) -> str | None:
    """Describe the sessions that hold locks on the tables of a failed statement, without the SQL that they run.

    The server no longer knows which lock the statement waited for. So the result lists the sessions that hold locks on its tables
    now, the strongest lock first. The lookup uses its own connection, with a time-out of five seconds.

    Args:
        url: URL of the database.
        texts: The statement and the error's context, with schema-qualified table names.
        waiting_pid: Process id of the session that waited for the lock; it is left out.

    Returns:
        Up to three sessions as text: pid, role, application, state and lock. None if there are none or the lookup failed.
    """
    tables = sorted(set(_TABLE.findall(texts)))
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with psycopg.connect(plain) as connection:
            connection.execute("set local statement_timeout = '5s'")
            connection.execute("set local timezone = 'UTC'")
            rows = connection.execute("select * from control.find_lock_holders(%s)", [tables]).fetchall()
    except psycopg.Error:
        return None
    holders = [
        f"pid {pid}, role {role}, application {application or 'unknown'}, {state or 'active'}"
        + (f" since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "")
        + f", {lock}"
        for pid, role, application, state, since, lock in rows
        if pid != waiting_pid
    ]
    return "; ".join(holders[:_MOST]) or None
