"""The database itself: its roles, and its schema at the newest version."""

from __future__ import annotations

import hashlib
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from psycopg import sql

from include.database.lock_holders import find_lock_holders
from include.errors import ConfigurationError, TargetUnavailable
from include.warehouse import marts

ROLES = (
    "tributary_migrate", "tributary_load", "tributary_read", "tributary_listener", "tributary_gateway", "tributary_api",
)  # fmt: skip
FOLDER = Path(__file__).parent
OLDEST_SERVER = 18
"""Major version of PostgreSQL: `returning old.column` is new in it."""

_READER_TIMEOUTS = {
    "tributary_read": {"idle_in_transaction_session_timeout": "10min", "statement_timeout": "30min"},
    "tributary_listener": {"idle_in_transaction_session_timeout": "10min"},
    "tributary_gateway": {"idle_in_transaction_session_timeout": "10min"},
    "tributary_api": {"idle_in_transaction_session_timeout": "10min"},
}
"""Defaults of a session, so that a forgotten transaction does not hold its locks, or dead rows, for hours. A session may change its own."""

_ONE_AT_A_TIME = "tributary schema"
_FINGERPRINT = sa.text("select obj_description(to_regnamespace('mart'), 'pg_namespace')")
"""Hash of the files by which the views and mart functions were created: a comment on their schema."""

_NOTICING = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
"""In seconds, but for the count. By itself the system asks after two hours whether the other side is still there."""


def engine(url: str) -> sa.Engine:
    """Opens a pool of connections to a PostgreSQL URL (`postgresql://...`).

    Timestamps are UTC. A statement that waits for a lock longer than a minute fails, so that a writer that stopped
    half-way can't hold the next one for ever, and so does one that runs longer than half an hour. A transaction lives
    no longer either: what it writes is dated when it began, so half an hour later all that was known then is there. A
    server that is gone without a word is noticed within a minute or so, unless the URL says otherwise
    (`?connect_timeout=3`). A database that is away, busy or out of room raises `TargetUnavailable`, wherever it is asked; where a lock
    was not available, it names the sessions that hold it. A server that is too old raises `ConfigurationError`.
    """
    driver_url = sa.make_url(url.replace("postgresql://", "postgresql+psycopg://", 1))
    options = "-c timezone=UTC -c lock_timeout=60000 -c statement_timeout=1800000 -c transaction_timeout=1800000"
    database_engine = sa.create_engine(
        driver_url.set(query=_NOTICING | driver_url.query),
        pool_pre_ping=True,
        hide_parameters=True,  # an error's text goes to logs and alerts
        connect_args={"options": options, "application_name": "tributary"},
    )
    sa.event.listen(database_engine, "connect", lambda connection, _: require_version(connection.info.server_version))
    sa.event.listen(database_engine, "handle_error", _class_error)
    return database_engine


def require_version(server_version: int) -> None:
    """Check the server's version, as libpq counts it (180003 is 18.3).

    Raises:
        ConfigurationError: The server is older than `OLDEST_SERVER`.
    """
    if server_version // 10_000 < OLDEST_SERVER:
        major, minor = divmod(server_version, 10_000)
        message = f"The database needs PostgreSQL {OLDEST_SERVER} or newer; upgrade the server"
        raise ConfigurationError(message, server_version=f"{major}.{minor}")


def _class_error(context: sa.ExceptionContext) -> TargetUnavailable | None:
    """What passes by itself as our own error; what does not stays as it is."""
    error = context.original_exception
    passing = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
    lasting = (psycopg.errors.ProgramLimitExceeded, psycopg.errors.DependentObjectsStillExist)
    if context.is_pre_ping or not isinstance(error, passing) or isinstance(error, lasting):
        return None
    holders = None
    if isinstance(error, psycopg.errors.LockNotAvailable) and context.engine and context.connection:
        waiting = context.connection.connection.driver_connection
        assert isinstance(waiting, psycopg.Connection)
        texts = f"{context.statement} {error.diag.context}"
        holders = find_lock_holders(context.engine.url, texts, waiting.info.backend_pid)
    return TargetUnavailable("The database went away or was busy", cause=type(error).__name__, lock_holders=holders)


def create_roles(admin_url: str, passwords: dict[str, str]) -> None:
    """Create the roles, or set their passwords, and let the migrating one create schemas: all of it, or nothing.

    Several processes may call it at once; each waits for the one before it.

    Args:
        admin_url: URL of the database as a superuser.
        passwords: One for each of `ROLES`.

    Raises:
        ConfigurationError: The server is too old.
    """
    with psycopg.connect(admin_url) as connection:
        require_version(connection.info.server_version)
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", [_ONE_AT_A_TIME])
        for role in ROLES:
            known = connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone()
            verb = sql.SQL("alter" if known else "create")
            connection.execute(
                sql.SQL("{} role {} login password {}").format(verb, sql.Identifier(role), sql.Literal(passwords[role]))
            )
            for name, value in _READER_TIMEOUTS.get(role, {}).items():
                statement = sql.SQL("alter role {} set {} = {}")
                connection.execute(statement.format(sql.Identifier(role), sql.Identifier(name), sql.Literal(value)))
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("revoke all on database {} from public").format(database))
        connection.execute(
            sql.SQL("grant connect, create, temporary on database {} to tributary_migrate").format(database)
        )
        connection.execute(sql.SQL("grant connect, temporary on database {} to tributary_load").format(database))
        reading = sql.SQL(", ").join(map(sql.Identifier, ROLES[2:]))
        connection.execute(sql.SQL("grant connect on database {} to {}").format(database, reading))
        # For `control.find_lock_holders` alone, which runs as this role and returns no text of a query.
        connection.execute("grant pg_read_all_stats to tributary_migrate")


def migrate(migrate_url: str) -> None:
    """Bring the schema to the newest version, in one transaction; without effect if it is.

    The numbered SQL files beside this module run once each. The views and functions of `include.warehouse.marts` are dropped before, and
    created anew after them, if any file changed. Several processes may call it at once: one migrates, the others wait until it is done.
    Months of positions are created ahead of time.

    Raises:
        ConfigurationError: The server is too old, the schema can't be upgraded, or objects outside our schemas depend on a view.
        TargetUnavailable: The database went away, or a session holds a lock that the migration needs.
    """
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    migrating = engine(migrate_url)
    try:
        with migrating.connect() as connection:
            _wait_for_turn(connection)
            _refuse_unreleased(connection)
            statements = marts.read_statements()
            numbered = [path.name for path in sorted(FOLDER.glob("*.sql"))]
            fingerprint = hashlib.sha256("\n".join([*numbered, statements]).encode()).hexdigest()
            is_current = connection.scalar(_FINGERPRINT) == fingerprint
            if not is_current:
                marts.drop(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            if not is_current:
                marts.create(connection, statements)
                connection.exec_driver_sql(f"comment on schema mart is '{fingerprint}'")
            connection.execute(sa.text("select warehouse.ensure_month(current_date)"))
            connection.commit()
    finally:
        migrating.dispose()


def _wait_for_turn(connection: sa.Connection) -> None:
    """Wait, however long, until no other process migrates; the lock ends with the transaction. An index of a large table takes its time."""
    for name in ("statement_timeout", "transaction_timeout"):
        connection.execute(sa.text("select set_config(:name, '0', false)"), {"name": name})
    patience = connection.scalar(sa.text("select current_setting('lock_timeout')"))
    set_patience = sa.text("select set_config('lock_timeout', :patience, true)")
    connection.execute(set_patience, {"patience": "0"})
    connection.execute(sa.text("select pg_advisory_xact_lock(hashtext(:name))"), {"name": _ONE_AT_A_TIME})
    connection.execute(set_patience, {"patience": patience})


def _refuse_unreleased(connection: sa.Connection) -> None:
    """Refuse a schema of the series of migrations before the first release: its revisions are not those of today."""
    if connection.scalar(sa.text("select to_regclass('control.alembic_version')")) is not None:
        raise ConfigurationError(
            "This schema was created by a commit before the first release and can't be upgraded; nothing was changed."
            " Create an empty database, migrate it, and backfill",
            revision=connection.scalar(sa.text("select version_num from control.alembic_version")),
        )
