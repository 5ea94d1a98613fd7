"""Data that is late causes one alert."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from include import business_dates
from include.contract import Vendor
from include.control.lateness import Late, find_due, find_late, mark_alerted, record_use
from tests.conftest import Firm
from tests.running_sandbox import NOW

HOUR = timedelta(hours=1)


def start(firm: Firm) -> datetime:
    """Return the start of the vendor's next run that begins before its deadline of the day."""
    runs = croniter(firm.vendor.cron, NOW.astimezone(ZoneInfo(firm.vendor.timezone)))
    due = time.fromisoformat(min(firm.vendor.due.values()))
    while (next_run := runs.get_next(datetime)).time() > due:
        pass
    return next_run  # type: ignore[no-any-return]


def late_at(firm: Firm, now: datetime, go_live: datetime = NOW - timedelta(days=365)) -> list[Late]:
    return find_late(firm.engine, firm.vendor, now, go_live)


def record_pulls(firm: Firm, at: datetime, day: date = date(2025, 1, 2), how: str = "current") -> None:
    """Record a pull of every table in the ledger."""
    for number, table in enumerate(firm.vendor.requested_tables):
        firm.database.do(
            "insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled,"
            " extracted_at, recorded_at, fetched, staged, dead) select nextval('control.ledger_id'), 'earlier', :vendor, :table,"
            " :day, 'stage', :pull, :how, :at, :at, 5, 3, 2",
            vendor=firm.vendor.name, table=table.name, day=day, at=at, how=how, pull=f"{how}-{day}-{number}",
        )  # fmt: skip


@pytest.fixture
def firm(firm: Firm) -> Firm:
    """A firm whose vendor was first pulled long ago."""
    record_pulls(firm, NOW - timedelta(days=300))
    return firm


@pytest.mark.others_long
def test_nothing_is_late_before_it_is_due(firm: Firm) -> None:
    mark_alerted(firm.engine, late_at(firm, start(firm) - HOUR))  # of the previous run
    assert late_at(firm, start(firm) + HOUR) == []


@pytest.mark.others_long
def test_a_step_is_late_from_its_due_time_on(firm: Firm) -> None:
    due_at = min(find_due(firm.vendor, start(firm) + HOUR / 60).stages.values())
    assert late_at(firm, due_at - timedelta(seconds=1)) == []
    assert late_at(firm, due_at)


def test_missing_due_data_alerts_once(firm: Firm) -> None:
    evening = start(firm).replace(hour=20)
    late = late_at(firm, evening)
    requested = {table.name for table in firm.vendor.requested_tables}
    mapped = {entity_map.table for entity_map in firm.vendor.maps} & requested
    expected = {(table.name, "stage") for table in firm.vendor.requested_tables} | {(name, "load") for name in mapped}
    assert {(each.table, each.stage) for each in late} == expected
    assert {each.business_date for each in late} == {business_dates.latest_closed(start(firm))}
    mark_alerted(firm.engine, late)
    assert late_at(firm, evening) == []


@pytest.mark.others_long
def test_a_day_that_is_in_is_not_late(firm: Firm) -> None:
    day = business_dates.latest_closed(start(firm))
    firm.day()
    firm.database.do("update control.ledger set business_date = :day where run_id <> 'earlier'", day=day)
    assert late_at(firm, start(firm).replace(hour=20)) == []


@pytest.mark.others_long
def test_a_run_of_a_week_ago_is_not_late_every_day(firm: Firm) -> None:
    evening = start(firm).replace(hour=20)
    mark_alerted(firm.engine, late_at(firm, evening))
    following: datetime = croniter(firm.vendor.cron, evening).get_next(datetime)
    assert late_at(firm, following - HOUR) == []


def test_day_stays_due_until_a_run_for_the_next_day_is_scheduled(vendor: Vendor) -> None:
    """A vendor that runs each hour is due in the evening. Its missing day is still late on the next morning."""
    now = NOW
    while now < NOW + timedelta(days=14):
        due, later = find_due(vendor, now), find_due(vendor, now + HOUR)
        assert all(due.start < at for at in due.stages.values())
        assert later.stages == due.stages or later.business_date > due.business_date, now
        now += HOUR


@pytest.mark.others_long
def test_a_session_that_closed_this_afternoon_is_due_later(firm: Firm) -> None:
    mark_alerted(firm.engine, late_at(firm, datetime.fromisoformat("2026-11-20T15:00:00-05:00")))
    assert late_at(firm, datetime.fromisoformat("2026-11-20T16:45:00-05:00")) == []


@pytest.mark.others_long
@pytest.mark.parametrize("switched_on", [-HOUR, HOUR])
def test_a_vendor_is_late_only_after_its_dag_was_switched_on(
    start_firm: Callable[..., Firm], vendor: Vendor, switched_on: timedelta
) -> None:
    firm = start_firm(vendor, households=3)
    evening = start(firm).replace(hour=20)
    assert late_at(firm, evening) == []
    record_pulls(firm, find_due(firm.vendor, evening).start + switched_on)
    assert bool(late_at(firm, evening)) == (switched_on < HOUR)


@pytest.mark.others_long
def test_nothing_is_late_before_the_firm_goes_live(firm: Firm) -> None:
    evening = start(firm).replace(hour=20)
    assert late_at(firm, evening, go_live=find_due(firm.vendor, evening).start + HOUR) == []
    assert late_at(firm, evening, go_live=find_due(firm.vendor, evening).start)


def test_vendor_without_a_connection_is_not_used_since_the_first_look_until_it_has_one_and_a_new_load(
    firm: Firm,
) -> None:
    since = "select since from control.unused_vendor where vendor = :vendor"
    record_use(firm.engine, firm.vendor.name, is_used=False)
    first = firm.database.value(since, vendor=firm.vendor.name)
    record_use(firm.engine, firm.vendor.name, is_used=False)
    assert firm.database.value(since, vendor=firm.vendor.name) == first
    record_use(firm.engine, firm.vendor.name, is_used=True)
    assert firm.database.value(since, vendor=firm.vendor.name) == first
    firm.database.do(
        "insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled, extracted_at)"
        " values (nextval('control.ledger_id'), 'again', :vendor, 'accounts', '2026-11-25', 'load', 'again', 'current', now())",
        vendor=firm.vendor.name,
    )
    record_use(firm.engine, firm.vendor.name, is_used=True)
    assert firm.database.rows("select * from control.unused_vendor") == []


def test_vendor_that_was_pulled_today_is_used_without_a_connection(firm: Firm) -> None:
    record_pulls(firm, datetime.now(UTC), day=date(2026, 11, 25))
    record_use(firm.engine, firm.vendor.name, is_used=False)
    assert firm.database.rows("select * from control.unused_vendor") == []


def test_vendor_that_was_never_pulled_is_not_recorded_as_unused(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm(households=3)
    record_pulls(firm, NOW, how="pushed")
    record_use(firm.engine, firm.vendor.name, is_used=False)
    assert firm.database.rows("select * from control.unused_vendor") == []


@pytest.mark.others_long
@pytest.mark.parametrize("how", ["selected", "pushed", "replay"])
def test_some_rows_of_a_day_are_not_the_day(firm: Firm, how: str) -> None:
    record_pulls(firm, start(firm), business_dates.latest_closed(start(firm)), how)
    assert {each.stage for each in late_at(firm, start(firm).replace(hour=20))} == {"stage", "load"}


@pytest.mark.others_long
def test_lateness_alert_has_delay_and_available_data(firm: Firm) -> None:
    evening = start(firm).replace(hour=20)
    nothing = late_at(firm, evening)[0]
    assert nothing.describe(nothing.due_at).endswith(", 0 h 00 min ago; nothing staged")
    record_pulls(firm, start(firm), business_dates.latest_closed(start(firm)))
    [load, *_] = late = late_at(firm, evening)
    assert {each.stage for each in late} == {"load"}
    due = f"{load.table}: load was due at {firm.vendor.due['load']} {load.due_at:%Z}"
    assert load.describe(load.due_at + 85 * HOUR / 60) == f"{due}, 1 h 25 min ago; 3 rows staged, 2 dead letters"
