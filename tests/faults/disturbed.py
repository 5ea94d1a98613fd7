"""A day of ten households that is disturbed, and the same day that nobody disturbs: they must end in the same rows."""

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
from tests.conftest import Database, connect, new_database
from tests.faults.worker import Work, Worker, steps_of
from tests.running_sandbox import LAST, NOW, Sandbox
from tests.vendors.matter import matter_of

DRAWN = {"probability_ratio", "probability_text", "shortfall_year", "shortfall_usd", "funded_ratio"}
"""What a vendor computes anew for every call, and so never quite the same; and the time of the call."""
_NEVER_THE_SAME = DRAWN | {"computed_at", "requested_at", "measured_at"}


@dataclass
class Place:
    """A database at the start of a day, and what it holds after that day if nobody disturbs it (none yet: not asked)."""

    template: str
    run: Run
    undisturbed: dict[str, Counter[Any]] = field(default_factory=dict)


@dataclass
class World:
    """A sandbox of ten households in which much was corrected, and the places where a day can begin.

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
        """What the warehouse holds after the day of a place if nobody disturbs it."""
        if not place.undisturbed:
            with self.database(place.template) as database:
                finish(self.work(database, place.run))
                self.check_facts(database)
                place.undisturbed = contents(database, self.vendor)
        return place.undisturbed

    def work(self, database: Database, run: Run, now: datetime = NOW + timedelta(hours=1)) -> Work:
        """A day's work; without `now`, after the days that the template holds."""
        staging = self.folder / database.admin_url.rsplit("/", 1)[1]
        connection, rows = self.connect_anew(), matter_of(self.vendor.name).rows
        steps = steps_of(self.vendor)
        return Work(database.url(), str(staging), connection, run, steps, {}, self.vendor.name, now, rows, rows)

    def connect_anew(self) -> Connection:
        """The connection of a database that knows no token: one that works once was spent by the work of another database."""
        connection = connect(self.sandbox, self.vendor)
        if "grants" not in connection.extra:
            return connection
        grants = {
            name: self.sandbox.admin(f"{self.vendor.name}/connect", advisor_user_id=int(name))["refresh_token"]
            for name in json.loads(connection.extra["grants"])
        }
        return replace(connection, extra=connection.extra | {"grants": json.dumps(grants)})

    def check_facts(self, database: Database) -> None:
        """Open rows are what the vendor states; other vendors than this one are compared where nothing is disturbed."""
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
        """The day is as if nobody had disturbed it."""
        self.world.check_facts(self.database)
        check_ledger(self.database, self.world.vendor, self.place.run.run_id)
        if self.world.vendor.name == "orion":
            check_dead_letters(self.database)
        assert contents(self.database, self.world.vendor) == self.world.undisturbed(self.place)


def new_run(run_id: str, day: date) -> Run:
    return Run(run_id, day, business_dates.previous(day))


def finish(work: Work) -> Worker:
    """Does the work in a new process, to the end."""
    with Worker(work) as worker:
        assert worker.finish() == 0, worker.error
        assert worker.done == list(work.steps)
    return worker


def spoil(sandbox: Sandbox) -> None:
    """One row that can't be read, and one that the suite refuses."""
    unreadable, refused = [row["id"] for row in sandbox.rows("Portfolio/Assets")[5:7]]
    sandbox.admin("orion/set_fields", table="assets", id=unreadable, set={"currentShares": "many"})
    sandbox.admin("orion/set_fields", table="assets", id=refused, set={"currentPrice": -1})


def contents(database: Database, vendor: Vendor) -> dict[str, Counter[Any]]:
    """Every row of the warehouse by table: keys for surrogate ids, runs for ledger ids, and whether it is closed."""
    keys = {row["id"]: row["source_key"] for row in database.rows("select * from warehouse.source_key")}
    runs = {row["ledger_id"]: row["run_id"] for row in database.rows("select * from control.ledger")}

    def plain(row: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
        ids = {name: keys[value] for name, value in row.items() if name.endswith("_id") and value and value in keys}
        told = {"source_run_id": runs[row["source_run_id"]], "recorded_to": row["recorded_to"] is not None}
        return tuple((row | ids | told | dict.fromkeys({"recorded_from"} | (_NEVER_THE_SAME & row.keys()))).items())

    entities = {entity_map.entity for entity_map in vendor.maps}
    return {name: Counter(map(plain, database.rows(f"select * from warehouse.{name}"))) for name in sorted(entities)}


def check_facts(database: Database, sandbox: Sandbox) -> None:
    """Open rows are what the vendor states, row by row."""
    assets = sandbox.rows("Portfolio/Assets", asOfDate=str(LAST))
    dead = {row["row_key"] for row in database.rows("select row_key from control.dead_letter where status = 'open'")}
    assert len(dead) == 2
    assert opened(database, "position", "quantity", f"business_date = '{LAST}'") == {
        str(row["id"]): row["currentShares"] for row in assets if str(row["id"]) not in dead
    }
    assert opened(database, "transaction", "abs(amount_usd)") == {
        str(row["id"]): abs(row["transAmount"]) for row in sandbox.rows("Portfolio/Transactions")
    }
    assert opened(database, "account_value", "market_value_usd", f"business_date = '{LAST}'") == {
        str(row["id"]): row["currentValue"] for row in sandbox.rows("Portfolio/Accounts")
    }
    assert opened(database, "household", "name", "valid_to is null") == {
        str(row["id"]): row["name"] for row in sandbox.rows("Portfolio/Clients")
    }


def opened(database: Database, entity: str, value: str, where: str = "true") -> dict[str, Any]:
    """Open rows by key; there is one a key."""
    rows = database.rows(
        f"select {entity}_key as key, {value} as value from warehouse.{entity} where recorded_to is null and {where}"
    )
    found = {row["key"]: row["value"] for row in rows}
    assert len(found) == len(rows)
    return found


def check_ledger(database: Database, vendor: Vendor, run_id: str) -> None:
    """Every row balances, and the run loaded each entity once; every warehouse row is some load's."""
    rows = database.rows("select * from control.ledger")
    for row in rows:
        given = {
            "stage": (row["fetched"], row["staged"] + row["duplicate"] + row["dead"]),
            "validate": (row["staged"], row["produced"] + row["dead"]),
            "transform": (row["staged"] + row["split"], row["produced"] + row["merged"] + row["dropped"]),
            "load": (row["produced"], sum(row[n] for n in ("inserted", "updated", "unchanged", "superseded", "dead"))),
        }[row["stage"]]
        assert given[0] == given[1], row
        assert row["money_in"] == row["money_out"], row
    loads = Counter((row["entity"], row["run_id"]) for row in rows if row["stage"] == "load")
    asked = {table.name for table in vendor.requested_tables}
    maps = Counter(entity_map.entity for entity_map in vendor.maps if entity_map.table in asked)
    assert {entity: n for (entity, run), n in loads.items() if run == run_id} == maps
    assert {(entity, n) for (entity, _), n in loads.items()} == set(maps.items())


def check_dead_letters(database: Database) -> None:
    """Each of the two bad rows has one open letter, in the partition that was loaded."""
    letters = database.rows(
        """
        select d.stage, d.row_key, d.run_id, exists (select from control.ledger l where l.stage = 'load'
               and l.run_id = d.run_id and d.partition like '%/' || l.pull_id) as is_loaded
        from control.dead_letter d where status = 'open' and business_date = :day order by 1
    """,
        day=LAST,
    )
    assert [(letter["stage"], letter["is_loaded"]) for letter in letters] == [("stage", True), ("validate", True)]
    assert letters[0]["row_key"] != letters[1]["row_key"]
