"""Rows that Salesforce left unprocessed are sent again, and every job is accounted for."""

from __future__ import annotations

import pytest

from include.errors import TargetUnavailable
from tests.crm.conftest import INGEST, Crm


def test_locked_rows_are_sent_again(crm: Crm) -> None:
    crm.fault("row_lock", f"{INGEST}/*", share=0.3, seed=4, times=1)

    counts = crm.sync()["household"]

    assert counts.failed > 0
    assert counts.created == len(crm.records("Account", "household"))
    assert counts.sent == counts.created + counts.failed
    assert crm.dead_letters() == []


def test_rows_that_stay_locked_leave_the_sync_to_another_attempt(crm: Crm) -> None:
    crm.fault("row_lock", f"{INGEST}/*", share=1.0)

    with pytest.raises(TargetUnavailable, match="sobject=Account"):
        crm.sync()

    jobs = crm.database.rows("select entity, count(*) from control.crm_job group by 1")
    assert {row["entity"]: row["count"] for row in jobs} == dict.fromkeys(
        ("household", "person", "legal_entity", "security"), 3
    )
    assert crm.dead_letters() == []
    crm.no_faults()
    assert all(
        c.created for entity, c in crm.sync().items() if entity not in ("account_role", "goal", "envelope", "finding")
    )


def test_rows_of_a_job_that_failed_half_way_are_sent_again(crm: Crm) -> None:
    crm.fault("job_failed", f"{INGEST}/*", processed=2, times=1)

    counts = crm.sync()["household"]

    households = len(crm.records("Account", "household"))
    assert (counts.created, counts.unprocessed, counts.sent) == (households, households - 2, 2 * households - 2)


def test_every_job_is_a_ledger_row_that_balances(crm: Crm) -> None:
    crm.fault("row_lock", f"{INGEST}/*", share=0.5, seed=4, times=1)

    crm.sync()

    rows = crm.database.rows("select * from control.ledger where stage = 'crm' and sent > 0")
    jobs = crm.database.rows("select * from control.crm_job")
    assert {row["pull_id"]: row["sent"] for row in rows} == {job["job_id"]: job["rows"] for job in jobs}
    assert {job["state"] for job in jobs} == {"closed"}
