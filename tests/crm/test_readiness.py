"""Days that are not sent to Salesforce: historical ones, and those that are not reconciled."""

from __future__ import annotations

import pytest

from include.crm.readiness import find_unsettled
from include.errors import HeldBack
from tests.crm.conftest import HOLDINGS, Crm


@pytest.mark.synced
def test_a_backfill_is_not_pushed(crm: Crm) -> None:
    for table, column in (("position", "price_usd"), ("account_value", "cash_usd")):
        crm.database.do("select warehouse.ensure_month('2026-12-01')")
        copied = crm.database.rows(f"select * from warehouse.{table}")
        assert copied
        crm.database.do(f"""
            create temporary table copied on commit drop as select * from warehouse.{table};
            update copied set business_date = '2026-12-01', {column} = 1;
            insert into warehouse.{table} select * from copied
        """)
    crm.database.do("""
        insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled,
                                    extracted_at)
        select nextval('control.ledger_id'), 'backfill', vendor, table_name, entity, '2026-12-01', stage, 'other', 'historical',
               extracted_at
        from control.ledger where stage = 'load'
    """)

    assert crm.sent() == {}


@pytest.mark.synced
def test_a_day_of_which_only_the_descriptions_are_loaded_is_not_sent(crm: Crm) -> None:
    crm.database.do("""
        insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled,
                                    extracted_at)
        select nextval('control.ledger_id'), 'next', vendor, table_name, entity, business_date + 3, stage, 'next', pulled,
               extracted_at
        from control.ledger where stage = 'load' and entity = 'household'
    """)
    crm.database.do("update warehouse.household set name = 'Half a day'")

    with crm.engine.connect() as db:
        assert list(find_unsettled(db)) == ["orion"]
    with pytest.raises(HeldBack):
        crm.sync()


def test_a_day_that_does_not_add_up_is_not_sent(crm: Crm) -> None:
    crm.database.do("update control.reconciliation set is_passed = false")

    with pytest.raises(HeldBack):
        crm.sync()

    assert crm.records(HOLDINGS) == {}
