"""A firm whose day is in the warehouse, and an empty org."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
import sqlalchemy as sa

from include.connection import Connection
from include.control.ledger import Counts
from include.crm.run import Org, SyncRun
from include.crm.settings import Settings
from include.crm.sync import load
from include.crm.sync.load import Scope
from include.vendors import named
from include.warehouse import schema
from local.postgres import Postgres
from tests.conftest import Database, Firm, new_database
from tests.running_sandbox import LAST, NOW, Sandbox, run_sandbox

DATA = "/services/data/v66.0"
API = f"/salesforce{DATA}"
"""The route's name in the sandbox's faults and counts."""
INGEST = f"{API}/jobs/ingest"
ACCOUNTS = "FinServ__FinancialAccount__c"
HOLDINGS = "FinServ__FinancialHolding__c"
SECURITIES = "FinServ__Securities__c"
SECRET = "only-for-tests"


KEY_FIELD = "Tributary_Key__c"
# Every object by bulk jobs, without approval, as most tests need. Collections and approvals have tests of their own.
BULK = Settings("sample", most_collected=0, few=1_000_000)


@dataclass
class Crm:
    """The loader's connection to an org, a user's, and the database that it is loaded from."""

    database: Database
    sandbox: Sandbox
    work: Path
    connection: Connection = field(init=False)
    engine: sa.Engine = field(init=False)
    settings: Settings = BULK
    _runs: int = 0

    def __post_init__(self) -> None:
        self.http = self.sandbox.http
        consumer = {"client_id": "tributary", "client_secret": SECRET, "username": "load@tributary.example"}
        assert self.http.post("/salesforce/_admin/consumers", json=consumer).status_code == 201
        self.connection = Connection(self.sandbox.org_url, "tributary", SECRET, {"grant": "client_credentials"})
        self.engine = schema.engine(self.database.url())

    @property
    def org(self) -> Org:
        """The org, with the current settings."""
        return Org(self.engine, self.connection, self.settings)

    def sync(
        self,
        run_id: str = "",
        business_date: date = LAST,
        settings: Settings | None = None,
        patience_s: float = 120.0,
        **scope: Any,
    ) -> dict[str, Counts]:
        self._runs += 1
        org, run = (
            replace(self.org, settings=settings or self.settings),
            SyncRun(run_id or f"crm-{self._runs}", business_date),
        )
        return load.sync(org, run, self.work, Scope(**scope), patience_s=patience_s)

    def sent(self) -> dict[str, int]:
        """Sync; return the rows sent by entity, if any."""
        return {entity: counts.sent for entity, counts in self.sync().items() if counts.sent}

    def records(self, sobject: str, entity: str = "") -> dict[str, dict[str, Any]]:
        """Read the org's records by our key."""
        lines = self.http.get(f"/salesforce/_admin/records/{sobject}").content.splitlines()
        by_key = {record[KEY_FIELD]: record for record in map(orjson.loads, lines)}
        assert len(by_key) == len(lines)
        return {key: record for key, record in by_key.items() if not entity or f":{entity}:" in key}

    def memberships(self) -> dict[str, bool]:
        """Return whether each person that we sent as a member of a household is an active one, by the person's key."""
        lines = self.http.get("/salesforce/_admin/records/AccountContactRelation").content.splitlines()
        records = [record for record in map(orjson.loads, lines) if record.get(KEY_FIELD)]
        return {record[KEY_FIELD].split(":")[3]: record["IsActive"] for record in records}

    def fault(self, kind: str, route: str = "*", **options: Any) -> None:
        response = self.http.post("/_sandbox/faults", json={"route": route, "kind": kind, **options})
        assert response.status_code == 200, response.text

    def no_faults(self) -> None:
        self.http.delete("/_sandbox/faults")

    def log_in(self) -> None:
        """Log the sandbox's `org` in to Salesforce's own API."""
        form = {"grant_type": "client_credentials", "client_id": "tributary", "client_secret": SECRET}
        token = self.sandbox.org.post("/services/oauth2/token", data=form).json()["access_token"]
        self.sandbox.org.headers["Authorization"] = f"Bearer {token}"

    def dead_letters(self, status: str = "open") -> list[dict[str, Any]]:
        return self.database.rows(
            "select * from control.dead_letter where stage = 'crm' and status = :status order by 1", status=status
        )

    def one_position(self) -> dict[str, Any]:
        """Return the first position that belongs in the org."""
        [row] = self.database.rows("""
            select p.* from warehouse.position p join warehouse.account a on a.account_id = p.account_id
            where a.is_counted and p.price_usd > 2 order by p.position_key limit 1
        """)
        return row


@dataclass(frozen=True)
class Start:
    """What a test starts from: a database, which is a template, a folder with the sandbox's state, its time, and its number of syncs."""

    database: str
    folder: Path
    now: datetime = NOW
    syncs: int = 0


@pytest.fixture(scope="session")
def loaded(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """A loaded day of six households, and an empty org."""
    name = "template_loaded"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template template_tributary")  # type: ignore[arg-type]
    folder = tmp_path_factory.mktemp("loaded")
    with run_sandbox(folder / "sandbox", households=6) as sandbox:
        firm = Firm(named("orion"), sandbox, Database(postgres.url(name)), folder)
        firm.day()
        firm.engine.dispose()
        firm.database.do("analyze")  # as the server does by itself in time
        firm.database.close()
    return Start(name, tmp_path_factory.mktemp("empty_org"))


@pytest.fixture(scope="session")
def synced(postgres: Postgres, loaded: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """That day, and an org that holds it."""
    folder, started = tmp_path_factory.mktemp("synced"), time.monotonic()
    with new_database(postgres, loaded.database) as database:
        with run_crm(database, folder, loaded) as crm:
            crm.sync()
        database.do("analyze")
        database.close()
        passed = timedelta(seconds=time.monotonic() - started)
        yield Start(database.admin_url.rsplit("/", 1)[1], folder / "sandbox", NOW + passed, syncs=1)


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Start:
    """What the test starts from: an empty org, or with the mark `synced` one that holds the day."""
    name = "synced" if request.node.get_closest_marker("synced") else "loaded"
    start: Start = request.getfixturevalue(name)
    return start


@pytest.fixture
def database(postgres: Postgres, start: Start) -> Iterator[Database]:
    """A database of the test's own with that day."""
    with new_database(postgres, start.database) as database:
        yield database


@contextlib.contextmanager
def run_crm(database: Database, folder: Path, start: Start, **options: Any) -> Iterator[Crm]:
    """Run an org of the test's own."""
    shutil.copytree(start.folder, folder / "sandbox")
    with run_sandbox(folder / "sandbox", households=6, now=start.now, **options) as sandbox:
        crm = Crm(database, sandbox, folder / "work", _runs=start.syncs)
        yield crm
        crm.engine.dispose()


@pytest.fixture
def crm(database: Database, tmp_path: Path, start: Start) -> Iterator[Crm]:
    """The loaded day, and an org of the test's own: empty, or with the mark `synced` after a first sync of everything."""
    with run_crm(database, tmp_path, start) as crm:
        yield crm
