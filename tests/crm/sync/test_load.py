"""The warehouse's current state into Salesforce: the rows sent, and the org's records afterwards."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from include.crm.objects.portfolio import list_mappings
from include.crm.sync import load
from include.errors import BalanceError, ConfigurationError
from tests.crm.conftest import ACCOUNTS, BULK, HOLDINGS, SECURITIES, Crm

ENTITIES = [
    "household",
    "person",
    "contact",
    "membership",
    "legal_entity",
    "security",
    "account",
    "account_role",
    "position",
    "goal",
    "envelope",
    "finding",
]


def test_a_first_sync_creates_every_record_of_every_object_parents_first(crm: Crm) -> None:
    counts = crm.sync()

    assert list(counts) == ENTITIES
    assert all(c.sent == c.created and c.updated == c.failed == c.unprocessed == 0 for c in counts.values())
    assert [entity for entity, c in counts.items() if not c.sent] == ["account_role", "goal", "envelope", "finding"]
    assert len(crm.records("Account")) == sum(counts[entity].sent for entity in ("household", "person", "legal_entity"))
    assert len(crm.records(SECURITIES)) == counts["security"].sent


@pytest.mark.synced
def test_salesforce_holds_every_position_as_the_warehouse_does(crm: Crm) -> None:
    expected = {
        f"sample:orion:position:{row['position_key']}": row
        for row in crm.database.rows("""
            select p.*, s.name, s.asset_class, a.account_key, s.security_key, h.household_key
            from warehouse.position p
            join warehouse.account a using (account_id)
            join warehouse.security s using (security_id)
            join warehouse.household h on h.household_id = a.household_id
            where a.is_counted
        """)
    }
    keys = {r["Id"]: key for name in ("Account", ACCOUNTS, SECURITIES) for key, r in crm.records(name).items()}
    records = crm.records(HOLDINGS)
    assert records.keys() == expected.keys()
    for key, row in expected.items():
        record = records[key]
        assert Decimal(record["FinServ__Shares__c"]) == row["quantity"].quantize(Decimal("0.0001"))
        assert Decimal(record["FinServ__Price__c"]) == row["price_usd"].quantize(Decimal("0.0001"))
        assert Decimal(record["FinServ__MarketValue__c"]) == row["market_value_usd"]
        assert record["Name"] == row["name"][:80].strip()
        assert record["FinServ__AssetClass__c"] == row["asset_class"]
        assert keys[record["FinServ__FinancialAccount__c"]] == f"sample:orion:account:{row['account_key']}"
        assert keys[record["FinServ__Securities__c"]] == f"sample:orion:security:{row['security_key']}"
        assert keys[record["FinServ__Household__c"]] == f"sample:orion:household:{row['household_key']}"


@pytest.mark.synced
def test_salesforce_holds_every_account_as_the_warehouse_does(crm: Crm) -> None:
    rows = crm.database.rows("""
        select a.*, v.market_value_usd, v.cash_usd, coalesce('person:' || p.person_key, 'legal_entity:' || l.legal_entity_key) as owner,
               h.household_key
        from warehouse.account a
        join warehouse.account_owner o on o.account_id = a.account_id and o.role = 'primary'
        left join warehouse.person p on p.person_id = o.person_id
        left join warehouse.legal_entity l on l.legal_entity_id = o.legal_entity_id
        join warehouse.household h on h.household_id = a.household_id
        left join warehouse.account_value v on v.account_id = a.account_id
    """)
    keys = {record["Id"]: key for key, record in crm.records("Account").items()}
    records = crm.records(ACCOUNTS)
    assert len(records) == len(rows)
    for row in rows:
        record = records[f"sample:orion:account:{row['account_key']}"]
        assert record["Name"] == row["name"].strip()
        assert keys[record["FinServ__PrimaryOwner__c"]] == f"sample:orion:{row['owner']}"
        assert keys[record["FinServ__Household__c"]] == f"sample:orion:household:{row['household_key']}"
        assert record["FinServ__FinancialAccountType__c"] == row["account_type"]
        assert record["FinServ__Status__c"] == ("Open" if row["is_active"] else "Closed")
        assert record.get("FinServ__OpenDate__c") == (row["open_date"] and row["open_date"].isoformat())
        assert record.get("FinServ__CloseDate__c") == (row["close_date"] and row["close_date"].isoformat())
        assert record["FinServ__Managed__c"] is row["is_managed"]
        if row["is_counted"] and row["market_value_usd"] is not None:
            assert Decimal(record["FinServ__Balance__c"]) == row["market_value_usd"]
            assert Decimal(record["FinServ__CashBalance__c"]) == row["cash_usd"]


@pytest.mark.parametrize("persons", ["individuals", "person_accounts"])
def test_who_owns_an_account_jointly_is_its_joint_owner(crm: Crm, persons: Any) -> None:
    crm.settings = replace(crm.settings, persons=persons)
    if persons == "person_accounts":
        crm.http.post("/salesforce/_admin/settings", json={"person_accounts": True})
    crm.sync()

    rows = crm.database.rows("""
        select a.account_key, p.person_key from warehouse.account a
        left join warehouse.account_owner o on o.account_id = a.account_id and o.role = 'joint'
        left join warehouse.person p on p.person_id = o.person_id
    """)
    keys = {record["Id"]: key for key, record in crm.records("Account").items()}
    records = crm.records(ACCOUNTS)
    assert len(records) == len(rows)
    assert len([row for row in rows if row["person_key"]]) >= 2
    for row in rows:
        joint = records[f"sample:orion:account:{row['account_key']}"].get("FinServ__JointOwner__c")
        assert keys.get(joint) == (row["person_key"] and f"sample:orion:person:{row['person_key']}")


@pytest.mark.synced
def test_salesforce_holds_every_household_and_person_as_the_warehouse_does(crm: Crm) -> None:
    for row in crm.database.rows("select * from warehouse.household"):
        record = crm.records("Account")[f"sample:orion:household:{row['household_key']}"]
        assert (record["Name"], record["BillingCity"]) == (row["name"], row["city"])
        assert record["FinServ__IndividualType__c"] == "Group"
    for row in crm.database.rows("select * from warehouse.person"):
        record = crm.records("Account")[f"sample:orion:person:{row['person_key']}"]
        assert (record["Name"], record["FinServ__IndividualType__c"]) == (row["name"], "Individual")


@pytest.mark.synced
def test_the_assets_of_a_parent_of_sleeves_are_not_shown_twice(crm: Crm) -> None:
    [parent, *_] = crm.database.rows("select * from warehouse.account where not is_counted")
    account = crm.records(ACCOUNTS)[f"sample:orion:account:{parent['account_key']}"]
    assert "FinServ__Balance__c" not in account
    assert all(r["FinServ__FinancialAccount__c"] != account["Id"] for r in crm.records(HOLDINGS).values())


def test_a_second_sync_sends_nothing(crm: Crm) -> None:
    first = crm.sync()
    jobs = crm.database.value("select count(*) from control.crm_job")

    second = crm.sync()

    assert {e: c.unchanged for e, c in second.items()} == {e: c.sent for e, c in first.items()}
    assert not any(c.sent for c in second.values())
    assert crm.database.value("select count(*) from control.crm_job") == jobs


def test_text_with_quotes_line_breaks_and_other_alphabets_arrives_as_it_is(crm: Crm) -> None:
    street = 'Suite "B", 1 Sample Way\r\nline two\n\\.\nÉcole 学校 🏦, end'
    crm.database.do("update warehouse.household set street = :street, city = '#N/A'", street=street)

    crm.sync()

    for record in crm.records("Account", "household").values():
        assert record["BillingStreet"] == street
        assert "BillingCity" not in record
    assert crm.sent() == {}


def test_securities_with_one_name_are_distinguished(crm: Crm) -> None:
    crm.database.do(
        "update warehouse.security set name = case when security_id % 2 = 0 then 'Sample' else 'SAMPLE' end"
    )

    crm.sync()

    names = [record["FinServ__SecuritiesName__c"].lower() for record in crm.records(SECURITIES).values()]
    assert len(set(names)) == len(names) > 2


def test_a_field_that_the_org_lacks_is_a_configuration_error(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    from include.crm.objects.mapping import always

    household, *_ = list_mappings(BULK)
    wrong = replace(household, fields=(*household.fields, always("Not_There__c", "x")))
    monkeypatch.setattr(load, "list_mappings", lambda _: (wrong,))

    with pytest.raises(ConfigurationError, match="Not_There__c"):
        crm.sync()


def test_nothing_is_left_in_the_work_folder(crm: Crm) -> None:
    crm.sync()

    assert list((crm.work / "crm").iterdir()) == []


def test_results_that_do_not_account_for_every_row_stop_the_sync_and_the_next_one_heals(crm: Crm) -> None:
    crm.database.do("""
        create function control.lose_a_row() returns trigger language plpgsql as $$ begin
            insert into control.crm_sent values (new.job_id, 'sample:orion:household:lost', 99, '{}'); return null;
        end $$;
        create trigger lose_a_row after update on control.crm_job for each row when (new.state = 'uploaded')
            execute function control.lose_a_row()
    """)
    with pytest.raises(BalanceError, match="sobject=Account rows=1"):
        crm.sync()
    assert crm.database.value("select count(*) from control.crm_state") == 0
    assert crm.database.value("select distinct state from control.crm_job") == "unbalanced"
    crm.database.do("drop trigger lose_a_row on control.crm_job")

    counts = crm.sync()

    assert counts["household"].updated == counts["household"].sent > 0
