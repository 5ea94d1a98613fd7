"""A day becomes visible as a whole, and only if it reconciles; a rejected day leaves the last good one in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.control.digest import write_warning
from include.errors import BalanceError, SchemaDrift
from include.pipeline import vendor_day
from include.pipeline.incremental import pull_edits
from include.vendors import named
from tests.conftest import Database, Firm
from tests.running_sandbox import LAST, NOW

BEFORE = date(2026, 11, 19)


def load_the_day_before(firm: Firm) -> None:
    firm.turn_to(NOW - timedelta(days=1))
    firm.day(BEFORE)
    firm.turn_to(NOW)


@pytest.fixture
def firm(start_firm: Callable[..., Firm]) -> Firm:
    """Orion, with a good day."""
    return start_firm(named("orion"), after=load_the_day_before)


def read_published(firm: Firm) -> dict[str, Any]:
    """Read the money that analysts see."""
    marts = ("aum_by_household", "aum_by_representative", "aum_by_asset_class", "net_flows", "openings_and_closings")
    return {mart: firm.database.rows(f"select * from mart.{mart} order by 1, 2") for mart in marts}


def test_rejected_day_is_nowhere_and_the_corrected_day_loads(firm: Firm) -> None:
    before = read_published(firm)
    run = firm.new_run()
    partitions = firm.stage(run)
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    for partition in partitions.values():
        vendor_day.transform(firm.vendor_run(run), partition)
    [late] = firm.database.rows(
        "select position_key, account_id, quantity from warehouse.position where recorded_to is null order by 1 limit 1"
    )
    firm.database.do(  # a trade that the vendor's positions do not reflect
        """
        insert into warehouse.transaction (vendor, transaction_key, account_id, security_id, position_key, trade_date, status,
                                           quantity, amount_usd, recorded_from, source_run_id)
        select vendor, 'late', account_id, security_id, position_key, :day, 'posted', 7, 0, now(), source_run_id
        from warehouse.position where position_key = :key and recorded_to is null
        """,
        day=LAST, key=late["position_key"],
    )  # fmt: skip
    with pytest.raises(BalanceError, match=f"roll-forward: 1 breaks.*{late['position_key']} by -7"):
        vendor_day.publish(firm.vendor_run(run), list(partitions.values()))
    assert read_published(firm) == before
    assert firm.held(LAST) == {}
    [checked] = firm.database.rows(
        "select is_passed, breaks from control.reconciliation where run_id = :run and check_name = 'roll-forward'",
        run=run.run_id,
    )
    assert checked == {"is_passed": False, "breaks": 1}
    [rejected] = firm.database.rows("select vendor, business_date, step, run_id from control.rejection")
    assert rejected == {"vendor": "orion", "business_date": LAST, "step": "load", "run_id": run.run_id}
    [force] = firm.database.rows("select business_date, rejected_date, rejected_in from mart.day_in_force")
    assert force == {"business_date": BEFORE, "rejected_date": LAST, "rejected_in": "load"}
    states_of = "select state from mart.completeness where mart in ('aum_by_household', 'net_flows')"
    states = firm.database.rows(f"{states_of} and mart <> 'net_flows' order by business_date")
    assert [row["state"] for row in states] == ["reconciled", "rejected"]

    pull_edits(firm.vendor_run(firm.new_run(LAST)))
    assert {row["state"] for row in firm.database.rows(f"{states_of} and business_date = :day", day=LAST)} == {
        "rejected"
    }

    firm.database.do("delete from warehouse.transaction where transaction_key = 'late'")
    firm.day(LAST)
    assert len(firm.held(LAST)) > 0
    [force] = firm.database.rows("select business_date, rejected_date from mart.day_in_force")
    assert force == {"business_date": LAST, "rejected_date": None}


def test_day_that_does_not_add_up_loads_once_an_operator_accepts_it_and_the_next_one_starts_from_it(firm: Firm) -> None:
    """The vendor adjusted a position without a transaction and never corrects it."""
    firm.database.do("""
        update warehouse.position set quantity = quantity + 7 where position_key = (select min(position_key) from warehouse.position)
    """)
    with pytest.raises(BalanceError, match=r"roll-forward: 1 breaks.*run it again with Accept an unusual day"):
        firm.day(LAST)
    firm.day(LAST, accept_unusual=True, user="operator")
    marts = "select distinct state from mart.completeness where mart = 'aum_by_household' and business_date = :day"
    assert firm.database.value(marts, day=LAST) == "accepted"
    accepted = firm.database.rows(
        "select check_name, accepted_by from control.reconciliation where accepted_by is not null"
    )
    assert accepted == [{"check_name": "roll-forward", "accepted_by": "operator"}]
    assert "ACCEPTED by operator: 1 breaks" in write_warning(firm.engine, f"run-{firm._runs}", firm.vendor.name)

    firm.turn_to(NOW + timedelta(days=3))
    firm.day(LAST + timedelta(days=3))
    assert firm.database.value(marts, day=LAST + timedelta(days=3)) == "reconciled"


def test_rejected_refresh_or_replay_records_no_rejection_of_the_day(firm: Firm) -> None:
    firm.day(LAST)
    firm.sandbox.fault("field_renamed", "portfolio/clients", field="name", to="fullName")
    run = firm.new_run(LAST)
    for refused in (replace(run, keys=("1",)), replace(run, is_replay=True), run):
        assert firm.database.rows("select * from control.rejection") == []
        with pytest.raises(SchemaDrift):
            vendor_day.stage(firm.vendor_run(refused), "clients")
    assert firm.database.value("select step from control.rejection") == "stage"


def double_transaction(firm: Firm, since: date) -> None:
    """Add a transaction to the warehouse that the vendor does not have, edited like the first one since a day."""
    firm.database.do(
        """
        insert into warehouse.transaction (vendor, transaction_key, account_id, security_id, position_key, trade_date, status, flow,
                                           quantity, amount_usd, edited_at, recorded_from, source_run_id)
        select vendor, 'doubled', account_id, security_id, position_key, trade_date, status, 'contribution', 0, 1000, edited_at,
               recorded_from, source_run_id
        from warehouse.transaction where recorded_to is null and edited_at >= :since order by edited_at limit 1
        """,
        since=since,
    )


@pytest.mark.parametrize("name", ["orion", "tamarac"])
def test_transaction_that_the_vendor_deleted_weeks_later_is_withdrawn_on_monday(
    start_firm: Callable[..., Firm], name: str
) -> None:
    firm = start_firm(named(name), after=Firm.day)
    double_transaction(firm, LAST - timedelta(days=25))
    is_open = "select recorded_to is null from warehouse.transaction where transaction_key = 'doubled'"
    firm.day(LAST)
    assert firm.database.value(is_open) is True
    firm.turn_to(NOW + timedelta(days=3))
    firm.day(LAST + timedelta(days=3))
    assert firm.database.value(is_open) is False


def test_transaction_that_the_window_no_longer_contains_is_withdrawn_with_history(firm: Firm) -> None:
    firm.day(LAST)
    double_transaction(firm, date.min)
    closed = "select count(*) from warehouse.transaction where recorded_to is not null and transaction_key <> 'doubled'"
    before = firm.database.value(closed)
    firm.day(LAST, full_refresh=True)
    [row] = firm.database.rows(
        "select recorded_to, amount_usd from warehouse.transaction where transaction_key = 'doubled'"
    )
    assert row["recorded_to"] is not None
    assert row["amount_usd"] == Decimal(1000)
    assert firm.database.value(closed) == before


@pytest.mark.parametrize(
    ("name", "compared"),
    [
        ("orion", {"aum_by_household", "aum_by_representative", "aum_by_asset_class", "net_worth", "plan_assets"}),
        ("docusign", set()),
        ("emoney", set()),
    ],
)
def test_mart_is_reconciled_only_where_its_money_was_compared(
    start_firm: Callable[..., Firm], name: str, compared: set[str]
) -> None:
    """The transactions of a vendor's first day are not: there is no earlier day to roll forward from."""
    firm = start_firm(named(name), after=Firm.day)
    rows = firm.database.rows("select mart, state from mart.completeness")
    assert {row["mart"] for row in rows if row["state"] == "reconciled"} == compared
    assert {row["state"] for row in rows if row["mart"] not in compared} == {"not compared"}


def test_every_mart_lists_its_sources(database: Database) -> None:
    about_loads = {"freshness", "day_in_force", "completeness", "load_source", "record_version", "firm"}
    of_salesforce = {"crm_change", "deal", "deal_stage"}
    marts = {row["name"] for row in database.rows("select viewname as name from pg_views where schemaname = 'mart'")}
    assert {row["mart"] for row in database.rows("select mart from mart.source")} == marts - about_loads - of_salesforce
