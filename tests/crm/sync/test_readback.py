"""Read-back: edits in Salesforce are detected, and resolved by the ownership of each field."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.crm import bulk_query, tasks
from include.crm.bulk_query import BulkQuery
from include.crm.run import SyncRun
from include.crm.sync.readback import ReadBackCounts, read_back, recreate
from include.errors import ConfigurationError, TargetUnavailable
from include.recovery import restore
from include.warehouse import schema
from tests.crm.conftest import ACCOUNTS, DATA, HOLDINGS, Crm
from tests.running_sandbox import LAST


def read(crm: Crm, run_id: str = "read") -> dict[str, ReadBackCounts]:
    """Read back; return the differences by entity."""
    differences = read_back(crm.org, run_id, lambda _: None)
    return {entity: replace(each, read=0) for entity, each in differences.items() if not each.is_as_expected}


def first(crm: Crm, sobject: str, entity: str = "") -> tuple[str, str]:
    """Return the first record's key and id."""
    key, record = min(crm.records(sobject, entity).items())
    return key, record["Id"]


def edit(crm: Crm, sobject: str, record_id: str, **values: object) -> None:
    assert crm.http.patch(f"/salesforce/_admin/records/{sobject}/{record_id}", json=values).status_code == 200


def notes(crm: Crm) -> list[tuple[str, str, list[str]]]:
    rows = crm.database.rows("select kind, external_key, fields from control.crm_difference order by 1, 2")
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize("persons", ["individuals", "person_accounts"])
def test_after_a_sync_nothing_differs(crm: Crm, persons: str) -> None:
    if persons == "person_accounts":
        crm.http.post("/salesforce/_admin/settings", json={"person_accounts": True})
    crm.settings = replace(crm.settings, persons=persons, has_transactions=True)
    counts = crm.sync()

    differences = read_back(crm.org, "read", lambda _: None)

    assert {entity: each.read for entity, each in differences.items()} == {e: c.created for e, c in counts.items()}
    assert all(each.is_as_expected for each in differences.values())
    assert crm.sent() == {}


@pytest.mark.synced
def test_pages_are_read_to_the_last(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_query, "PAGE_ROWS", 7)

    assert read(crm) == {}


@pytest.mark.synced
def test_a_field_that_we_write_is_written_over(crm: Crm) -> None:
    key, record_id = first(crm, HOLDINGS)
    shown = crm.records(HOLDINGS)[key]["FinServ__Price__c"]
    edit(crm, HOLDINGS, record_id, FinServ__Price__c=1.5)

    assert read(crm) == {"position": ReadBackCounts(0, edited=1)}
    assert notes(crm) == [("edited", key, ["FinServ__Price__c"])]
    assert crm.sent() == {"position": 1}
    assert crm.records(HOLDINGS)[key]["FinServ__Price__c"] == shown
    assert read(crm, "again") == {}


@pytest.mark.synced
@pytest.mark.parametrize("number", ["ZZ-4711-99887766", "12345", "12-345"])
def test_an_account_number_that_a_user_completes_stays_and_is_stored_masked(crm: Crm, number: str) -> None:
    key, record_id = first(crm, ACCOUNTS)
    crm.database.do(
        "update warehouse.account set account_number_last4 = case when length(:number) >= 8 then right(:number, 4) end",
        number=number,
    )
    crm.sync()
    edit(crm, ACCOUNTS, record_id, FinServ__FinancialAccountNumber__c=number)

    read(crm)
    crm.database.do("update warehouse.account_value set cash_usd = cash_usd + 1")
    crm.sync()

    assert crm.records(ACCOUNTS)[key]["FinServ__FinancialAccountNumber__c"] == number
    assert number not in str(crm.database.rows("select payload from control.crm_state"))


@pytest.mark.synced
def test_a_field_that_we_write_once_is_left_to_the_firm(crm: Crm) -> None:
    key, record_id = first(crm, "Account", "household")
    edit(crm, "Account", record_id, Phone="555-0100", FinServ__ClientCategory__c="A")

    assert read(crm) == {}
    assert crm.sent() == {}
    assert crm.records("Account")[key]["Phone"] == "555-0100"


@pytest.mark.synced
def test_a_field_owned_by_salesforce_is_not_compared(crm: Crm) -> None:
    key, record_id = first(crm, "Account", "household")
    edit(crm, "Account", record_id, FinServ__ServiceModel__c="Gold", FinServ__NextReview__c="2027-01-15")
    crm.database.do("update warehouse.household set city = 'Sample City'")

    assert read(crm) == {}
    crm.sync()
    assert crm.records("Account")[key]["FinServ__NextReview__c"] == "2027-01-15"


@pytest.mark.synced
def test_a_lookup_changed_by_a_user_is_found(crm: Crm) -> None:
    key, record_id = first(crm, ACCOUNTS)
    edit(crm, ACCOUNTS, record_id, FinServ__Household__c=None)

    assert read(crm) == {"account": ReadBackCounts(0, edited=1)}
    assert crm.sent() == {"account": 1}
    assert crm.records(ACCOUNTS)[key]["FinServ__Household__c"]


@pytest.mark.synced
def test_a_deleted_record_is_unchanged_until_a_user_decides(crm: Crm) -> None:
    key, record_id = first(crm, HOLDINGS)
    crm.http.delete(f"/salesforce/_admin/records/{HOLDINGS}/{record_id}")
    crm.database.do("update warehouse.position set price_usd = price_usd + 1")

    assert read(crm) == {"position": ReadBackCounts(0, deleted=1)}
    sent = crm.sync()["position"]
    assert (sent.created, sent.updated) == (0, len(crm.records(HOLDINGS)))
    assert key not in crm.records(HOLDINGS)
    assert read(crm, "again") == {}

    assert recreate(crm.engine, crm.settings) == 1
    assert crm.sync()["position"].created == 1
    assert key in crm.records(HOLDINGS)
    assert read(crm, "third") == {}


@pytest.mark.synced
def test_a_record_recreated_under_our_key_is_adopted(crm: Crm) -> None:
    key, record_id = first(crm, HOLDINGS)
    parent = crm.records(HOLDINGS)[key]["FinServ__FinancialAccount__c"]
    crm.http.delete(f"/salesforce/_admin/records/{HOLDINGS}/{record_id}")
    assert read(crm) == {"position": ReadBackCounts(0, deleted=1)}
    crm.log_in()
    values = {"Name": "By hand", "FinServ__FinancialAccount__c": parent}
    path = f"{DATA}/sobjects/{HOLDINGS}/Tributary_Key__c/{key}"
    assert crm.sandbox.org.patch(path, json=values).status_code == 201

    assert read(crm, "again") == {"position": ReadBackCounts(0, other_id=1)}
    assert crm.sent() == {"position": 1}
    assert crm.records(HOLDINGS)[key]["Name"] != "By hand"
    assert read(crm, "third") == {}


@pytest.mark.synced
def test_a_merged_household_is_found_with_what_it_went_into(crm: Crm) -> None:
    [(_, master), (key, loser), *_] = sorted((k, r["Id"]) for k, r in crm.records("Account", "household").items())
    pair = {"master": master, "loser": loser}
    assert crm.http.post("/salesforce/_admin/records/Account/merge", json=pair).status_code == 204

    differences = read(crm)

    assert differences["household"] == ReadBackCounts(0, merged=1)
    rows = crm.database.rows("select external_key, master_id from control.crm_difference where kind = 'merged'")
    assert [tuple(row.values()) for row in rows] == [(key, master)]
    # Records that referred to the merged one now refer to the master: edited, until an operator decides on the merge.
    assert differences["account"].edited > 0


@pytest.mark.synced
def test_a_record_under_our_key_that_we_forgot_is_ours_again(crm: Crm) -> None:
    key, _ = first(crm, HOLDINGS)
    crm.database.do("delete from control.crm_state where external_key = :key", key=key)

    assert read(crm) == {"position": ReadBackCounts(0, unknown=1)}
    counts = crm.sync()["position"]
    assert counts.created == 0
    assert read(crm, "again") == {}


@pytest.mark.synced
def test_what_was_sent_while_it_was_read_is_left_to_the_next_time(crm: Crm) -> None:
    _, record_id = first(crm, HOLDINGS)
    edit(crm, HOLDINGS, record_id, FinServ__Price__c=1.5)
    crm.database.do("update control.crm_state set accepted_at = now() + interval '1 hour'")

    assert read(crm) == {}


@pytest.mark.synced
def test_an_incomplete_response_is_rejected(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    read_page = BulkQuery._read_page
    monkeypatch.setattr(bulk_query, "PAGE_ROWS", 5)
    monkeypatch.setattr(BulkQuery, "_read_page", lambda *args: (read_page(*args), "null")[1])

    with pytest.raises(TargetUnavailable, match="are incomplete"):
        read(crm)

    assert crm.database.value("select count(*) from control.crm_state where missing is not null") == 0


@pytest.mark.synced
def test_many_missing_records_require_approval(crm: Crm) -> None:
    crm.settings = replace(crm.settings, few=5)
    crm.http.delete("/salesforce/_admin/records")

    with pytest.raises(ConfigurationError, match="sharing rule"):
        read(crm)

    assert crm.database.value("select count(*) from control.crm_state where missing is not null") == 0


def test_after_a_restore_of_the_database_nothing_is_sent_until_the_org_was_read_back(crm: Crm) -> None:
    owner = schema.engine(crm.database.url("tributary_migrate"))
    restore.record(owner)
    owner.dispose()
    for write in (crm.sync, lambda: tasks.sync(crm.org, SyncRun("tasks", LAST), {})):
        with pytest.raises(ConfigurationError, match="read_back_salesforce"):
            write()
    assert crm.database.value("select count(*) from control.crm_job") == 0
    read_back(crm.org, "read", lambda _: None)
    assert crm.sync()
