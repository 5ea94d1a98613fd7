"""What is due and not done is told once."""

from __future__ import annotations

from datetime import datetime

from include.control.lateness import find_late, mark_told
from tests.conftest import Firm
from tests.running_sandbox import LAST

# The Monday after the business date, in New York: stages are due at 07:30, loads at 08:30.
EARLY = datetime.fromisoformat("2026-11-23T07:00:00-05:00")
LATE = datetime.fromisoformat("2026-11-23T08:45:00-05:00")


def test_nothing_is_late_before_it_is_due(firm: Firm) -> None:
    assert find_late(firm.engine, firm.vendor, EARLY) == []


def test_what_is_due_and_missing_is_told_once(firm: Firm) -> None:
    late = find_late(firm.engine, firm.vendor, LATE)
    tables = {table.name for table in firm.vendor.tables}
    assert {(each.table, each.stage) for each in late} == {(t, s) for t in tables for s in firm.vendor.due}
    assert {each.business_date for each in late} == {LAST}
    mark_told(firm.engine, late)
    assert find_late(firm.engine, firm.vendor, LATE) == []


def test_a_day_that_is_in_is_not_late(firm: Firm) -> None:
    firm.day()
    assert find_late(firm.engine, firm.vendor, LATE) == []


def test_a_session_that_closed_this_afternoon_is_due_tomorrow(firm: Firm) -> None:
    firm.day()
    friday_evening = datetime.fromisoformat("2026-11-20T16:15:00-05:00")
    assert LAST not in {each.business_date for each in find_late(firm.engine, firm.vendor, friday_evening)}
