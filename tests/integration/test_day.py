"""A vendor-day from first request to reconciled warehouse."""

from __future__ import annotations

from datetime import date

from tests.conftest import Firm
from tests.running_sandbox import LAST

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


def test_consecutive_days_roll_forward(firm: Firm) -> None:
    firm.day(BEFORE, is_past=True)
    firm.day(LAST)
    [check] = firm.database.rows("select * from control.reconciliation where check_name = 'roll-forward'")
    assert (check["breaks"], check["is_passed"]) == (0, True)


def test_a_past_day_writes_no_past_version_of_a_description(firm: Firm) -> None:
    firm.day(LAST)
    loaded = firm.day(BEFORE, is_past=True)
    assert loaded["position"].inserted > 0
    assert firm.database.value("select count(*) from warehouse.account where valid_from <> :day", day=LAST) == 0
