"""A plain org: persons are contacts, so a trust that was a person moves from one object to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.crm.sync.guard import Concern
from include.crm.sync.preview import preview
from tests.conftest import Database
from tests.crm.conftest import BULK, Crm, Start, run_crm
from tests.crm.objects.test_legal_entity import _AS_PERSONS, _UNDO


@pytest.fixture
def crm(database: Database, tmp_path: Path, loaded: Start) -> Iterator[Crm]:
    with run_crm(database, tmp_path, loaded, shape="plain") as crm:
        crm.settings = replace(BULK, shape="plain")
        yield crm


def test_a_trust_that_was_a_person_waits_for_approval_and_then_leaves_the_household(crm: Crm) -> None:
    crm.database.do(_AS_PERSONS)
    crm.sync()
    for statement in _UNDO:
        crm.database.do(statement)
    trusts = {
        row["legal_entity_key"] for row in crm.database.rows("select legal_entity_key from warehouse.legal_entity")
    }
    contacts = {each["Id"] for key, each in crm.records("Contact").items() if key.split(":")[3] in trusts}

    shown = preview(crm.engine, crm.settings)
    [concern] = shown.concerns
    listed = {each.salesforce_id for each in shown.samples["legal_entity"] if each.field == "Tributary_Key__c"}
    assert (concern.entity, concern.question, concern.records, listed) == (
        "legal_entity",
        "separate",
        len(trusts),
        contacts,
    )

    crm.sync(approved=[Concern("legal_entity", "separate", len(trusts), "")])
    members = {key.split(":")[3]: each["Tributary_Member__c"] for key, each in crm.records("Contact").items()}
    assert all(members.values())  # until Salesforce has the legal entities
    crm.sync()
    members = {key.split(":")[3]: each["Tributary_Member__c"] for key, each in crm.records("Contact").items()}
    assert {key for key, is_member in members.items() if not is_member} == trusts
    assert {each.get("AccountId") for each in crm.records("Contact").values()} <= {
        each["Id"] for each in crm.records("Account", "household").values()
    }
    owners = {each.get("Owning_Entity__c") for each in crm.records("Tributary_Account__c").values()} - {None}
    assert owners == {each["Id"] for each in crm.records("Account", "legal_entity").values()}
