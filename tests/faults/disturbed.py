"""A disturbed day of ten households, and the same day undisturbed: both must end in the same rows."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from include import business_dates
from include.connection import Connection
from include.contract import Vendor
from include.pipeline.run import Run
from local.postgres import Postgres
from local.warehouse_rows import DRAWN
from tests.conftest import Database, connect, new_database
from tests.faults.worker import Work, Worker, steps_of
from tests.running_sandbox import LAST, NOW, Sandbox
from tests.vendors.matter import matter_of

_NEVER_THE_SAME = DRAWN | {"computed_at", "requested_at", "measured_at"}


@dataclass
class Place:
    """A database at the start of a day, and its content after that day undisturbed (computed on first use)."""

    template: str
    run: Run
    undisturbed: dict[str, Counter[Any]] = field(default_factory=dict)


@dataclass
class World:
    """A sandbox of ten households with many corrections, and the places where a day can begin.

    Attributes:
        places: `first`: an empty warehouse. `again`: two days are loaded, and the last of them is pulled again after
            prices, trades, names and owners were corrected, so that every kind of row has something to merge.
    """

    vendor: Vendor
    server: Postgres
    sandbox: Sandbox
    folder: Path
    places: dict[str, Place] = field(default_factory=dict)

    def database(self, template: str, name: str = "") -> contextlib.AbstractContextManager[Database]:
        return new_database(self.server, template, name)

    def undisturbed(self, place: Place) -> dict[str, Counter[Any]]:
        """Return the warehouse's content after the undisturbed day of a place."""
        if not place.undisturbed:
            with self.database(place.template) as database:
                finish(self.work(database, place.run))
                self.check_facts(database)
                place.undisturbed = contents(database, self.vendor)
        return place.undisturbed

    def work(self, database: Database, run: Run, now: datetime = NOW + timedelta(hours=1)) -> Work:
        """Build a day's work; `now` defaults to a time after the template's days."""
        staging = self.folder / database.admin_url.rsplit("/", 1)[1]
        connection, rows = self.connect_anew(), matter_of(self.vendor.name).rows
        steps = steps_of(self.vendor)
        return Work(database.url(), str(staging), connection, run, steps, {}, self.vendor.name, now, rows, rows)

    def connect_anew(self) -> Connection:
        """Connect with new grants, because one-time tokens were spent by the work of another database."""
        connection = connect(self.sandbox, self.vendor)
        if "grants" not in connection.extra:
            return connection
        grants = {
            name: self.sandbox.admin(f"{self.vendor.name}/connect", advisor_user_id=int(name))["refresh_token"]
            for name in json.loads(connection.extra["grants"])
        }
        return replace(connection, extra=connection.extra | {"grants": json.dumps(grants)})

    def check_facts(self, database: Database) -> None:
        """Check open rows against the vendor (Orion only; the undisturbed tests compare the others)."""
        if self.vendor.name == "orion":
            check_facts(database, self.sandbox)


@dataclass
class Day:
    """One test's own database, at the start of a day."""

    world: World
    place: Place
    database: Database

    @property
    def work(self) -> Work:
        return self.world.work(self.database, self.place.run)

    def check(self) -> None:
        """Check that the day equals the undisturbed one."""
        self.world.check_facts(self.database)
        check_ledger(self.database, self.world.vendor, self.place.run.run_id)
        if self.world.vendor.name == "orion":
            check_dead_letters(self.database)
        assert contents(self.database, self.world.vendor) == self.world.undisturbed(self.place)


def new_run(run_id: str, day: date) -> Run:
    return Run(run_id, day, business_dates.previous(day))


def finish(work: Work) -> Worker:
    """Run the work in a new process, to the end."""
    with Worker(work) as worker:
        assert worker.finish() == 0, worker.error
        assert worker.done == list(work.steps)
    return worker


def spoil(sandbox: Sandbox) -> None:
    """Make one row unreadable, and one that the suite rejects."""
    unreadable, refused = [row["id"] for row in sandbox.rows("Portfolio/Assets")[5:7]]
    sandbox.admin("orion/set_fields", table="assets", id=unreadable, set={"currentShares": "many"})
    sandbox.admin("orion/set_fields", table="assets", id=refused, set={"currentPrice": -1})


def contents(database: Database, vendor: Vendor) -> dict[str, Counter[Any]]:
    """Read every warehouse row by table: keys for surrogate ids, runs for ledger ids, and whether it is closed."""
    keys = {row["id"]: row["source_key"] for row in database.rows("select * from warehouse.source_key")}
    runs = {row["ledger_id"]: row["run_id"] for row in database.rows("select * from control.ledger")}

    def plain(row: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        ids = {name: keys[value] for name, value in row.items() if name.endswith("_id") and value and value in keys}
        ledger_fields = {"source_run_id": runs[row["source_run_id"]], "recorded_to": row["recorded_to"] is not None}
        return tuple(
            (row | ids | ledger_fields | dict.fromkeys({"recorded_from"} | (_NEVER_THE_SAME & row.keys()))).items()
        )

    entities = {entity_map.entity for entity_map in vendor.maps}
    return {name: Counter(map(plain, database.rows(f"select * from warehouse.{name}"))) for name in sorted(entities)}


def check_facts(database: Database, sandbox: Sandbox) -> None:
    """Check open rows against the vendor, row by row."""
    assets = sandbox.rows("Portfolio/Assets", asOfDate=str(LAST))
    dead = {row["row_key"] for row in database.rows("select row_key from control.dead_letter where status = 'open'")}
    assert len(dead) == 2
    assert read_open(database, "position", "quantity", f"business_date = '{LAST}'") == {
        str(row["id"]): row["currentShares"] for row in assets if str(row["id"]) not in dead
    }
    assert read_open(database, "transaction", "abs(amount_usd)") == {
        str(row["id"]): abs(row["transAmount"]) for row in sandbox.rows("Portfolio/Transactions")
    }
    assert read_open(database, "account_value", "market_value_usd", f"business_date = '{LAST}'") == {
        str(row["id"]): row["currentValue"] for row in sandbox.rows("Portfolio/Accounts")
    }
    assert read_open(database, "household", "name", "valid_to is null") == {
        str(row["id"]): row["name"] for row in sandbox.rows("Portfolio/Clients")
    }


def read_open(database: Database, entity: str, value: str, where: str = "true") -> dict[str, Any]:
    """Read open rows by key, one per key."""
    rows = database.rows(
        f"select {entity}_key as key, {value} as value from warehouse.{entity} where recorded_to is null and {where}"
    )
    by_key = {row["key"]: row["value"] for row in rows}
    assert len(by_key) == len(rows)
    return by_key


def check_ledger(database: Database, vendor: Vendor, run_id: str) -> None:
    """Check that every ledger row balances and that the run loaded each entity once."""
    rows = database.rows("select * from control.ledger")
    for row in rows:
        sides = {
            "stage": (row["fetched"], row["staged"] + row["duplicate"] + row["dead"]),
            "validate": (row["staged"], row["produced"] + row["dead"]),
            "transform": (row["staged"] + row["split"], row["produced"] + row["merged"] + row["dropped"]),
            "load": (row["produced"], sum(row[n] for n in ("inserted", "updated", "unchanged", "superseded", "dead"))),
        }[row["stage"]]
        assert sides[0] == sides[1], row
        assert row["money_in"] == row["money_out"], row
    loads = Counter((row["entity"], row["run_id"]) for row in rows if row["stage"] == "load")
    requested = {table.name for table in vendor.requested_tables}
    maps = Counter(entity_map.entity for entity_map in vendor.maps if entity_map.table in requested)
    assert {entity: n for (entity, run), n in loads.items() if run == run_id} == maps
    assert {(entity, n) for (entity, _), n in loads.items()} == set(maps.items())


def check_dead_letters(database: Database) -> None:
    """Check that each of the two bad rows has one open dead letter, in the loaded partition."""
    dead_letters = database.rows(
        """
        select d.stage, d.row_key, d.run_id, exists (select from control.ledger l where l.stage = 'load'
               and l.run_id = d.run_id and d.partition like '%/' || l.pull_id) as is_loaded
        from control.dead_letter d where status = 'open' and business_date = :day order by 1
    """,
        day=LAST,
    )
    assert [(each["stage"], each["is_loaded"]) for each in dead_letters] == [("stage", True), ("validate", True)]
    assert dead_letters[0]["row_key"] != dead_letters[1]["row_key"]
