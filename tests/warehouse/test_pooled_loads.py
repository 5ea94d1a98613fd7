"""Through PgBouncer in transaction mode, loads give what they give directly, and limits, fences and exclusion hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from include.control import writer
from include.errors import ConfigurationError, TargetUnavailable, WriterSuperseded
from include.warehouse import schema
from local.postgres import Postgres
from tests.conftest import PASSWORDS, Database, new_database
from tests.running_pgbouncer import Pooled, needs_pgbouncer, pool, run_pgbouncer
from tests.warehouse.loading import Loader, position

pytestmark = needs_pgbouncer
LOADS, POOL = 12, 5
WRITE = sa.text("insert into control.drift (vendor, table_name, field) values ('v', 't', :field)")
SUBJECT = "load:sample:assets:2026-11-20"


@pytest.fixture(scope="module")
def port(postgres: Postgres) -> Iterator[int]:
    with run_pgbouncer(postgres, "transaction", POOL) as opened:
        yield opened


@pytest.fixture
def pooled(port: int, database: Database) -> Pooled:
    return pool(database, port)


@pytest.fixture
def connect(pooled: Pooled) -> Iterator[Callable[[], sa.Connection]]:
    """Opens connections, each of an engine of its own, as processes do."""
    engines = list[sa.Engine]()

    def open_one() -> sa.Connection:
        engines.append(schema.engine(pooled.url()))
        return engines[-1].connect()

    yield open_one
    for engine in engines:
        engine.dispose()


def load_twice(database: Database, folder: Path, number: int) -> list[int]:
    """Load a day, and then its correction, which takes over the fences of the first load."""
    loader = Loader(database, folder, f"vendor{number}")
    inserted = []
    for units in (1, 2):
        loader.stage("position", [position(f"p{each}", units + number, account=f"a{each}") for each in range(50)])
        inserted.append(loader.publish().inserted)
    loader.engine.dispose()
    return inserted


def load_in_parallel(database: Database, folder: Path) -> list[list[int]]:
    with ThreadPoolExecutor(LOADS) as threads:
        return list(threads.map(lambda number: load_twice(database, folder, number), range(LOADS)))


def read_positions(database: Database) -> list[dict[str, Any]]:
    return database.rows("""
        select p.vendor, position_key, a.source_key, quantity, market_value_usd, recorded_to is null as is_open
        from warehouse.position p join warehouse.source_key a on a.id = p.account_id
        order by p.vendor, position_key, quantity, recorded_to nulls last
    """)


def test_parallel_loads_over_a_small_pool_equal_direct_loads(
    pooled: Pooled, postgres: Postgres, tmp_path: Path
) -> None:
    with new_database(postgres) as direct:
        expected = load_in_parallel(direct, tmp_path / "direct"), read_positions(direct)

    assert (load_in_parallel(pooled, tmp_path / "pooled"), read_positions(pooled)) == expected
    assert len(expected[1]) == LOADS * 50 * 2


def test_a_pool_without_prepared_statements_is_enough(postgres: Postgres, database: Database) -> None:
    with run_pgbouncer(postgres, "transaction", POOL, max_prepared_statements="0") as port:
        engine = schema.engine(pool(database, port).url())
        with engine.connect() as one, engine.connect() as other:
            for number in range(20):  # the driver would prepare a statement that it repeats
                for connection in (one, other):
                    assert connection.scalar(sa.text("select cast(:number as int)"), {"number": number}) == number
                    connection.commit()
        engine.dispose()


def test_a_new_writer_ends_the_open_transaction_of_the_previous_one(connect: Callable[[], sa.Connection]) -> None:
    older, newer = connect(), connect()
    writer.take(older, SUBJECT)
    older.execute(WRITE, {"field": "older"})

    fence = writer.take(newer, SUBJECT)

    newer.execute(WRITE, {"field": "older"})  # does not wait for the older one
    fence.check(newer)
    newer.commit()
    with pytest.raises(TargetUnavailable):
        older.execute(WRITE, {"field": "late"})


def test_a_new_writer_ends_no_session_that_another_program_uses_now(connect: Callable[[], sa.Connection]) -> None:
    older, newer, others = connect(), connect(), [connect() for _ in range(POOL - 1)]
    writer.take(older, SUBJECT)
    older.execute(sa.text("select"))
    older.commit()
    for other in others:  # they use the session that the older writer used, and all but one of the others
        other.execute(sa.text("select"))

    writer.take(newer, SUBJECT)

    for other in others:
        other.execute(sa.text("select"))
        other.rollback()


def test_a_writer_that_was_taken_over_between_its_transactions_begins_no_other(
    connect: Callable[[], sa.Connection],
) -> None:
    older, newer = connect(), connect()
    writer.take(older, SUBJECT)
    writer.take(newer, SUBJECT)
    with pytest.raises(WriterSuperseded, match="took over"):
        older.execute(WRITE, {"field": "older"})
    assert newer.execute(WRITE, {"field": "newer"}).rowcount == 1
    newer.rollback()


def test_a_writer_leaves_no_name_in_a_session(pooled: Pooled, connect: Callable[[], sa.Connection]) -> None:
    with connect() as connection:
        writer.take(connection, SUBJECT)
        connection.execute(sa.text("select"))
        names = "select application_name from pg_stat_activity where application_name like 'tributary writer %'"
        assert len(pooled.rows(names)) == 1
        connection.commit()
    assert pooled.rows(names) == []


def test_of_many_that_take_at_once_exactly_one_holds_it(connect: Callable[[], sa.Connection]) -> None:
    connections, barrier, fences = [connect() for _ in range(LOADS)], threading.Barrier(LOADS), list[writer.Fence]()

    def take(connection: sa.Connection) -> None:
        barrier.wait()
        fences.append(writer.take(connection, SUBJECT))
        connection.close()

    with ThreadPoolExecutor(LOADS) as threads:
        for done in [threads.submit(take, each) for each in connections]:
            done.result()

    with connect() as connection:
        [number] = connection.execute(sa.text("select fence from control.writer")).scalars()
    assert len({fence.number for fence in fences}) == LOADS
    assert number in {fence.number for fence in fences}


def test_an_exclusive_lock_of_a_transaction_excludes_every_other(connect: Callable[[], sa.Connection]) -> None:
    holder, other = connect(), connect()
    take = sa.text("select pg_try_advisory_xact_lock(hashtext('identity'))")
    assert holder.scalar(take) is True
    assert other.scalar(take) is False
    holder.rollback()
    assert other.scalar(take) is True
    other.rollback()


def test_an_error_of_a_lock_names_its_holder(pooled: Pooled, connect: Callable[[], sa.Connection]) -> None:
    with psycopg.connect(pooled.admin_url, application_name="A holder") as holder, connect() as connection:
        holder.execute("lock table warehouse.account in share mode")
        connection.execute(sa.text("set local lock_timeout = '200ms'"))
        with pytest.raises(TargetUnavailable) as caught:
            connection.execute(sa.text("update warehouse.account set name = 'An Invented Name'"))
    assert "role postgres, application A holder" in caught.value.facts["lock_holders"]


def test_time_outs_are_in_force(connect: Callable[[], sa.Connection]) -> None:
    names = ("timezone", "lock_timeout", "statement_timeout", "transaction_timeout")
    with connect() as connection:
        shown = [connection.scalar(sa.text(f"show {name}")) for name in names]
    assert shown == ["UTC", "1min", "30min", "30min"]


def test_an_endless_statement_is_ended(database: Database, postgres: Postgres) -> None:
    change_role(database, "set statement_timeout = '300ms'")
    try:
        with run_pgbouncer(postgres, "transaction") as own:
            engine, started = schema.engine(pool(database, own).url()), time.monotonic()
            with pytest.raises(TargetUnavailable, match="QueryCanceled"), engine.connect() as connection:
                connection.execute(sa.text("select pg_sleep(20)"))
            engine.dispose()
    finally:
        schema.create_roles(database.admin_url, PASSWORDS)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ("reset lock_timeout", "lock_timeout"),
        ("set statement_timeout = '2h'", "statement_timeout"),
        ("set transaction_timeout = 0", "transaction_timeout"),
        ("set timezone = 'America/New_York'", "timezone"),
    ],
)
def test_a_role_without_its_settings_is_refused(
    database: Database, postgres: Postgres, change: str, setting: str
) -> None:
    change_role(database, change)
    try:
        with run_pgbouncer(postgres, "transaction") as own:
            engine = schema.engine(pool(database, own).url())
            with pytest.raises(ConfigurationError, match=rf"create-roles.*\[role=tributary_load settings={setting}\]"):
                engine.connect()
    finally:
        schema.create_roles(database.admin_url, PASSWORDS)


def change_role(database: Database, change: str) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(f"alter role tributary_load {change}")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("mode", "query"), [("statement", ""), ("transaction", "?options=-c%20statement_timeout%3D1000")]
)
def test_a_pool_that_never_accepts_tributary_is_named(
    database: Database, postgres: Postgres, mode: str, query: str
) -> None:
    with run_pgbouncer(postgres, mode) as own, pytest.raises(ConfigurationError, match="connection pool refuses"):
        schema.engine(pool(database, own).url() + query).connect()


def test_the_ledger_records_the_firm_s_folder(pooled: Pooled, tmp_path: Path) -> None:
    loader = Loader(pooled, tmp_path, "vendor")
    loader.engine = schema.engine(pooled.url(), "4711abc")
    loader.load("position", [position("A")])
    loader.engine.dispose()
    assert pooled.rows("select distinct firm_hash from control.ledger") == [{"firm_hash": "4711abc"}]
