"""A connection that keeps state between its transactions refuses a session that a pool shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from include.database import own_session
from include.errors import ConfigurationError
from include.warehouse import schema
from local.postgres import Postgres
from tests.conftest import Database
from tests.running_pgbouncer import needs_pgbouncer, pool, run_pgbouncer

REFUSED = "pool is in transaction mode. Set `pool_mode = session` .* or give the connection `tributary_db_session`"


@pytest.fixture
def db(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection:
        yield connection
        connection.invalidate()


def require(database: Database) -> None:
    """Require a session, and use it."""
    engine = schema.engine(database.url())
    with engine.connect() as connection:
        own_session.require(connection)
        with connection.begin():
            connection.execute(sa.text("create temporary table sample (a int)"))
        with connection.begin():
            connection.execute(sa.text("insert into sample values (1)"))
        connection.invalidate()
    engine.dispose()


def test_a_direct_connection_has_a_session_of_its_own(database: Database) -> None:
    require(database)


@needs_pgbouncer
def test_a_pool_in_session_mode_gives_each_connection_a_session_of_its_own(
    postgres: Postgres, database: Database
) -> None:
    with run_pgbouncer(postgres, "session") as port:
        for _ in range(2):  # the second one gets the session of the first one, reset
            require(pool(database, port))


@needs_pgbouncer
@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("order", ["0", "1"])
def test_a_pool_in_transaction_mode_is_refused(postgres: Postgres, database: Database, size: int, order: str) -> None:
    with run_pgbouncer(postgres, "transaction", size, server_round_robin=order) as port:
        pooled = pool(database, port)
        engine = schema.engine(pooled.url())
        others = [engine.connect() for _ in range(size)]
        for other in others:  # the pool opens all of its sessions
            other.execute(sa.text("select"))
        for other in others:
            other.invalidate()
        with pytest.raises(ConfigurationError, match=REFUSED):
            require(pooled)


def test_a_session_that_another_connection_used_meanwhile_is_refused(db: sa.Connection) -> None:
    own_session.require(db)
    db.execute(sa.text("set tributary.session = 'another'"))
    db.commit()
    with pytest.raises(ConfigurationError, match=REFUSED):
        db.execute(sa.text("select 1"))


def test_a_session_that_is_not_the_one_of_the_last_transaction_is_refused(db: sa.Connection) -> None:
    own_session.require(db)
    db.execute(sa.text("reset tributary.session"))
    db.commit()
    with pytest.raises(ConfigurationError, match=REFUSED):
        db.begin()
