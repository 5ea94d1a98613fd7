"""Reconciliation: only the dead letter of a row explains that row's break."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

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


def insert_dead_letters(
    loader: Loader,
    table: str,
    day: date,
    *keys: str | None,
    money: Decimal | None = None,
    row_date: date | None = None,
    **about: str,
) -> None:
    """Insert dead letters of rows of a table's last pull."""
    loader.stage(table, [], day)
    rows = [
        replace(dead_letter(table, key, n, **about), money_usd=money, row_date=row_date) for n, key in enumerate(keys)
    ]
    with loader.engine.begin() as connection:
        dead_letters.insert(connection, loader.pull, "stage", loader.partition.path, rows, own_day=False)


def compare(loader: Loader, day: date = DAY) -> dict[str, Check]:
    return {check.name: check for check in check_day(loader, day, DAY)}


def check_day(loader: Loader, day: date, before: date, *, run: str = "run", accepted_by: str = "") -> list[Check]:
    one_run = "update control.ledger set run_id = business_date::text where vendor = :vendor"  # a day's loads belong to one run
    loader.database.do(one_run, vendor=loader.vendor.name)
    with loader.engine.begin() as connection:
        checks = reconcile(connection, loader.vendor, day, before, accepted_by=accepted_by)
        record(connection, loader.vendor.name, day, run, checks)
    return checks


def summarize(check: Check) -> tuple[int, int, bool]:
    return check.breaks, check.explained, check.is_passed


@pytest.fixture
def friday(loader: Loader) -> Loader:
    """Two accounts with two positions each, whose sums equal the stated values."""
    loader.load("position", [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)])
    loader.load("account_value", [value("a1", "20.00"), value("a2", "20.00")])
    return loader


def test_what_adds_up_passes(friday: Loader) -> None:
    assert summarize(compare(friday)["control total"]) == (0, 0, True)


def test_an_account_that_is_off_is_explained_by_a_dead_position_of_its_own(friday: Loader) -> None:
    friday.load("position", [position("a1-1", 10), position("a2-1", 10, "a2"), position("a2-2", 10, "a2")], NEXT)
    friday.load("account_value", [value("a1", "20.00"), value("a2", "20.00")], NEXT)
    assert summarize(compare(friday, NEXT)["control total"]) == (1, 0, False)
    insert_dead_letters(friday, "position", NEXT, "a2-1", parent="a2")
    assert summarize(compare(friday, NEXT)["control total"]) == (1, 0, False)
    insert_dead_letters(friday, "position", NEXT, "a1-2", parent="a1")
    assert summarize(compare(friday, NEXT)["control total"]) == (1, 1, True)


def test_a_dead_letter_without_account_and_amount_explains_nothing(friday: Loader) -> None:
    """Its row may have any amount, so a break of any size would pass."""
    friday.load("transaction", [], DAY)
    friday.load("position", [position("a1-1", 10), position("a2-1", 10, "a2"), position("a2-2", 10, "a2")], NEXT)
    friday.load("account_value", [value("a1", "20.00"), value("a2", "20.00")], NEXT)
    friday.load("transaction", [], NEXT)
    insert_dead_letters(friday, "position", NEXT, None)
    checks = compare(friday, NEXT)
    assert summarize(checks["control total"]) == (1, 0, False)
    assert summarize(checks["roll-forward"]) == (1, 0, False)


@pytest.mark.parametrize(("quantity", "explained"), [("9.99", 0), ("10.00", 1)])
def test_a_dead_transaction_without_account_explains_at_most_its_units(
    friday: Loader, quantity: str, explained: int
) -> None:
    friday.load("transaction", [], DAY)
    friday.load("position", [position("a1-1", 10), position("a2-1", 10, "a2"), position("a2-2", 10, "a2")], NEXT)
    friday.load("transaction", [], NEXT)
    insert_dead_letters(friday, "transaction", NEXT, "t1", quantity=quantity)
    assert summarize(compare(friday, NEXT)["roll-forward"]) == (1, explained, bool(explained))


def test_a_dead_letter_without_account_explains_one_account(friday: Loader) -> None:
    friday.load("position", [position("a1-1", 10), position("a2-1", 10, "a2")], NEXT)
    friday.load("account_value", [value("a1", "20.00"), value("a2", "20.00")], NEXT)
    insert_dead_letters(friday, "position", NEXT, None, money=Decimal(20))
    assert summarize(compare(friday, NEXT)["control total"]) == (2, 1, False)
    insert_dead_letters(friday, "position", NEXT, "new", parent="a2")
    assert summarize(compare(friday, NEXT)["control total"]) == (2, 2, True)


@pytest.mark.parametrize(("money", "explained"), [("9.98", 0), ("9.99", 1)])
def test_a_dead_letter_without_details_explains_its_money_within_the_tolerance(
    friday: Loader, money: str, explained: int
) -> None:
    friday.load("position", [position("a1-1", 10), position("a2-1", 10, "a2"), position("a2-2", 10, "a2")], NEXT)
    friday.load("account_value", [value("a1", "20.00"), value("a2", "20.00")], NEXT)
    insert_dead_letters(friday, "position", NEXT, None, money=Decimal(money))
    assert summarize(compare(friday, NEXT)["control total"]) == (1, explained, bool(explained))


def declare_summed(loader: Loader) -> None:
    """Declare the vendor's positions as sums of several rows."""
    maps = (replace(m, merged=True, summed=("quantity",)) if m.entity == "position" else m for m in loader.vendor.maps)
    loader.vendor = replace(loader.vendor, maps=tuple(maps))


@pytest.mark.parametrize("parent", [{}, {"parent": "a9"}], ids=["no account", "an unknown account"])
def test_a_dead_letter_of_a_summed_row_without_account_explains_nothing(friday: Loader, parent: dict[str, str]) -> None:
    """The sum of the remaining rows is loaded, so the number is wrong, not missing."""
    friday.load("position", [position("a1-1", 4), position("a1-2", 10)], NEXT)
    friday.load("account_value", [value("a1", "20.00")], NEXT)
    insert_dead_letters(friday, "position", NEXT, None, **parent)
    declare_summed(friday)
    checks = compare(friday, NEXT)
    assert summarize(checks["control total"]) == (1, 0, False)
    assert checks["roll-forward"].explained == 0


def read_listed(check: Check) -> dict[str, bool]:
    return {row["position_key"]: row["is_explained"] for row in check.listed}


def test_positions_that_are_held_back_with_a_dead_row_of_their_account_are_explained(friday: Loader) -> None:
    friday.load("transaction", [], DAY)
    friday.load("position", [position("a2-1", 10, "a2"), position("a2-2", 11, "a2")], NEXT)
    friday.load("transaction", [trade("t1", "a1-new", 3)], NEXT)
    insert_dead_letters(friday, "position", NEXT, None, parent="a1")
    insert_dead_letters(
        friday, "position", NEXT, None, parent="a2"
    )  # a dead letter of another row of the account explains no loaded row
    declare_summed(friday)
    assert read_listed(compare(friday, NEXT)["roll-forward"]) == {
        "a1-1": True, "a1-2": True, "a1-new": True, "a2-2": False,
    }  # fmt: skip


def test_an_account_that_is_held_back_a_second_day_may_trade_meanwhile_and_come_back(friday: Loader) -> None:
    friday.load("transaction", [], DAY)
    insert_dead_letters(friday, "position", NEXT, None, parent="a1")
    friday.load("position", [position("a2-1", 10, "a2"), position("a2-2", 10, "a2")], NEXT)
    friday.load("transaction", [], NEXT)
    friday.load("position", [position("a2-1", 10, "a2"), position("a2-2", 10, "a2")], TUESDAY)
    friday.load("transaction", [trade("t1", "a1-1", 2)], TUESDAY)
    insert_dead_letters(friday, "position", TUESDAY, None, parent="a1")
    declare_summed(friday)
    [roll] = [each for each in check_day(friday, TUESDAY, NEXT) if each.name == "roll-forward"]
    assert read_listed(roll) == {"a1-1": True}

    wednesday = TUESDAY + timedelta(days=1)
    friday.vendor = replace(friday.vendor, maps=tuple(replace(m, merged=False, summed=()) for m in friday.vendor.maps))
    friday.load("position", [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)], wednesday)
    friday.load("transaction", [], wednesday)
    declare_summed(friday)
    [roll] = [each for each in check_day(friday, wednesday, TUESDAY) if each.name == "roll-forward"]
    assert read_listed(roll) == {"a1-1": True, "a1-2": True}


def test_a_dead_row_of_an_account_that_is_no_sum_explains_one_position_that_is_missing_and_none_that_differs(
    friday: Loader,
) -> None:
    friday.load("transaction", [], DAY)
    friday.load("position", [position("a2-1", 10, "a2"), position("a2-2", 11, "a2")], NEXT)
    friday.load("transaction", [], NEXT)
    insert_dead_letters(friday, "position", NEXT, None, parent="a1")
    insert_dead_letters(friday, "position", NEXT, None, parent="a2")
    assert summarize(compare(friday, NEXT)["roll-forward"]) == (3, 1, False)


@pytest.mark.parametrize(("quantity", "explained"), [("1.00", 1), ("-1.00", 1), ("0.99", 0), (None, 1)])
def test_a_dead_transaction_explains_no_more_than_its_quantity(
    friday: Loader, quantity: str | None, explained: int
) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", 11)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, NEXT)
    friday.load("transaction", [], NEXT)
    about = {"position": "a1-1"} | ({} if quantity is None else {"quantity": quantity})
    insert_dead_letters(friday, "transaction", NEXT, "t1", **about)
    assert summarize(compare(friday, NEXT)["roll-forward"]) == (1, explained, bool(explained))


@pytest.fixture
def accepted(friday: Loader) -> Loader:
    """A Monday on which a1-1 has seven units that no transaction explains, and that an operator accepted."""
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", 17)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, NEXT)
    friday.load("account_value", [value("a1", "27.00"), value("a2", "20.00")], NEXT)
    friday.load("transaction", [], NEXT)
    unseen = find_roll(check_day(friday, NEXT, DAY, accepted_by="operator"))
    assert not unseen.is_passed  # no run had reported it
    assert find_roll(check_day(friday, NEXT, DAY, run="second", accepted_by="operator")).accepted_by == "operator"
    return friday


def find_roll(checks: list[Check]) -> Check:
    return next(each for each in checks if each.name == "roll-forward")


def test_what_an_operator_accepted_stays_accepted_for_its_day_and_nothing_else_does(accepted: Loader) -> None:
    accepted_rows = accepted.rows(
        "select accepted_by from control.reconciliation where run_id = 'second' and accepted_by is not null"
    )
    assert accepted_rows == [{"accepted_by": "operator"}]
    assert read_completeness(accepted, "aum_by_household", NEXT)["state"] == "accepted"
    assert find_roll(check_day(accepted, NEXT, DAY, run="replay")).accepted_by == "operator"

    change = "update warehouse.position set quantity = {} where position_key = 'a1-1' and business_date = :day"
    for quantity, is_accepted in ((16, True), (18, False), (3, False), (17, True)):
        accepted.database.do(change.format(quantity), day=NEXT)
        assert find_roll(check_day(accepted, NEXT, DAY, run=f"again-{quantity}")).is_passed is is_accepted, quantity

    accepted.database.do(
        "update warehouse.position set quantity = quantity + 1 where position_key = 'a2-1' and business_date = :day",
        day=NEXT,
    )
    assert not find_roll(check_day(accepted, NEXT, DAY, run="other", accepted_by="operator")).is_passed


@pytest.mark.parametrize(("quantity", "passed"), [(7, True), (6, False)])
def test_a_trade_that_comes_after_its_position_was_accepted_is_not_counted_twice(
    accepted: Loader, quantity: int, passed: bool
) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", 17)
    accepted.load("position", rows, TUESDAY)
    accepted.load("transaction", [trade("late", "a1-1", quantity)], TUESDAY)  # dated Monday
    accepted.database.do("update control.ledger set run_id = 'second' where business_date = :day", day=NEXT)
    with accepted.engine.begin() as connection:
        roll = find_roll(reconcile(connection, accepted.vendor, TUESDAY, NEXT))
    assert roll.is_passed is passed


def test_owners_of_more_than_the_whole_are_never_accepted(friday: Loader) -> None:
    friday.load("account_owner", owners(Decimal(1), Decimal("0.5")))
    for _ in range(2):
        checks = check_day(friday, DAY, DAY, accepted_by="operator")
    assert [each.name for each in checks if not each.is_passed] == ["owners' shares"]
    with pytest.raises(BalanceError) as error:
        stop_if_broken("v", DAY, checks)
    assert "Accept" not in str(error.value)


def test_a_break_of_the_roll_forward_is_explained_by_its_own_position(friday: Loader) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", 13)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, NEXT)
    friday.load("transaction", [trade("t1", "a1-1", 2)], NEXT)
    assert summarize(compare(friday, NEXT)["roll-forward"]) == (1, 0, False)
    insert_dead_letters(friday, "transaction", NEXT, "t1", position="a1-1")
    assert summarize(compare(friday, NEXT)["roll-forward"]) == (1, 1, True)


def test_an_older_trade_that_comes_late_and_is_corrected_counts_once(friday: Loader) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", 13)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, NEXT)
    for quantity in (2, 3):
        friday.load("transaction", [trade("t1", "a1-1", quantity) | {"trade_date": DAY}], NEXT)
    assert summarize(compare(friday, NEXT)["roll-forward"]) == (0, 0, True)


@pytest.mark.parametrize(("pulled", "breaks"), [("historical", 0), ("current", 1)])
def test_snapshot_of_a_past_date_may_contain_a_correction_that_only_the_next_pull_brings(
    friday: Loader, pulled: str, breaks: int
) -> None:
    """A trade of Friday is reversed at the vendor. Then Friday is pulled again as a past date, without older transactions."""
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    bought = trade("t1", "a1-1", 3) | {"trade_date": DAY - timedelta(days=1)}
    friday.load("transaction", [bought], DAY)
    friday.load("position", [position("a1-1", 7), *rows[1:]], DAY, pulled=pulled)
    friday.load("transaction", [], DAY, pulled="historical")
    friday.load("position", [position("a1-1", 7), *rows[1:]], NEXT)
    friday.load("transaction", [bought | {"status": "reversed"}], NEXT)
    assert summarize(compare(friday, NEXT)["roll-forward"]) == (breaks, 0, not breaks)


@pytest.mark.parametrize("quantity", [8, 6])
def test_correction_that_the_next_pull_brings_excuses_no_other_number(friday: Loader, quantity: int) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    bought = trade("t1", "a1-1", 3) | {"trade_date": DAY - timedelta(days=1)}
    friday.load("transaction", [bought], DAY)
    friday.load("position", [position("a1-1", 7), *rows[1:]], DAY, pulled="historical")
    friday.load("transaction", [], DAY, pulled="historical")
    friday.load("position", [position("a1-1", quantity), *rows[1:]], NEXT)
    friday.load("transaction", [bought | {"status": "reversed"}], NEXT)
    assert summarize(compare(friday, NEXT)["roll-forward"]) == (1, 0, False)


@pytest.mark.parametrize(("row_date", "explained"), [(DAY, 0), (NEXT, 1), (None, 0)])
def test_a_transaction_that_died_long_ago_explains_no_break_that_began_after_it(
    friday: Loader, row_date: date | None, explained: int
) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", 13)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, NEXT)
    friday.load("transaction", [], NEXT)
    insert_dead_letters(friday, "transaction", DAY - timedelta(days=30), "t0", row_date=row_date, position="a1-1")
    assert summarize(compare(friday, NEXT)["roll-forward"]) == (1, explained, bool(explained))


def test_another_position_of_the_same_day_explains_no_break(friday: Loader) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", 13)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, NEXT)
    friday.load("transaction", [], NEXT)
    insert_dead_letters(friday, "position", NEXT, "a2-1")
    assert summarize(compare(friday, NEXT)["roll-forward"]) == (1, 0, False)


@pytest.mark.parametrize(("quantity", "breaks"), [(12, 0), (13, 1)])
def test_after_a_missed_day_the_roll_forward_starts_at_the_last_loaded_one(
    friday: Loader, quantity: int, breaks: int
) -> None:
    rows = [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)]
    rows[0] = position("a1-1", quantity)
    friday.load("transaction", [], DAY)
    friday.load("position", rows, TUESDAY)
    friday.load("transaction", [trade("t1", "a1-1", 2)], TUESDAY)  # Monday's, which was not loaded
    [check] = [check for check in check_day(friday, TUESDAY, before=NEXT) if check.name == "roll-forward"]
    assert summarize(check) == (breaks, 0, not breaks)
    if breaks:
        with pytest.raises(BalanceError, match=r"roll-forward: 1 breaks.*a1-1 by \+1"):
            stop_if_broken("v", TUESDAY, [check])


@pytest.mark.parametrize(
    ("has_history", "note"), [(True, ""), (False, "the positions of 2026-11-23 were never loaded")]
)
def test_roll_forward_starts_at_a_whole_day(friday: Loader, has_history: bool, note: str) -> None:
    """On Monday, only pushes were loaded."""
    pulled = "current" if has_history else "historical"
    friday.load("transaction", [], DAY, pulled=pulled)
    friday.load("position", [position("a1-1", 10)], NEXT, push=1)
    friday.load("transaction", [], NEXT, push=2)
    friday.load("position", [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)], TUESDAY)
    friday.load("transaction", [], TUESDAY, pulled=pulled)
    [check] = [check for check in check_day(friday, TUESDAY, before=NEXT) if check.name == "roll-forward"]
    assert (summarize(check), check.note) == ((0, 0, True), note)


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


def test_a_broken_check_fails_with_its_reason(loader: Loader) -> None:
    loader.load("account_owner", owners(Decimal(1), Decimal(1)))
    with pytest.raises(BalanceError, match="owners' shares: 1 breaks"):
        stop_if_broken("v", DAY, list(compare(loader).values()))


def read_completeness(loader: Loader, mart: str, day: date) -> dict[str, Any]:
    query = "select state, dead_letters, dead_money_usd from mart.completeness where mart = :mart and business_date = :day and vendor = :vendor"
    [row] = loader.rows(query, mart=mart, day=day)
    return row


def test_dead_transaction_of_a_day_that_was_never_loaded_is_missing_from_that_day_s_flows(friday: Loader) -> None:
    sunday = DAY - timedelta(days=5)
    friday.load("transaction", [])
    insert_dead_letters(friday, "transaction", DAY, "t9", money=Decimal("3700000.00"), row_date=sunday)
    assert read_completeness(friday, "net_flows", sunday) == {
        "state": "not loaded", "dead_letters": 1, "dead_money_usd": Decimal("3700000.00"),
    }  # fmt: skip


def test_dead_transaction_of_a_day_to_come_makes_no_row_of_a_mart(friday: Loader) -> None:
    friday.load("transaction", [])
    insert_dead_letters(friday, "transaction", DAY, "t9", money=Decimal("1.00"), row_date=date(2206, 11, 20))
    assert friday.rows("select * from mart.completeness where business_date > :day and vendor = :vendor", day=DAY) == []


def test_missing_withdrawal_does_not_hide_a_missing_deposit(friday: Loader) -> None:
    friday.load("transaction", [])
    for key, money in (("t8", "100.00"), ("t9", "-100.00")):
        insert_dead_letters(friday, "transaction", DAY, key, money=Decimal(money))
    shown = friday.rows("select sum(money_usd) as usd from control.open_dead_letters where vendor = :vendor")
    assert [{"usd": read_completeness(friday, "net_flows", DAY)["dead_money_usd"]}] == shown == [{"usd": Decimal(200)}]


@pytest.mark.parametrize("mart", ["net_worth", "plan_assets"])
def test_what_a_dead_account_states_is_missing_from_the_marts_of_account_values(friday: Loader, mart: str) -> None:
    insert_dead_letters(friday, "account_value", DAY, "a3", money=Decimal("12.50"))
    assert read_completeness(friday, mart, DAY) == {
        "state": "not compared",
        "dead_letters": 1,
        "dead_money_usd": Decimal("12.50"),
    }


def test_mart_is_reconciled_only_by_the_check_of_its_money(friday: Loader) -> None:
    friday.load("transaction", [])
    check_day(friday, DAY, DAY - timedelta(days=1))  # there is no earlier day to roll forward from
    assert read_completeness(friday, "aum_by_household", DAY)["state"] == "reconciled"
    assert read_completeness(friday, "net_flows", DAY)["state"] == "not compared"
    friday.load("position", [position(f"{a}-{n}", 10, a) for a in ("a1", "a2") for n in (1, 2)], NEXT)
    friday.load("transaction", [], NEXT)
    compare(friday, NEXT)  # the vendor states no values of the accounts
    assert read_completeness(friday, "aum_by_household", NEXT)["state"] == "not compared"
    assert read_completeness(friday, "net_flows", NEXT)["state"] == "reconciled"
