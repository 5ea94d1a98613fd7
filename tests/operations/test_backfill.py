"""The preview of a backfill: business dates, what a run for each loads, and the request that Airflow gets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from include.errors import InputRejected
from include.operations.backfill import BackfillPlan, can_backfill, find_intervals, plan_backfill
from include.vendors import VENDORS, named
from tests.conftest import Database
from tests.operations.records import NOW, record_day, record_rejection

ORION = named("orion")


@pytest.fixture(scope="module")
def web(shared_database: Database, shared_web: sa.Connection) -> sa.Connection:
    record_day(shared_database, date(2026, 11, 20))
    record_rejection(shared_database, date(2026, 11, 23))
    return shared_web


def preview(web: sa.Connection, first: str, last: str, now: datetime = NOW) -> BackfillPlan:
    return plan_backfill(web, ORION, first, last, now)


def test_the_dates_are_the_trading_days_of_the_range_with_their_states(web: sa.Connection) -> None:
    plan = preview(web, "2026-11-20", "2026-11-24")
    assert [(each.business_date.day, each.state) for each in plan.dates] == [
        (20, "loaded"), (23, "rejected"), (24, "missing"),
    ]  # fmt: skip


def test_a_past_date_loads_only_the_tables_that_the_vendor_can_state_as_of_then(web: sa.Connection) -> None:
    [day] = preview(web, "2026-11-20", "2026-11-20").dates
    assert day.loads == ("accounts", "assets", "transactions")
    assert day.left_out == ("representatives", "clients", "registrations")


def test_the_latest_date_loads_every_table(web: sa.Connection) -> None:
    [day] = preview(web, "2026-11-25", "2026-11-25").dates
    assert day.left_out == ()
    assert len(day.loads) == 6


def test_the_request_spans_the_intervals_of_the_first_and_the_last_date(web: sa.Connection) -> None:
    request = preview(web, "2026-11-21", "2026-11-24").request
    assert request is not None
    assert (request["from_date"], request["to_date"]) == ("2026-11-23T06:00:00-05:00", "2026-11-24T06:00:00-05:00")
    assert (request["dag_id"], request["max_active_runs"], request["dag_run_conf"]) == ("orion", 1, {})


def test_a_date_whose_daily_run_is_not_due_yet_waits(web: sa.Connection) -> None:
    evening = datetime(2026, 11, 25, 23, tzinfo=UTC)
    plan = preview(web, "2026-11-24", "2026-11-25", evening)
    assert [each.business_date.day for each in plan.dates] == [24]
    assert [each.business_date.day for each in plan.waiting] == [25]
    assert preview(web, "2026-11-25", "2026-11-25", evening).request is None


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [
        ("2026-11-24", "2026-11-20", r"first day \(2026-11-24\) is after the last day"),
        ("2026-11-21", "2026-11-22", "no closed trading day from 2026-11-21 to 2026-11-22"),
        ("2026-12-01", "2026-12-02", "the latest closed trading day is 2026-11-25"),
        ("2024-01-01", "2026-11-20", "choose at most 300"),
        ("2009-01-01", "2026-11-20", "is too early"),
        ("last week", "2026-11-20", "is not a date"),
    ],
)
def test_an_invalid_range_is_rejected_with_the_reason(web: sa.Connection, first: str, last: str, why: str) -> None:
    with pytest.raises(InputRejected, match=why):
        preview(web, first, last)


@pytest.mark.parametrize(
    ("day", "start", "end"),
    [
        ("2026-11-20", "2026-11-20T06:00:00-05:00", "2026-11-23T06:00:00-05:00"),  # Friday to Monday
        ("2026-11-25", "2026-11-25T06:00:00-05:00", "2026-11-26T06:00:00-05:00"),  # before a holiday
        ("2026-03-06", "2026-03-06T06:00:00-05:00", "2026-03-09T06:00:00-04:00"),  # the clocks change
    ],
)
def test_the_interval_of_a_date_ends_with_the_first_run_after_its_close(day: str, start: str, end: str) -> None:
    [(begin, run_at)] = find_intervals(ORION, [date.fromisoformat(day)]).values()
    assert [begin.isoformat(), run_at.isoformat()] == [start, end]


def test_a_date_without_a_scheduled_run_has_no_interval() -> None:
    days = [date(2026, 11, 19), date(2026, 11, 20)]  # the run of Monday loads Friday, and no run loads Thursday
    assert list(find_intervals(replace(ORION, cron="0 6 * * 1-4"), days)) == days[1:]


def test_only_vendors_that_state_past_days_and_run_daily_have_backfills() -> None:
    assert [vendor.name for vendor in VENDORS if can_backfill(vendor)] == ["orion", "tamarac"]
