"""Legal entities in Salesforce: business accounts that own, trustees, and trusts that were persons until now."""

from __future__ import annotations

from typing import Any

import pytest

from include.crm.sync.guard import Concern
from include.crm.sync.preview import preview
from include.errors import ApprovalNeeded
from tests.crm.conftest import ACCOUNTS, DATA, Crm

ROLES = "FinServ__FinancialAccountRole__c"

# As a version that read every registration as a person's would have loaded it. `undo` is the next full pull.
_AS_PERSONS = """
with key as (
    insert into warehouse.source_key (entity, vendor, source_key) select 'person', vendor, legal_entity_key from warehouse.legal_entity
    returning id, source_key
), person as (
    insert into warehouse.person (person_id, vendor, person_key, household_id, name, last_name, valid_from, recorded_from, source_run_id)
    select k.id, l.vendor, k.source_key, l.household_id, l.name, l.name, l.valid_from, l.recorded_from, l.source_run_id
    from warehouse.legal_entity l join key k on k.source_key = l.legal_entity_key
), owner as (
    update warehouse.account_owner o set person_id = k.id from warehouse.legal_entity l join key k on k.source_key = l.legal_entity_key
    where o.legal_entity_id = l.legal_entity_id
)
update warehouse.legal_entity set recorded_to = now()
"""
_UNDO = (
    "update warehouse.account_owner set person_id = null where legal_entity_id is not null",
    "update warehouse.person p set recorded_to = now() from warehouse.legal_entity l where p.person_key = l.legal_entity_key",
    "update warehouse.legal_entity set recorded_to = null",
)


@pytest.fixture
def entities(crm: Crm) -> list[dict[str, Any]]:
    return crm.database.rows("select * from warehouse.legal_entity order by legal_entity_key")


@pytest.mark.synced
def test_a_trust_is_a_business_account_and_owns_its_accounts(crm: Crm, entities: list[dict[str, Any]]) -> None:
    records = crm.records("Account", "legal_entity")
    crm.log_in()
    query = {"q": "select Name from Account where RecordType.DeveloperName = 'IndustriesBusiness'"}
    businesses = crm.sandbox.org.get(f"{DATA}/query", params=query).json()["records"]
    owners = {record["FinServ__PrimaryOwner__c"] for record in crm.records(ACCOUNTS).values()}
    assert {key.rpartition(":")[2] for key in records} == {row["legal_entity_key"] for row in entities}
    assert sorted(each["Name"] for each in businesses) == sorted(row["name"] for row in entities)
    assert {record["Id"] for record in records.values()} <= owners


def _name_trustee(crm: Crm) -> None:
    """Let the grantors of the first trust be its trustees."""
    crm.database.do("""
        update warehouse.registration_party set role = 'trustee' where role = 'grantor' and person_id is not null
    """)


def test_a_trustee_has_a_role_in_the_accounts_of_the_trust(crm: Crm) -> None:
    _name_trustee(crm)
    crm.sync()

    persons = {record["Id"] for record in crm.records("Account", "person").values()}
    roles = crm.records(ROLES).values()
    assert len(roles) >= 2
    assert {(role["FinServ__Role__c"], role["FinServ__Active__c"]) for role in roles} == {("Trustee", True)}
    assert {role["FinServ__RelatedAccount__c"] for role in roles} <= persons


def test_a_role_that_ended_is_inactive(crm: Crm) -> None:
    _name_trustee(crm)
    crm.sync()
    crm.database.do("update warehouse.registration_party set recorded_to = now() where role = 'trustee'")
    crm.sync()

    assert {role["FinServ__Active__c"] for role in crm.records(ROLES).values()} == {False}


@pytest.fixture
def once_persons(crm: Crm) -> Crm:
    """An org that has each trust as a person, and a warehouse in which the trusts are legal entities since."""
    crm.database.do(_AS_PERSONS)
    crm.sync()
    for statement in _UNDO:
        crm.database.do(statement)
    return crm


def test_a_trust_that_was_a_person_waits_for_approval_with_all_that_changes(
    once_persons: Crm, entities: list[dict[str, Any]]
) -> None:
    crm = once_persons
    owners = {key: record["FinServ__PrimaryOwner__c"] for key, record in crm.records(ACCOUNTS).items()}
    with pytest.raises(ApprovalNeeded, match="would be separated"):
        crm.sync()

    assert crm.records("Account", "legal_entity") == {}
    assert {key: record["FinServ__PrimaryOwner__c"] for key, record in crm.records(ACCOUNTS).items()} == owners
    assert all(crm.memberships().values())


def test_the_page_lists_each_trust_with_the_record_that_salesforce_has(
    once_persons: Crm, entities: list[dict[str, Any]]
) -> None:
    shown = preview(once_persons.engine, once_persons.settings)

    [concern] = shown.concerns
    listed = [each for each in shown.samples["legal_entity"] if each.field == "Tributary_Key__c"]
    ids = {record["Id"] for record in once_persons.records("Account", "person").values()}
    assert (concern.entity, concern.question, concern.records) == ("legal_entity", "separate", len(entities))
    assert [(each.old, each.new) for each in listed] == [
        (f"sample:orion:person:{row['legal_entity_key']}", f"sample:orion:legal_entity:{row['legal_entity_key']}")
        for row in entities
    ]
    assert {each.salesforce_id for each in listed} <= ids


def test_an_approved_separation_moves_the_accounts_and_the_next_sync_ends_the_memberships(
    once_persons: Crm, entities: list[dict[str, Any]]
) -> None:
    crm = once_persons
    crm.sync(approved=[Concern("legal_entity", "separate", len(entities), "")])
    crm.sync()

    trusts = {record["Id"] for record in crm.records("Account", "legal_entity").values()}
    owners = {record["FinServ__PrimaryOwner__c"] for record in crm.records(ACCOUNTS).values()}
    keys = {row["legal_entity_key"] for row in entities}
    active = crm.memberships()
    assert len(trusts) == len(entities)
    assert trusts <= owners
    assert {key for key, is_active in active.items() if not is_active} == keys


def test_the_memberships_end_once_salesforce_has_the_record_that_represents_the_trust(
    once_persons: Crm, entities: list[dict[str, Any]]
) -> None:
    crm = once_persons
    first, anchor, *_ = (row["legal_entity_id"] for row in entities)
    crm.database.do(
        """insert into warehouse.identity (entity, id, identity_id, how, recorded_from, source_run_id)
           values ('legal_entity', :first, :anchor, 'link', now(), 'identity')""",
        first=first,
        anchor=anchor,
    )
    [concern] = preview(crm.engine, crm.settings).concerns
    crm.sync(approved=[concern])
    crm.sync()

    keys = {row["legal_entity_key"] for row in entities}
    assert len(crm.records("Account", "legal_entity")) == len(entities) - 1
    assert {key for key, is_active in crm.memberships().items() if not is_active} == keys
