"""Decisions about records that differ in Salesforce."""

from __future__ import annotations

import pytest

from include.crm.sync import drift
from include.errors import InputRejected
from tests.crm.conftest import ACCOUNTS, HOLDINGS, Crm
from tests.crm.sync.test_readback import edit, first, read

STATUS = "FinServ__Status__c"


def outcomes(crm: Crm) -> list[tuple[str, str]]:
    rows = crm.database.rows("select kind, outcome from control.salesforce_difference order by 1, 2")
    return [(row["kind"], row["outcome"]) for row in rows]


@pytest.mark.synced
def test_a_field_that_is_left_to_salesforce_keeps_the_users_value(crm: Crm) -> None:
    key, record_id = first(crm, ACCOUNTS)
    edit(crm, ACCOUNTS, record_id, **{STATUS: "Frozen"})
    read(crm)
    assert outcomes(crm) == [("edited", "the next sync overwrites it")]

    assert drift.leave_to_salesforce(crm.engine, ACCOUNTS, [key], [STATUS], "Pat Sample") == 1

    assert outcomes(crm) == [("edited", "left to Salesforce")]
    assert crm.sent() == {}
    assert crm.records(ACCOUNTS)[key][STATUS] == "Frozen"
    edit(crm, ACCOUNTS, record_id, **{STATUS: "Dormant"})
    assert read(crm, "again") == {}
    entry = crm.database.rows("select actor, subject from control.audit where action = 'salesforce.left_to_users'")
    assert entry == [{"actor": "Pat Sample", "subject": f"{ACCOUNTS} {key}"}]

    assert drift.write_again(crm.engine, ACCOUNTS, [key], "Pat Sample") == 1
    assert crm.sent() == {"account": 1}
    assert crm.records(ACCOUNTS)[key][STATUS] == "Open"


@pytest.mark.synced
def test_only_the_selected_deleted_record_is_created_again(crm: Crm) -> None:
    keys = sorted(crm.records(HOLDINGS))[:2]
    for key in keys:
        crm.http.delete(f"/salesforce/_admin/records/{HOLDINGS}/{crm.records(HOLDINGS)[key]['Id']}")
    read(crm)
    assert outcomes(crm) == [("deleted", "not sent any more")] * 2

    assert drift.create_again(crm.engine, HOLDINGS, keys[:1], "Pat Sample") == 1
    entry = crm.database.rows("select actor, subject from control.audit where action = 'salesforce.created_again'")
    assert entry == [{"actor": "Pat Sample", "subject": f"{HOLDINGS} {keys[0]}"}]

    assert crm.sync()["position"].created == 1
    assert set(crm.records(HOLDINGS)) & set(keys) == {keys[0]}
    assert outcomes(crm) == [("deleted", "created again"), ("deleted", "not sent any more")]


@pytest.mark.synced
def test_a_record_that_is_not_missing_is_not_created_again(crm: Crm) -> None:
    assert drift.create_again(crm.engine, HOLDINGS, [first(crm, HOLDINGS)[0], "unknown"], "Pat Sample") == 0
    assert crm.sent() == {}


def test_to_leave_no_field_is_rejected(crm: Crm) -> None:
    with pytest.raises(InputRejected, match="at least one field"):
        drift.leave_to_salesforce(crm.engine, ACCOUNTS, ["key"], [], "Pat Sample")


@pytest.mark.synced
def test_a_field_that_is_written_again_is_sent_whatever_users_have_typed_since(crm: Crm) -> None:
    key, record_id = first(crm, ACCOUNTS)
    edit(crm, ACCOUNTS, record_id, **{STATUS: "Closed"})
    read(crm)
    drift.leave_to_salesforce(crm.engine, ACCOUNTS, [key], [STATUS], "Pat Sample")
    edit(crm, ACCOUNTS, record_id, **{STATUS: "Frozen"})
    crm.database.do(
        "update warehouse.account set is_active = false where account_key = :key", key=key.rpartition(":")[2]
    )

    drift.write_again(crm.engine, ACCOUNTS, [key], "Pat Sample")

    crm.sync()
    assert crm.records(ACCOUNTS)[key][STATUS] == "Closed"
