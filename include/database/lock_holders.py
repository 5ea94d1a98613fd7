"""Which sessions hold the lock that a statement did not get."""

from __future__ import annotations

import re

import psycopg
import sqlalchemy as sa

_TABLE = re.compile(r'\b(?:control|warehouse|mart)\."?\w+"?')
_MOST = 3


def find_lock_holders(url: sa.URL, texts: str, waiting_pid: int) -> str | None:
    """Name the sessions that hold locks on the tables of a statement: never what they run.

    The statement has failed, so the server no longer knows what it waited for: the sessions are those that hold locks now, the strongest
    lock first. The lookup uses a connection of its own, for at most some seconds.

    Args:
        url: Of the database.
        texts: The statement, and the error's context, in which tables are named with their schema.
        waiting_pid: Session that waited for the lock, which is left out.

    Returns:
        At most three sessions in words; None where none is found, or the lookup failed.
    """
    tables = sorted(set(_TABLE.findall(texts)))
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with psycopg.connect(plain, autocommit=True, options="-c timezone=UTC -c statement_timeout=5000") as connection:
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
