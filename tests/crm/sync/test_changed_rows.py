"""Rows that changed since the last sync, ended, or turned out to be copies, and the fields that Salesforce then shows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from include.crm.objects.managed_package import TRANSACTION
from include.crm.sync.readback import count_differing
from include.crm.sync.results import name_removal
from include.errors import RowsFailed
from tests.crm.conftest import ACCOUNTS, HOLDINGS, Crm


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


def test_a_copys_transactions_before_the_first_one_of_its_original_stay_posted(crm: Crm) -> None:
    """The firm moved to the vendor of the original, which has no earlier history. Later ones are the original's, and cancelled here."""
    crm.settings = replace(
        crm.settings, has_transactions=True, most_moved_ratio=Decimal(1), most_changed_ratio=Decimal(1)
    )
    crm.sync()
    shown = crm.database.rows("""
        select account_id, min(trade_date) as first, max(trade_date) as last from warehouse.transaction t
        join control.crm_state s on s.external_key = 'sample:' || vendor || ':transaction:' || transaction_key
        where status = 'posted' and t.recorded_to is null group by 1 having min(trade_date) < max(trade_date) order by 1 limit 2
    """)
    original, copy = shown
    crm.database.do(
        "insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) values ('account', :copy, :original, now(), 'moved')",
        copy=copy["account_id"], original=original["account_id"],
    )  # fmt: skip
    crm.database.do(
        "update warehouse.transaction set trade_date = :last where account_id = :original",
        original=original["account_id"], last=copy["last"],
    )  # fmt: skip

    crm.sync()

    of_copy = crm.database.rows(
        "select 'sample:' || vendor || ':transaction:' || transaction_key as key, trade_date from warehouse.transaction"
        " where account_id = :copy and status = 'posted' and recorded_to is null", copy=copy["account_id"],
    )  # fmt: skip
    records = crm.records(TRANSACTION)
    states = {
        (row["trade_date"] < copy["last"], records[row["key"]]["FinServ__TransactionStatus__c"])
        for row in of_copy
        if row["key"] in records
    }
    assert states == {(True, "Posted"), (False, "Cancelled")}
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


@pytest.mark.synced
def test_a_record_that_was_deleted_unnoticed_is_recreated_completely_and_reported(crm: Crm) -> None:
    key, record = next((k, r) for k, r in crm.records("Account", "household").items() if "Phone" in r)
    own = {k for k, r in crm.records(ACCOUNTS).items() if r.get("FinServ__Household__c") == record["Id"]}
    crm.database.do("delete from control.crm_mark")
    crm.http.delete(f"/salesforce/_admin/records/Account/{record['Id']}")
    crm.database.do("update warehouse.household set city = 'Sample City'")

    with pytest.raises(RowsFailed):  # without its name, which is shared, it can't be created
        crm.sync()
    crm.database.do("delete from control.crm_mark")
    crm.sync()
    differences = crm.database.rows("select kind, external_key from control.crm_difference")
    assert [tuple(row.values()) for row in differences] == [("remade", key)]
    assert count_differing(crm.engine, name_removal("crm-3")) == {"Account": 1}
    crm.sync()

    again = crm.records("Account")[key]
    assert again["Phone"] == record["Phone"]
    assert (
        {k for k, r in crm.records(ACCOUNTS).items() if r.get("FinServ__Household__c") == again["Id"]} == own != set()
    )


@pytest.mark.synced
def test_a_lookup_to_a_deleted_record_is_unchanged(crm: Crm) -> None:
    record = next(iter(crm.records("Account", "household").values()))
    crm.http.delete(f"/salesforce/_admin/records/Account/{record['Id']}")
    crm.database.do("update warehouse.account_value set market_value_usd = market_value_usd + 1")

    crm.sync()

    assert crm.dead_letters() == []
