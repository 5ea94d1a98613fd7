"""The database itself: its roles, and its schema at the newest version."""

from __future__ import annotations

from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from psycopg import sql

from include.errors import TargetUnavailable

ROLES = (
    "tributary_migrate", "tributary_load", "tributary_read", "tributary_hear", "tributary_gateway", "tributary_api",
)  # fmt: skip


_NOTICING = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
"""In seconds, but for the count. By itself the system asks after two hours whether the other side is still there."""


def engine(url: str) -> sa.Engine:
    """Opens a pool of connections to a PostgreSQL URL (`postgresql://...`).

    Timestamps are UTC. A statement that waits for a lock longer than a minute fails, so that a writer that stopped
    half-way can't hold the next one for ever, and so does one that runs longer than half an hour. A transaction lives
    no longer either: what it writes is dated when it began, so half an hour later all that was known then is there. A
    server that is gone without a word is noticed within a minute or so, unless the URL says otherwise
    (`?connect_timeout=3`). A database that is away, busy or out of room raises `TargetUnavailable`, wherever it is asked.
    """
    named = sa.make_url(url.replace("postgresql://", "postgresql+psycopg://", 1))
    options = "-c timezone=UTC -c lock_timeout=60000 -c statement_timeout=1800000 -c transaction_timeout=1800000"
    made = sa.create_engine(
        named.set(query=_NOTICING | named.query),
        pool_pre_ping=True,
        hide_parameters=True,  # an error's text goes to logs and alerts
        connect_args={"options": options, "application_name": "tributary"},
    )
    sa.event.listen(made, "handle_error", _class_error)
    return made


def _class_error(context: sa.ExceptionContext) -> TargetUnavailable | None:
    """What passes by itself as our own error; what does not stays as it is."""
    error = context.original_exception
    passing = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
    if context.is_pre_ping or not isinstance(error, passing) or isinstance(error, psycopg.errors.ProgramLimitExceeded):
        return None
    return TargetUnavailable("The database went away or was busy", cause=type(error).__name__)


def create_roles(admin_url: str, passwords: dict[str, str]) -> None:
    """Creates the roles, or sets their passwords, and lets the migrating one create schemas.

    Args:
        admin_url: URL of the database as a superuser.
        passwords: One for each of `ROLES`.
    """
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for role in ROLES:
            known = connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone()
            verb = sql.SQL("alter" if known else "create")
            connection.execute(
                sql.SQL("{} role {} login password {}").format(verb, sql.Identifier(role), sql.Literal(passwords[role]))
            )
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("revoke all on database {} from public").format(database))
        connection.execute(
            sql.SQL("grant connect, create, temporary on database {} to tributary_migrate").format(database)
        )
        connection.execute(sql.SQL("grant connect, temporary on database {} to tributary_load").format(database))
        reading = sql.SQL(", ").join(map(sql.Identifier, ROLES[2:]))
        connection.execute(sql.SQL("grant connect on database {} to {}").format(database, reading))


def migrate(migrate_url: str) -> None:
    """Brings the schema to the newest version; without effect if it is."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    migrating = engine(migrate_url)
    with migrating.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    migrating.dispose()
