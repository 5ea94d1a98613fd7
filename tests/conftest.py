"""A firm for tests: a real PostgreSQL, a real sandbox over HTTP, and the flow between them."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
import sqlalchemy as sa

from include import business_dates
from include.connection import Connection
from include.contract import AccessPoint, Impersonation, Vendor
from include.control.ledger import Counts
from include.extract.login import LoginContext, log_in
from include.firm import content
from include.keys.keyring import Keyring
from include.pipeline import vendor_day
from include.pipeline.run import Run, Site, VendorRun
from include.staging.partitions import Partition, Staging
from include.vendors import VENDORS, named
from include.warehouse import schema
from local.postgres import Postgres
from tests.firm_keys import KEYRING
from tests.running_sandbox import LAST, NOW, PACE, Sandbox, closes_at_night, run_sandbox

# gRPC's handlers of a fork may crash a child before it becomes the program that it starts.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

PASSWORDS = dict.fromkeys(schema.ROLES, "only-for-tests")
# A firm runs these tests beside its own folder, whose changes must not change what they test: see `tests/firm/test_goldens.py`.
FIRM = content.find_folder()
os.environ[content.VARIABLE] = str(FIRM / "none")


@dataclass(frozen=True)
class Database:
    """A migrated database of the test's own, as each of its roles."""

    admin_url: str

    def url(self, role: str = "tributary_load") -> str:
        return f"postgresql://{role}:{PASSWORDS[role]}@{self.admin_url.rsplit('@', 1)[1]}"

    @cached_property
    def _engine(self) -> sa.Engine:
        return schema.engine(self.admin_url)

    def close(self) -> None:
        """Close all connections: a template database may have none."""
        self._engine.dispose()

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with self._engine.begin() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]

    def value(self, query: str, **values: Any) -> Any:
        [row] = self.rows(query, **values)
        [value] = row.values()
        return value

    def do(self, statement: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.text(statement), values)


def create_database(server: Postgres, name: str) -> Database:
    """A migrated database of a server."""
    server.create_database(name)
    database = Database(server.url(name))
    schema.create_roles(database.admin_url, PASSWORDS)
    schema.migrate(database.url("tributary_migrate"))
    return database


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests, with a migrated database as the template of each test's own."""
    with Postgres.temporary() as server:
        create_database(server, "template_tributary")
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Postgres]:
    """A durable server of the test's own, whose files it may search."""
    server = Postgres.start(tmp_path / "server")
    yield server
    server.remove()


@contextlib.contextmanager
def new_database(postgres: Postgres, template: str = "template_tributary", name: str = "") -> Iterator[Database]:
    """A copy of a template database without connections (a fresh, migrated one); dropped at the end."""
    name = name or f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template {template} strategy file_copy")  # type: ignore[arg-type]
        database = Database(postgres.url(name))
        try:
            yield database
        finally:
            database.close()
            connection.execute(f"drop database {name} with (force)")  # type: ignore[arg-type]


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """A database of the test's own."""
    with new_database(postgres) as new:
        yield new


@pytest.fixture
def engine(database: Database) -> Iterator[sa.Engine]:
    """The test's own database, as the loading role."""
    opened = schema.engine(database.url())
    yield opened
    opened.dispose()


@pytest.fixture(scope="module")
def shared_database(postgres: Postgres) -> Iterator[Database]:
    """A database that the module's tests share."""
    with new_database(postgres) as new:
        yield new


@pytest.fixture(scope="session")
def airflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an Airflow's empty database is kept, once there is one: for all processes of this run of the tests."""
    base = tmp_path_factory.getbasetemp()
    kept = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "airflow_database"
    kept.mkdir(exist_ok=True)
    return kept


class Firm:
    """A vendor's sandbox, a database and a staging folder: runs days as the DAG does, step by step."""

    def __init__(
        self, vendor: Vendor, sandbox: Sandbox, database: Database, folder: Path, now: datetime = NOW, runs: int = 0
    ) -> None:
        self.vendor, self.sandbox, self.database, self.folder = vendor, sandbox, database, folder
        self.engine = schema.engine(database.url())
        self.now, self._runs = now, runs
        self._started = time.monotonic()
        self.use(KEYRING)
        self.connection = connect(sandbox, vendor)
        self._close()

    def use(self, keyring: Keyring) -> None:
        """Exchange the keyring, as a task that starts after a rotation does."""
        staging = Staging(str(self.folder / "staging"), keyring.staging, redactor=keyring.redactor)
        self.site = Site(self.engine, staging, keyring, self.clock, PACE)

    def clock(self) -> datetime:
        """Return the sandbox's time, which runs on. A test that sets the sandbox's clock must also set `now`."""
        return self.now + timedelta(seconds=time.monotonic() - self._started)

    def turn_to(self, now: datetime) -> None:
        """Sets the sandbox's clock and ours."""
        self.now = now
        self._started = time.monotonic()
        self.sandbox.admin("clock", now=now.isoformat())
        self._close()

    def _close(self) -> None:
        """Close the last closed trading day at a vendor that would close it only in the night."""
        if closes_at_night(self.vendor.name):
            self.sandbox.admin(f"{self.vendor.name}/closed_through", date=str(business_dates.latest_closed(self.now)))

    def new_run(self, day: date = LAST, **options: Any) -> Run:
        self._runs += 1
        return Run(f"run-{self._runs}", day, business_dates.previous(day), **options)

    def vendor_run(self, run: Run) -> VendorRun:
        return VendorRun(self.site, self.vendor, self.connection, run)

    def stage(self, run: Run, *tables: str) -> dict[str, Partition]:
        is_past = business_dates.is_past(run.business_date, self.clock())
        wanted = tables or [t.name for t in self.vendor.requested_tables if (t.states_past or not is_past)]
        in_order = [name for stage in self.vendor.stages for name in stage if name in wanted]
        return {name: vendor_day.stage(self.vendor_run(run), name) for name in in_order}

    def publish(self, run: Run, partitions: dict[str, Partition]) -> dict[str, Counts]:
        for partition in partitions.values():
            vendor_day.transform(self.vendor_run(run), partition)
        loaded, _ = vendor_day.publish(self.vendor_run(run), list(partitions.values()))
        return {entity: counts for table in loaded.values() for entity, counts in table.items()}

    def day(self, day: date = LAST, *tables: str, **options: Any) -> dict[str, Counts]:
        """Runs a whole day; returns the counts of its loads by entity."""
        run = self.new_run(day, **options)
        partitions = self.stage(run, *tables)
        vendor_day.validate(self.vendor_run(run), list(partitions.values()))
        return self.publish(run, partitions)

    def held(self, day: date = LAST) -> dict[str, tuple[Decimal, Decimal]]:
        """Open positions of a day: quantity and money by the vendor's key."""
        return {
            row["position_key"]: (row["quantity"], row["market_value_usd"])
            for row in self.database.rows(
                "select * from warehouse.position where business_date = :day and recorded_to is null", day=day
            )
        }


def connect(sandbox: Sandbox, vendor: Vendor = named("orion"), **extra: str) -> Connection:  # noqa: B008
    """The connection to a vendor of a sandbox, with some entries of its extra exchanged."""
    known = sandbox.http.get("/_sandbox/connections").json()[vendor.name]
    return Connection(known["host"], known["login"], known["password"], known["extra"] | extra)


def place_of(vendor: Vendor, connection: Connection) -> str:
    """Path below which the vendor's tables are; one whose login tells it is asked."""
    if not isinstance(vendor.login, (AccessPoint, Impersonation)):
        return urlsplit(connection.url).path
    with requests.Session() as http:
        return urlsplit(log_in(vendor.login, LoginContext(http, connection, (5, 20))).url).path


HISTORIC = [vendor.name for vendor in VENDORS if any(table.states_past for table in vendor.tables)]
"""Vendors that can state a past day."""

HOLDING = [vendor.name for vendor in VENDORS if any(each.entity == "position" for each in vendor.maps)]
"""Those of them that say what is held."""

holding = pytest.mark.parametrize("vendor", HOLDING, indirect=True)


@pytest.fixture(params=[vendor.name for vendor in VENDORS])
def vendor(request: pytest.FixtureRequest) -> Vendor:
    """Every vendor in turn."""
    return named(request.param)


@dataclass(frozen=True)
class Snapshot:
    """A stopped firm: its database, which is a template, its folder, its time and its number of runs."""

    database: str
    folder: Path
    now: datetime
    runs: int


@pytest.fixture(scope="session")
def take_snapshot(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Snapshot]]:
    """Runs steps of a new firm once, for all tests of this process that start after them."""
    with contextlib.ExitStack() as databases:

        @cache
        def take(vendor: str, steps: Callable[[Firm], object], **options: Any) -> Snapshot:
            folder = tmp_path_factory.mktemp("snapshot")
            database = databases.enter_context(new_database(postgres))
            with run_sandbox(folder / "sandbox", **options) as sandbox:
                firm = Firm(named(vendor), sandbox, database, folder)
                steps(firm)
                firm.engine.dispose()
            database.close()
            return Snapshot(database.admin_url.rsplit("/", 1)[1], folder, firm.clock(), firm._runs)

        yield take


@pytest.fixture
def start_firm(
    tmp_path: Path,
    postgres: Postgres,
    request: pytest.FixtureRequest,
    take_snapshot: Callable[..., Snapshot],
) -> Iterator[Callable[..., Firm]]:
    """Starts a firm with a sandbox of the test's own, which it may edit.

    `after` are steps that the firm starts after: they run once in a process, and each test gets a copy. The sandbox keeps edits, but
    neither faults nor calls.
    """
    with contextlib.ExitStack() as running:

        def start(
            vendor: Vendor = named("orion"),  # noqa: B008
            after: Callable[[Firm], object] | None = None,
            **options: Any,
        ) -> Firm:
            if after is None:
                sandbox = running.enter_context(run_sandbox(tmp_path / "sandbox", **options))
                firm = Firm(vendor, sandbox, request.getfixturevalue("database"), tmp_path, options.get("now", NOW))
            else:
                snapshot = take_snapshot(vendor.name, after, **options)
                shutil.copytree(snapshot.folder, tmp_path, dirs_exist_ok=True)
                database = running.enter_context(new_database(postgres, snapshot.database))
                sandbox = running.enter_context(run_sandbox(tmp_path / "sandbox", **options, now=snapshot.now))
                firm = Firm(vendor, sandbox, database, tmp_path, now=snapshot.now, runs=snapshot.runs)
            running.callback(firm.engine.dispose)
            return firm

        yield start


@pytest.fixture
def loaded_firm(start_firm: Callable[..., Firm], vendor: Vendor) -> Firm:
    """A firm of 16 households whose last day is loaded, for every vendor in turn."""
    return start_firm(vendor, after=Firm.day)


@pytest.fixture
def firm(start_firm: Callable[..., Firm], vendor: Vendor) -> Firm:
    """A firm of 16 households, for every vendor in turn."""
    return start_firm(vendor)


def pytest_collection_finish() -> None:
    """Collect cycles rarely, and never among what was imported and collected, which lives as long as the process.

    Python looked for cycles 20 times a second, which took 7 % of the CPU of the tests.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `others_long` runs over the first vendor always, and over the others when there is time."""
    first = VENDORS[0].name
    for item in items:
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if item.get_closest_marker("others_long") and first not in params:
            item.add_marker(pytest.mark.long)
