"""The data quality of tables and days, as the pages show it: states, checks, trends, rejected rows."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from include.operations.quality import DayQuality, Matrix, read_matrix, read_partition, read_run_checks
from tests.conftest import Database
from tests.operations.quality_records import record_validation
from tests.operations.records import DAY, LOADED, record_day, record_dead_letter, record_rejection

BEFORE = date(2026, 11, 24)
DEAD_RATIO = "expect_column_values_to_be_between(dead_ratio): at most 0.01"


def find_state(web: sa.Engine, table: str = "assets", vendor: str = "orion") -> str | None:
    cell = find_row(read(web, vendor), vendor, table).get(DAY)
    return cell["state"] if cell else None


def read(web: sa.Engine, vendor: str = "") -> Matrix:
    with web.connect() as db:
        return read_matrix(db, vendor, DAY, 5)


def find_row(matrix: Matrix, vendor: str, table: str) -> dict[date, sa.RowMapping]:
    return next((dict(row.cells) for each in matrix.vendors if each.vendor == vendor for row in each.rows if row.name == table), {})  # fmt: skip


def record_run(database: Database, run: str = "run-1", day: date = DAY, **options: object) -> None:
    values: dict[str, object] = {"table": "assets"} | options
    record_day(database, day, run=run, stages=["stage", "validate", "load"], rows=0, **values)  # type: ignore[arg-type]


def test_a_day_without_a_rejected_row_has_passed(web: sa.Engine, database: Database) -> None:
    record_run(database)
    assert find_state(web) == "passed"


def test_open_dead_letters_are_not_the_same_as_a_stopped_day(web: sa.Engine, database: Database) -> None:
    record_run(database)
    record_dead_letter(database, stage="validate")
    record_day(database, run="run-2", table="clients", stages=["stage", "validate"], rows=0)
    record_validation(
        database, run="run-2", table="clients", level="batch", measure=0.5, is_passed=False, expectation=DEAD_RATIO
    )
    assert (find_state(web), find_state(web, "clients")) == ("rows rejected", "day stopped")


def test_rows_that_could_not_be_read_count_although_every_check_passed(web: sa.Engine, database: Database) -> None:
    record_run(database)
    record_validation(database)
    for key in ("A1", "A2"):
        record_dead_letter(database, key, stage="stage")
    cell = find_row(read(web), "orion", "assets")[DAY]
    assert (cell["state"], cell["open"]) == ("rows rejected", 2)


def test_records_that_salesforce_rejected_are_in_the_matrix(web: sa.Engine, database: Database) -> None:
    record_dead_letter(database, "demo:orion:account:1", vendor="salesforce", table="Account", stage="crm")
    assert find_state(web, "Account", vendor="salesforce") == "rows rejected"


def test_rows_whose_dead_letters_are_closed_are_resolved(web: sa.Engine, database: Database) -> None:
    record_run(database)
    record_dead_letter(database)
    database.do("update control.dead_letter set status = 'replayed', closed_at = now()")
    assert find_state(web) == "passed"
    database.do("update control.ledger set fetched = 2, dead = 2 where stage = 'stage'")
    assert find_state(web) == "resolved"


def test_a_failed_check_that_an_operator_accepted_does_not_stop_the_day(web: sa.Engine, database: Database) -> None:
    record_run(database)
    record_validation(database, level="batch", measure=3, is_passed=False, is_accepted=True)
    assert find_state(web) == "accepted"


def test_a_table_beside_the_one_that_stopped_the_day_is_not_loaded(web: sa.Engine, database: Database) -> None:
    record_day(database, stages=["stage", "validate"], table="assets", rows=0)
    record_rejection(database)
    matrix = read(web)
    assert find_row(matrix, "orion", "assets")[DAY]["state"] == "not loaded"
    assert matrix.vendors[0].stopped == {DAY: "17 accounts are off"}


def test_a_stopped_day_that_was_loaded_later_is_not_stopped(web: sa.Engine, database: Database) -> None:
    record_rejection(database)
    record_run(database, at=LOADED + timedelta(hours=2))
    assert read(web).vendors[0].stopped == {}


def test_a_failure_of_an_earlier_pull_does_not_stop_the_newest(web: sa.Engine, database: Database) -> None:
    record_day(database, stages=["stage", "validate"], table="assets", rows=0)
    record_validation(database, level="batch", measure=0, is_passed=False)
    record_run(database, run="run-2", at=LOADED + timedelta(hours=2))
    assert find_state(web) == "passed"


def test_the_matrix_shows_one_vendor_or_all_newest_day_first(web: sa.Engine, database: Database) -> None:
    record_run(database)
    record_run(database, day=BEFORE)
    record_day(database, vendor="tamarac")
    assert [each.vendor for each in read(web).vendors] == ["orion", "tamarac"]
    assert [each.vendor for each in read(web, "orion").vendors] == ["orion"]
    assert read(web).dates[:2] == (DAY, BEFORE)


def test_a_vendors_day_has_the_worst_state_of_its_tables_and_all_rejected_rows(
    web: sa.Engine, database: Database
) -> None:
    record_run(database)
    record_run(database, table="clients")
    for table in ("assets", "clients"):
        record_dead_letter(database, table, table=table)
    [orion] = read(web).vendors
    assert orion.find_worst(DAY) == DayQuality("rows rejected", 2, 2)
    assert orion.find_worst(BEFORE) is None
    record_rejection(database)
    [orion] = read(web).vendors
    assert orion.find_worst(DAY) == DayQuality("day stopped", 2, 2)


@pytest.fixture
def checked(database: Database) -> Database:
    """Three days of one check, with 0, 5 and 20 of 100 rows failing, and a check of the whole table."""
    for back, failed in ((2, 0), (1, 5), (0, 20)):
        day = DAY - timedelta(days=back)
        record_run(database, run=f"run-{back}", day=day)
        record_validation(database, day, run=f"run-{back}", failed=failed, notes="A price is never negative.")
        record_validation(database, day, run=f"run-{back}", level="batch", measure=back, expectation=DEAD_RATIO)
    return database


def test_a_partition_shows_each_check_with_count_and_share_the_failed_first(web: sa.Engine, checked: Database) -> None:
    with web.connect() as db:
        first, second = read_partition(db, "orion", "assets", DAY).checks
    assert (first["is_passed"], first["rows_failed"], first["failed_ratio"]) == (False, 20, 0.2)
    assert (second["is_passed"], second["measure"], second["failed_ratio"]) == (True, 0, None)


def test_trends_show_shares_of_rows_and_measures_of_tables(web: sa.Engine, checked: Database) -> None:
    with web.connect() as db:
        trends = read_partition(db, "orion", "assets", DAY).trends
    assert trends["expect_column_values_to_be_between(price)"] == (0, 0.05, 0.2)
    assert trends["expect_column_values_to_be_between(dead_ratio)"] == (2, 1, 0)


def test_a_trend_continues_when_the_bounds_of_the_suite_change(web: sa.Engine, checked: Database) -> None:
    checked.do("update control.validation set expectation = check_name || ': 0 to 8' where run_id = 'run-0'")
    with web.connect() as db:
        trends = read_partition(db, "orion", "assets", DAY).trends
    assert trends["expect_column_values_to_be_between(price)"] == (0, 0.05, 0.2)


def test_a_replay_is_listed_and_not_part_of_the_trend(web: sa.Engine, checked: Database) -> None:
    record_validation(checked, run="replay", failed=100, pulled="selected", at=LOADED + timedelta(days=1))
    with web.connect() as db:
        quality = read_partition(db, "orion", "assets", DAY)
        other = read_partition(db, "orion", "assets", DAY, f"replayorion{DAY}")
    assert [pull["run_id"] for pull in quality.pulls] == ["replay", "run-0"]
    assert (quality.checks[0]["rows_failed"], other.checks[0]["rows_failed"]) == (20, 100)
    assert quality.trends["expect_column_values_to_be_between(price)"][-1] == 0.2


def test_a_partition_lists_the_reasons_of_all_its_dead_letters(web: sa.Engine, database: Database) -> None:
    record_dead_letter(database, "A1", stage="stage")
    record_dead_letter(database, "A2", stage="validate", reason="below zero")
    database.do("update control.dead_letter set status = 'discarded', discard_reason = 'old', discarded_by = 'Pat' where row_key = 'A2'")  # fmt: skip
    with web.connect() as db:
        reasons = read_partition(db, "orion", "assets", DAY).reasons
    assert [(each["stage"], each["reason"], each["rows"], each["open"]) for each in reasons] == [
        ("stage", "price: not a number", 1, 1),
        ("validate", "below zero", 1, 0),
    ]


def test_a_run_shows_its_own_checks_only(web: sa.Engine, checked: Database) -> None:
    with web.connect() as db:
        checks = read_run_checks(db, "run-1")
        assert read_run_checks(db, "no such run") == read_run_checks(db, "run-1", "tamarac") == []
        assert read_run_checks(db, "run-1", "orion") == checks
    assert {each["business_date"] for each in checks} == {DAY - timedelta(days=1)}
    assert checks[0]["rows_failed"] == 5
