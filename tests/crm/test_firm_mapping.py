"""A firm's changes of the mapping, from the file in its folder to the records in its org."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.crm.objects.portfolio import list_mappings
from include.crm.settings import Settings
from include.crm.sync.preview import preview
from include.crm.sync.readback import read_back
from include.errors import ConfigurationError
from include.firm import folder
from include.firm.catalogue import ONE_ROW, find_source
from tests.crm.conftest import ACCOUNTS, DATA, HOLDINGS, SECRET, SECURITIES, Crm

ANNA, OFFICE = "anna@firm.example", "office@firm.example"


def change(crm: Crm, path: Path, mapping: str) -> Settings:
    """Put a mapping file in force; return the settings with it."""
    path.mkdir(exist_ok=True)
    (path / "mapping.yaml").write_text(mapping)
    firm, faults = folder.read(path)
    assert [str(fault) for fault in faults] == []
    crm.settings = replace(crm.settings, changes=firm.changes)
    return crm.settings


def add_field(crm: Crm, sobject: str, name: str, **attributes: Any) -> None:
    """Create a field of the firm in the org."""
    crm.http.patch(f"/salesforce/_admin/fields/{sobject}/{name}", json=attributes).raise_for_status()


def list_values(crm: Crm, sobject: str, entity: str, field: str) -> set[Any]:
    return {record.get(field) for record in crm.records(sobject, entity).values()}


def read_money(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def test_a_renamed_field_reaches_the_org(crm: Crm, tmp_path: Path) -> None:
    add_field(crm, "Account", "Client_Phone__c", type="Phone", label="Client Phone")
    change(crm, tmp_path / "firm", "household:\n  fields:\n    Phone: {name: Client_Phone__c, owner: vendor}\n")
    crm.sync()
    phones = {row["phone"] for row in crm.database.rows("select phone from warehouse.known_household where is_anchor")}
    assert list_values(crm, "Account", "household", "Client_Phone__c") == phones
    assert list_values(crm, "Account", "household", "Phone") == {None}
    assert crm.sent() == {}


def test_a_dropped_field_is_not_sent(crm: Crm, tmp_path: Path) -> None:
    change(crm, tmp_path / "firm", "household: {fields: {Phone: drop, Tributary_Held_Away__c: drop}}")
    crm.http.delete("/salesforce/_admin/fields/Account/Tributary_Held_Away__c").raise_for_status()
    crm.sync()
    households = crm.records("Account", "household").values()
    assert households
    assert {household.get("Phone") for household in households} == {None}


def test_a_field_shows_a_column_of_a_mart_and_of_the_warehouse(crm: Crm, tmp_path: Path) -> None:
    add_field(crm, "Account", "Assets__c", type="Currency", scale=2)
    add_field(crm, "Account", "Mail__c")
    add_field(crm, "Account", "Oldest__c", type="Date")
    add_field(crm, ACCOUNTS, "Value__c", type="Currency", scale=2)
    lines = """
household:
  fields:
    Assets__c: {column: mart.aum_by_household.aum_usd, daily: true}
    Mail__c: {column: warehouse.household.email, length: 80}
    Oldest__c: {column: warehouse.known_person.birth_date, of_several: smallest}
account:
  fields:
    Value__c: {column: warehouse.account_value.market_value_usd}
"""
    change(crm, tmp_path / "firm", lines)
    crm.sync()
    wanted = crm.database.rows("""
        select 'sample:' || h.vendor || ':household:' || h.household_key as key, h.email, a.aum_usd,
               (select min(birth_date) from warehouse.known_person p where p.household_id = h.household_id) as oldest
        from warehouse.known_household h left join mart.aum_by_household a on a.household_id = h.household_id
    """)
    assert len(wanted) == 6
    records = crm.records("Account", "household")
    for row in wanted:
        record = records[row["key"]]
        assert record.get("Mail__c") == row["email"]
        assert read_money(record.get("Assets__c")) == row["aum_usd"]
        assert record.get("Oldest__c") == (None if row["oldest"] is None else row["oldest"].isoformat())
    assert any(row["aum_usd"] for row in wanted)
    assert any(row["oldest"] for row in wanted)
    values = {record["Tributary_Key__c"]: record.get("Value__c") for record in crm.records(ACCOUNTS).values()}
    for row in crm.database.rows("""
        select 'sample:' || vendor || ':account:' || k.source_key as key, market_value_usd
        from warehouse.account_value v join warehouse.source_key k using (vendor) where k.entity = 'account' and k.id = v.account_id
    """):
        assert read_money(values[row["key"]]) == row["market_value_usd"]
    assert crm.sent() == {}


def test_values_are_mapped_to_the_picklist_of_the_org(crm: Crm, tmp_path: Path) -> None:
    lines = """
account:
  fields:
    FinServ__Status__c: {values: {Open: "It's open: yes", Closed: Shut}}
    FinServ__FinancialAccountType__c: {values: {Roth IRA: Roth}}
"""
    settings = replace(change(crm, tmp_path / "firm", lines), few=0, most_closed=0)
    crm.sync()
    active = {bool(row["is_active"]) for row in crm.database.rows("select is_active from warehouse.account")}
    assert list_values(crm, ACCOUNTS, "account", "FinServ__Status__c") == {
        "It's open: yes" if each else "Shut" for each in active
    }
    types = {row["t"] for row in crm.database.rows("select distinct account_type as t from warehouse.account")}
    assert "Roth IRA" in types
    assert list_values(crm, ACCOUNTS, "account", "FinServ__FinancialAccountType__c") == types - {"Roth IRA"} | {"Roth"}

    crm.database.do("update warehouse.account set is_active = false")
    assert "close" in " ".join(concern.question for concern in preview(crm.engine, settings).concerns)


def test_a_record_type_is_that_of_the_firm(crm: Crm, tmp_path: Path) -> None:
    change(crm, tmp_path / "firm", "account: {record_type: BankingAccount}")
    crm.sync()
    crm.log_in()
    query = {"q": f"SELECT RecordType.DeveloperName FROM {ACCOUNTS}"}
    found = crm.sandbox.org.get(f"{DATA}/query", params=query).json()["records"]
    assert {each["RecordType"]["DeveloperName"] for each in found} == {"BankingAccount"}


@pytest.mark.parametrize("owner", ["firm", "vendor"])
def test_records_belong_to_the_users_of_their_representatives(crm: Crm, tmp_path: Path, owner: str) -> None:
    users = {}
    for name in (ANNA, OFFICE):
        consumer = {"client_id": name, "client_secret": SECRET, "username": name}
        users[name] = crm.http.post("/salesforce/_admin/consumers", json=consumer).json()["user_id"]
    codes = {
        row["household_key"]: row["number"]
        for row in crm.database.rows("""
        select household_key, number from warehouse.household left join warehouse.representative using (representative_id)
    """)
    }
    [code, *_] = sorted({*codes.values()} - {None})
    lines = f"{{by_code: {{'{code}': {ANNA}}}, default: {OFFICE}, owner: {owner}}}"
    entities = ("household", "person", "account")
    change(crm, tmp_path / "firm", "\n".join(f"{entity}: {{record_owner: {lines}}}" for entity in entities))
    crm.settings = replace(
        crm.settings, most_collected=2000 if owner == "vendor" else 0
    )  # by collections, and by bulk jobs
    crm.sync()

    households = crm.records("Account", "household")
    for key, record in households.items():
        assert record["OwnerId"] == users[ANNA if codes[key.rpartition(":")[2]] == code else OFFICE]
    assert {record["OwnerId"] for record in households.values()} == {*users.values()}
    for records in (crm.records("Account", "person"), crm.records(ACCOUNTS)):
        assert {record["OwnerId"] for record in records.values()} <= {*users.values()}

    [moved] = [record for record in households.values() if record["OwnerId"] == users[ANNA]][:1]
    edited = {"OwnerId": users[OFFICE]}
    crm.http.patch(f"/salesforce/_admin/records/Account/{moved['Id']}", json=edited).raise_for_status()
    assert read_back(crm.org, "read", lambda _: None)["household"].edited == (owner == "vendor")
    assert crm.sent() == ({} if owner == "firm" else {"household": 1})


def test_without_a_default_other_records_keep_their_owner(crm: Crm, tmp_path: Path) -> None:
    change(crm, tmp_path / "firm", f"household: {{record_owner: {{by_code: {{none: {ANNA}}}}}}}")
    crm.sync()
    assert len(list_values(crm, "Account", "household", "OwnerId")) == 1
    assert crm.database.value("select count(*) from control.crm_state where payload ? 'Owner.Username'") == 0
    assert crm.dead_letters() == []


def test_a_field_of_the_firm_is_written_once_and_a_field_of_the_vendor_always(crm: Crm, tmp_path: Path) -> None:
    change(crm, tmp_path / "firm", "household: {fields: {BillingCity: {owner: firm}, Phone: {owner: vendor}}}")
    crm.sync()
    crm.database.do("update warehouse.household set city = 'Elsewhere', phone = '555 0100'")
    assert crm.sent() == {"household": 6}
    assert "Elsewhere" not in list_values(crm, "Account", "household", "BillingCity")
    assert list_values(crm, "Account", "household", "Phone") == {"555 0100"}


@pytest.mark.parametrize("not_written", ["Phone: {owner: firm}", "Phone: drop"])
def test_a_field_that_is_written_again_is_sent_whatever_users_have_typed(
    crm: Crm, tmp_path: Path, not_written: str
) -> None:
    crm.database.do("update warehouse.household set phone = '555 0100'")
    for field in ("Phone: {owner: vendor}", not_written):
        change(crm, tmp_path / "firm", f"household: {{fields: {{{field}}}}}")
        crm.sync()
    for record in crm.records("Account", "household").values():
        typed = {"Phone": "555 0199"}
        crm.http.patch(f"/salesforce/_admin/records/Account/{record['Id']}", json=typed).raise_for_status()

    change(crm, tmp_path / "firm", "household: {fields: {Phone: {owner: vendor}}}")

    assert crm.sent() == {"household": 6}
    assert list_values(crm, "Account", "household", "Phone") == {"555 0100"}


def test_an_object_that_is_off_is_not_sent_and_nothing_refers_to_it(crm: Crm, tmp_path: Path) -> None:
    change(crm, tmp_path / "firm", "security: {send: false}\nmembership: {send: false}")
    assert not {"security", "membership"} & crm.sync().keys()
    assert crm.records(SECURITIES) == {}
    assert list_values(crm, HOLDINGS, "position", "FinServ__Securities__c") == {None}
    assert crm.dead_letters() == []


@pytest.mark.parametrize(("relation", "key"), ONE_ROW.items())
def test_no_record_has_several_rows_of_which_one_counts(crm: Crm, relation: str, key: str) -> None:
    source = find_source(f"{relation}.{key}", [key], "")
    newest = f"rank() over (partition by x.{key} order by x.{source.newest} desc)" if source.newest else "1"
    several = f"""
        select key from (select x.{key} as key, {newest} as nth from {relation} x where {source.where or "true"}) n
        where nth = 1 and key is not null group by key having count(*) > 1
    """
    assert crm.database.rows(several) == []


def test_the_value_of_holdings_can_be_dropped(crm: Crm, tmp_path: Path) -> None:
    change(crm, tmp_path / "firm", "position: {fields: {FinServ__MarketValue__c: drop}}")
    crm.sync()
    assert list_values(crm, HOLDINGS, "position", "FinServ__MarketValue__c") == {None}
    checks = crm.database.rows("select distinct check_name from control.crm_total")
    assert checks == [{"check_name": "roll-forward"}]


@pytest.mark.parametrize(
    ("change_of_role", "same_if"),
    [
        ("{fields: {FinServ__RelatedAccount__r: {name: Trustee__r}}}", 3),
        ("{fields: {FinServ__RelatedAccount__r: drop}}", 0),
        ("{}", 3),
    ],
)
def test_a_role_is_matched_by_all_its_ends_or_not_at_all(
    crm: Crm, tmp_path: Path, change_of_role: str, same_if: int
) -> None:
    """With fewer fields, a role of the org would get the key of another person's role."""
    settings = change(crm, tmp_path / "firm", f"account_role: {change_of_role}\n")
    [role] = [each for each in list_mappings(settings) if each.entity == "account_role"]
    assert len(role.same_if) == same_if
    assert {field.name for field in role.fields}.issuperset(role.same_if)


def test_a_field_that_only_person_accounts_have_is_named(crm: Crm, tmp_path: Path) -> None:
    settings = change(crm, tmp_path / "firm", "person: {fields: {PersonBirthdate: drop}}")
    with pytest.raises(ConfigurationError, match=r"persons.*PersonBirthdate"):
        list_mappings(settings)
    [person] = [each for each in list_mappings(replace(settings, persons="person_accounts")) if each.entity == "person"]
    assert "PersonBirthdate" not in person.columns
