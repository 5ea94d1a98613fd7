"""A few changed rows by collections: the same records and counts as with bulk jobs, with far fewer calls."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from include.crm.settings import Settings
from include.errors import RateLimited, RowsFailed, TargetUnavailable
from tests.crm.conftest import ACCOUNTS, API, HOLDINGS, Crm
from tests.crm.sync.test_rejected_rows import refuse_a_household

COMPOSITE = f"{API}/composite"


@pytest.fixture
def crm(crm: Crm) -> Crm:
    crm.settings = Settings("sample", few=1_000_000)
    return crm


def calls(crm: Crm) -> dict[str, int]:
    """Count the last run's calls by endpoint."""
    return {
        row["path"].removeprefix("/services/data/v66.0"): row["calls"]
        for row in crm.database.rows("""
            select path, count(*) as calls from control.api_call where vendor = 'salesforce'
               and run_id = (select run_id from control.api_call where vendor = 'salesforce' order by called_at desc limit 1)
            group by 1
        """)
    }


def test_a_first_load_by_collections_is_as_one_by_bulk_jobs(crm: Crm) -> None:
    counts = crm.sync()

    assert all(c.sent == c.created and not c.failed for c in counts.values())
    assert crm.database.value("select count(*) from control.crm_job where sent_by = 'bulk'") == 0
    bulk = {name: crm.records(name) for name in ("Account", ACCOUNTS, HOLDINGS)}
    crm.http.delete("/salesforce/_admin/records")
    crm.database.do("truncate control.crm_state")
    crm.settings = replace(crm.settings, most_collected=0)
    crm.sync()

    def plain(records: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
        """Remove the values that an org generates anew each time."""
        return {
            key: {n: v for n, v in r.items() if not n.endswith(("Id", "Date", "Modstamp")) and "__r" not in n
                  and not str(v).startswith(("001", "a0"))}
            for key, r in records.items()
        }  # fmt: skip

    assert {name: plain(records) for name, records in bulk.items()} == {name: plain(crm.records(name)) for name in bulk}


def test_a_second_sync_sends_nothing(crm: Crm) -> None:
    crm.sync()
    assert crm.sent() == {}


def test_changes_of_several_objects_share_one_call(crm: Crm) -> None:
    crm.sync()
    crm.database.do("update warehouse.household set city = 'Sample City'")
    crm.database.do("update warehouse.position set price_usd = price_usd + 1 where position_key = :key",
                    key=crm.one_position()["position_key"])  # fmt: skip

    assert set(crm.sent()) == {"household", "position"}

    assert calls(crm)["/composite"] == 1


def test_numbers_keep_every_digit(crm: Crm) -> None:
    key = crm.one_position()["position_key"]
    crm.database.do(
        "update warehouse.position set quantity = 12345678901234.5678, market_value_usd = 9999999999999999.99"
        " where position_key = :key",
        key=key,
    )

    crm.sync()

    record = crm.records(HOLDINGS)[f"sample:orion:position:{key}"]
    assert Decimal(record["FinServ__MarketValue__c"]) == Decimal("9999999999999999.99")
    assert Decimal(record["FinServ__Shares__c"]) == Decimal("12345678901234.5678")


def test_null_clears_a_field_and_a_lookup(crm: Crm) -> None:
    crm.sync()
    crm.database.do("update warehouse.household set city = null")
    crm.database.do("update warehouse.account set household_id = null")

    crm.sync()

    assert all("BillingCity" not in r for r in crm.records("Account", "household").values())
    assert all("FinServ__Household__c" not in r for r in crm.records(ACCOUNTS).values())


def test_a_rejected_row_becomes_a_dead_letter(crm: Crm) -> None:
    refuse_a_household(crm)
    [dead_letter] = [dead_letter for dead_letter in crm.dead_letters() if ":household:" in dead_letter["row_key"]]
    assert dead_letter["reasons"] == ["REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name"]


def test_locked_rows_are_sent_again(crm: Crm) -> None:
    crm.fault("row_lock", COMPOSITE + "*", share=0.3, seed=4, times=1)

    counts = crm.sync()

    assert sum(c.failed for c in counts.values()) > 0
    assert crm.dead_letters() == []
    assert len(crm.records(HOLDINGS)) == counts["position"].created


def test_while_salesforce_is_down_nothing_is_lost(crm: Crm) -> None:
    crm.sync()
    crm.database.do("update warehouse.household set city = 'Sample City'")
    crm.fault("unavailable", "*/services/*")
    with pytest.raises(TargetUnavailable):
        crm.sync(patience_s=0.5)
    crm.no_faults()

    assert crm.sent() == {"household": len(crm.records("Account", "household"))}


def test_a_call_whose_response_is_lost_is_repeated(crm: Crm) -> None:
    crm.fault("body_cut", COMPOSITE, times=1)

    counts = crm.sync()

    lost = "select count(*) from control.api_call where status is null and path like '%/composite'"
    assert crm.database.value(lost) == 1
    assert len(crm.records("Account", "household")) == counts["household"].created + counts["household"].updated
    assert crm.sent() == {}


def test_the_reserve_of_the_days_calls_is_left(crm: Crm) -> None:
    crm.sync()
    crm.database.do("update warehouse.household set city = 'Sample City'")
    crm.http.post("/salesforce/_admin/limits", json={"DailyApiRequests": {"Max": 1000, "Remaining": 190}})

    with pytest.raises(RateLimited, match="reserve"):
        crm.sync()

    assert all(r.get("BillingCity") != "Sample City" for r in crm.records("Account", "household").values())
    crm.http.post("/salesforce/_admin/limits", json={"DailyApiRequests": {"Max": 1000, "Remaining": 900}})
    assert set(crm.sent()) == {"household"}


def test_refused_rows_do_not_keep_others_back(crm: Crm) -> None:
    crm.database.do(
        "update warehouse.person set name = null, last_name = null where person_id = (select min(person_id) from warehouse.person)"
    )
    with pytest.raises(RowsFailed):
        crm.sync()
    people = crm.database.value("select count(*) from warehouse.person")
    assert len(crm.records("Account", "person")) == people - 1
