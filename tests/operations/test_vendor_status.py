"""The light of each vendor: green only if the day that is due is loaded and nothing is missing."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
import sqlalchemy as sa

from include.operations.metrics import RECONCILIATIONS
from include.operations.vendor_status import VendorStatus, read_vendor_status
from include.vendors import VENDORS, named
from tests.conftest import Database
from tests.operations.records import (
    LOADED,
    NOW,
    record_calls,
    record_check,
    record_day,
    record_dead_letter,
    record_rejection,
)

BEFORE = date(2026, 11, 24)


def read(web: sa.Engine, now: datetime = NOW) -> VendorStatus:
    with web.connect() as connection:
        [status] = read_vendor_status(connection, [named("orion")], now)
    return status


@pytest.fixture
def good_day(database: Database) -> Database:
    """A vendor that has been loaded for some time, and whose newest day is in and reconciled."""
    record_day(database, BEFORE, LOADED - timedelta(days=1), run="run-0")
    record_day(database)
    record_check(database)
    return database


def test_a_day_that_is_in_and_reconciled_is_green(good_day: Database, web: sa.Engine) -> None:
    status = read(web)
    assert status.find_concerns(NOW) == []
    light, text = status.summarize(NOW)
    assert light == "green"
    assert text == "2026-11-25 is in: 100 rows. It is reconciled."


def test_a_day_that_was_pushed_to_after_its_reconciliation_is_not_reconciled(
    good_day: Database, web: sa.Engine
) -> None:
    record_day(good_day, at=LOADED + timedelta(hours=1), run="drain", table="assets", pulled="pushed", stages=["load"])
    status = read(web)
    light, text = status.summarize(NOW)
    assert status.day is not None
    assert status.day.reconciliation in RECONCILIATIONS
    assert (light, text.partition("rows. ")[2]) == (
        "green",
        "Pushed or edited rows changed it since it was reconciled; the next daily run compares them.",
    )


def test_a_day_that_does_not_add_up_since_a_push_is_red(good_day: Database, web: sa.Engine) -> None:
    record_check(good_day, run="drain", breaks=2, at=LOADED + timedelta(hours=1))
    [concern] = read(web).find_concerns(NOW)
    assert concern == (
        "red",
        "2 differences on 2026-11-25 since rows were pushed. Salesforce keeps the earlier values.",
    )


def test_a_vendor_without_data_is_grey_and_not_late(web: sa.Engine) -> None:
    assert read(web).summarize(NOW) == ("grey", "Nothing has been loaded yet.")


def test_a_day_that_is_due_and_missing_is_red(database: Database, web: sa.Engine) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1))
    light, text = read(web).summarize(NOW)
    assert (light, text) == ("red", "2026-11-25 is late: it was due at 08:30 EST and is not loaded.")


def test_a_day_of_which_some_tables_are_missing_is_red_once_it_is_due(database: Database, web: sa.Engine) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1), run="run-0")
    record_day(database, table="assets")
    early = NOW - timedelta(hours=3)
    [before_due], [after_due] = read(web, early).find_concerns(early), read(web).find_concerns(NOW)
    assert (before_due.light, after_due.light) == ("amber", "red")
    assert after_due.text.startswith("2026-11-25 is not complete: ")
    assert "accounts" in after_due.text
    assert "assets" not in after_due.text


def test_a_day_that_is_not_due_yet_is_green_and_names_the_time(database: Database, web: sa.Engine) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1))
    record_check(database, BEFORE)
    early = NOW - timedelta(hours=3)
    light, text = read(web, early).summarize(early)
    assert (light, text.partition("reconciled. ")[2]) == ("green", "2026-11-25 is due at 08:30 EST.")


def test_a_first_day_that_is_only_pulled_is_grey(database: Database, web: sa.Engine) -> None:
    record_day(database, stages=["stage"])
    assert read(web).summarize(NOW) == ("grey", "2026-11-25 is pulled, and not loaded yet.")


def test_a_day_that_is_only_pulled_leaves_the_day_before_in(database: Database, web: sa.Engine) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1), run="run-0")
    record_day(database, stages=["stage"])
    early = NOW - timedelta(hours=3)
    text = "2026-11-24 is in. 2026-11-25 is pulled, and not loaded yet."
    assert read(web, early).summarize(early) == ("green", text)


def test_a_run_before_the_vendor_was_connected_is_not_late(database: Database, web: sa.Engine) -> None:
    record_day(database, BEFORE, NOW - timedelta(minutes=1))
    assert read(web).find_concerns(NOW) == []


def test_a_rejected_day_is_red_and_names_the_day_in_force(database: Database, web: sa.Engine) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1))
    record_rejection(database)
    texts = [concern.text for concern in read(web).find_concerns(NOW) if concern.light == "red"]
    assert "2026-11-25 was rejected. 2026-11-24 stays in force." in texts


def test_a_rejected_rerun_of_a_loaded_day_is_red_and_the_load_stays_in_force(
    good_day: Database, web: sa.Engine
) -> None:
    record_rejection(good_day)
    assert read(web).summarize(NOW) == ("red", "2026-11-25 was rejected. 2026-11-25 stays in force.")


def test_a_corrected_day_is_green_again(good_day: Database, web: sa.Engine) -> None:
    record_rejection(good_day, at=LOADED - timedelta(hours=1))
    assert read(web).summarize(NOW).light == "green"


def test_dead_letters_are_amber_with_their_money(good_day: Database, web: sa.Engine) -> None:
    record_dead_letter(good_day, "A1", BEFORE)
    record_dead_letter(good_day, "A2")
    assert read(web).summarize(NOW) == ("amber", "2 rows could not be processed, with $20.00.")


@pytest.mark.parametrize(
    ("options", "light", "text"),
    [
        ({"breaks": 2, "explained": 2}, "amber", "2 differences on 2026-11-25, which open dead letters explain."),
        (
            {"breaks": 1, "accepted_by": "Pat Sample"},
            "amber",
            "1 difference on 2026-11-25, which an operator accepted.",
        ),
        ({"note": "no totals"}, "green", "2026-11-25 is in: 100 rows. The vendor states no totals to compare it with."),
    ],
)
def test_a_day_with_differences_is_amber(
    database: Database, web: sa.Engine, options: dict[str, object], light: str, text: str
) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1), run="run-0")
    record_day(database)
    record_check(database, **options)  # type: ignore[arg-type]
    assert read(web).summarize(NOW) == (light, text)


@pytest.mark.parametrize(("calls", "failed", "is_shown"), [(100, 6, True), (100, 5, False), (19, 19, False)])
def test_failed_calls_are_amber_only_if_they_are_many(
    good_day: Database, web: sa.Engine, calls: int, failed: int, is_shown: bool
) -> None:
    record_calls(good_day, calls, failed)
    record_calls(good_day, 1000, 1000, NOW - timedelta(hours=2))
    texts = [concern.text for concern in read(web).find_concerns(NOW)]
    assert texts == ([f"{failed} of {calls} calls failed in the last hour."] if is_shown else [])


def test_the_95th_percentile_of_the_latency_is_of_the_last_hour(good_day: Database, web: sa.Engine) -> None:
    record_calls(good_day, 100)
    assert read(web).calls.p95_ms == 95


def test_an_outage_is_amber_with_its_length(good_day: Database, web: sa.Engine) -> None:
    good_day.do(
        "insert into control.outage (vendor, run_id, tasks, error, since, tries, failed_at)"
        " values ('orion', 'run-2', '{pull[0]}', 'VendorUnavailable', :since, 3, :since)", since=NOW - timedelta(minutes=12),
    )  # fmt: skip
    assert read(web).summarize(NOW) == ("amber", "The vendor has not responded for 12 minutes.")


def test_pushes_and_single_clients_are_not_the_days_pull(database: Database, web: sa.Engine) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1), run="run-0")
    record_day(database, pulled="selected", rows=3)
    status = read(web)
    assert status.day is not None
    assert status.day.business_date == BEFORE
    assert status.summarize(NOW).light == "red"


def test_a_refresh_of_single_clients_does_not_replace_the_counts_of_the_day(good_day: Database, web: sa.Engine) -> None:
    record_day(good_day, at=LOADED + timedelta(hours=1), run="run-2", pulled="selected", rows=3)
    status = read(web)
    assert status.day is not None
    assert (status.day.rows, status.day.run_id) == (100, "run-1")


def test_a_day_whose_totals_were_not_compared_is_not_called_reconciled(database: Database, web: sa.Engine) -> None:
    record_day(database, BEFORE, LOADED - timedelta(days=1), run="run-0")
    record_day(database)
    record_check(database, note="no totals")
    record_check(database, check_name="owners' shares")
    status = read(web)
    assert status.day is not None
    assert status.day.reconciliation == "not compared"


def test_money_of_dead_letters_counts_outflows_like_inflows(good_day: Database, web: sa.Engine) -> None:
    record_dead_letter(good_day, "in", money=600_000)
    record_dead_letter(good_day, "out", money=-600_000)
    status = read(web)
    assert status.dead_money_usd == 1_200_000
    assert status.day is not None
    assert status.day.dead_money_usd == 1_200_000


def test_vendor_that_the_firm_no_longer_uses_needs_no_attention(good_day: Database, web: sa.Engine) -> None:
    record_rejection(good_day)
    much_later = NOW + timedelta(days=30)
    assert read(web, much_later).summarize(much_later).light == "red"
    good_day.do("insert into control.unused_vendor values ('orion', '2026-11-30')")
    status = read(web, much_later)
    assert status.find_concerns(much_later) == []
    assert status.summarize(much_later) == ("grey", "Not used since 2026-11-30: the firm has no connection to it.")


def test_vendors_do_not_mix(good_day: Database, web: sa.Engine) -> None:
    record_dead_letter(good_day, vendor="tamarac", table="holdings")
    record_rejection(good_day, vendor="tamarac")
    with web.connect() as connection:
        lights = {each.vendor.name: each.summarize(NOW).light for each in read_vendor_status(connection, VENDORS, NOW)}
    assert lights == dict.fromkeys(lights, "grey") | {"orion": "green", "tamarac": "red"}
