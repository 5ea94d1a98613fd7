"""Rows that Salesforce rejects: their dead letters, and when they are sent again."""

from __future__ import annotations

import pytest

from include.crm.sync import holding
from include.crm.sync.collections import read_outcome
from include.crm.sync.delta import EVERY_ERROR
from include.crm.sync.preview import preview
from include.errors import RowsFailed
from sandbox.salesforce.errors import RowError
from tests.crm.conftest import ACCOUNTS, Crm


def test_a_rejected_row_becomes_a_dead_letter_and_fails_the_sync(crm: Crm) -> None:
    person = crm.database.rows("select * from warehouse.person limit 1")[0]
    crm.database.do("update warehouse.person set name = null where person_key = :key", key=person["person_key"])

    with pytest.raises(RowsFailed, match="'Account': 1"):
        crm.sync()

    by_key = {
        dead_letter["row_key"]: dead_letter
        for dead_letter in crm.dead_letters()
        if dead_letter["table_name"] == "Account"
    }
    dead_letter = by_key[f"sample:orion:person:{person['person_key']}"]
    assert dead_letter["reasons"] == ["REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name"]
    assert dead_letter["vendor"] == "salesforce"
    content = crm.database.value(
        "select payload from control.crm_sent where 'salesforce/' || job_id = :job and row_number = :row",
        job=dead_letter["partition"],
        row=dead_letter["row_number"],
    )
    assert content["Name"] is None
    assert crm.database.value("select count(*) from control.crm_sent") == len(crm.dead_letters())


def test_a_row_that_is_rejected_without_a_reason_is_a_dead_letter(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowError, "bulk_text", "")
    crm.database.do("update warehouse.household set name = null")

    with pytest.raises(RowsFailed, match="'Account'"):
        crm.sync()

    reasons = {str(each["reasons"]) for each in crm.dead_letters() if ":household:" in each["row_key"]}
    assert reasons == {"['UNKNOWN_EXCEPTION:Salesforce gave no reason']"}


def test_a_row_of_a_collection_may_be_rejected_without_a_reason() -> None:
    assert read_outcome("key", {"success": False, "errors": []}).error == "UNKNOWN_EXCEPTION:Salesforce gave no reason"


def test_everything_but_the_refused_row_and_its_children_is_loaded(crm: Crm) -> None:
    owner = crm.database.rows("select person_id, count(*) from warehouse.account_owner group by 1 order by 2 limit 1")[
        0
    ]
    crm.database.do("update warehouse.person set name = null where person_id = :id", id=owner["person_id"])

    with pytest.raises(RowsFailed):
        crm.sync()

    accounts = crm.database.value("select count(*) from warehouse.account")
    assert len(crm.records(ACCOUNTS)) == accounts - owner["count"]
    assert [
        dead_letter["table_name"] for dead_letter in crm.dead_letters() if dead_letter["table_name"] == ACCOUNTS
    ] == []
    waiting = {each.entity: each.records for each in holding.read(crm.engine) if each.cause == "parent"}
    assert waiting["account"] == owner["count"]


def test_a_dead_letter_holds_no_value_of_its_row(crm: Crm) -> None:
    crm.database.do("update warehouse.account set open_date = '0044-03-15 BC', close_date = null")

    with pytest.raises(RowsFailed):
        crm.sync()

    reasons = [
        reason
        for dead_letter in crm.dead_letters()
        for reason in dead_letter["reasons"]
        if dead_letter["table_name"] == ACCOUNTS
    ]
    assert reasons
    assert all("0044" not in reason and "value not of required type: ..." in reason for reason in reasons)


def test_a_dead_letter_closes_when_its_row_is_accepted(crm: Crm) -> None:
    crm.database.do("alter table warehouse.household add column kept text")
    crm.database.do("update warehouse.household set kept = name, name = null")
    with pytest.raises(RowsFailed):
        crm.sync()
    crm.database.do("update warehouse.household set name = kept")

    crm.sync()

    assert crm.dead_letters() == []
    assert {dead_letter["replayed_by"] for dead_letter in crm.dead_letters("replayed")} == {"crm-2"}
    assert crm.database.value("select count(*) from control.crm_sent") == 0


def refuse_a_household(crm: Crm) -> None:
    crm.database.do(
        "update warehouse.household set name = null where household_id = (select min(household_id) from warehouse.household)"
    )
    with pytest.raises(RowsFailed):
        crm.sync()


def read_household_dead_letters(crm: Crm) -> list[str]:
    return [dead_letter["run_id"] for dead_letter in crm.dead_letters() if ":household:" in dead_letter["row_key"]]


def test_what_was_refused_is_not_sent_again_as_it_is(crm: Crm) -> None:
    refuse_a_household(crm)

    assert crm.sent() == {}
    assert preview(crm.engine, crm.settings).deltas["household"].refused == 1
    assert read_household_dead_letters(crm) == ["crm-1"]


@pytest.mark.parametrize("how", ["when it changes", "after a day", "when an operator asks"])
def test_what_was_refused_is_sent_again(crm: Crm, how: str) -> None:
    refuse_a_household(crm)
    if how == "when it changes":
        crm.database.do("update warehouse.household set street = 'Moved' where name is null")
    if how == "after a day":
        crm.database.do("update control.crm_job set changed_at = changed_at - interval '1 day'")

    with pytest.raises(RowsFailed):
        crm.sync(resends=EVERY_ERROR if how == "when an operator asks" else "")

    assert read_household_dead_letters(crm) == ["crm-2"]


def test_the_records_of_one_error_are_sent_again(crm: Crm) -> None:
    crm.database.do("update warehouse.account set open_date = '0044-03-15 BC', close_date = null")
    refuse_a_household(crm)
    code = crm.database.value("select error_code from control.salesforce_rejection where object = :it", it=ACCOUNTS)

    with pytest.raises(RowsFailed):
        crm.sync(resends=f"{ACCOUNTS}: {code}")

    assert {each["run_id"] for each in crm.dead_letters() if each["table_name"] == ACCOUNTS} == {"crm-2"}
    assert read_household_dead_letters(crm) == ["crm-1"]


def test_a_refused_child_is_sent_again_once_a_parent_is_accepted_after_it(crm: Crm) -> None:
    crm.database.do(
        "update warehouse.account set open_date = '0044-03-15 BC', close_date = null"
        " where account_id = (select min(account_id) from warehouse.account where household_id is not null)"
    )
    with pytest.raises(RowsFailed):
        crm.sync()
    assert crm.sent() == {}
    crm.database.do("update warehouse.household set street = 'Moved'")

    with pytest.raises(RowsFailed):
        crm.sync()

    assert [each["run_id"] for each in crm.dead_letters() if each["table_name"] == ACCOUNTS] == ["crm-3"]


def test_a_child_is_sent_once_its_parent_is_accepted(crm: Crm) -> None:
    crm.database.do("alter table warehouse.person add column kept text")
    crm.database.do("update warehouse.person set kept = name, name = null")
    with pytest.raises(RowsFailed):
        crm.sync()
    owners = crm.database.value(
        "select count(distinct account_id) from warehouse.account_owner where person_id is not null"
    )
    assert len(crm.records(ACCOUNTS)) == crm.database.value("select count(*) from warehouse.account") - owners
    crm.database.do("update warehouse.person set name = kept")

    assert crm.sync()["account"].created > 0
    assert crm.dead_letters() == []


@pytest.mark.synced
def test_a_dead_letter_closes_when_its_row_is_no_longer_desired(crm: Crm) -> None:
    crm.database.do("alter table warehouse.household add column kept text")
    crm.database.do("update warehouse.household set kept = name, name = null")
    with pytest.raises(RowsFailed):
        crm.sync()
    crm.database.do("update warehouse.household set name = kept")

    assert crm.sent() == {}
    assert crm.dead_letters() == []


def test_a_run_fails_while_an_adopted_job_has_dead_letters(crm: Crm) -> None:
    refuse_a_household(crm)

    with pytest.raises(RowsFailed):  # the next attempt of the same run
        crm.sync(run_id="crm-1")
