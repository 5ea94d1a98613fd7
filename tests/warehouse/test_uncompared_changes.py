"""Money that arrives after a day's reconciliation: shown as not compared, and held back from Salesforce until it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.crm.readiness import find_uncompared_days, find_unsettled
from include.pipeline.comparison import compare_changed_days
from include.warehouse import withdrawal
from include.warehouse.reconcile import reconcile, record
from tests.warehouse.loading import DAY, NEXT, Loader, position
from tests.warehouse.test_reconcile import check_day, trade, value


@pytest.fixture
def friday(loader: Loader) -> Iterator[Loader]:
    """A reconciled day: an account with a position of $20, and the vendor's total of $20."""
    load_day(loader, DAY)
    yield loader
    loader.database.do("delete from control.ledger where vendor = :vendor", vendor=loader.vendor.name)


def load_day(loader: Loader, day: date) -> None:
    loader.load("account", [{"account_key": "a1", "is_active": True}], day)
    loader.load("transaction", [], day)
    loader.load("position", [position("a1-1", 20)], day)
    loader.load("account_value", [value("a1", "20.00")], day)
    check_day(loader, day, DAY, run=str(day))


def push(loader: Loader, table: str, *rows: dict[str, Any], day: date = DAY, number: int = 1) -> None:
    loader.load(table, rows, day, push=number)


def state(loader: Loader, day: date = DAY, mart: str = "aum_by_household") -> str:
    query = "select state from mart.completeness where vendor = :vendor and mart = :mart and business_date = :day"
    [row] = loader.rows(query, mart=mart, day=day)
    return str(row["state"])


def is_held_back(loader: Loader) -> bool:
    with loader.engine.connect() as db:
        return loader.vendor.name in find_unsettled(db)


def compare_again(loader: Loader) -> list[bool]:
    return [check.is_passed for check in compare_changed_days(loader.engine, loader.vendor, "drain")]


def late_trade(on: date) -> dict[str, Any]:
    return trade("t1", "a1-1", 0) | {"trade_date": on, "amount_usd": Decimal(5)}


def test_pushed_position_is_not_reconciled_and_not_sent(friday: Loader) -> None:
    assert (state(friday), is_held_back(friday)) == ("reconciled", False)

    push(friday, "position", position("a1-1", 20, money="999.00"))

    assert (state(friday), is_held_back(friday)) == ("changed since", True)


def test_late_day_is_not_loaded(friday: Loader) -> None:
    friday.database.do(
        "insert into control.lateness (vendor, table_name, business_date, stage, due_at) values (:vendor, 'position', :day, 'load', now())",
        vendor=friday.vendor.name, day=NEXT,
    )  # fmt: skip
    assert (state(friday, NEXT), state(friday)) == ("not loaded", "reconciled")


def test_pushed_position_that_breaks_the_total_differs_and_stays_held_back(friday: Loader) -> None:
    push(friday, "position", position("a1-1", 20, money="999.00"))

    assert compare_again(friday) == [False, True, True]

    assert (state(friday), is_held_back(friday)) == ("differs", True)
    assert compare_again(friday) == []


def test_position_that_is_pushed_while_a_check_reads_is_not_compared(friday: Loader) -> None:
    with friday.engine.begin() as connection:
        checks = reconcile(connection, friday.vendor, DAY, DAY)
        push(friday, "position", position("a1-1", 20, money="999.00"))
        record(connection, friday.vendor.name, DAY, "again", checks)

    assert (state(friday), is_held_back(friday)) == ("changed since", True)


def test_pushed_values_that_add_up_are_reconciled_and_sent(friday: Loader) -> None:
    push(friday, "position", position("a1-1", 20, money="999.00"))
    push(friday, "account_value", value("a1", "999.00"), number=2)

    assert compare_again(friday) == [True, True, True]

    assert (state(friday), is_held_back(friday)) == ("reconciled", False)


def test_breaks_of_each_day_that_one_run_compares_are_recorded(friday: Loader) -> None:
    load_day(friday, NEXT)
    for day in (DAY, NEXT):
        push(friday, "position", position("a1-1", 20, money="999.00"), day=day)

    assert compare_again(friday) == [False, True, True] * 2

    query = (
        "select business_date from control.control_total_break where vendor = :vendor and run_id = 'drain' order by 1"
    )
    assert [row["business_date"] for row in friday.rows(query)] == [DAY, NEXT]


def test_next_daily_run_settles_a_day_that_differs(friday: Loader) -> None:
    push(friday, "position", position("a1-1", 20, money="999.00"))
    compare_again(friday)

    load_day(friday, DAY)

    assert (state(friday), is_held_back(friday)) == ("reconciled", False)


def test_pushed_transaction_leaves_its_day_and_the_newest_day_uncompared_but_is_sent(friday: Loader) -> None:
    load_day(friday, NEXT)
    push(friday, "transaction", late_trade(DAY), day=NEXT)

    assert [state(friday, day, "net_flows") for day in (DAY, NEXT)] == ["changed since", "changed since"]
    assert not is_held_back(friday)
    assert find_uncompared_days(friday.engine)[friday.vendor.name] == [str(DAY), str(NEXT)]


def test_pushed_value_of_an_outside_account_is_never_waiting_for_a_comparison(friday: Loader) -> None:
    push(friday, "outside_account", {"outside_account_key": "o1"})
    outside = {"outside_value_key": "o1:1", "outside_account_key": "o1", "market_value_usd": Decimal(7)}
    push(friday, "outside_value", outside | {"requested_on": DAY - timedelta(days=1)}, number=2)

    assert friday.rows("select * from control.uncompared_change where vendor = :vendor") == []
    assert state(friday, DAY, "net_worth") == "reconciled"


def test_corrected_date_of_a_trade_leaves_both_days_uncompared(friday: Loader) -> None:
    sunday = DAY + timedelta(days=2)
    friday.load("transaction", [late_trade(DAY)], NEXT)
    load_day(friday, NEXT)
    push(friday, "transaction", late_trade(sunday) | {"amount_usd": Decimal(6)}, day=NEXT)

    assert [state(friday, day, "net_flows") for day in (DAY, sunday, NEXT)] == ["changed since"] * 3


def test_pushed_transaction_is_compared_by_the_roll_forward_of_a_later_day(friday: Loader) -> None:
    push(friday, "transaction", late_trade(DAY))
    assert state(friday, DAY, "net_flows") == "changed since"

    load_day(friday, NEXT)

    assert state(friday, DAY, "net_flows") == "reconciled"


def test_withdrawal_after_the_comparison_leaves_the_day_uncompared(friday: Loader) -> None:
    load_day(friday, NEXT)
    push(friday, "transaction", late_trade(DAY), day=NEXT, number=77)
    load_day(friday, NEXT)
    assert state(friday, DAY, "net_flows") == "reconciled"

    counts = withdrawal.withdraw(friday.engine, friday.vendor.name, "transaction", 77, "withdraw", "caller")

    assert counts["withdrawn"] == 1
    assert state(friday, DAY, "net_flows") == "changed since"
