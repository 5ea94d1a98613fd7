"""A vendor-day from first request to reconciled warehouse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from include.contract import Vendor
from tests.conftest import Firm
from tests.running_sandbox import LAST, NOW

BEFORE = date(2026, 11, 19)


def test_a_day_holds_every_position_to_the_cent(firm: Firm) -> None:
    firm.day()
    truth = {
        str(row["id"]): (row["currentShares"], row["currentValue"])
        for row in firm.sandbox.rows("Portfolio/Assets", asOfDate=str(LAST))
    }
    assert len(truth) > 500
    assert firm.held() == truth


def test_the_same_day_twice_changes_nothing(firm: Firm) -> None:
    firm.day()
    again = firm.day()
    assert {name: (c.inserted, c.updated, c.withdrawn) for name, c in again.items()} == dict.fromkeys(again, (0, 0, 0))
    assert all(c.unchanged == c.produced > 0 for name, c in again.items() if name != "transaction")


def test_every_step_of_a_day_is_in_the_ledger(firm: Firm) -> None:
    firm.day()
    steps = firm.database.rows("select stage, count(*) as rows from control.ledger group by 1")
    tables, entities = len(firm.vendor.tables), len(firm.vendor.maps)
    assert {s["stage"]: s["rows"] for s in steps} == {
        "stage": tables, "validate": tables, "transform": entities, "load": entities,
    }  # fmt: skip


def test_consecutive_days_roll_forward(start_firm: Callable[..., Firm], vendor: Vendor) -> None:
    firm = start_firm(vendor, now=NOW - timedelta(days=1))
    firm.now = NOW - timedelta(days=1)
    firm.day(BEFORE)
    firm.sandbox.admin("clock", now=NOW.isoformat())
    firm.now = NOW
    firm.day(LAST)
    first, second = firm.database.rows(
        "select * from control.reconciliation where check_name = 'roll-forward' order by business_date"
    )
    assert "never loaded" in first["note"]
    assert (second["breaks"], second["is_passed"], second["note"]) == (0, True, "")


def test_a_past_day_writes_no_past_version_of_a_description(firm: Firm) -> None:
    firm.day(LAST)
    loaded = firm.day(BEFORE)
    assert loaded["position"].inserted > 0
    assert firm.database.value("select count(*) from warehouse.account where valid_from <> :day", day=LAST) == 0
