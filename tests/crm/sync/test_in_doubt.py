"""Rows that Salesforce may have written although their results were lost: a value that changed and changed back is sent again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from include.errors import BalanceError, TargetUnavailable
from tests.crm.conftest import API, DATA, INGEST, Crm

pytestmark = pytest.mark.synced


@contextmanager
def correction(crm: Crm) -> Iterator[str]:
    """Change the city of all households for the length of the block; return the value that Salesforce must show afterwards."""
    before = "Springfield"
    crm.database.do("update warehouse.household set city = :city", city=before)
    crm.sync()
    assert find_cities(crm) == {before}
    crm.database.do("update warehouse.household set city = 'Wrongville'")
    yield before
    assert find_cities(crm) == {"Wrongville"}
    crm.database.do("update warehouse.household set city = :city", city=before)


def find_cities(crm: Crm) -> set[str]:
    return {record["BillingCity"] for record in crm.records("Account", "household").values()}


def check_corrected(crm: Crm, city: str) -> None:
    assert set(crm.sent()) == {"household"}
    assert find_cities(crm) == {city}
    assert crm.sent() == {}
    assert crm.database.value("select count(*) from control.crm_sent where external_key not like '%lost'") == 0


def test_a_call_of_collections_whose_responses_are_lost(crm: Crm) -> None:
    crm.settings = replace(crm.settings, most_collected=2000)
    with correction(crm) as city:
        crm.fault("body_cut", f"{API}/composite")
        with pytest.raises(TargetUnavailable):
            crm.sync(patience_s=0.3)
        crm.no_faults()

    check_corrected(crm, city)


def test_rows_in_doubt_that_are_locked_stay_in_doubt(crm: Crm) -> None:
    with correction(crm) as city:
        crm.settings = replace(crm.settings, most_collected=2000)
        crm.fault("body_cut", f"{API}/composite")
        with pytest.raises(TargetUnavailable):
            crm.sync(patience_s=0.3)
        crm.no_faults()
    crm.fault("row_lock", share=1.0)
    with pytest.raises(TargetUnavailable):
        crm.sync()
    crm.no_faults()

    check_corrected(crm, city)


def test_a_bulk_job_whose_results_do_not_account_for_its_rows(crm: Crm) -> None:
    with correction(crm) as city:
        crm.database.do("""
            create function control.lose_a_row() returns trigger language plpgsql as $$ begin
                insert into control.crm_sent values (new.job_id, 'sample:orion:household:lost', 99, '{}'); return null;
            end $$;
            create trigger lose_a_row after update on control.crm_job for each row when (new.state = 'uploaded')
                execute function control.lose_a_row()
        """)
        with pytest.raises(BalanceError):
            crm.sync()
        crm.database.do("drop trigger lose_a_row on control.crm_job")

    check_corrected(crm, city)


def test_a_bulk_job_that_salesforce_has_forgotten(crm: Crm) -> None:
    with correction(crm) as city:
        crm.fault("unavailable", f"{INGEST}/*/successfulResults*")
        with pytest.raises(TargetUnavailable):
            crm.sync(patience_s=0.3)
        crm.no_faults()
        job = crm.database.value("select job_id from control.crm_job where state = 'uploaded'")
        crm.log_in()
        until = time.monotonic() + 20
        while crm.sandbox.org.delete(f"{DATA}/jobs/ingest/{job}").status_code != 204:
            assert time.monotonic() < until
            time.sleep(0.05)

    check_corrected(crm, city)
