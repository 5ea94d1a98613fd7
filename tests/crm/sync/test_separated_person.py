"""Two people whom matching took for one until now: the new record waits for approval, and the old one stays whose it was."""

from __future__ import annotations

from typing import Any

import pytest

from include.crm.sync.guard import Concern
from include.crm.sync.preview import preview
from include.errors import ApprovalNeeded
from tests.crm.conftest import Crm


@pytest.fixture
def mixed(crm: Crm) -> dict[str, Any]:
    """Two people that are one in Salesforce, and two in the warehouse since."""
    [pair] = crm.database.rows("""
        select min(person_id) as kept, max(person_id) as separated from (
            select person_id from warehouse.person where recorded_to is null and valid_to is null order by person_id limit 2) p""")
    crm.database.do(
        """insert into warehouse.identity (entity, id, identity_id, how, recorded_from, source_run_id)
           values ('person', :separated, :kept, 'link', now(), 'first')""",
        **pair,
    )
    crm.sync()
    crm.database.do(
        "update warehouse.identity set recorded_to = now() where id = :separated", separated=pair["separated"]
    )
    keys = crm.database.rows(
        "select person_id, person_key from warehouse.person where recorded_to is null and valid_to is null"
    )
    return {name: next(row["person_key"] for row in keys if row["person_id"] == id) for name, id in pair.items()}


def test_a_separated_person_waits_for_approval_and_is_listed_with_the_record_of_both(
    crm: Crm, mixed: dict[str, Any]
) -> None:
    before = crm.records("Account", "person")
    with pytest.raises(ApprovalNeeded, match="person: 1 records would be separated"):
        crm.sync()
    assert crm.records("Account", "person") == before
    shown = preview(crm.engine, crm.settings)
    [listed] = [each for each in shown.samples["person"] if each.field == "Tributary_Key__c"]
    assert [concern.question for concern in shown.concerns] == ["separate"]
    assert (listed.old, listed.new) == (
        f"sample:orion:person:{mixed['kept']}",
        f"sample:orion:person:{mixed['separated']}",
    )


def test_an_approved_separation_adds_a_record_and_leaves_the_other_its_own(crm: Crm, mixed: dict[str, Any]) -> None:
    before = crm.records("Account", "person")
    crm.sync(approved=[Concern("person", "separate", 1, "")])
    after = crm.records("Account", "person")
    assert {key: record["Id"] for key, record in after.items() if key in before} == {
        key: record["Id"] for key, record in before.items()
    }
    assert [key.rpartition(":")[2] for key in after.keys() - before.keys()] == [mixed["separated"]]


def test_a_new_person_needs_no_approval(crm: Crm, mixed: dict[str, Any]) -> None:
    crm.sync(approved=[Concern("person", "separate", 1, "")])
    crm.database.do("""
        insert into warehouse.source_key (entity, vendor, source_key) values ('person', 'orion', 'new');
        insert into warehouse.person (person_id, vendor, person_key, household_id, name, last_name, valid_from, recorded_from, source_run_id)
        select (select id from warehouse.source_key where source_key = 'new'), vendor, 'new', household_id, 'Bea Specimen', 'Specimen',
               valid_from, recorded_from, source_run_id
        from warehouse.person where recorded_to is null and valid_to is null order by person_id limit 1""")
    crm.sync()
    assert any(key.endswith(":person:new") for key in crm.records("Account", "person"))
