"""The page of a vendor, and the tab of a run."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from include.operations.run import read_run
from include.operations.vendor_history import read_vendor_history
from tests.conftest import Database
from tests.operations.records import (
    DAY,
    LOADED,
    NOW,
    record_calls,
    record_check,
    record_day,
    record_dead_letter,
    record_rejection,
)

FIRST = date(2026, 11, 20)


@pytest.fixture(scope="module")
def web(shared_database: Database, shared_web: sa.Connection) -> sa.Connection:
    db = shared_database
    record_day(db, FIRST, run="run-0", rows=50, table="assets")
    record_day(db, FIRST, LOADED + timedelta(minutes=1), run="run-0b", rows=60, table="assets")  # pulled again
    record_day(db, date(2026, 11, 23), run="run-3", stages=["stage"], table="assets")
    record_rejection(db, date(2026, 11, 24))
    record_day(db, rows=100, table="assets")
    record_check(db)
    record_dead_letter(db)
    record_day(db, vendor="tamarac", run="run-t", table="holdings")
    record_calls(db, 4, 1)
    return shared_web


def test_the_calendar_shows_each_trading_day_since_the_first_with_data(web: sa.Connection) -> None:
    history = read_vendor_history(web, "orion", DAY, 30, NOW)
    assert [(session.business_date.day, session.state) for session in history.sessions] == [
        (20, "loaded"), (23, "not loaded"), (24, "rejected"), (25, "incomplete"),
    ]  # fmt: skip


def test_a_day_that_was_not_pulled_is_missing(web: sa.Connection) -> None:
    history = read_vendor_history(web, "tamarac", date(2026, 11, 27), 30, NOW)
    assert [session.state for session in history.sessions] == ["loaded", "missing"]


def test_a_table_has_its_newest_counts_and_its_rows_by_day(web: sa.Connection) -> None:
    [table] = read_vendor_history(web, "orion", DAY, 30, NOW).tables
    assert (table.name, table.newest["business_date"], table.newest["staged"], table.newest["inserted"]) == (
        "assets",
        DAY,
        100,
        100,
    )
    assert str(table.newest["money_usd"]) == "1234.50"
    assert table.rows == (60, 100, None, 100)


def test_calls_are_counted_by_path_with_the_newest_correlation_id(web: sa.Connection) -> None:
    [path] = read_vendor_history(web, "orion", DAY, 30, NOW).calls
    assert (path["path"], path["calls"], path["failed"], path["p50_ms"]) == ("Portfolio/Assets", 4, 1, 2)
    assert path["correlation_id"].startswith("c-")


def test_a_run_shows_its_own_tables_checks_and_dead_letters(web: sa.Connection) -> None:
    record = read_run(web, "run-1")
    assert [(row["vendor"], row["table_name"], row["staged"], row["inserted"]) for row in record.tables] == [
        ("orion", "assets", 100, 100)
    ]
    assert [check["is_passed"] for check in record.checks] == [True]
    assert [row["dead_letters"] for row in record.dead_letters] == [1]
    assert record.rejections == []


def test_run_of_the_same_id_of_another_vendor_shows_nothing_of_it(web: sa.Connection) -> None:
    assert read_run(web, "run-1", "orion") == read_run(web, "run-1")
    assert read_run(web, "run-1", "tamarac") == read_run(web, "no-such-run")
    assert read_run(web, "run-2", "tamarac") == read_run(web, "no-such-run")


def test_a_run_whose_day_was_rejected_shows_the_reason(web: sa.Connection) -> None:
    [rejection] = read_run(web, "run-2").rejections
    assert rejection["reason"] == "17 accounts are off"


def test_a_run_without_data_is_empty(web: sa.Connection) -> None:
    record = read_run(web, "no-such-run")
    assert not record.tables
    assert not record.checks
