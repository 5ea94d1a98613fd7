"""The warehouse's current state into Salesforce: the rows sent, the org's records afterwards, and rejected rows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from include.crm.objects.managed_package import TRANSACTION
from include.crm.objects.portfolio import objects
from include.crm.sync import holding, load
from include.crm.sync.delta import EVERY_ERROR
from include.crm.sync.preview import preview
from include.errors import BalanceError, ConfigurationError, RowsFailed
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


@pytest.mark.synced
def test_one_changed_price_sends_only_its_row(crm: Crm) -> None:
    key = crm.one_position()["position_key"]
    crm.database.do(
        "update warehouse.position set price_usd = price_usd + 1 where position_key = :key",
        key=key,
    )

    counts = crm.sync()

    assert {e: c.sent for e, c in counts.items() if c.sent} == {"position": 1}
    assert (counts["position"].updated, counts["position"].created) == (1, 0)


def test_a_difference_beyond_what_salesforce_keeps_is_no_change(crm: Crm) -> None:
    crm.database.do("update warehouse.position set quantity = round(quantity, 4)")
    crm.sync()
    crm.database.do("update warehouse.position set quantity = quantity + 0.00001")

    assert crm.sent() == {}


@pytest.mark.synced
def test_null_clears_a_field(crm: Crm) -> None:
    crm.database.do("update warehouse.household set city = null, street = ''")

    crm.sync()

    for record in crm.records("Account", "household").values():
        assert "BillingCity" not in record
        assert "BillingStreet" not in record


@pytest.mark.synced
def test_a_sold_holding_goes_to_zero_and_stays(crm: Crm) -> None:
    key = crm.one_position()["position_key"]
    crm.database.do("update warehouse.position set recorded_to = now() where position_key = :key", key=key)

    assert crm.sent() == {"position": 1}

    record = crm.records(HOLDINGS)[f"sample:orion:position:{key}"]
    assert (record["FinServ__Shares__c"], record["FinServ__MarketValue__c"]) == ("0.0", "0.0")
    assert "FinServ__FinancialAccount__c" in record
    assert crm.sent() == {}


@pytest.mark.synced
@pytest.mark.parametrize(
    ("describes", "is_sold"),
    [
        ('[{"entity": "position", "key": "KEY"}]', False),
        ('[{"entity": "position", "parent": "ACCOUNT"}]', False),
        ('[{"entity": "position"}]', False),
        ('[{"entity": "*"}]', False),
        ('[{"entity": "position", "key": "another"}]', True),
        ('[{"entity": "position", "parent": "another"}]', True),
        ('[{"entity": "account"}]', True),
    ],
)
def test_a_holding_that_a_dead_row_may_describe_is_not_sold(crm: Crm, describes: str, is_sold: bool) -> None:
    position = crm.one_position()
    key = position["position_key"]
    account = crm.database.value(
        "select source_key from warehouse.source_key where id = :id", id=position["account_id"]
    )
    crm.database.do("update warehouse.position set recorded_to = now() where position_key = :key", key=key)
    crm.database.do(
        """
        insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition,
                                         part, row_number, describes)
        select run_id, vendor, table_name, business_date, 'validate', null, '{}', 'p', 'part', 0, cast(:describes as jsonb)
        from control.ledger where stage = 'load' and entity = 'position'
        """,
        describes=describes.replace("KEY", key).replace("ACCOUNT", account),
    )

    assert (crm.sent() != {}) == is_sold


def test_a_transaction_that_was_withdrawn_is_cancelled(crm: Crm) -> None:
    crm.settings = replace(crm.settings, has_transactions=True)
    crm.sync()
    [shown] = [
        key for key, record in crm.records(TRANSACTION).items() if record["FinServ__TransactionStatus__c"] == "Posted"
    ][:1]
    vendor, key = shown.split(":")[1], shown.split(":", 3)[3]
    crm.database.do(
        "update warehouse.transaction set recorded_to = now() where vendor = :vendor and transaction_key = :key",
        vendor=vendor,
        key=key,
    )

    assert crm.sent() == {"transaction": 1}

    assert crm.records(TRANSACTION)[shown]["FinServ__TransactionStatus__c"] == "Cancelled"
    assert crm.sent() == {}


def join(crm: Crm, entity: str) -> tuple[str, str]:
    """Decide that the first two records of an entity are one; return the key of the copy, and that of the original."""
    rows = crm.database.rows(f"""
        select a.{entity}_id as id, a.{entity}_key as key from warehouse.{entity} a
        join control.crm_state s on s.external_key = 'sample:' || a.vendor || ':{entity}:' || a.{entity}_key
        order by (s.payload ->> 'FinServ__Balance__c')::numeric desc nulls last, a.{entity}_id limit 2
    """)
    copy, original = sorted(rows, key=lambda row: row["id"], reverse=True)
    crm.database.do(
        "insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id)"
        " values (:entity, :copy, :original, now(), 'a-decision')",
        entity=entity, copy=copy["id"], original=original["id"],
    )  # fmt: skip
    return f"sample:orion:{entity}:{copy['key']}", f"sample:orion:{entity}:{original['key']}"


@pytest.mark.synced
def test_an_account_that_turns_out_to_be_a_copy_shows_no_worth(crm: Crm) -> None:
    copy, original = join(crm, "account")
    before = crm.records(ACCOUNTS)
    assert Decimal(before[copy]["FinServ__Balance__c"]) > 0
    crm.settings = replace(crm.settings, most_moved_ratio=Decimal(1))

    crm.sync()

    after = crm.records(ACCOUNTS)
    assert [Decimal(after[copy][f"FinServ__{name}__c"]) for name in ("Balance", "CashBalance")] == [0, 0]
    assert after[original]["FinServ__Balance__c"] == before[original]["FinServ__Balance__c"]
    assert crm.sent() == {}


@pytest.mark.synced
def test_a_closed_account_is_marked_closed(crm: Crm) -> None:
    account = crm.database.rows("select * from warehouse.account where is_active and is_counted limit 1")[0]
    crm.database.do(
        "update warehouse.account set is_active = false, close_date = '2026-11-19' where account_key = :key",
        key=account["account_key"],
    )
    crm.database.do("delete from warehouse.account_value where account_id = :id", id=account["account_id"])

    crm.sync()

    record = crm.records(ACCOUNTS)[f"sample:orion:account:{account['account_key']}"]
    assert (record["FinServ__Status__c"], record["FinServ__CloseDate__c"]) == ("Closed", "2026-11-19")
    assert record["FinServ__Balance__c"] == "0.0"


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


@pytest.mark.synced
def test_an_account_without_a_value_today_keeps_what_it_shows(crm: Crm) -> None:
    account = crm.database.rows("select * from warehouse.account where is_active and is_counted limit 1")[0]
    key = f"sample:orion:account:{account['account_key']}"
    shown = crm.records(ACCOUNTS)[key]["FinServ__Balance__c"]
    crm.database.do("delete from warehouse.account_value where account_id = :id", id=account["account_id"])

    assert crm.sent() == {}

    crm.database.do("update warehouse.account set name = 'Renamed' where account_id = :id", id=account["account_id"])
    assert crm.sent() == {"account": 1}
    record = crm.records(ACCOUNTS)[key]
    assert (record["Name"], record["FinServ__Balance__c"]) == ("Renamed", shown)


@pytest.mark.synced
def test_a_field_that_is_written_once_is_the_firms_after_that(crm: Crm) -> None:
    key, record = next(iter(crm.records("Account", "household").items()))
    edit = {"Phone": "555-0100"}
    assert crm.http.patch(f"/salesforce/_admin/records/Account/{record['Id']}", json=edit).status_code == 200
    crm.database.do("update warehouse.household set phone = '555-0199'")
    assert crm.sent() == {}

    crm.database.do("update warehouse.household set city = 'Sample City'")
    crm.sync()

    assert crm.records("Account")[key]["Phone"] == "555-0100"
    assert crm.records("Account")[key]["BillingCity"] == "Sample City"


def test_a_field_that_the_org_lacks_is_a_configuration_error(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    from include.crm.objects.mapping import always

    household, *_ = objects(BULK)
    wrong = replace(household, fields=(*household.fields, always("Not_There__c", "x")))
    monkeypatch.setattr(load, "objects", lambda _: (wrong,))

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


def test_a_run_fails_while_an_adopted_job_has_dead_letters(crm: Crm) -> None:
    refuse_a_household(crm)

    with pytest.raises(RowsFailed):  # the next attempt of the same run
        crm.sync(run_id="crm-1")


@pytest.mark.synced
def test_a_deleted_record_is_recreated_completely_and_reported(crm: Crm) -> None:
    key, record = next((k, r) for k, r in crm.records("Account", "household").items() if "Phone" in r)
    crm.http.delete(f"/salesforce/_admin/records/Account/{record['Id']}")
    crm.database.do("update warehouse.household set city = 'Sample City'")

    with pytest.raises(RowsFailed):  # without its name, which is shared, it can't be created
        crm.sync()
    crm.sync()
    differences = crm.database.rows("select kind, external_key from control.crm_difference")
    assert [tuple(row.values()) for row in differences] == [("remade", key)]
    crm.sync()

    assert crm.records("Account")[key]["Phone"] == record["Phone"]


@pytest.mark.synced
def test_a_lookup_to_a_deleted_record_is_unchanged(crm: Crm) -> None:
    key = next(iter(crm.records("Account", "household")))
    crm.database.do("update control.crm_state set missing = 'merged' where external_key = :key", key=key)
    crm.database.do("update warehouse.account_value set market_value_usd = market_value_usd + 1")

    crm.sync()

    assert crm.dead_letters() == []
