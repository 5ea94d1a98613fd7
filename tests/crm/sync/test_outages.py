"""Salesforce unavailable, at its limits, or interrupted during a sync: reported, completed by the next sync, nothing doubled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from include.errors import ObjectUnavailable, RateLimited, TargetUnavailable, TributaryError
from tests.crm.conftest import API, INGEST, Crm
from tests.crm.sync.test_killed import check_whole

BULK, FEW = 0, 2000
ways = pytest.mark.parametrize("way", [BULK, FEW], ids=["bulk", "collections"])
moments = pytest.mark.parametrize(
    ("way", "calls_before"),
    [
        *((BULK, 2), (BULK, 5), (FEW, 2)),
        *(pytest.param(BULK, calls, marks=pytest.mark.long) for calls in (0, 9, 14, 25)),
        *(pytest.param(FEW, calls, marks=pytest.mark.long) for calls in (0, 5)),
    ],
)


def choose(crm: Crm, way: int) -> None:
    crm.settings = replace(crm.settings, most_collected=way)


def sync_until_done(crm: Crm, *, tries: int = 12) -> list[type[Exception]]:
    """Retry a sync as Airflow does; return the errors on the way."""
    errors: list[type[Exception]] = []
    for _ in range(tries):
        try:
            crm.sync(patience_s=0.3)
            return errors
        except TributaryError as error:
            errors.append(type(error))
    raise AssertionError(f"not done after {tries} tries: {errors}")


@moments
def test_an_org_that_goes_away_in_the_middle_is_brought_in_step_later(crm: Crm, way: int, calls_before: int) -> None:
    choose(crm, way)
    crm.fault("unavailable", "*/services/*", after=calls_before)
    for _ in range(2):
        with pytest.raises(TargetUnavailable):
            crm.sync(patience_s=0.3)
    crm.no_faults()

    crm.sync()

    check_whole(crm)
    assert crm.dead_letters() == []


@ways
def test_what_changes_while_the_org_is_away_arrives_once_as_it_is_then(crm: Crm, way: int) -> None:
    choose(crm, way)
    crm.sync()
    crm.fault("unavailable", "*/services/*")
    for city in ("Old Town", "New Town"):
        crm.database.do("update warehouse.household set city = :city", city=city)
        with pytest.raises(TargetUnavailable):
            crm.sync(patience_s=0.3)
    crm.no_faults()

    assert crm.sent() == {"household": len(crm.records("Account", "household"))}
    assert {record["BillingCity"] for record in crm.records("Account", "household").values()} == {"New Town"}


@ways
@pytest.mark.parametrize(
    "kind",
    [
        "too_many_requests",
        *(pytest.param(k, marks=pytest.mark.long) for k in ("connection_reset", "server_error", "body_cut")),
    ],
)
def test_calls_that_fail_now_and_then_are_made_again(crm: Crm, way: int, kind: str) -> None:
    choose(crm, way)
    crm.fault(kind, f"{API}/*", share=0.2, seed=7)

    sync_until_done(crm)
    crm.no_faults()

    check_whole(crm)
    assert crm.dead_letters() == []


@ways
def test_a_token_that_dies_again_and_again_is_renewed(crm: Crm, way: int) -> None:
    choose(crm, way)
    for calls_before in (1, 3, 5):
        crm.fault("token_expired", f"{API}/*", after=calls_before, times=1)

    counts = crm.sync()

    assert all(c.created == c.sent for c in counts.values())
    assert sum(fault["hits"] for fault in crm.http.get("/_sandbox/faults").json()) == 3
    check_whole(crm)


@ways
@pytest.mark.parametrize(("reserved", "words"), [("0.2", "DailyApiRequests"), ("0", "TotalRequests")])
def test_an_exhausted_daily_limit_is_reported_and_the_load_resumes(
    crm: Crm, way: int, reserved: str, words: str
) -> None:
    choose(crm, way)
    crm.settings = replace(crm.settings, reserved_ratio=Decimal(reserved))
    left = int(100 * Decimal(reserved)) + 9
    crm.http.post("/salesforce/_admin/limits", json={"DailyApiRequests": {"Max": 100, "Remaining": left}})

    with pytest.raises(RateLimited, match=words):
        crm.sync()

    assert 0 < len(crm.records("Account")) < crm.database.value("select count(*) from warehouse.position")
    crm.http.post("/salesforce/_admin/limits", json={"DailyApiRequests": 100_000})
    crm.sync()
    check_whole(crm)


def test_exhausted_daily_batches_are_reported_and_the_load_resumes(crm: Crm) -> None:
    crm.settings = replace(crm.settings, reserved_ratio=Decimal(0))
    crm.http.post("/salesforce/_admin/limits", json={"DailyBulkApiBatches": {"Max": 100, "Remaining": 3}})

    with pytest.raises(RateLimited, match="daily batches are used up"):
        crm.sync()

    crm.http.post("/salesforce/_admin/limits", json={"DailyBulkApiBatches": 15_000})
    crm.sync()
    check_whole(crm)


def lock(crm: Crm, way: int) -> None:
    crm.fault("row_lock", f"{INGEST}/*", share=0.3, seed=4)
    if way:
        crm.fault("row_lock", f"{API}/composite*", share=0.3, seed=5)


def fail(crm: Crm, way: int) -> None:
    crm.fault("job_failed", f"{INGEST}/*", share=0.5, seed=3, processed=7)


@pytest.mark.parametrize(
    ("way", "disturb"), [(BULK, lock), (FEW, lock), (BULK, fail)], ids=["locks in bulk", "locks", "failed jobs"]
)
def test_unprocessed_rows_are_sent_again_without_dead_letters(
    crm: Crm, way: int, disturb: Callable[[Crm, int], None]
) -> None:
    choose(crm, way)
    disturb(crm, way)

    errors = sync_until_done(crm)

    assert set(errors) <= {TargetUnavailable, ObjectUnavailable}
    crm.no_faults()
    check_whole(crm)
    assert crm.database.value("select count(*) from control.dead_letter where stage = 'crm'") == 0
    again = "select sum(failed + unprocessed) from control.ledger where stage = 'crm'"
    assert crm.database.value(again) > 0
