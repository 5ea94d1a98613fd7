"""An outage ends when the vendor responds: to the tasks that wait, or to another run after the tasks have given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from include.control.alerts import Record, send_once
from include.control.outages import LONGEST_PAUSE, Outage, record_answer, record_failure
from include.errors import VendorUnavailable
from include.operations.vendor_status import read_vendor_status
from include.vendors import named
from tests.conftest import Database

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LATER = NOW + LONGEST_PAUSE + timedelta(minutes=1)


def fail(engine: sa.Engine, run_id: str, task: str = "pull[0]", vendor: str = "orion") -> Outage:
    return record_failure(engine, vendor, run_id, task, VendorUnavailable("No response"), NOW)


def find_outage(engine: sa.Engine, now: datetime) -> datetime | None:
    """Return since when the pages show an outage of the vendor."""
    with engine.connect() as connection:
        [status] = read_vendor_status(connection, [named("orion")], now)
    return status.outage_since


def test_outage_of_a_run_that_gave_up_ends_with_the_answer_to_another_run(
    database: Database, engine: sa.Engine
) -> None:
    outage = fail(engine, "gave up")
    fail(engine, "gave up", "pull[1]")
    fail(engine, "of another vendor", vendor="tamarac")
    send_once(engine, Record("outage", "Unreachable", "orion", "gave up", subject=outage.subject), lambda: None)
    assert find_outage(engine, LATER) == NOW
    [ended] = record_answer(engine, "orion", "next day", "pull[0]", LATER)
    assert (ended.subject, ended.tasks) == (outage.subject, [])
    assert find_outage(engine, LATER) is None
    assert database.value("select count(*) from control.outage where over_at is null") == 1
    assert record_answer(engine, "orion", "next day", "pull[1]", LATER) == []


def test_outage_of_a_run_that_still_waits_lasts_though_another_run_has_an_answer(engine: sa.Engine) -> None:
    fail(engine, "waits")
    assert record_answer(engine, "orion", "other", "pull[0]", NOW + timedelta(minutes=10)) == []
    assert find_outage(engine, LATER) == NOW


def test_outage_ends_when_the_last_task_of_its_run_has_an_answer(engine: sa.Engine) -> None:
    for task in ("pull[0]", "pull[1]"):
        fail(engine, "run", task)
    record_answer(engine, "orion", "run", "pull[0]", NOW)
    assert find_outage(engine, NOW) == NOW
    record_answer(engine, "orion", "run", "pull[1]", NOW)
    assert find_outage(engine, NOW) is None
