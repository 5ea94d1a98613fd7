"""Record that the database was restored from a backup, and block writes to Salesforce until the org was read back.

After a restore, the database is older than the vendors and the Salesforce org. A refresh token may have been used since
the backup, so all tokens are marked as stale. A sync would compare with values that are out of date, so none may write.
"""

from __future__ import annotations

import sqlalchemy as sa

from include.errors import ConfigurationError

# Each recovery starts a new timeline of the write-ahead log. The first eight hex digits of a WAL file's name are the timeline.
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
        The number of tokens marked; None if this restore was recorded before. Then nothing changes.
    """
    with engine.begin() as connection:
        is_new = connection.execute(_RECORD).rowcount
        return connection.execute(_MAKE_STALE).rowcount if is_new else None


def require_read_back(engine: sa.Engine) -> None:
    """Raise an error if the database was restored, and the Salesforce org was not read back since. Call it before a write to Salesforce.

    Raises:
        ConfigurationError: A restore waits for a read-back.
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
    """Record that the Salesforce org was read back, so that syncs may write again."""
    with engine.begin() as connection:
        connection.execute(_SETTLE)
