"""Describe agrees with the deployable metadata."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from sandbox.salesforce.schema import DEPLOYED, SHAPES, list_trees, load_schema

OURS = DEPLOYED / "managed_package"
SF = "{http://soap.sforce.com/2006/04/metadata}"


def members(shape: str, kind: str) -> set[str]:
    """Return the members that package.xml lists of a kind."""
    types = ElementTree.parse(DEPLOYED / shape / "package.xml").getroot().findall(f"{SF}types")
    return {
        item.text or "" for tag in types if tag.findtext(f"{SF}name") == kind for item in tag.findall(f"{SF}members")
    }


def read_granted_fields(shape: str) -> dict[str, bool]:
    """Return the fields that the permission set grants, and whether each may be edited."""
    root = ElementTree.parse(DEPLOYED / shape / "permissionsets" / "Tributary_Load.permissionset-meta.xml").getroot()
    tags = root.findall(f"{SF}fieldPermissions")
    return {tag.findtext(f"{SF}field") or "": tag.findtext(f"{SF}editable") == "true" for tag in tags}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_permission_set_grants_only_fields_of_the_org(shape):
    schema = load_schema(list_trees(shape))
    # The permission set grants an address as a whole; records carry its parts.
    fields = [name.replace("Address", "Street").split(".") for name in read_granted_fields(shape)]
    assert [(name, field) for name, field in fields if field not in schema[name].fields] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_the_permission_set_grants_what_salesforce_lets_it_grant(shape):
    schema = load_schema(list_trees(shape))
    refused = []
    for name, is_editable in read_granted_fields(shape).items():
        sobject, field = name.replace("Address", "Street").split(".")
        item = schema[sobject].fields[field]
        refused += [name] if item.is_required or (item.is_read_only and is_editable) else []
    assert refused == []


@pytest.mark.parametrize("shape", SHAPES)
def test_every_key_of_ours_may_be_written(shape):
    # Fields of a platform event have no permissions: a subscriber of the event reads them all.
    fields = {name.replace("Activity.", "Task.") for name in members(shape, "CustomField") if "__e." not in name}
    schema = load_schema(list_trees(shape))
    keys = {name for name in fields if not schema[name.split(".")[0]].fields[name.split(".")[1]].is_required}
    assert keys <= {name for name, is_editable in read_granted_fields(shape).items() if is_editable}


@pytest.mark.parametrize("shape", SHAPES)
def test_our_keys_are_one_kind_of_field_but_for_tasks(shape):
    schema = load_schema(list_trees(shape))
    kinds = {
        (item.length, item.is_external_id, item.is_unique, item.is_case_sensitive)
        for name, sobject in schema.items()
        if name != "Task" and (item := sobject.fields.get("Tributary_Key__c"))
    }
    assert kinds == {(120, True, True, True)}


def test_tasks_are_found_by_our_key_and_never_upserted(org):
    task = {"Subject": "Call Ada Sample", "Tributary_Key__c": "sample:finding:1", "Priority": "High"}
    created = org.call("POST", "/sobjects/Task", json=task)
    tasks = org.query("SELECT Id FROM Task WHERE Tributary_Key__c IN ('sample:finding:1', 'sample:finding:2')")
    upsert = org.call("PATCH", "/sobjects/Task/Tributary_Key__c/sample:finding:1", json={"Status": "Completed"})
    assert [row["Id"] for row in tasks] == [created.json()["id"]]
    assert "does not match an External ID" in upsert.json()[0]["message"]


def test_a_task_is_about_an_account_or_a_financial_account_named_by_its_id(org):
    ids = [org.add_person(), org.add_account()]
    for record_id in ids:
        assert org.call("POST", "/sobjects/Task", json={"Subject": "Call", "WhatId": record_id}).status_code == 201
    assert [row["WhatId"] for row in org.query("SELECT WhatId FROM Task ORDER BY WhatId")] == sorted(ids)
    by_key = org.call("POST", "/sobjects/Task", json={"Subject": "Call", "What": {"Tributary_Key__c": "P1"}})
    assert (by_key.status_code, by_key.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


def test_an_alert_is_upserted(org):
    org.add_person()
    org.add_account()
    alert = {
        "Tributary_Key__c": "sample:finding:1",
        "FinServ__FinancialAccount__r": {"Tributary_Key__c": "A1"},
        "FinServ__Message__c": "Negative cash",
        "FinServ__Priority__c": "High",
        "FinServ__Severity__c": "Warning",
    }
    assert org.upsert("FinServ__Alert__c", alert)[0]["created"]
    record = org.query("SELECT Name, FinServ__Active__c FROM FinServ__Alert__c")[0]
    assert (record["Name"], record["FinServ__Active__c"]) == ("Alert-000000001", True)
    assert org.error("FinServ__Alert__c", {"Tributary_Key__c": "2"})["fields"] == ["FinServ__Message__c"]


def test_a_field_exists_when_its_file_does(tmp_path: Path):
    fields = tmp_path / "objects" / "Account" / "fields"
    fields.mkdir(parents=True)
    text = (OURS / "objects/Account/fields/Tributary_Key__c.field-meta.xml").read_text()
    (fields / "Extra_Key__c.field-meta.xml").write_text(text.replace("Tributary_Key__c", "Extra_Key__c"))
    schema = load_schema((*list_trees("managed_package")[:2], tmp_path))
    assert "Extra_Key__c" in schema["Account"].fields
    assert "Tributary_Key__c" not in schema["Account"].fields


def test_a_lookup_to_an_object_that_no_file_declares_is_an_error(tmp_path: Path):
    fields = tmp_path / "objects" / "Account" / "fields"
    fields.mkdir(parents=True)
    (fields / "Lost__c.field-meta.xml").write_text(
        f'<CustomField xmlns="{SF[1:-1]}"><fullName>Lost__c</fullName><referenceTo>Nowhere__c</referenceTo>'
        "<type>Lookup</type></CustomField>"
    )
    with pytest.raises(ValueError, match="Nowhere__c"):
        load_schema((*list_trees("managed_package")[:2], tmp_path))


def test_describe_matches_the_metadata_files(org):
    described = org.call("GET", "/sobjects/FinServ__FinancialAccount__c/describe").json()
    fields = {field["name"]: field for field in described["fields"]}
    owner, balance = fields["FinServ__PrimaryOwner__c"], fields["FinServ__Balance__c"]
    assert (owner["type"], owner["referenceTo"], owner["nillable"]) == ("reference", ["Account"], False)
    assert (balance["type"], balance["precision"], balance["scale"]) == ("currency", 18, 2)
    assert fields["FinServ__SourceSystemId__c"]["externalId"]
    assert not fields["FinServ__SourceSystemId__c"]["unique"]
    assert "InvestmentAccount" in {info["developerName"] for info in described["recordTypeInfos"]}


def test_only_the_accounts_source_id_is_unique():
    schema = load_schema()
    unique = {
        name for name, item in schema.items() if (f := item.fields.get("FinServ__SourceSystemId__c")) and f.is_unique
    }
    assert unique == {"Account"}
