"""Records that users delete, merge or undelete between two syncs, and the records that refer to them."""

from __future__ import annotations

from typing import Any

import pytest

from include.crm.sync import drift, holding
from include.crm.sync.readback import recreate
from tests.crm.conftest import ACCOUNTS, HOLDINGS, Crm

HOUSEHOLD = "FinServ__Household__c"


def list_differences(crm: Crm) -> list[tuple[str, str]]:
    rows = crm.database.rows("select kind, external_key from control.crm_difference order by 1, 2")
    return [(row["kind"], row["external_key"]) for row in rows]


def delete(crm: Crm, sobject: str, record: dict[str, Any]) -> None:
    assert crm.http.delete(f"/salesforce/_admin/records/{sobject}/{record['Id']}").status_code == 204


def pick_household(crm: Crm) -> tuple[str, dict[str, Any], set[str]]:
    """Return the key and record of a household that has financial accounts, and the keys of these accounts."""
    records = crm.records(ACCOUNTS)
    for key, record in sorted(crm.records("Account", "household").items()):
        if own := {name for name, each in records.items() if each.get(HOUSEHOLD) == record["Id"]}:
            return key, record, own
    raise AssertionError("no household has accounts")


@pytest.mark.synced
def test_a_deleted_record_is_not_created_again_until_an_operator_decides(crm: Crm) -> None:
    key, record, own = pick_household(crm)
    delete(crm, "Account", record)
    crm.database.do("update warehouse.household set city = 'Sample City'")

    crm.sync()

    assert key not in crm.records("Account", "household")
    kinds = {kind for kind, _ in list_differences(crm)}
    removed = {name for _, name in list_differences(crm) if ":membership:" not in name}
    assert (kinds, removed, crm.dead_letters()) == ({"deleted"}, {key}, [])

    assert recreate(crm.engine, crm.settings) == len(list_differences(crm))
    crm.sync()

    again = crm.records("Account", "household")[key]["Id"]
    assert {each for each, account in crm.records(ACCOUNTS).items() if account.get(HOUSEHOLD) == again} == own
    assert crm.sent() == {}


@pytest.mark.synced
def test_the_holdings_of_a_deleted_account_are_missing_with_it(crm: Crm) -> None:
    position = crm.one_position()
    [account] = [key for key, each in crm.records(ACCOUNTS).items()
                 if each["Id"] == crm.records(HOLDINGS)[f"sample:orion:position:{position['position_key']}"]["FinServ__FinancialAccount__c"]]  # fmt: skip
    delete(crm, ACCOUNTS, crm.records(ACCOUNTS)[account])
    shown = set(crm.records(HOLDINGS))
    crm.database.do("update warehouse.position set price_usd = price_usd + 1 where position_key = :key",
                    key=position["position_key"])  # fmt: skip

    assert crm.sent() == {}

    assert account not in crm.records(ACCOUNTS)
    assert set(crm.records(HOLDINGS)) == shown
    assert ("deleted", account) in list_differences(crm)


@pytest.mark.synced
def test_a_merge_stays(crm: Crm) -> None:
    key, loser, own = pick_household(crm)
    master = next(each["Id"] for name, each in crm.records("Account", "household").items() if name != key)
    pair = {"master": master, "loser": loser["Id"]}
    assert crm.http.post("/salesforce/_admin/records/Account/merge", json=pair).status_code == 204
    crm.database.do("update warehouse.household set city = 'Sample City'")
    crm.database.do("update warehouse.account_value set cash_usd = cash_usd + 1")

    crm.sync()

    assert key not in crm.records("Account", "household")
    assert list_differences(crm) == [("merged", key)]
    assert {crm.records(ACCOUNTS)[each][HOUSEHOLD] for each in own} == {master}
    assert crm.dead_letters() == []


@pytest.mark.synced
def test_an_undeleted_record_is_sent_again(crm: Crm) -> None:
    key = f"sample:orion:position:{crm.one_position()['position_key']}"
    crm.database.do("update control.crm_state set missing = 'deleted' where external_key = :key", key=key)
    crm.database.do("update warehouse.position set price_usd = 7 where position_key = :key", key=key.rpartition(":")[2])

    assert crm.sent() == {"position": 1}

    assert crm.records(HOLDINGS)[key]["FinServ__Price__c"] == "7.0"


@pytest.mark.synced
def test_a_record_that_lost_our_key_is_not_taken_for_an_undeleted_one(crm: Crm) -> None:
    key = f"sample:orion:position:{crm.one_position()['position_key']}"
    path = f"/salesforce/_admin/records/{HOLDINGS}/{crm.records(HOLDINGS)[key]['Id']}"
    assert crm.http.patch(path, json={"Tributary_Key__c": None}).status_code == 200
    crm.database.do("update control.crm_state set missing = 'deleted' where external_key = :key", key=key)
    crm.database.do("update warehouse.position set price_usd = 7 where position_key = :key", key=key.rpartition(":")[2])

    assert crm.sent() == {}


@pytest.mark.synced
def test_a_new_account_waits_for_its_household_that_was_deleted(crm: Crm) -> None:
    key, record, own = pick_household(crm)
    account = min(own)
    delete(crm, ACCOUNTS, crm.records(ACCOUNTS)[account])
    crm.database.do("delete from control.crm_state where external_key = :key", key=account)
    delete(crm, "Account", record)

    crm.sync()

    assert account not in crm.records(ACCOUNTS)
    assert ("account", "parent", 1) in [(each.entity, each.cause, each.records) for each in holding.read(crm.engine)]

    drift.create_again(crm.engine, "Account", [key], "Pat Sample")
    crm.sync()
    assert crm.records(ACCOUNTS)[account][HOUSEHOLD] == crm.records("Account", "household")[key]["Id"]
