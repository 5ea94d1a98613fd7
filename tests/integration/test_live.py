"""Polls between the daily runs: edits arrive soon, and the daily run still gives the same result."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from include.contract import Vendor
from include.crm.readiness import find_unsettled
from include.pipeline.incremental import edited_tables, pull_edits, republish
from include.vendors import VENDORS
from tests.conftest import Firm
from tests.integration.desk import open_desk, play_envelopes
from tests.running_sandbox import LAST, NOW

LIVE = [vendor for vendor in VENDORS if vendor.live]
every = pytest.mark.parametrize("vendor", LIVE, ids=lambda vendor: vendor.name)
MORNING = NOW + timedelta(days=2, hours=15)
"""Monday morning; NOW is Friday evening."""


def load_two_days(firm: Firm) -> None:
    firm.turn_to(NOW - timedelta(days=1))
    firm.day(LAST - timedelta(days=1))
    firm.turn_to(NOW)
    firm.day()


@pytest.fixture
def firm(start_firm: Callable[..., Firm], vendor: Vendor) -> Firm:
    """A firm with Friday loaded, on Monday morning."""
    return start_on_monday(start_firm, vendor, Firm.day)


def start_on_monday(start_firm: Callable[..., Firm], vendor: Vendor, after: Callable[[Firm], object]) -> Firm:
    firm = start_firm(vendor, after=after, households=8)
    firm.turn_to(MORNING)
    firm.sandbox.log_in()
    return firm


def look(firm: Firm) -> int:
    return pull_edits(firm.vendor_run(firm.new_run()))


def correct(firm: Firm) -> dict[str, Any]:
    """Correct a trade of last week; return its previous state."""
    buys = [
        t for t in firm.sandbox.rows("Portfolio/Transactions") if (t["typeCode"], t["status"]) == ("BUY", "Complete")
    ]
    firm.sandbox.admin("orion/correct_transaction", transaction_id=buys[0]["id"], quantity=3, price=10)
    return buys[0]


def open_state(firm: Firm, key: object) -> dict[str, Any]:
    query = "select quantity, amount_usd, source_run_id from warehouse.transaction where recorded_to is null"
    [row] = firm.database.rows(f"{query} and transaction_key = :key", key=str(key))
    return row


@every
def test_an_edit_is_in_the_warehouse_without_a_daily_run_and_once(firm: Firm) -> None:
    trade = correct(firm)

    assert look(firm) > 0
    assert look(firm) == 0

    assert open_state(firm, trade["id"])["quantity"] == 3
    states = firm.database.value(
        "select count(*) from warehouse.transaction where transaction_key = :k", k=str(trade["id"])
    )
    assert states == 2


@every
def test_marts_of_the_day_show_changes_since_reconciliation(start_firm: Callable[..., Firm], vendor: Vendor) -> None:
    firm = start_on_monday(start_firm, vendor, load_two_days)  # the roll-forward compares the second day's transactions
    state = "select state from mart.completeness where mart = :mart and business_date = :day"
    assert firm.database.value(state, mart="net_flows", day=LAST) == "reconciled"
    look(firm)  # nothing was edited
    assert firm.database.value(state, mart="net_flows", day=LAST) == "reconciled"
    correct(firm)
    look(firm)
    assert firm.database.value(state, mart="net_flows", day=LAST) == "changed since"
    assert firm.database.value(state, mart="aum_by_household", day=LAST) == "reconciled"


@every
def test_it_neither_counts_as_the_day_nor_keeps_it_from_salesforce(firm: Firm) -> None:
    correct(firm)
    look(firm)

    with firm.engine.connect() as db:
        assert find_unsettled(db) == {}
    pulled = firm.database.rows("select distinct pulled from control.ledger where run_id = 'run-2'")
    assert [row["pulled"] for row in pulled] == ["pushed"]


@every
def test_the_next_day_requests_it_again_without_changes(firm: Firm) -> None:
    trade = correct(firm)
    look(firm)
    before = open_state(firm, trade["id"])
    firm.turn_to(NOW + timedelta(days=3))
    firm.sandbox.log_in()

    firm.day(LAST + timedelta(days=3))

    assert open_state(firm, trade["id"]) == before


@every
def test_before_the_first_day_nothing_is_requested(start_firm: Callable[..., Firm], vendor: Vendor) -> None:
    firm = start_firm(vendor, households=3)

    assert look(firm) == 0
    assert firm.database.value("select count(*) from control.api_call") == 0


@every
def test_a_vendor_with_incremental_polls_declares_edited_tables(vendor: Vendor) -> None:
    assert edited_tables(vendor)


AGAIN = [vendor for vendor in VENDORS if vendor.webhook is not None and vendor.webhook.redelivery is not None]


@pytest.mark.parametrize("vendor", AGAIN, ids=lambda vendor: vendor.name)
def test_what_the_vendor_could_not_deliver_is_delivered_again(start_firm: Callable[..., Firm], vendor: Vendor) -> None:
    firm = start_firm(vendor, households=6)
    with open_desk(firm) as desk:
        desk.do("retries", seconds=[])
        desk.close()
        play_envelopes(desk, seed=5, envelopes=2)
        desk.quiet()
        desk.open()
        assert desk.drain() == 0

        assert republish(firm.vendor_run(firm.new_run())) == 2
        desk.quiet()

        assert desk.drain() > 0
        assert republish(firm.vendor_run(firm.new_run())) == 0
    assert firm.database.value("select count(*) from warehouse.envelope where recorded_to is null") == 2
