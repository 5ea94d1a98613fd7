"""Restores of the database from a backup, and what must not happen until their consequences are settled.

After a restore, the database is older than the vendors and the Salesforce org. So its refresh tokens are stale, and nothing is written to
Salesforce until the org was read back.
"""

from __future__ import annotations

import sqlalchemy as sa

from include.errors import ConfigurationError

# Each recovery starts a new timeline, which is the first part of the name of a WAL file.
_RECORD = sa.text("""
insert into control.restore (system_identifier, timeline_id)
select system_identifier, cast(cast('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8) as bit(32)) as int) from pg_control_system()
on conflict do nothing
""")
_MAKE_STALE = sa.text("update control.refresh_token set stale_since = clock_timestamp() where stale_since is null")
_SETTLE = sa.text("update control.restore set read_back_at = clock_timestamp() where read_back_at is null")
_FIND_PENDING = sa.text("select min(recorded_at) from control.restore where read_back_at is null")


def record(engine: sa.Engine) -> int | None:
    """Record that this database was restored, and mark its refresh tokens as stale. Requires the migrating role.

    Returns:
        The number of tokens marked; None if this restore was recorded before, in which case nothing changes.
    """
    with engine.begin() as connection:
        is_new = connection.execute(_RECORD).rowcount
        return connection.execute(_MAKE_STALE).rowcount if is_new else None


def require_read_back(engine: sa.Engine) -> None:
    """Refuse to write to Salesforce if the org was not read back since the database was restored.

    Raises:
        ConfigurationError: It was not.
    """
    with engine.connect() as connection:
        restored_at = connection.scalar(_FIND_PENDING)
    if restored_at:
        raise ConfigurationError(
            "The database was restored from a backup and is older than Salesforce; nothing was sent. Run the DAG `read_back_salesforce`,"
            " and then this one again",
            restored_at=restored_at,
        )


def note_read_back(engine: sa.Engine) -> None:
    """Record that the org was read back: syncs may write again."""
    with engine.begin() as connection:
        connection.execute(_SETTLE)
