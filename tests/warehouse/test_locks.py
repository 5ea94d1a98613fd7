"""A load does not wait for readers, and a lock timeout names the holder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import psycopg
import pytest
import sqlalchemy as sa

from include.errors import ConfigurationError, TargetUnavailable
from include.warehouse import schema
from tests.conftest import PASSWORDS, Database
from tests.warehouse.loading import Loader, position

READ, LOAD = "tributary_read", "tributary_load"
SMALL = ("tributary_read", "tributary_listener", "tributary_gateway", "tributary_api")
LIMITED = (*SMALL, "tributary_web")


@pytest.fixture
def impatient(database: Database) -> Iterator[sa.Engine]:
    """An engine of the loading role with a lock timeout of 200 ms."""
    engine = schema.engine(database.url())
    sa.event.listen(engine, "connect", lambda connection, _: _shorten(connection))
    yield engine
    engine.dispose()


def _shorten(connection: psycopg.Connection) -> None:
    connection.execute("set lock_timeout = '200ms'")
    connection.commit()


def is_there(database: Database, first: date) -> bool:
    return bool(database.value("select to_regclass(:name) is not null", name=f"warehouse.position_{first:%Y_%m}"))


@pytest.fixture(scope="module")
def limited(warehouse: Database) -> Database:
    """A warehouse whose roles have their rights, which a copied database lacks."""
    schema.create_roles(warehouse.admin_url, PASSWORDS)
    return warehouse


def coming_months(count: int) -> list[date]:
    today = datetime.now(UTC).date()
    months = [today.year * 12 + today.month - 1 + each for each in range(count)]
    return [date(month // 12, month % 12 + 1, 1) for month in months]


def test_the_first_load_of_a_month_does_not_wait_for_an_idle_reader(new_loader: Callable[[], Loader]) -> None:
    loader = new_loader()
    day = date(2019, 7, 31)
    with psycopg.connect(loader.database.url(READ), options="-c idle_in_transaction_session_timeout=0") as reader:
        reader.execute("select count(*) from warehouse.position").fetchone()
        loader.load("position", [position("p1")], day=day)
        assert reader.execute("select count(*) from warehouse.position where business_date = %s", [day]).fetchone() == (
            1,
        )
    assert is_there(loader.database, date(2019, 7, 1))


def test_the_months_to_come_are_there_from_the_start(database: Database) -> None:
    assert [is_there(database, first) for first in coming_months(3)] == [True] * 3


def test_a_load_adds_the_months_to_come(database: Database) -> None:
    last = coming_months(3)[-1]
    database.do(f"drop table warehouse.position_{last:%Y_%m}")
    with psycopg.connect(database.url(LOAD)) as connection:
        connection.execute("select warehouse.ensure_month(current_date)")
    assert is_there(database, last)


def test_a_month_to_come_that_would_have_to_wait_for_a_lock_is_left_for_later(database: Database) -> None:
    last = coming_months(3)[-1]
    database.do(f"drop table warehouse.position_{last:%Y_%m}")
    with psycopg.connect(database.admin_url) as other, psycopg.connect(database.url(LOAD)) as loading:
        other.execute("lock table warehouse.position in share update exclusive mode")
        loading.execute("set lock_timeout = '7s'")
        loading.execute("select warehouse.ensure_month(current_date)")
        assert loading.execute("show lock_timeout").fetchone() == ("7s",)
    assert not is_there(database, last)


def test_loads_of_a_month_that_is_there_do_not_wait_for_each_other(database: Database, impatient: sa.Engine) -> None:
    ensure = "select warehouse.ensure_month(current_date)"
    with psycopg.connect(database.url(LOAD)) as first, impatient.begin() as second:
        first.execute(ensure)
        second.execute(sa.text(ensure))


def test_loads_that_begin_a_month_at_the_same_time_create_it_once(database: Database) -> None:
    ensure = "select warehouse.ensure_month('2019-03-07')"
    with psycopg.connect(database.url(LOAD)) as first, psycopg.connect(database.url(LOAD)) as second:
        first.execute(ensure)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(second.execute, ensure)
            waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            while not database.value(waits) and not waiting.done():
                time.sleep(0.01)
            first.commit()
            waiting.result()
        second.commit()
    assert is_there(database, date(2019, 3, 1))


def test_an_error_of_a_lock_names_who_holds_it_and_since_when(database: Database, impatient: sa.Engine) -> None:
    options = {"application_name": "An analyst's tool", "options": "-c timezone=UTC"}
    rename = sa.text("update warehouse.account set name = 'An Invented Name'")
    with psycopg.connect(database.admin_url, **options) as holder:  # type: ignore[arg-type]
        holder.execute("lock table warehouse.account in share mode")
        [since] = holder.execute("select to_char(now(), 'YYYY-MM-DD HH24:MI:SS')").fetchone() or [""]
        expected = (
            f"pid {holder.info.backend_pid}, role postgres, application An analyst's tool, idle in transaction"
            f" since {since} UTC, ShareLock on account"
        )
        with pytest.raises(TargetUnavailable) as caught, impatient.begin() as connection:
            connection.execute(rename)
    assert caught.value.facts == {"cause": "LockNotAvailable", "lock_holders": expected}


def test_a_holder_of_a_month_alone_is_also_named(database: Database, impatient: sa.Engine) -> None:
    first = coming_months(1)[0]
    with psycopg.connect(database.admin_url) as holder:
        holder.execute(f"lock table warehouse.position_{first:%Y_%m}")  # type: ignore[call-overload]
        with pytest.raises(
            TargetUnavailable, match=f"pid {holder.info.backend_pid}, .*AccessExclusiveLock on position_"
        ):
            impatient.connect().execute(sa.text("select count(*) from warehouse.position"))


def test_a_lock_without_a_table_names_who_holds_one(database: Database, impatient: sa.Engine) -> None:
    with psycopg.connect(database.url(LOAD)) as holder:
        holder.execute("select pg_advisory_xact_lock(7)")
        with (
            pytest.raises(
                TargetUnavailable, match=f"pid {holder.info.backend_pid}, role tributary_load, .*ExclusiveLock"
            ),
            impatient.connect() as connection,
        ):
            connection.execute(sa.text("select pg_advisory_xact_lock(7)"))


def test_sessions_of_readers_end_their_forgotten_transactions(database: Database) -> None:
    def show(role: str, setting: str) -> str:
        with psycopg.connect(database.url(role)) as connection:
            return str((connection.execute(f"show {setting}").fetchone() or [""])[0])  # type: ignore[call-overload]

    assert {role: show(role, "idle_in_transaction_session_timeout") for role in schema.ROLES} == {
        "tributary_migrate": "0", "tributary_load": "0",
        "tributary_read": "10min", "tributary_listener": "10min", "tributary_gateway": "10min", "tributary_api": "10min", "tributary_web": "10min",
        "tributary_values": "10min", "tributary_analyst": "10min",
    }  # fmt: skip
    assert {role: show(role, "statement_timeout") for role in LIMITED} == {
        "tributary_read": "30min", "tributary_listener": "5min", "tributary_gateway": "5min", "tributary_api": "5min",
        "tributary_web": "5min",
    }  # fmt: skip
    assert {show(role, "lock_timeout") for role in LIMITED} == {"1min"}


def test_an_endless_statement_of_a_reader_ends(limited: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {role: ("200ms", connections) for role, (_, connections) in schema._SMALL_ROLES.items()}
    with monkeypatch.context() as patched:
        patched.setattr(schema, "_SMALL_ROLES", limits)
        schema.create_roles(limited.admin_url, PASSWORDS)
    try:
        with psycopg.connect(limited.url(READ)) as reader, pytest.raises(psycopg.errors.QueryCanceled):
            reader.execute("select count(*) from generate_series(1, 1000000000000)")
    finally:
        schema.create_roles(limited.admin_url, PASSWORDS)


def test_a_small_role_can_not_use_up_the_connections(limited: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {role: (patience, 1) for role, (patience, _) in schema._SMALL_ROLES.items()}
    with monkeypatch.context() as patched:
        patched.setattr(schema, "_SMALL_ROLES", limits)
        schema.create_roles(limited.admin_url, PASSWORDS)
    try:
        with (
            psycopg.connect(limited.url(READ)),
            pytest.raises(psycopg.OperationalError, match="too many connections for role"),
        ):
            psycopg.connect(limited.url(READ))
    finally:
        schema.create_roles(limited.admin_url, PASSWORDS)


EXCLUSIVE = (
    "pg_advisory_lock(1)", "pg_advisory_lock(7421, 1)", "pg_advisory_lock_shared(1)", "pg_advisory_lock_shared(7421, 1)",
    "pg_try_advisory_lock(hashtext('identity'))", "pg_try_advisory_lock_shared(1, 2)", "pg_advisory_xact_lock(1)",
    "pg_advisory_xact_lock_shared(1)", "pg_try_advisory_xact_lock(1, 2)", "pg_try_advisory_xact_lock_shared(1)",
    "lo_create(0)", "lo_creat(1)", "lo_from_bytea(0, 'x')", "lo_open(1, 1)", "lo_put(1, 0, 'x')", "lo_unlink(1)",
)  # fmt: skip


@pytest.mark.parametrize("role", SMALL)
def test_a_small_role_takes_no_advisory_lock_and_writes_no_large_object(limited: Database, role: str) -> None:
    with psycopg.connect(limited.url(role), autocommit=True) as connection:
        for call in EXCLUSIVE:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select {call}")  # type: ignore[call-overload]


@pytest.mark.parametrize("role", [LOAD, "tributary_migrate", "tributary_web"])
def test_a_load_a_migration_and_a_decision_take_advisory_locks(limited: Database, role: str) -> None:
    with psycopg.connect(limited.url(role)) as connection:
        connection.execute("select pg_advisory_xact_lock(1), pg_advisory_lock_shared(7421, 1)")
        assert connection.execute("select pg_try_advisory_lock(7422, 1)").fetchone() == (True,)


@pytest.mark.parametrize("version", [90_624, 170_009])
def test_an_older_server_is_rejected_with_a_reason(version: int) -> None:
    with pytest.raises(ConfigurationError, match=r"needs PostgreSQL 18 or newer; upgrade the server \[server_version="):
        schema.require_version(version)


def test_a_server_of_this_version_or_a_newer_one_is_not_refused() -> None:
    schema.require_version(180_000)
    schema.require_version(190_001)


def test_every_first_use_of_a_server_checks_its_version(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "OLDEST_SERVER", 99)
    with pytest.raises(ConfigurationError, match="PostgreSQL 99"):
        schema.migrate(database.url("tributary_migrate"))
    with pytest.raises(ConfigurationError, match="PostgreSQL 99"):
        schema.create_roles(database.admin_url, {})
    with pytest.raises(ConfigurationError, match="PostgreSQL 99"):
        schema.engine(database.url()).connect()
