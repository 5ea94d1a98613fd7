"""Connect to the database, create its roles, and migrate its schema to the newest version."""

from __future__ import annotations

import hashlib
import json
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
"""Role -> default time-out of its statements, and its maximum number of connections. Of the 250 of the server in
docker-compose.yaml, they leave 101 for pulls, loads and Airflow. Each of two gateways opens up to 15 connections for each of its roles.

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
_FINGERPRINT = "obj_description(to_regnamespace('mart'), 'pg_namespace')"
"""SQL expression: the fingerprint of the schema, as `_compute_fingerprint` returns it. It is stored as the comment on schema `mart`, which any
role can read."""

_CONTRACT = "-- contract: "
"""Start of a migration that removes what earlier versions of the program use; the reason follows. Any other migration only adds to the schema, so
that programs of earlier versions can work while their hosts are upgraded one after the other."""

_SESSION = f"""
select current_user::text, pg_backend_pid(), {_FINGERPRINT}, array(
    select name from jsonb_each_text(%s::jsonb -> current_user::text) as setting (name, most)
    where case when name = 'timezone' then current_setting(name) <> most
               else most <> '0' and current_setting(name)::interval not between '1ms' and most::interval end
    order by 1)
"""  # noqa: S608
"""Select the role, the server process, the schema's fingerprint, and the names of the role's settings that are not in force."""

_POOL_REFUSALS = ("not allowed in statement pooling mode", "unsupported startup parameter")
"""Texts of PgBouncer's errors; it has one error code for all of them."""

_NOTICING = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
"""Connection settings that detect a dead server, in seconds (except the count). The operating system's default takes two hours."""


def engine(url: str, firm_hash: str = "", *, any_version: bool = False) -> sa.Engine:
    """Return a pool of connections to a PostgreSQL URL (`postgresql://...`).

    `create_roles` gives the sessions of each role these settings, and every new connection checks them:

    - Timestamps are in UTC.
    - A statement fails after waiting a minute for a lock, so that a stopped writer can't block the next one forever.
    - A statement or a transaction fails after half an hour, or earlier (not those of the migrating role). A row is dated by the start of
      its transaction, so every row dated earlier than half an hour ago is visible.

    They are not settings of the connection, because a pool such as PgBouncer gives its transactions to any of its server connections.
    A dead server is detected within about a minute. The URL may set other values (`?connect_timeout=3`).

    Args:
        url: The URL.
        firm_hash: Hash of the firm's folder in force, which the ledger records (`include.firm.content`); empty without a folder.
        any_version: Whether the schema may be another version's. Otherwise the first connection checks the version.

    Raises:
        TargetUnavailable: Whenever the pool is used: the database is unavailable, busy or out of disk space. If a lock was not
            available, the error names the sessions that hold it.
        ConfigurationError: The server is another machine and the URL does not require its certificate (`sslmode=verify-full`). On
            connecting: the server is older than `OLDEST_SERVER`, the role's settings are not in force, or the schema is of another
            version.
    """
    require_verified(url)
    driver_url = sa.make_url(url.replace("postgresql://", "postgresql+psycopg://", 1))
    database_engine = sa.create_engine(
        driver_url.set(query=_NOTICING | driver_url.query),
        pool_pre_ping=True,
        hide_parameters=True,  # an error's text goes to logs and alerts
        connect_args={"application_name": "tributary"},
        execution_options={"firm_hash": firm_hash or None},
    )
    is_checked = any_version

    def check(connection: psycopg.Connection, _: object) -> None:
        nonlocal is_checked  # a migration may run while a process works, and does not stop it
        role, fingerprint = _check_session(connection)
        if not is_checked and role in ROLES:
            _compare_schema(fingerprint)
        is_checked = True

    sa.event.listen(database_engine, "connect", check)
    sa.event.listen(database_engine, "handle_error", _class_error)
    return database_engine


def _check_session(connection: psycopg.Connection) -> tuple[str, str | None]:
    """Check the server's version and the role's settings; return the role and the schema's fingerprint.

    Raises:
        ConfigurationError: The server is older than `OLDEST_SERVER`, or settings of the role are not in force.
    """
    require_version(connection.info.server_version)
    settings = json.dumps({role: list_settings(role) for role in ROLES})
    role, pid, fingerprint, lacking = connection.execute(_SESSION, [settings]).fetchone() or ("", 0, None, [])
    connection.rollback()
    if lacking:
        raise ConfigurationError(
            "Settings of a database role are not in force. Run `python -m include.cli create-roles`, and then have a connection pool connect"
            " again (PgBouncer: `RECONNECT`)",
            role=role, settings=",".join(lacking),
        )  # fmt: skip
    if pid != connection.info.backend_pid:
        connection.prepare_threshold = None  # a pool may run the next transaction in another session
    return role, fingerprint


def require_version_of_schema(connection: sa.Connection) -> None:
    """Check that the database has the schema that this program creates.

    The first connection of each engine makes the same check.

    Raises:
        ConfigurationError: The schema is older or newer than this program.
    """
    _compare_schema(connection.scalar(sa.text(f"select {_FINGERPRINT}")))


def _compare_schema(fingerprint: str | None) -> None:
    own = _compute_fingerprint(marts.read_statements())
    if fingerprint == own:
        return
    (found, oldest), (needed, _) = _read_revisions(fingerprint), _read_revisions(own)
    if found > needed >= oldest:
        return
    if found > needed:
        raise ConfigurationError(
            "The database schema is newer than this program. Install the version of the program that migrated it, on every host",
            schema=found, oldest_program=oldest, program=needed,
        )  # fmt: skip
    raise ConfigurationError(
        "The database schema is older than this program, or has other views. Run `python -m include.cli migrate` with this version of the"
        " program",
        schema=found or "unknown", program=needed,
    )  # fmt: skip


def _read_revisions(fingerprint: str | None) -> tuple[str, str]:
    """Return the newest and the oldest migration of a fingerprint; empty if it has none, as before migration 0040."""
    newest, _, rest = (fingerprint or "").partition(" ")
    oldest, _, digest = rest.partition(" ")
    return (newest, oldest) if digest else ("", "")


def require_version(server_version: int) -> None:
    """Check the server's version, as libpq counts it (180003 is 18.3).

    Raises:
        ConfigurationError: The server is older than `OLDEST_SERVER`.
    """
    if server_version // 10_000 < OLDEST_SERVER:
        major, minor = divmod(server_version, 10_000)
        message = f"The database needs PostgreSQL {OLDEST_SERVER} or newer; upgrade the server"
        raise ConfigurationError(message, server_version=f"{major}.{minor}")


def _class_error(context: sa.ExceptionContext) -> ConfigurationError | TargetUnavailable | None:
    """Return a `TargetUnavailable` for an error that a retry may solve, and a `ConfigurationError` for a connection pool that never accepts us.

    None for any other error, which then stays unchanged.
    """
    error = context.original_exception
    if isinstance(error, psycopg.OperationalError) and any(reason in str(error) for reason in _POOL_REFUSALS):
        return ConfigurationError(
            "The connection pool refuses Tributary. Set its `pool_mode` to session or transaction, and remove `options` from the database URL"
        )
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
            for name, value in list_settings(role).items():
                setting = sql.SQL("alter role {} set {} = {}")
                connection.execute(setting.format(sql.Identifier(role), sql.Identifier(name), sql.Literal(value)))
        for role, (_, connections) in _SMALL_ROLES.items():
            limit = sql.SQL("alter role {} connection limit {}")
            connection.execute(limit.format(sql.Identifier(role), sql.Literal(connections)))
        _grant_database(connection)
        _revoke_functions(connection)
        # Needed by `control.find_lock_holders`, which runs as this role and returns no query texts.
        connection.execute("grant pg_read_all_stats to tributary_migrate")


def list_settings(role: str) -> dict[str, str]:
    """Return the settings of a role's sessions; 0 means no limit."""
    longest = "0" if role == "tributary_migrate" else "30min"  # a migration or a rotation of keys may take hours
    settings = {"timezone": "UTC", "lock_timeout": "1min", "statement_timeout": longest, "transaction_timeout": longest}
    # Otherwise the server executes the statement of a killed process to its end, and keeps its locks, which the next try waits for.
    settings["client_connection_check_interval"] = "5s"
    if role in _SMALL_ROLES:
        settings |= {"statement_timeout": _SMALL_ROLES[role][0], "idle_in_transaction_session_timeout": "10min"}
    return settings


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
    migrating = engine(migrate_url, any_version=True)
    try:
        with migrating.connect() as connection:
            _wait_for_turn(connection)
            _refuse_unreleased(connection)
            statements = marts.read_statements()
            fingerprint = _compute_fingerprint(statements)
            is_current = connection.scalar(sa.text(f"select {_FINGERPRINT}")) == fingerprint
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


def _compute_fingerprint(statements: str) -> str:
    """Return the fingerprint of this program's schema: three words.

    Returns:
        The number of the newest migration; that of the last one with `_CONTRACT`, so that programs of its version and later ones work with
        this schema (0000 if there is none); and a hash of the migrations' names and of the statements that create the views.
    """
    paths = sorted(FOLDER.glob("*.sql"))
    digest = hashlib.sha256("\n".join([*(path.name for path in paths), statements]).encode()).hexdigest()
    contracts = [path.name for path in paths if path.read_text().startswith(_CONTRACT)]
    newest, oldest = (name.partition("_")[0] for name in (paths[-1].name, max(contracts, default="0000")))
    return f"{newest} {oldest} {digest}"


def _wait_for_turn(connection: sa.Connection) -> None:
    """Wait without a time limit until no other process migrates. The lock ends with the transaction."""
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
