"""Each rule on a table that can be checked by hand."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from include.rules.account import find_absent, find_closed, find_unfunded, find_unowned
from include.rules.aum import find_aum_moves, find_broken_totals
from include.rules.cash import find_excess_cash, find_negative_cash
from include.rules.concentration import find_account_concentration, find_household_concentration
from include.rules.finding import dollars, percent_of
from include.rules.flows import find_large_deposits, find_large_withdrawals
from include.rules.household import find_absent as find_absent_households
from include.rules.policy import Policy
from include.rules.roll_forward import find_roll_forward_breaks
from tests.rules.snapshots import DAY, details, make_snapshot, read_measures, usd

POLICY = Policy()


def account(now: Any = None, before: Any = None, number: int = 1, **more: Any) -> dict[str, Any]:
    values = {"market_value_usd": now, "before_usd": before} | {
        n: more.pop(n) for n in list(more) if n.endswith("_usd")
    }
    return {"account_id": number} | {name: None if v is None else usd(v) for name, v in values.items()} | more


def owner(number: int, household: int | None, share: str = "1") -> dict[str, Any]:
    return {"account_id": number, "household_id": household, "share_ratio": Decimal(share)}


def position(number: int, security: int, value: Any, **more: Any) -> dict[str, Any]:
    return {"account_id": number, "security_id": security, "market_value_usd": usd(value)} | more


def security(number: int, title: str, **more: Any) -> dict[str, Any]:
    return {"security_id": number, "title": title} | more


@pytest.mark.parametrize(
    ("now", "before", "flow", "percent"),
    [
        (880_000, 1_000_000, 0, "-12.0"),
        (1_100_000, 1_000_000, 0, "10.0"),
        (1_099_999, 1_000_000, 0, None),  # a dollar short of ten percent
        (540_000, 490_000, 0, "10.2"),
        (539_999, 490_000, 0, None),  # a dollar short of fifty thousand
        (1_300_000, 1_000_000, 300_000, None),  # a deposit explains it
        (1_000_000, 1_000_000, -200_000, "20.0"),  # a withdrawal without a transaction
        (None, 1_000_000, 0, "-100.0"),
        (1_000_000, None, 0, None),  # no value before
    ],
)
def test_aum_move_is_net_of_flows_and_beyond_both_limits(now: Any, before: Any, flow: int, percent: str | None) -> None:
    snapshot = make_snapshot([account(now, before, net_flow_usd=flow)])
    expected = {} if percent is None else {1: Decimal(percent)}
    assert read_measures(find_aum_moves(snapshot, POLICY)) == expected  # type: ignore[arg-type]


def test_aum_move_details_have_all_figures() -> None:
    table = find_aum_moves(make_snapshot([account(880_000, 1_000_000, net_flow_usd="1234.50")]), POLICY)
    assert details(table) == [
        "Assets changed by -12.1% (-$121,234.50) since 2026-11-19, from $1,000,000.00 to $880,000.00,"
        " excluding net flows of $1,234.50."
    ]
    assert table["representative_id"].to_pylist() == [71]


def test_aum_of_a_joint_account_moves_by_share() -> None:
    owners = [owner(1, 1, "0.25"), owner(1, 2, "0.5"), owner(1, 2, "0.25")]
    snapshot = make_snapshot([account(800_000, 1_000_000)], owners)
    assert read_measures(find_aum_moves(snapshot, Policy.of({"aum_move_floor_usd": 50_001}))) == {2: Decimal("-20.0")}  # type: ignore[arg-type]


def test_without_a_previous_day_moves_and_closings_are_not_evaluated() -> None:
    snapshot = make_snapshot([account(1, 1_000_000)], before=None)
    assert find_aum_moves(snapshot, POLICY) is None
    assert find_closed(snapshot, POLICY) is None


def test_negative_cash_is_beyond_the_tolerance() -> None:
    cash = {1: "-1.01", 2: "-1.00", 3: "0", 4: None, 5: "-1234567.89"}
    snapshot = make_snapshot([account(10, number=n, cash_usd=c) for n, c in cash.items()])
    table = find_negative_cash(snapshot, POLICY)
    assert read_measures(table) == {1: Decimal("-1.01"), 5: Decimal("-1234567.89")}
    assert details(table) == ["The cash balance is -$1,234,567.89.", "The cash balance is -$1.01."]


def test_excess_cash_needs_share_and_dollars() -> None:
    accounts = [
        account(250_000, number=1, cash_usd=25_000), account(250_001, number=2, cash_usd=25_000),
        account(100, number=3, cash_usd=100), account(0, number=4, cash_usd=90_000), account(None, number=5, cash_usd=90_000),
    ]  # fmt: skip
    table = find_excess_cash(make_snapshot(accounts), POLICY)
    assert read_measures(table) == {1: Decimal("10.0")}
    assert details(table) == ["Cash of $25,000.00 is 10.0% of the account's $250,000.00."]


def test_unfunded_is_active_old_and_empty() -> None:
    old, young = DAY - timedelta(days=30), DAY - timedelta(days=29)
    accounts = [
        account(0, number=1, open_date=old), account(None, number=2, open_date=old), account(0, number=3, open_date=young),
        account("0.01", number=4, open_date=old), account(0, number=5, open_date=old, is_active=False),
        account(0, number=6, open_date=None), account("-5", number=7, open_date=old),
    ]  # fmt: skip
    table = find_unfunded(make_snapshot(accounts), POLICY)
    assert read_measures(table) == {1: Decimal(0), 2: Decimal(0)}
    assert set(details(table)) == {f"Opened on {old}; still empty after 30 days."}


def test_an_account_that_the_vendor_names_no_more_is_absent_and_not_unfunded() -> None:
    accounts = [
        account(None, 500, number=1, absent_since=DAY), account(None, number=2, absent_since=DAY), account(5, 5, number=3),
        account(0, 0, number=4, is_active=False, absent_since=DAY),
    ]  # fmt: skip
    snapshot = make_snapshot(accounts)
    assert read_measures(find_absent(snapshot, POLICY)) == {1: Decimal(500), 2: Decimal(0)}
    expected = f"Missing from the vendor's data since {DAY}, but not reported as closed."
    assert set(details(find_absent(snapshot, POLICY))) == {expected}
    assert read_measures(find_unfunded(snapshot, POLICY)) == {}


def test_account_without_owner_or_full_shares_is_unowned() -> None:
    owners = [
        owner(1, 1, "0.33333333"), owner(1, 1, "0.33333333"), owner(1, 2, "0.33333333"), owner(2, 1, "0.9"),
        owner(3, 1, "1"), owner(3, 2, "0.5"), owner(5, None), owner(6, 1, "0.5"),
    ]  # fmt: skip
    accounts = [account(1, number=n, is_active=n != 6) for n in range(1, 7)]
    table = find_unowned(make_snapshot(accounts, owners), POLICY)
    assert read_measures(table) == {2: Decimal("0.9"), 3: Decimal("1.5"), 4: Decimal(0), 5: Decimal(0)}
    assert details(table) == [
        "Owners' shares add up to 0.9000 instead of 1.", "Owners' shares add up to 1.5000 instead of 1.",
        "The account has no owner.", "The account has no owner.",
    ]  # fmt: skip


def test_closed_is_newly_closed() -> None:
    accounts = [
        account(0, 500, number=1, is_active=False, close_date=date(2026, 11, 18)), account(0, 0, number=2, is_active=False),
        account(0, 0, number=3, is_active=False, was_active=False), account(5, 5, number=4),
        account(0, None, number=5, is_active=False, was_active=None),
    ]  # fmt: skip
    table = find_closed(make_snapshot(accounts), POLICY)
    assert table is not None
    assert read_measures(table) == {1: Decimal(500), 2: Decimal(0)}
    assert details(table) == [
        "Closed on 2026-11-18. Value on 2026-11-19: $500.00.", "Closed on 2026-11-20. Value on 2026-11-19: $0.00.",
    ]  # fmt: skip


def test_household_concentration_is_over_its_accounts_by_share() -> None:
    snapshot = make_snapshot(
        [account(0, number=1), account(0, number=2)],
        [owner(1, 1), owner(2, 1, "0.5"), owner(2, 2, "0.5")],
        [position(1, 9, 100_000), position(2, 9, 200_000), position(1, 8, 120_000), position(1, 7, 300_000),
         position(1, 6, 100_000, is_cash=True)],
        securities=[security(9, "ABC"), security(8, "DEF"), security(7, "GHI", security_type="ETF"), security(6, "USD")],
    )  # fmt: skip
    table = find_household_concentration(snapshot, POLICY)
    # Household 1 has 720,000: 200,000 of ABC, 120,000 of DEF (16.7%). Household 2 has 100,000 of ABC alone.
    assert read_measures(table) == {1: Decimal("27.8"), 2: Decimal("100.0")}
    assert details(table) == [
        "ABC is 100.0% ($100,000.00) of the household's $100,000.00.", "ABC is 27.8% ($200,000.00) of the household's $720,000.00.",
    ]  # fmt: skip


def test_account_concentration_names_the_largest_and_counts_the_others() -> None:
    snapshot = make_snapshot(
        [account(0, number=1)], (),
        [position(1, 9, 25_000), position(1, 9, 25_000), position(1, 8, 60_000), position(1, 7, 20_000)],
        securities=[security(9, "ABC"), security(8, "DEF"), security(7, "GHI")],
    )  # fmt: skip
    table = find_account_concentration(snapshot, POLICY)
    assert read_measures(table) == {1: Decimal("46.2")}
    assert details(table) == [
        "DEF is 46.2% ($60,000.00) of the account's $130,000.00. Other securities above the limit: 1."
    ]


def test_cash_counts_as_a_security_if_configured() -> None:
    snapshot = make_snapshot([account(0)], (), [position(1, 6, 100_000, is_cash=True)], securities=[security(6, "USD")])
    assert read_measures(find_account_concentration(snapshot, POLICY)) == {}
    assert read_measures(find_account_concentration(snapshot, Policy.of({"concentration_includes_cash": True}))) == {
        1: Decimal(100)
    }


def test_a_security_without_description_is_evaluated() -> None:
    table = find_account_concentration(make_snapshot([account(0)], (), [position(1, 6, 100_000)]), POLICY)
    assert details(table) == ["unknown is 100.0% ($100,000.00) of the account's $100,000.00."]


def test_roll_forward_breaks_are_counted_by_account() -> None:
    breaks = [{"account_id": n, "difference_quantity": Decimal(1)} for n in (1, 2, 2, None, 99)]
    table = find_roll_forward_breaks(make_snapshot([account(1, number=n) for n in (1, 2, 3)], breaks=breaks), POLICY)
    assert table is not None
    assert read_measures(table) == {1: Decimal(1), 2: Decimal(2)}
    assert details(table) == [
        "1 position does not match the previous day plus transactions.",
        "2 positions do not match the previous day plus transactions.",
    ]
    assert find_roll_forward_breaks(make_snapshot(breaks=None), POLICY) is None


def test_household_total_is_off_by_more_than_the_tolerance() -> None:
    owners = [owner(1, 1), owner(2, 1, "0.5"), owner(2, 2, "0.5"), owner(3, 3)]
    accounts = [account(100, number=1), account(50, number=2), account(None, number=3)]
    snapshot = make_snapshot(accounts, owners, [position(1, 9, 100), position(2, 9, 53), position(3, 9, 1)])
    table = find_broken_totals(snapshot, POLICY)
    assert read_measures(table) == {1: Decimal("1.5"), 2: Decimal("1.5")}
    assert details(table)[0] == (
        "Positions add up to $126.50; account values add up to $125.00: a difference of $1.50."
    )


def flow(number: int, kind: str, amount: Any, days: int = 0) -> dict[str, Any]:
    return {
        "account_id": number, "flow": kind, "amount_usd": usd(amount), "trade_date": DAY - timedelta(days=days),
    }  # fmt: skip


def test_large_deposit_is_a_share_and_dollars_or_very_many_dollars() -> None:
    accounts = [account(v, number=n) for n, v in enumerate([250_000, 300_000, 9_000_000, 20_000, 30_000, None], 1)]
    flows = [
        flow(1, "contribution", 20_000), flow(1, "contribution", 5_000, 6), flow(2, "contribution", 25_000),
        flow(3, "contribution", 250_000), flow(4, "contribution", 20_000), flow(5, "contribution", 30_000, 7),
        flow(6, "contribution", 25_000), flow(1, "distribution", -90_000),
    ]  # fmt: skip
    table = find_large_deposits(make_snapshot(accounts, flows=flows), POLICY)
    assert read_measures(table) == {1: Decimal(25_000), 3: Decimal(250_000), 6: Decimal(25_000)}
    assert "Deposits of $25,000.00 within 7 days; the account's value including them is $250,000.00." in details(table)


def test_large_withdrawal_is_measured_against_what_there_was() -> None:
    accounts = [account(225_000, number=1), account(225_001, number=2), account(0, number=3)]
    flows = [flow(n, "distribution", -25_000) for n in (1, 2, 3)] + [flow(3, "contribution", 999_999)]
    table = find_large_withdrawals(make_snapshot(accounts, flows=flows), POLICY)
    assert read_measures(table) == {1: Decimal(25_000), 3: Decimal(25_000)}
    assert "Withdrawals of $25,000.00 within 7 days; the account's value including them is $250,000.00." in details(
        table
    )


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("-0.05", "-$0.05"),
        ("999.99", "$999.99"),
        ("1000", "$1,000.00"),
        ("-123456789.10", "-$123,456,789.10"),
    ],
)
def test_dollars_are_grouped_by_thousands(amount: str, text: str) -> None:
    assert dollars(pa.chunked_array([[usd(amount)]], pa.decimal128(18, 2))).to_pylist() == [text]


@pytest.mark.parametrize(
    ("part", "whole", "percent"),
    [
        ("1005000.01", 10_000_000, "10.1"),
        (1_005_000, 10_000_000, "10.0"),
        (-1, 3, "-33.3"),
        ("9999999999999999.99", "0.01", "99999999999999999900.0"),
    ],
)
def test_percent_is_rounded_once(part: Any, whole: Any, percent: str) -> None:
    columns = [pa.chunked_array([[usd(value)]], pa.decimal128(18, 2)) for value in (part, whole)]
    assert percent_of(*columns).to_pylist() == [Decimal(percent)]


def test_an_absent_household_is_found_with_its_assets() -> None:
    accounts = [account(1000, number=1), account(500, number=2)]
    owners = [owner(1, 1), owner(2, 2)]
    table = find_absent_households(make_snapshot(accounts, owners, absent={2: date(2026, 11, 18)}), POLICY)
    assert read_measures(table) == {2: Decimal(500)}
    assert details(table) == ["Missing from the vendor's data since 2026-11-18; still owns accounts worth $500.00."]


def test_an_absent_household_without_assets_is_found() -> None:
    table = find_absent_households(make_snapshot([account(None)], [owner(1, 1)], absent={1: DAY}), POLICY)
    assert read_measures(table) == {1: Decimal(0)}
