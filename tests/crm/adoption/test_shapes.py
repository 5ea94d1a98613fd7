"""Adoption in the shapes besides the managed package: an org that has everything without our keys gets them, and no second record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from include.crm.adoption import adopt
from include.crm.objects.mapping import ADOPTABLE
from include.crm.objects.portfolio import list_mappings
from include.crm.settings import Persons, ShapeName
from include.identity.resolve import resolve
from include.vendors import VENDORS
from local.postgres import Postgres
from tests.conftest import Database, new_database
from tests.crm.conftest import BULK, KEY_FIELD, Crm, Start, run_crm
from tests.running_sandbox import LAST

WAYS: dict[str, tuple[ShapeName, Persons]] = {
    "standard_objects": ("standard_objects", "person_accounts"),
    "plain": ("plain", "individuals"),
}


@dataclass(frozen=True)
class Typed:
    """An org whose records are as users would have typed them in, and a warehouse that knows none of them."""

    crm: Crm
    ids: dict[str, set[str]]

    def read(self, sobject: str) -> list[dict[str, Any]]:
        lines = self.crm.http.get(f"/salesforce/_admin/records/{sobject}").content.splitlines()
        return [orjson.loads(line) for line in lines]


def list_typed(record: dict[str, Any], types: dict[str, str]) -> dict[str, Any]:
    """Return the changes that leave of a record what users would have typed: no key, and a record type instead of our kind."""
    changes: dict[str, Any] = {KEY_FIELD: None}
    if kind := record.get("Tributary_Kind__c"):
        changes["Tributary_Kind__c"] = None
        if kind in types:
            changes["RecordTypeId"] = types[kind]
    return changes


@pytest.fixture(params=[pytest.param("standard_objects", marks=pytest.mark.long), "plain"])
def typed(
    request: pytest.FixtureRequest, postgres: Postgres, loaded: Start, database: Database, tmp_path: Path
) -> Iterator[Typed]:
    shape, persons = WAYS[request.param]
    with run_crm(database, tmp_path, loaded, shape=shape) as crm:
        crm.settings = replace(BULK, shape=shape, persons=persons)
        if persons == "person_accounts":
            crm.http.post("/salesforce/_admin/settings", json={"person_accounts": True}).raise_for_status()
        with new_database(postgres, loaded.database) as other:  # which loads the org, and is forgotten
            first = Crm(other, crm.sandbox, tmp_path / "first", settings=crm.settings)
            resolve(first.engine, VENDORS, "identity", LAST)
            first.sync()
            first.engine.dispose()
        typed = Typed(crm, {})
        types = {record["DeveloperName"]: record["Id"] for record in typed.read("RecordType")}
        for sobject in dict.fromkeys(each.sobject for each in adopt.list_adopted(crm.settings)):
            records = [record for record in typed.read(sobject) if KEY_FIELD in record]
            typed.ids[sobject] = {record["Id"] for record in records}
            for record in records:
                url = f"/salesforce/_admin/records/{sobject}/{record['Id']}"
                crm.http.patch(url, json=list_typed(record, types)).raise_for_status()
        resolve(crm.engine, VENDORS, "identity", LAST)
        yield typed


def list_doubts(crm: Crm) -> list[dict[str, Any]]:
    return crm.database.rows("select * from control.adoption_finding where outcome <> 'matched'")


def test_every_record_of_the_org_gets_our_key_and_none_is_created_twice(typed: Typed) -> None:
    crm = typed.crm
    found = adopt.compare(crm.org, "compare", LAST, lambda _: None)
    # A legal entity has no more than its name, so a person decides; then its accounts have a known owner.
    assert {each["entity"] for each in list_doubts(crm)} == {"legal_entity", "account"}
    assert found["matched"] > 40
    for each in list_doubts(crm):
        if each["entity"] == "legal_entity":
            adopt.decide(crm.engine, each["salesforce_id"], each["candidates"][0]["external_key"], True, "ann")
    adopt.approve(crm.engine, [name for name in ADOPTABLE if name != "contact"], "ann")

    counts = crm.sync()

    adopted = [each.entity for each in list_mappings(crm.settings) if each.is_adopted]
    assert list_doubts(crm) == []
    assert {entity: counts[entity].created for entity in adopted} == dict.fromkeys(adopted, 0)
    assert {name: {r["Id"] for r in typed.read(name) if KEY_FIELD in r} for name in typed.ids} == typed.ids
