"""The plan of an org: what it lacks for the mapping in force, and the metadata that adds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.check.org_plan import OrgPlan, plan_org
from include.crm.objects.portfolio import list_mappings
from include.firm.folder import read
from tests.conftest import Database
from tests.crm.conftest import ACCOUNTS, Crm
from tests.running_sandbox import run_sandbox

PERMISSIONS = "permissionsets/Tributary_Load.permissionset-meta.xml"
MAPPING = """
household:
  record_type: Family
  record_owner: {default: office@firm.example}
  fields:
    Phone: {name: Client_Phone__c}
    BillingStreet: drop
    FinServ__ClientCategory__c: {name: Tier__c, values: {A: Gold}}
    Plan_Chance__c: {column: mart.plan_freshness.probability_ratio, label: Chance of Success}
    Notes__c: {column: mart.plan_freshness.plan_name, length: 2000}
account:
  fields:
    FinServ__Status__c: {values: {Open: Active}}
"""


@pytest.fixture
def crm(database: Database, tmp_path: Path) -> Iterator[Crm]:
    with run_sandbox(tmp_path / "sandbox", households=6) as sandbox:
        crm = Crm(database, sandbox, tmp_path / "work")
        yield crm
        crm.engine.dispose()


def plan(crm: Crm, folder: Path, mapping: str = "") -> OrgPlan:
    folder.mkdir(exist_ok=True)
    (folder / "mapping.yaml").write_text(mapping)
    firm, faults = read(folder)
    assert [str(fault) for fault in faults] == []
    org = replace(crm.org, settings=replace(crm.settings, changes=firm.changes))
    return plan_org(org, list_mappings(org.settings), "a-plan")


def change(crm: Crm, name: str, **changes: object) -> None:
    crm.http.patch(f"/salesforce/_admin/fields/{name}", json=changes).raise_for_status()


def list_red(found: OrgPlan) -> dict[str, str]:
    return {each.subject: each.detail for each in found.findings if each.state in ("red", "amber")}


def test_an_org_with_everything_needs_no_field(crm: Crm, tmp_path: Path) -> None:
    found = plan(crm, tmp_path / "firm")
    assert list_red(found) == {}
    fields = [name for name in found.files if "/fields/" in name]
    assert {name.split("/")[1] for name in fields} == {"Activity", "Tributary_Refresh__e"}


def test_the_plan_names_what_the_org_lacks_and_renders_it(crm: Crm, tmp_path: Path) -> None:
    change(crm, f"{ACCOUNTS}/FinServ__Status__c", is_restricted=True, picklist=["Open", "Closed"])
    change(crm, "Account/Region__c", is_required=True)
    change(crm, "Account/BillingCity", length=10)
    change(crm, "Account/Tributary_Plan_Source__c", length=20)
    change(crm, "Account/FinServ__Status__c", is_read_only=True)
    change(crm, "Account/Tributary_Plan_Changed__c", type="Checkbox")
    found = plan(crm, tmp_path / "firm", MAPPING)

    red = list_red(found)
    assert {
        "Account.Client_Phone__c", "Account.Tier__c", "Account.Plan_Chance__c", "Account.Notes__c",  # missing
        "Account record type Family", "Account.Region__c", "Account.BillingCity", "Account.Tributary_Plan_Source__c",
        "Account.FinServ__Status__c", "Account.Tributary_Plan_Changed__c", "user office@firm.example", f"{ACCOUNTS}.FinServ__Status__c",
    } == {*red}  # fmt: skip
    assert "values that are sent: Active" in red[f"{ACCOUNTS}.FinServ__Status__c"]

    new = {
        name.rpartition("/")[2].partition(".")[0]: xml
        for name, xml in found.files.items()
        if "objects/Account/" in name
    }
    assert {*new} == {"Client_Phone__c", "Tier__c", "Plan_Chance__c", "Notes__c", "Tributary_Plan_Source__c"}
    assert "<label>Chance of Success</label>" in new["Plan_Chance__c"]
    assert "<type>Percent</type>" in new["Plan_Chance__c"]
    assert ("<type>LongTextArea</type>" in new["Notes__c"], "<length>2000</length>" in new["Notes__c"]) == (True, True)
    assert "fills this field in a new record" in new["Tier__c"]
    members = {*re.findall("<members>(.*)</members>", found.files["package.xml"])}
    assert {f"Account.{name}" for name in new} | {"Tributary_Load", "Tributary_Envelope__c"} <= members
    assert "Account.Tributary_Risk_Number__c" not in members
    permissions = found.files[PERMISSIONS]
    assert "<field>Account.Plan_Chance__c</field>" in permissions
    assert "<field>Account.Phone</field>" not in permissions
    assert "Account.OwnerId" not in permissions


def test_a_field_of_the_plan_exists_once_it_is_deployed(crm: Crm, tmp_path: Path) -> None:
    mapping = "household: {fields: {Phone: {name: Client_Phone__c}}}"
    assert list_red(plan(crm, tmp_path / "firm", mapping)).keys() == {"Account.Client_Phone__c"}
    change(crm, "Account/Client_Phone__c", length=40)
    assert list_red(plan(crm, tmp_path / "firm", mapping)) == {}


def test_a_plan_writes_nothing_to_the_org(crm: Crm, tmp_path: Path) -> None:
    plan(crm, tmp_path / "firm", MAPPING)
    assert crm.records("Account") == {}
    calls = crm.database.rows(
        "select distinct method from control.api_call where vendor = 'salesforce' and path not like '%token%'"
    )
    assert {row["method"] for row in calls} <= {"GET"}


def test_objects_that_are_off_are_not_deployed(crm: Crm, tmp_path: Path) -> None:
    found = plan(crm, tmp_path / "firm", "envelope: {send: false}")
    assert not [name for name in found.files if "Tributary_Envelope__c" in name]
    assert "Tributary_Envelope__c" not in found.files["package.xml"] + found.files[PERMISSIONS]


def test_without_a_login_there_is_nothing_to_deploy(crm: Crm, tmp_path: Path) -> None:
    crm.connection = replace(crm.connection, password="wrong")
    found = plan(crm, tmp_path / "firm")
    assert (list_red(found).keys(), found.files) == ({"login"}, {})


def test_a_user_who_owns_records_must_be_active(crm: Crm, tmp_path: Path) -> None:
    mapping = "household: {record_owner: {default: Load@tributary.example, by_code: {REP1: nobody@firm.example}}}"
    found = plan(crm, tmp_path / "firm", mapping)
    assert list_red(found).keys() == {"user nobody@firm.example"}
