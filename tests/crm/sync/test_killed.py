"""A loader that is killed or stopped at any point of a job: after a rerun nothing is lost and nothing doubled."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psutil
import pytest

from include.crm import tasks
from include.crm.run import SyncRun
from include.errors import WriterSuperseded
from tests.crm import dying
from tests.crm.conftest import ACCOUNTS, DATA, HOLDINGS, INGEST, SECURITIES, Crm
from tests.forked import Forked, submit
from tests.running_sandbox import LAST

POINTS = (
    "created at Salesforce",
    "job row written",
    "in the middle of the upload",
    "uploaded",
    "started",
    "marked as uploaded",
    "in the middle of the results",
    "results read",
    "before the commit",
    "settled",
)
FEW_POINTS = (
    "booked, not sent",
    "sent, answer not read",
    "answer read",
    "all answered, not settled",
    "answers taken",
    "before the commit",
    "settled",
)
OBJECTS = ("Account", SECURITIES, ACCOUNTS, HOLDINGS)


@contextmanager
def loader(crm: Crm, point: str, job: int, how: signal.Signals) -> Iterator[Forked]:
    """Run a loader in a process of its own, which sends itself a signal at a point of its nth job."""
    work = str(crm.work.with_name("other_work"))
    child = submit(dying.run, crm.database.url(), crm.connection, crm.settings, work, point, job, how)
    try:
        yield child
    finally:
        child.kill()
        child.close()


def wait_until_stopped(child: Forked) -> None:
    until = time.monotonic() + 60
    while psutil.Process(child.pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < until
        time.sleep(0.05)


def check_whole(crm: Crm) -> None:
    """Check that Salesforce holds every record once, in its last state, and that no job is open."""
    queries = {
        "Account": "select (select count(*) from warehouse.household) + (select count(*) from warehouse.person)"
        " + (select count(*) from warehouse.legal_entity)",
        SECURITIES: "select count(*) from warehouse.security",
        ACCOUNTS: "select count(*) from warehouse.account",
        HOLDINGS: "select count(*) from warehouse.position join warehouse.account using (account_id) where is_counted",
    }
    for sobject in OBJECTS:
        records = crm.records(sobject)
        assert len(records) == crm.database.value(queries[sobject])
        ids = crm.database.rows(
            "select external_key, salesforce_id from control.crm_state where sobject = :s", s=sobject
        )
        assert {row["external_key"]: row["salesforce_id"] for row in ids} == {k: r["Id"] for k, r in records.items()}
    assert crm.database.value("select count(*) from control.crm_job where state in ('open', 'uploaded')") == 0
    assert crm.database.value("select count(*) from control.crm_sent") == 0
    closed = crm.database.value("select array_agg(job_id order by job_id) from control.crm_job where state = 'closed'")
    booked = "select array_agg(pull_id order by pull_id) from control.ledger where stage = 'crm' and sent > 0"
    assert crm.database.value(booked) == closed
    assert crm.sent() == {}


QUICK = ("in the middle of the upload",)
QUICK_FEW = ("answers taken",)


def _cases(points: Iterable[str], job: int = 8) -> list[Any]:
    """List all points; only the most important ones run in the quick tests."""
    return [pytest.param(p, job, marks=() if p in QUICK and job == 8 else pytest.mark.long) for p in points]


@pytest.mark.parametrize(("point", "job"), [*_cases(POINTS), *_cases(["uploaded", "started"], 1)])
def test_a_killed_load_is_made_whole_by_the_next(crm: Crm, point: str, job: int) -> None:
    with loader(crm, point, job, signal.SIGKILL) as child:
        child.join(60)
        assert child.exitcode == -signal.SIGKILL

    crm.sync()

    check_whole(crm)


def test_a_job_under_way_is_adopted_not_sent_again(crm: Crm) -> None:
    with loader(crm, "started", 8, signal.SIGKILL) as child:
        child.join(60)

    counts = crm.sync()

    assert counts["position"].created == len(crm.records(HOLDINGS))
    assert crm.database.value("select count(*) from control.crm_job where run_id like 'crm-%'") == 0


@pytest.mark.long
def test_a_job_that_was_not_started_is_aborted(crm: Crm) -> None:
    with loader(crm, "uploaded", 1, signal.SIGKILL) as child:
        child.join(60)

    crm.sync()

    assert crm.database.value("select state from control.crm_job where run_id = 'killed'") == "abandoned"


@pytest.mark.parametrize(
    ("point", "job"),
    _cases(["job row written", "in the middle of the upload", "uploaded", "started", "before the commit"]),
)
def test_a_stopped_writer_that_wakes_after_another_is_refused(crm: Crm, point: str, job: int) -> None:
    with loader(crm, point, job, signal.SIGSTOP) as child:
        wait_until_stopped(child)
        crm.sync()
        child.signal(signal.SIGCONT)
        with pytest.raises(WriterSuperseded):
            child.result()

    check_whole(crm)


def test_a_job_whose_rows_were_locked_when_its_writer_died_is_sent_again(crm: Crm) -> None:
    crm.fault("row_lock", f"{INGEST}/*", share=0.5, seed=4, times=1)
    with loader(crm, "started", 1, signal.SIGKILL) as child:
        child.join(60)

    crm.sync()

    check_whole(crm)


@pytest.mark.long
def test_a_job_that_salesforce_has_forgotten_is_sent_again(crm: Crm) -> None:
    with loader(crm, "started", 1, signal.SIGKILL) as child:
        child.join(60)
    job = f"{DATA}/jobs/ingest/{crm.database.value('select job_id from control.crm_job')}"
    crm.log_in()
    until = time.monotonic() + 20
    while crm.sandbox.org.delete(job).status_code != 204:
        assert time.monotonic() < until
        time.sleep(0.05)

    counts = crm.sync()

    assert counts["household"].updated == counts["household"].sent > 0
    check_whole(crm)


def kill(crm: Crm, point: str, job: int) -> None:
    with loader(crm, point, job, signal.SIGKILL) as child:
        child.join(60)
        assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("point", "job"),
    [
        pytest.param(point, job, marks=() if point in QUICK_FEW and job == 1 else pytest.mark.long)
        for job in (1, 5)
        for point in FEW_POINTS
    ],
)
def test_a_killed_load_by_collections_is_made_whole_by_the_next(crm: Crm, point: str, job: int) -> None:
    crm.settings = replace(crm.settings, most_collected=2000)
    kill(crm, point, job)

    crm.sync()

    check_whole(crm)


def test_rows_that_a_killed_load_sent_are_booked_by_the_next_as_what_they_are(crm: Crm) -> None:
    crm.settings = replace(crm.settings, most_collected=2000)
    kill(crm, "sent, answer not read", 1)
    count = len(crm.records("Account"))

    counts = crm.sync()

    assert count > 0
    assert counts["household"].updated + counts["person"].updated == count
    assert crm.database.value("select state from control.crm_job where run_id = 'killed'") == "abandoned"
    assert crm.database.value("select count(*) from control.ledger where run_id = 'killed'") == 0
    check_whole(crm)


@pytest.mark.parametrize(
    "point",
    ["before the commit", *(pytest.param(p, marks=pytest.mark.long) for p in ("all answered, not settled", "settled"))],
)
def test_changes_of_several_objects_in_one_call_of_a_killed_load_arrive(crm: Crm, point: str) -> None:
    crm.settings = replace(crm.settings, most_collected=2000)
    crm.sync()
    crm.database.do("update warehouse.household set city = 'Sample City'")
    crm.database.do("update warehouse.account set name = 'Renamed'")
    crm.database.do("update warehouse.position set price_usd = price_usd + 1")
    kill(crm, point, 1)

    crm.sync()

    assert {r["BillingCity"] for r in crm.records("Account", "household").values()} == {"Sample City"}
    assert {r["Name"] for r in crm.records(ACCOUNTS).values()} == {"Renamed"}
    check_whole(crm)


@pytest.mark.parametrize(
    "point", [pytest.param("booked, not sent", marks=pytest.mark.long), "all answered, not settled"]
)
def test_a_stopped_writer_by_collections_that_wakes_after_another_is_refused(crm: Crm, point: str) -> None:
    crm.settings = replace(crm.settings, most_collected=2000)
    crm.sync()
    crm.database.do("update warehouse.household set city = 'Old Town'")
    with loader(crm, point, 1, signal.SIGSTOP) as child:
        wait_until_stopped(child)
        crm.database.do("update warehouse.household set city = 'New Town'")
        crm.sync()
        child.signal(signal.SIGCONT)
        with pytest.raises(WriterSuperseded):
            child.result()

    assert {r["BillingCity"] for r in crm.records("Account", "household").values()} == {"New Town"}
    check_whole(crm)


@pytest.mark.synced
@pytest.mark.parametrize(
    "is_over", [False, pytest.param(True, marks=pytest.mark.long)], ids=["still open", "closed meanwhile"]
)
def test_a_task_of_a_killed_run_is_one_and_ends_with_its_finding(crm: Crm, is_over: bool) -> None:
    finding = crm.database.value("""
        insert into control.finding (vendor, rule, subject_entity, subject_id, severity, measure, details,
                                     business_date_opened, opened_run_id, business_date_seen, seen_run_id)
        select 'orion', 'negative_cash', 'account', min(account_id), 'critical', 1, 'x', :day, 'r', :day, 'r'
        from warehouse.account returning finding_id
    """, day=LAST)  # fmt: skip
    kill(crm, "Task made, not noted", 1)
    assert crm.database.value("select count(*) from control.crm_state where sobject = 'Task'") == 0
    if is_over:
        close = "update control.finding set business_date_closed = :day, closed_run_id = 'r', closed_at = now()"
        crm.database.do(close, day=LAST)

    tasks.sync(crm.org, SyncRun("next", LAST), {"negative_cash": tasks.TaskSpec("Cover it", 1)})

    [record] = crm.records("Task").items()
    assert record[0] == f"sample:orion:finding:{finding}"
    assert record[1]["Status"] == ("Completed" if is_over else "Not Started")
