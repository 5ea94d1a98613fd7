"""The calls of a vendor: by hour, failures, what is left of the rate budget, and the last response."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from include.operations.ignored_fields import write_change
from include.operations.vendor_calls import VendorCalls, read_vendor_calls
from include.vendors import named
from tests.conftest import Database
from tests.operations.records import NOW, record_calls, record_day


@pytest.fixture(scope="module")
def calls(shared_database: Database, shared_web: sa.Connection) -> VendorCalls:
    db = shared_database
    record_calls(db, 10, at=NOW - timedelta(seconds=10))
    record_calls(db, 4, failed=2, at=NOW - timedelta(hours=3))
    record_calls(db, 100, at=NOW - timedelta(days=2))
    record_calls(db, 50, vendor="tamarac")
    db.do(
        "insert into control.rate_budget values ('orion', 'all', :until), ('tamarac', 'all', :until)",
        until=NOW + timedelta(minutes=2),
    )
    return read_vendor_calls(shared_web, named("orion"), NOW)


def test_calls_of_the_last_day_are_counted_by_hour(calls: VendorCalls) -> None:
    assert [(row["calls"], row["failed"], row["p50_ms"]) for row in calls.hours] == [(10, 0, 5), (4, 2, 2)]


def test_the_newest_failures_have_correlation_ids(calls: VendorCalls) -> None:
    assert {row["correlation_id"] for row in calls.failures} == {"c-1", "c-2"}


def test_the_allowance_is_what_the_last_minute_left(calls: VendorCalls) -> None:
    [minute] = calls.allowances
    assert (minute.limit, minute.used, minute.left) == (600, 10, 590)


def test_a_pause_of_all_calls_is_shown(calls: VendorCalls) -> None:
    assert calls.paused_until == NOW + timedelta(minutes=2)


def test_the_last_good_response_is_shown(calls: VendorCalls) -> None:
    assert calls.answered_at == NOW - timedelta(seconds=10)
    assert calls.refused_at is None


def test_hourly_limits_count_the_calls_of_their_tables(shared_database: Database, shared_web: sa.Connection) -> None:
    record_calls(shared_database, 7, vendor="emoney")
    shared_database.do("update control.api_call set table_name = 'monte_carlo' where vendor = 'emoney'")
    allowances = read_vendor_calls(shared_web, named("emoney"), NOW).allowances
    assert ("monte_carlo", 7) in [(each.name, each.used) for each in allowances]


def test_a_loaded_pull_counts_as_a_response(shared_database: Database, shared_web: sa.Connection) -> None:
    record_day(shared_database, vendor="nitrogen", run="run-n")
    found = read_vendor_calls(shared_web, named("nitrogen"), NOW)
    assert found.answered_at is not None
    assert found.hours == []


def test_the_change_that_ignores_fields_names_file_and_line() -> None:
    text = write_change(named("orion"), {"assets": ["zest", "color"], "clients": ["mood"]})
    assert 'include/vendors/orion/positions.py, table assets:\n\n    *ignored("color, zest"),' in text
    assert 'include/vendors/orion/clients.py, table clients:\n\n    *ignored("mood"),' in text
    assert "include/vendors/nitrogen.py" in write_change(named("nitrogen"), {"clients": ["x"]})
