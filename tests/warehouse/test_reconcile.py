"""Reconciliation: what does not add up is explained only by the dead letter of its own row."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from include.control import dead_letters
from include.errors import BalanceError
from include.warehouse.reconcile import Check, reconcile, record, stop_if_broken
from tests.warehouse.loading import DAY, NEXT, Loader, dead_letter, position

TUESDAY = date(2026, 11, 24)
A_THIRD = Decimal("0.33333333")


def value(account: str, money: str) -> dict[str, Any]:
    return {"account_value_key": account, "account_key": account, "market_value_usd": Decimal(money)}


def trade(key: str, of: str, quantity: int) -> dict[str, Any]:
    return {
        "transaction_key": key, "account_key": "a1", "security_key": "s1", "position_key": of, "trade_date": NEXT,
        "status": "posted", "quantity": Decimal(quantity), "amount_usd": Decimal(quantity),
    }  # fmt: skip


def bury(
    loader: Loader,
    table: str,
    day: date,
    *keys: str | None,
    money: Decimal | None = None,
    row_date: date | None = None,
    **about: str,
) -> None:
    """Makes dead letters of rows that came with the last pull of a table."""
    loader.stage(table, [], day)
    letters = [
        replace(dead_letter(table, key, n, **about), money_usd=money, row_date=row_date) for n, key in enumerate(keys)
    ]
    with loader.engine.begin() as connection:
        dead_letters.bury(connection, loader.pull, "stage", loader.path, letters, own_day=False)


def compare(loader: Loader, day: date = DAY) -> dict[str, Check]:
    return {check.name: check for check in check_day(loader, day, DAY)}


def check_day(loader: Loader, day: date, before: date, *, accept: bool = False) -> list[Check]:
    with loader.engine.begin() as connection:  # the loads of a day are one run's
        one_run = sa.text("update control.ledger set run_id = business_date::text where vendor = :vendor")
        connection.execute(one_run, {"vendor": loader.vendor.name})
    with loader.engine.begin() as connection:
        checks = reconcile(connection, loader.vendor, day, before, accept=accept)
        record(connection, loader.vendor.name, day, "run", checks)
    return checks


def told(check: Check) -> tuple[int, int, bool]:
    return check.breaks, check.explained, check.is_passed


@pytest.fixture
def friday(loader: Loader) -> Loader:
    """Two accounts with two positions each, worth what is stated."""
    loader.load("position", [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)])
    loader.load("account_value", [value("a1", "20.00"), value("a2", "20.00")])
    return loader


def test_what_adds_up_passes(friday: Loader) -> None:
    assert told(compare(friday)["control total"]) == (0, 0, True)


def test_an_account_that_is_off_is_explained_by_a_dead_position_of_its_own(friday: Loader) -> None:
    friday.load("position", [position("a1-1", 10), position("a2-1", 10, "a2"), position("a2-2", 10, "a2")], NEXT)
    friday.load("account_value", [value("a1", "20.00"), value("a2", "20.00")], NEXT)
    assert told(compare(friday, NEXT)["control total"]) == (1, 0, False)
    bury(friday, "position", NEXT, "a2-1", parent="a2")
    assert told(compare(friday, NEXT)["control total"]) == (1, 0, False)
    bury(friday, "position", NEXT, "a1-2", parent="a1")
    assert told(compare(friday, NEXT)["control total"]) == (1, 1, True)


def test_a_letter_of_which_nothing_is_known_explains_one_account(friday: Loader) -> None:
    friday.load("position", [position("a1-1", 10), position("a2-1", 10, "a2")], NEXT)
    friday.load("account_value", [value("a1", "20.00"), value("a2", "20.00")], NEXT)
    bury(friday, "position", NEXT, None)
    assert told(compare(friday, NEXT)["control total"]) == (2, 1, False)
    bury(friday, "position", NEXT, "new", parent="a2")
    assert told(compare(friday, NEXT)["control total"]) == (2, 2, True)


@pytest.mark.parametrize(("money", "explained"), [("9.98", 0), ("10.00", 1)])
def test_a_letter_of_which_nothing_is_known_explains_no_more_money_than_it_holds(
    friday: Loader, money: str, explained: int
) -> None:
    friday.load("position", [position("a1-1", 10), position("a2-1", 10, "a2"), position("a2-2", 10, "a2")], NEXT)
    friday.load("account_value", [value("a1", "20.00"), value("a2", "20.00")], NEXT)
    bury(friday, "position", NEXT, None, money=Decimal(money))
    assert told(compare(friday, NEXT)["control total"]) == (1, explained, bool(explained))


def test_a_letter_of_a_row_that_is_added_up_with_others_explains_nothing_where_nothing_is_known_of_it(
    friday: Loader,
) -> None:
    """The sum of the other rows is loaded: a wrong number, not a missing one."""
    friday.load("position", [position("a1-1", 4), position("a1-2", 10)], NEXT)
    friday.load("account_value", [value("a1", "20.00")], NEXT)
    bury(friday, "position", NEXT, None)
    friday.vendor = replace(
        friday.vendor,
        maps=tuple(
            replace(each, merged=True, summed=("quantity",)) if each.entity == "position" else each
            for each in friday.vendor.maps
        ),
    )
    checks = compare(friday, NEXT)
    assert told(checks["control total"]) == (1, 0, False)
    assert checks["roll-forward"].explained == 0


def test_positions_that_are_held_back_with_a_dead_row_of_their_account_are_explained(friday: Loader) -> None:
    friday.load("transaction", [], DAY)
    friday.load("position", [position("a2-1", 10, "a2"), position("a2-2", 11, "a2")], NEXT)
    friday.load("transaction", [], NEXT)
    bury(friday, "position", NEXT, None, parent="a1")
    check = compare(friday, NEXT)["roll-forward"]
    assert {(row["position_key"], row["is_explained"]) for row in check.listed} == {
        ("a1-1", True), ("a1-2", True), ("a2-2", False),
    }  # fmt: skip
    assert told(check) == (3, 2, False)
    bury(
        friday, "position", NEXT, None, parent="a2"
    )  # what is loaded of an account is not explained by another row of it
    assert told(compare(friday, NEXT)["roll-forward"]) == (3, 2, False)


def test_an_operator_may_accept_breaks_but_not_owners_of_more_than_the_whole(friday: Loader) -> None:
    friday.load("transaction", [], DAY)
    friday.load("position", [position("a1-1", 4)], NEXT)
    friday.load("account_value", [value("a1", "20.00")], NEXT)
    friday.load("account_owner", owners(Decimal(1), Decimal("0.5")), NEXT)
    checks = check_day(friday, NEXT, DAY, accept=True)
    assert {check.name: (check.is_accepted, check.is_passed) for check in checks} == {
        "control total": (True, True), "roll-forward": (True, True), "owners' shares": (False, False),
    }  # fmt: skip
    kept = friday.rows("select check_name from control.reconciliation where is_accepted order by 1")
    assert [row["check_name"] for row in kept] == ["control total", "roll-forward"]


def test_a_break_of_the_roll_forward_is_explained_by_its_own_position(friday: Loader) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", 13)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, NEXT)
    friday.load("transaction", [trade("t1", "a1-1", 2)], NEXT)
    assert told(compare(friday, NEXT)["roll-forward"]) == (1, 0, False)
    bury(friday, "transaction", NEXT, "t1", position="a1-1")
    assert told(compare(friday, NEXT)["roll-forward"]) == (1, 1, True)


@pytest.mark.parametrize(("row_date", "explained"), [(DAY, 0), (NEXT, 1), (None, 1)])
def test_a_transaction_that_died_long_ago_explains_no_break_that_began_after_it(
    friday: Loader, row_date: date | None, explained: int
) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", 13)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, NEXT)
    friday.load("transaction", [], NEXT)
    bury(friday, "transaction", DAY - timedelta(days=30), "t0", row_date=row_date, position="a1-1")
    assert told(compare(friday, NEXT)["roll-forward"]) == (1, explained, bool(explained))


def test_another_position_of_the_same_day_explains_no_break(friday: Loader) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", 13)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, NEXT)
    friday.load("transaction", [], NEXT)
    bury(friday, "position", NEXT, "a2-1")
    assert told(compare(friday, NEXT)["roll-forward"]) == (1, 0, False)


@pytest.mark.parametrize(("quantity", "breaks"), [(12, 0), (13, 1)])
def test_after_a_missed_day_the_roll_forward_starts_at_the_last_loaded_one(
    friday: Loader, quantity: int, breaks: int
) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", quantity)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, TUESDAY)
    friday.load("transaction", [trade("t1", "a1-1", 2)], TUESDAY)  # of Monday, which was not loaded
    [check] = [check for check in check_day(friday, TUESDAY, before=NEXT) if check.name == "roll-forward"]
    assert told(check) == (breaks, 0, not breaks)
    if breaks:
        with pytest.raises(BalanceError, match=r"roll-forward: 1 breaks.*a1-1 by \+1"):
            stop_if_broken("v", TUESDAY, [check])


def owners(*shares: Decimal) -> list[dict[str, Any]]:
    return [
        {"account_owner_key": f"a1:{n}", "account_key": "a1", "household_key": f"h{n}", "share_ratio": share}
        for n, share in enumerate(shares)
    ]


@pytest.mark.parametrize(
    ("shares", "breaks"), [([A_THIRD] * 3, 0), ([Decimal("0.5")] * 2, 0), ([Decimal(1), Decimal("0.5")], 1)]
)
def test_owners_never_hold_more_than_the_whole(loader: Loader, shares: list[Decimal], breaks: int) -> None:
    loader.load("account_owner", owners(*shares))
    assert compare(loader)["owners' shares"].breaks == breaks


def test_what_is_broken_fails_in_words(loader: Loader) -> None:
    loader.load("account_owner", owners(Decimal(1), Decimal(1)))
    with pytest.raises(BalanceError, match="owners' shares: 1 breaks"):
        stop_if_broken("v", DAY, list(compare(loader).values()))


def lacks(loader: Loader, mart: str, day: date) -> dict[str, Any]:
    query = "select state, dead_letters, dead_money_usd from mart.completeness where mart = :mart and business_date = :day and vendor = :vendor"
    [row] = loader.rows(query, mart=mart, day=day)
    return row


def test_dead_transaction_of_a_day_that_was_never_loaded_is_missing_from_that_day_s_flows(friday: Loader) -> None:
    sunday = DAY + timedelta(days=2)
    bury(friday, "transaction", DAY, "t9", money=Decimal("3700000.00"), row_date=sunday)
    assert lacks(friday, "net_flows", sunday) == {
        "state": "not compared", "dead_letters": 1, "dead_money_usd": Decimal("3700000.00"),
    }  # fmt: skip


@pytest.mark.parametrize("mart", ["net_worth", "plan_assets"])
def test_what_a_dead_account_states_is_missing_from_the_marts_of_account_values(friday: Loader, mart: str) -> None:
    bury(friday, "account_value", DAY, "a3", money=Decimal("12.50"))
    assert lacks(friday, mart, DAY) == {"state": "not compared", "dead_letters": 1, "dead_money_usd": Decimal("12.50")}
