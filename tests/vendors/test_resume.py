"""A fan-out that resumes after a kill is dated by its first response, whenever it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.connection import Connection
from include.contract import Basic
from include.control.answers import Answers
from include.pipeline import vendor_day
from include.pipeline.run import Run, Site, VendorRun
from include.staging.partitions import Partition, Staging
from include.vendors.emoney import EMONEY
from include.warehouse import schema
from tests.conftest import Database
from tests.extract.vendor_server import listen
from tests.firm_keys import GOLDEN
from tests.vendors.golden_day import BEFORE, DAY, NOW, change_response, goldens, reply_from, run_day

VENDOR = replace(EMONEY, login=Basic(), headers={})
HOUR = timedelta(hours=1)


class House:
    """A firm with one planning vendor; the test sets a plan's name and the clock."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.engine = schema.engine(database.url())
        run_day(self.engine, folder, EMONEY, goldens(EMONEY)).load()
        self.now = NOW + HOUR
        self.site = Site(self.engine, Staging(str(folder), GOLDEN.staging), GOLDEN, lambda: self.now, speed=100_000)
        plans = json.loads(goldens(EMONEY)["plans"])
        self.path = next(path for path, rows in plans.items() if rows)
        self.plan = plans[self.path][0]["planId"]

    def stage(self, run: Run, name: str, *tables: str) -> list[Partition]:
        def rename_plan(body: dict[str, Any]) -> None:
            body[self.path][0]["name"] = name

        with listen(reply_from(VENDOR, change_response(goldens(EMONEY), "plans", rename_plan))) as listener:
            connection = Connection(listener.url, "user", "password", {})
            return [vendor_day.stage(VendorRun(self.site, VENDOR, connection, run), table) for table in tables]

    def publish(self, run: Run, partitions: list[Partition]) -> None:
        vendor_run = VendorRun(self.site, VENDOR, Connection("", "", ""), run)
        vendor_day.validate(vendor_run, partitions, rows_only=True)
        for each in partitions:
            vendor_day.transform(vendor_run, each)
            vendor_day.load(vendor_run, each)


@pytest.fixture
def house(database: Database, tmp_path: Path) -> Iterator[House]:
    house = House(database, tmp_path / "staging")
    yield house
    house.engine.dispose()


def test_what_a_client_s_own_run_brought_meanwhile_stays(
    house: House, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = Run("the day", DAY, BEFORE)
    with monkeypatch.context() as killed:
        killed.setattr(Answers, "forget", lambda self: None)  # as if it had died before its partition was complete
        house.stage(day, "Old", "clients", "plans")
    house.now += HOUR
    client = Run("a client", DAY, BEFORE, keys=(house.path.split("/")[1],), on_demand=True)
    house.publish(client, house.stage(client, "New", "plans"))
    house.now += HOUR
    house.publish(day, house.stage(day, "New", "clients", "plans"))

    query = "select name from warehouse.plan where plan_key = :key and recorded_to is null and valid_to is null"
    assert database.value(query, key=house.plan) == "New"
