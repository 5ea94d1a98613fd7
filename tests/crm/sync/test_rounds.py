"""How a round's outgoing records are split into parts."""

from __future__ import annotations

import hashlib

import pytest

from include.crm.sync import rounds, sender
from tests.crm.conftest import Crm


def count_jobs_of_an_account(crm: Crm) -> int:
    """Count the jobs with holdings of the same account, at most."""
    jobs: int = crm.database.value("""
        select max(jobs) from (
            select count(distinct job_id) as jobs from control.crm_state
            where sobject = 'FinServ__FinancialHolding__c'
            group by payload ->> 'FinServ__FinancialAccount__r.Tributary_Key__c') accounts
    """)
    return jobs


def test_files_are_cut_where_a_family_ends(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "MOST_ROWS", 10)

    crm.sync()

    assert count_jobs_of_an_account(crm) == 1
    assert crm.database.value("select count(*) from control.crm_job where entity = 'position'") > 5


def test_files_stay_below_the_limit_and_match_their_job_rows(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "MOST_BYTES", 9_000)

    crm.sync()

    files = [path.read_bytes() for path in (crm.work.parent / "sandbox/salesforce/jobs").glob("*/data.csv")]
    hashes = {row["file_sha256"] for row in crm.database.rows("select file_sha256 from control.crm_job")}
    assert {hashlib.sha256(file).hexdigest() for file in files} == hashes
    assert len(files) > 5
    assert count_jobs_of_an_account(crm) == 1
    # The limit, plus the rest of the family that began below it.
    assert max(map(len, files)) < 9_000 + 5_000
