"""Describe and the deployable metadata are one thing."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from include.sandbox.salesforce.schema import ROOT, load_schema

OURS = ROOT / "crm" / "metadata"
SF = "{http://soap.sforce.com/2006/04/metadata}"


def members(kind: str) -> set[str]:
    """What package.xml names of a kind."""
    types = ElementTree.parse(OURS / "package.xml").getroot().findall(f"{SF}types")
    return {
        item.text or "" for tag in types if tag.findtext(f"{SF}name") == kind for item in tag.findall(f"{SF}members")
    }


def test_package_names_exactly_the_fields_that_are_there():
    there = {f"{path.parents[1].name}.{path.name.split('.')[0]}" for path in OURS.glob("objects/*/fields/*.xml")}
    assert members("CustomField") == there


def test_the_permission_set_grants_only_fields_of_the_org():
    schema = load_schema()
    root = ElementTree.parse(OURS / "permissionsets" / "Tributary_Load.permissionset-meta.xml").getroot()
    granted = [tag.findtext(f"{SF}field") or "" for tag in root.findall(f"{SF}fieldPermissions")]
    assert granted
    assert [name for name in granted if name.split(".")[1] not in schema[name.split(".")[0]].fields] == []


def test_a_field_exists_when_its_file_does(tmp_path: Path):
    fields = tmp_path / "objects" / "Account" / "fields"
    fields.mkdir(parents=True)
    text = (OURS / "objects/Account/fields/Tributary_Key__c.field-meta.xml").read_text()
    (fields / "Extra_Key__c.field-meta.xml").write_text(text.replace("Tributary_Key__c", "Extra_Key__c"))
    schema = load_schema((ROOT / "sandbox" / "org", tmp_path))
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
        load_schema((ROOT / "sandbox" / "org", tmp_path))


def test_describe_says_what_the_files_say(org):
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
