"""What is due and not done is told once."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from include import sessions
from include.control.lateness import find_late, mark_told
from tests.conftest import Firm
from tests.running_sandbox import NOW

HOUR = timedelta(hours=1)


def start(firm: Firm) -> datetime:
    """When the vendor's run starts, not yet due on its day, that is about the sandbox's day, or a later one."""
    runs = croniter(firm.vendor.cron, NOW.astimezone(ZoneInfo(firm.vendor.timezone)))
    due = time.fromisoformat(min(firm.vendor.due.values()))
    while (found := runs.get_next(datetime)).time() > due:
        pass
    return found  # type: ignore[no-any-return]


@pytest.mark.others_long
def test_nothing_is_late_before_it_is_due(firm: Firm) -> None:
    mark_told(firm.engine, find_late(firm.engine, firm.vendor, start(firm) - HOUR))  # of the run before
    assert find_late(firm.engine, firm.vendor, start(firm) + HOUR) == []


def test_what_is_due_and_missing_is_told_once(firm: Firm) -> None:
    evening = start(firm).replace(hour=20)
    late = find_late(firm.engine, firm.vendor, evening)
    asked = {table.name for table in firm.vendor.asked}
    mapped = {entity_map.table for entity_map in firm.vendor.maps} & asked
    expected = {(table.name, "stage") for table in firm.vendor.asked} | {(name, "load") for name in mapped}
    assert {(each.table, each.stage) for each in late} == expected
    assert {each.business_date for each in late} == {sessions.latest_closed(start(firm))}
    mark_told(firm.engine, late)
    assert find_late(firm.engine, firm.vendor, evening) == []


@pytest.mark.others_long
def test_a_day_that_is_in_is_not_late(firm: Firm) -> None:
    day = sessions.latest_closed(start(firm))
    firm.day()
    firm.database.do("update control.ledger set business_date = :day", day=day)
    assert find_late(firm.engine, firm.vendor, start(firm).replace(hour=20)) == []


@pytest.mark.others_long
def test_a_run_of_a_week_ago_is_not_late_every_day(firm: Firm) -> None:
    evening = start(firm).replace(hour=20)
    mark_told(firm.engine, find_late(firm.engine, firm.vendor, evening))
    following: datetime = croniter(firm.vendor.cron, evening).get_next(datetime)
    assert find_late(firm.engine, firm.vendor, following - HOUR) == []


@pytest.mark.others_long
def test_a_session_that_closed_this_afternoon_is_due_later(firm: Firm) -> None:
    mark_told(firm.engine, find_late(firm.engine, firm.vendor, datetime.fromisoformat("2026-11-20T15:00:00-05:00")))
    assert find_late(firm.engine, firm.vendor, datetime.fromisoformat("2026-11-20T16:45:00-05:00")) == []
