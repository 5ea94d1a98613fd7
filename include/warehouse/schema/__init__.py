"""Connect to the database, create its roles, and migrate its schema to the newest version."""

from __future__ import annotations

import hashlib
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from psycopg import sql

from include.database.lock_holders import find_lock_holders
from include.database.tls import require_verified
from include.errors import ConfigurationError, TargetUnavailable
from include.warehouse import marts

ROLES = (
    "tributary_migrate", "tributary_load", "tributary_read", "tributary_listener", "tributary_gateway", "tributary_api", "tributary_web",
    "tributary_values", "tributary_analyst",
)  # fmt: skip
OPTIONAL_ROLES = ("tributary_values", "tributary_analyst")
"""Roles that a firm may leave without a password. Then they exist and can't log in."""
FOLDER = Path(__file__).parent
OLDEST_SERVER = 18
"""Oldest supported major version of PostgreSQL. Statements use `returning old.<column>`, which is new in it."""

_SMALL_ROLES = {
    "tributary_read": ("30min", 20), "tributary_listener": ("5min", 30), "tributary_gateway": ("5min", 32),
    "tributary_api": ("5min", 32), "tributary_web": ("5min", 20), "tributary_values": ("5min", 5), "tributary_analyst": ("30min", 10),
}  # fmt: skip
"""Role -> default time-out of its statements, and its maximum number of connections. Of the 200 of the server in
docker-compose.yaml, they leave 51 for loads and Airflow. Each of two gateways opens up to 15 connections for each of its roles.

A session may change its time-outs. They end a forgotten query or transaction, which would otherwise keep its locks, and keep dead rows
from being vacuumed, for hours."""

_EXCLUSIVE_FUNCTIONS = """
    select oid::regprocedure::text, proname ~ 'advisory' from pg_proc
    where pronamespace = 'pg_catalog'::regnamespace
      and proname ~ '^(pg_(try_)?advisory_(xact_)?lock(_shared)?|lo_\\w+|loread|lowrite)$'
    order by 1
"""
"""Select the functions that every role may call by default, and whether it takes an advisory lock. An advisory lock of a reader could stop
the loads, which wait for theirs; the other functions read and write large objects, which Tributary does not use."""

_ONE_AT_A_TIME = "tributary schema"
_FINGERPRINT = sa.text("select obj_description(to_regnamespace('mart'), 'pg_namespace')")
"""Select the hash of the SQL files from which the views and mart functions were created. It is stored as the comment on schema `mart`."""

_NOTICING = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
"""Connection settings that detect a dead server, in seconds (except the count). The operating system's default takes two hours."""


def engine(url: str, firm_hash: str = "") -> sa.Engine:
    """Return a pool of connections to a PostgreSQL URL (`postgresql://...`).

    Every connection has these settings:

    - Timestamps are in UTC.
    - A statement fails after waiting a minute for a lock, so that a stopped writer can't block the next one forever.
    - A statement or a transaction fails after half an hour. A row is dated by the start of its transaction, so every row dated
      earlier than half an hour ago is visible.
    - A dead server is detected within about a minute. The URL may set other values (`?connect_timeout=3`).

    Args:
        url: The URL.
        firm_hash: Hash of the firm's folder in force, which the ledger records (`include.firm.content`); empty without a folder.

    Raises:
        TargetUnavailable: Whenever the pool is used: the database is unavailable, busy or out of disk space. If a lock was not
            available, the error names the sessions that hold it.
        ConfigurationError: The server is another machine and the URL does not require its certificate (`sslmode=verify-full`). On
            connecting: the server is older than `OLDEST_SERVER`.
    """
    require_verified(url)
    driver_url = sa.make_url(url.replace("postgresql://", "postgresql+psycopg://", 1))
    options = "-c timezone=UTC -c lock_timeout=60000 -c statement_timeout=1800000 -c transaction_timeout=1800000"
    if firm_hash:
        options += f" -c tributary.firm_hash={firm_hash}"
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
    """Return a `TargetUnavailable` for an error that a retry may solve; None for any other error, which then stays unchanged."""
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
    """Create the roles of `ROLES`, or reset their passwords, and set their limits and their rights on the database, in one transaction.

    Processes that call this at the same time wait for each other.

    Args:
        admin_url: URL of the database as a superuser.
        passwords: Role -> password, for each of `ROLES`, except perhaps `OPTIONAL_ROLES`.

    Raises:
        ConfigurationError: The server is too old, or the URL does not require its certificate (`include.database.tls`).
    """
    require_verified(admin_url)
    with psycopg.connect(admin_url) as connection:
        require_version(connection.info.server_version)
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", [_ONE_AT_A_TIME])
        for role in ROLES:
            known = connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone()
            verb = sql.SQL("alter" if known else "create")
            password = passwords.get(role) if role in OPTIONAL_ROLES else passwords[role]
            login = sql.SQL("login" if password else "nologin")
            statement = sql.SQL("{} role {} {} password {}")
            connection.execute(statement.format(verb, sql.Identifier(role), login, sql.Literal(password)))
        for role, (patience, connections) in _SMALL_ROLES.items():
            _limit(connection, role, patience, connections)
        _grant_database(connection)
        _revoke_functions(connection)
        # Needed by `control.find_lock_holders`, which runs as this role and returns no query texts.
        connection.execute("grant pg_read_all_stats to tributary_migrate")


def _limit(connection: psycopg.Connection, role: str, patience: str, connections: int) -> None:
    name = sql.Identifier(role)
    connection.execute(sql.SQL("alter role {} connection limit {}").format(name, sql.Literal(connections)))
    timeouts = {
        "statement_timeout": patience, "idle_in_transaction_session_timeout": "10min", "lock_timeout": "1min",
    }  # fmt: skip
    for setting, value in timeouts.items():
        statement = sql.SQL("alter role {} set {} = {}")
        connection.execute(statement.format(name, sql.Identifier(setting), sql.Literal(value)))


def _grant_database(connection: psycopg.Connection) -> None:
    database = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("revoke all on database {} from public").format(database))
    connection.execute(sql.SQL("grant connect, create, temporary on database {} to tributary_migrate").format(database))
    connection.execute(sql.SQL("grant connect, temporary on database {} to tributary_load").format(database))
    reading = sql.SQL(", ").join(map(sql.Identifier, ROLES[2:]))
    connection.execute(sql.SQL("grant connect on database {} to {}").format(database, reading))


def _revoke_functions(connection: psycopg.Connection) -> None:
    """Leave advisory locks to the roles that migrate, load and decide about identities, and large objects to superusers."""
    for function, is_lock in connection.execute(_EXCLUSIVE_FUNCTIONS).fetchall():
        connection.execute(sql.SQL("revoke execute on function {} from public").format(sql.SQL(function)))
        if is_lock:
            granted = sql.SQL("grant execute on function {} to tributary_migrate, tributary_load, tributary_web")
            connection.execute(granted.format(sql.SQL(function)))


def migrate(migrate_url: str) -> None:
    """Migrate the schema to the newest version, in one transaction; change nothing if it is up to date.

    Each numbered SQL file beside this module runs once per database. If there is a new numbered file, or if a file of
    `include.warehouse.marts` changed, all views and functions of that folder are dropped first, and created again at the end. The monthly
    partitions of positions are created ahead of time.
    Processes that call this at the same time wait for each other.

    Raises:
        ConfigurationError: The server is too old, the schema can't be upgraded, or objects outside our schemas depend on a view.
        TargetUnavailable: The database is unavailable, or a session holds a lock that the migration needs.
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
            fingerprint = _compute_fingerprint(statements)
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


def is_newest(connection: sa.Connection) -> bool:
    """Return whether the schema is at the newest version. Any role can read it."""
    return bool(connection.scalar(_FINGERPRINT) == _compute_fingerprint(marts.read_statements()))


def _compute_fingerprint(statements: str) -> str:
    numbered = [path.name for path in sorted(FOLDER.glob("*.sql"))]
    return hashlib.sha256("\n".join([*numbered, statements]).encode()).hexdigest()


def _wait_for_turn(connection: sa.Connection) -> None:
    """Wait without a time limit until no other process migrates. The lock ends with the transaction.

    The session's timeouts for statements and transactions are removed, because an index on a large table may take hours.
    """
    for name in ("statement_timeout", "transaction_timeout"):
        connection.execute(sa.text("select set_config(:name, '0', false)"), {"name": name})
    patience = connection.scalar(sa.text("select current_setting('lock_timeout')"))
    set_patience = sa.text("select set_config('lock_timeout', :patience, true)")
    connection.execute(set_patience, {"patience": "0"})
    connection.execute(sa.text("select pg_advisory_xact_lock(hashtext(:name))"), {"name": _ONE_AT_A_TIME})
    connection.execute(set_patience, {"patience": patience})


def _refuse_unreleased(connection: sa.Connection) -> None:
    """Raise `ConfigurationError` for a schema created before the first release: it has other revisions and can't be upgraded."""
    if connection.scalar(sa.text("select to_regclass('control.alembic_version')")) is not None:
        raise ConfigurationError(
            "This schema was created by a commit before the first release and can't be upgraded; nothing was changed."
            " Create an empty database, migrate it, and backfill",
            revision=connection.scalar(sa.text("select version_num from control.alembic_version")),
        )
