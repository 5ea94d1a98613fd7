"""A firm whose day is in the warehouse, and an empty org."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
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
from tests.running_sandbox import LAST, Sandbox, run_sandbox

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


@pytest.fixture(scope="session")
def loaded(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with a loaded day of six households: the template for each test's own."""
    name = "template_loaded"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template template_tributary")  # type: ignore[arg-type]
    folder = tmp_path_factory.mktemp("loaded")
    with run_sandbox(folder / "sandbox", households=6) as sandbox:
        firm = Firm(named("orion"), sandbox, Database(postgres.url(name)), folder)
        firm.day()
        firm.engine.dispose()
        firm.database.close()
    return name


@pytest.fixture
def database(postgres: Postgres, loaded: str) -> Iterator[Database]:
    """A database of the test's own with that day."""
    with new_database(postgres, loaded) as database:
        yield database


@pytest.fixture
def crm(database: Database, tmp_path: Path) -> Iterator[Crm]:
    """The loaded day, and an org of the test's own."""
    with run_sandbox(tmp_path / "sandbox", households=6) as sandbox:
        crm = Crm(database, sandbox, tmp_path / "work")
        yield crm
        crm.engine.dispose()
