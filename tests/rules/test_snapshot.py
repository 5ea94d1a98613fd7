"""The snapshot of a loaded day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.rules.conftest import ACCOUNT, FRIDAY, MONDAY, TUESDAY, Ledgered
from tests.warehouse.loading import dead_letter


def by_key(firm: Ledgered, *keys: str) -> list[dict[str, Any]]:
    rows = {row["account_id"]: row for row in firm.snapshot().accounts.to_pylist()}
    return [rows[firm.id_of("account", key)] for key in keys]


def flow(key: str, day: date, amount: int, status: str = "posted", kind: str = "contribution") -> dict[str, Any]:
    return {"transaction_key": key, "account_key": "a", "security_key": "s1", "trade_date": day, "status": status,
            "flow": kind, "amount_usd": Decimal(amount)}  # fmt: skip


def test_accounts_are_those_of_the_day_with_the_values_of_both_days(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100, "b": 50, "sleeves": 7}, sleeves={"is_counted": False})
    firm.day(MONDAY, {"a": 120, "b": None, "c": 3}, {"a": 11}, b={"is_active": False, "close_date": MONDAY})
    firm.reconcile(MONDAY)
    a, b, c = by_key(firm, "a", "b", "c")
    household, representative = firm.id_of("household", "h1"), firm.id_of("representative", "r1")
    assert a == {
        "account_id": firm.id_of("account", "a"), "household_id": household, "representative_id": representative,
        "open_date": date(2020, 1, 2), "close_date": None, "is_active": True, "was_active": True,
        "market_value_usd": Decimal("120.00"), "cash_usd": Decimal("11.00"), "before_usd": Decimal("100.00"),
        "net_flow_usd": Decimal("0.00"), "absent_since": None,
    }  # fmt: skip
    assert (b["is_active"], b["was_active"], b["market_value_usd"], b["before_usd"]) == (False, True, None, Decimal(50))
    assert (c["market_value_usd"], c["before_usd"]) == (Decimal(3), None)
    assert firm.snapshot().before == FRIDAY


def test_an_account_that_is_shown_as_its_sleeves_is_not_in_the_snapshot(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 1, "parent": 7}, parent={"is_counted": False})
    snapshot = firm.snapshot()
    assert snapshot.accounts["account_id"].to_pylist() == [firm.id_of("account", "a")]
    assert snapshot.owners["account_id"].to_pylist() == [firm.id_of("account", "a")]


def test_assets_that_become_sleeves_are_no_move_of_the_household(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 900_000, "b": 500_000})
    firm.reconcile(FRIDAY)
    firm.day(MONDAY, {"a": 900_000, "b": 500_000, "s1": 300_000, "s2": 200_000}, b={"is_counted": False})
    firm.reconcile(MONDAY)
    [total] = firm.rows("select aum_usd from mart.aum_by_household where business_date = :day and household_id = :h", day=MONDAY,
                        h=firm.id_of("household", "h1"))  # fmt: skip
    assert total["aum_usd"] == 1_400_000
    firm.evaluate()
    assert "household_aum_moved" not in {rule for (rule,) in firm.findings()}
    firm.day(TUESDAY, {"a": 900_000, "b": 500_000, "s1": 0, "s2": 0})
    firm.reconcile(TUESDAY)
    firm.evaluate()
    assert "household_aum_moved" not in {rule for (rule,) in firm.findings()}


def test_an_account_that_its_vendor_lists_under_another_key_is_the_same_as_before(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 900_000, "old": 500_000})
    firm.load("transaction", [flow("t", FRIDAY, 40_000) | {"account_key": "old"}], FRIDAY)
    firm.reconcile(FRIDAY)
    firm.day(MONDAY, {"a": 900_000, "new": 500_000})
    firm.load("transaction", [flow("t", FRIDAY, 40_000, "reversed") | {"account_key": "old"},
                              flow("u", FRIDAY, 40_000) | {"account_key": "new"}], MONDAY)  # fmt: skip
    firm.reconcile(MONDAY)
    firm.database.do(
        "insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) values ('account', :id, :other, now(), 'test')",
        id=firm.id_of("account", "old"), other=firm.id_of("account", "new"),
    )  # fmt: skip
    [new] = by_key(firm, "new")
    assert (new["before_usd"], new["net_flow_usd"]) == (500_000, 0)
    firm.evaluate()
    assert "household_aum_moved" not in {rule for (rule,) in firm.findings()}


@pytest.mark.parametrize("about", [{"parent": "b"}, {}])
def test_an_account_whose_earlier_value_is_unreadable_is_no_move_of_the_household(
    firm: Ledgered, about: dict[str, str]
) -> None:
    firm.day(FRIDAY, {"a": 900_000, "b": None})
    firm.load("account_value", [{"account_value_key": "a", "account_key": "a", "market_value_usd": Decimal(900_000)}], FRIDAY,
              dead=[dead_letter("account_value", "b", **about)])  # fmt: skip
    firm.reconcile(FRIDAY)
    firm.day(MONDAY, {"a": 900_000, "b": 500_000})
    firm.reconcile(MONDAY)
    firm.evaluate()
    assert "household_aum_moved" not in {rule for (rule,) in firm.findings()}


def test_positions_are_exact(firm: Ledgered) -> None:
    values = {"a": "0.01", "b": "-12345678901234.56", "c": "98765432109876.54", "d": "0"}
    firm.day(FRIDAY, values)
    positions = {row["account_id"]: row["market_value_usd"] for row in firm.snapshot().positions.to_pylist()}
    assert positions == {firm.id_of("account", key): Decimal(value) for key, value in values.items()}


def test_only_the_open_version_of_a_corrected_position_counts(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100})
    firm.day(FRIDAY, {"a": 101})
    assert firm.snapshot().positions["market_value_usd"].to_pylist() == [Decimal(101)]
    assert firm.snapshot().accounts["market_value_usd"].to_pylist() == [Decimal(101)]


def test_a_day_that_was_loaded_as_historical_is_no_current_day(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100})
    firm.load("position", [], MONDAY, pulled="historical")
    assert firm.present().business_date == FRIDAY


def test_the_day_before_is_the_newest_that_was_loaded(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100})
    firm.day(TUESDAY, {"a": 100})
    assert firm.present().before == FRIDAY


@pytest.mark.parametrize("pulled", ["pushed", "selected", "replay"])
def test_a_day_of_which_only_some_rows_were_loaded_is_not_the_day_before(firm: Ledgered, pulled: str) -> None:
    firm.day(FRIDAY, {"a": 100, "b": 900})
    some = {"account_value_key": "a", "account_key": "a", "market_value_usd": Decimal(101)}
    firm.load("account_value", [some], MONDAY, push=1)
    firm.database.do("update control.ledger set pulled = :pulled where vendor = :vendor and business_date = :day",
                     pulled=pulled, vendor=firm.vendor.name, day=MONDAY)  # fmt: skip
    firm.day(TUESDAY, {"a": 100, "b": 900})
    assert firm.present().before == FRIDAY


def test_a_description_that_changed_after_the_day_does_not_count(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100})
    closed = {"account_key": "a", "household_key": "h1", "is_active": False, "is_counted": True}
    firm.load("account", [closed], MONDAY)
    [a] = by_key(firm, "a")
    assert a["is_active"] is True


def test_an_owner_who_follows_after_the_day_does_not_count(firm: Ledgered) -> None:
    """A pull of one client may see a divorce while the vendor's newest day is not loaded."""
    firm.day(FRIDAY, {"a": 100})
    moved = {"account_owner_key": "a:h2", "account_key": "a", "household_key": "h2", "share_ratio": Decimal(1)}
    firm.load("account_owner", [moved], MONDAY)
    homes = firm.snapshot().owners["household_id"].to_pylist()
    assert homes == [firm.id_of("household", "h1")]


def test_owners_first_seen_after_the_day_count(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100})
    firm.load("account", [ACCOUNT | {"account_key": "b"}], MONDAY)
    owner = {"account_key": "b", "household_key": "h1", "share_ratio": Decimal("0.5")}
    firm.load("account_owner", [owner | {"account_owner_key": f"b:{each}"} for each in ("h1", "h2")], MONDAY)
    assert len(firm.snapshot().owners) == 3


def test_net_flows_are_dated_since_or_known_since(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 100})
    firm.load("transaction", [flow("old", FRIDAY, 1), flow("undone", FRIDAY, 20), flow("fixed", FRIDAY, 300)], FRIDAY)
    firm.reconcile(FRIDAY)
    firm.day(MONDAY, {"a": 100})
    firm.load("transaction", [
        flow("undone", FRIDAY, 20, "reversed"), flow("fixed", FRIDAY, 301), flow("late", FRIDAY, 4_000),
        flow("new", MONDAY, 50_000), flow("pending", MONDAY, 7, "pending"), flow("fee", MONDAY, 8, kind="MgmntFees"),
        flow("out", MONDAY, -10_000, kind="distribution"),
    ], MONDAY)  # fmt: skip
    firm.reconcile(MONDAY)
    [a] = by_key(firm, "a")
    assert a["net_flow_usd"] == Decimal(-20 + 1 + 4_000 + 50_000 - 10_000)
    flows = {(row["flow"], row["amount_usd"]) for row in firm.snapshot().flows.to_pylist()}
    assert flows == {("contribution", Decimal(n)) for n in (1, 301, 4_000, 50_000)} | {
        ("distribution", Decimal(-10_000))
    }


def test_subjects_of_todays_dead_letters_are_silent(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 1, "b": 1, "c": 1})
    firm.load("account_value", [], MONDAY, dead=[dead_letter("account_value", "v-a", parent="a")])
    firm.load("position", [], MONDAY, dead=[dead_letter("position", None, parent="b")])
    silent = {(row["subject_entity"], row["subject_id"]) for row in firm.snapshot().silent.to_pylist()}
    assert silent == {
        ("account", firm.id_of("account", "a")), ("account", firm.id_of("account", "b")),
        ("household", firm.id_of("household", "h1")),
    }  # fmt: skip


def test_a_dead_letter_of_an_unknown_account_is_silent_without_an_id(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 1})
    firm.load("position", [], MONDAY, dead=["new"])
    assert firm.snapshot().silent.to_pylist() == [{"subject_entity": "account", "subject_id": None}]


def test_a_dead_letter_of_an_account_that_is_new_silences_no_other(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 1})
    firm.load("position", [], MONDAY, dead=[dead_letter("position", None, parent="new")])
    assert firm.snapshot().silent.to_pylist() == []


def test_breaks_are_those_of_the_days_own_run_and_none_where_nothing_was_compared(firm: Ledgered) -> None:
    firm.day(FRIDAY, {"a": 1})
    firm.reconcile(FRIDAY, checks=("roll-forward",), note="the positions of the day before were never loaded")
    assert firm.snapshot().breaks is None
    firm.load("transaction", [flow("t", FRIDAY, 1) | {"position_key": "gone"}], FRIDAY)
    firm.reconcile(FRIDAY, checks=("roll-forward",))
    for run, key, account in ((f"run {FRIDAY}", "p-a", firm.id_of("account", "a")), (f"run {FRIDAY}", "gone", None),
                              ("another", "p-a", firm.id_of("account", "a"))):  # fmt: skip
        firm.database.do(
            """
            insert into control.roll_forward_break
                (run_id, vendor, business_date, position_key, account_id, expected, actual, difference)
            values (:run, :vendor, :day, :key, :account, 1, 3, 2)
            """,
            run=run, vendor=firm.vendor.name, day=FRIDAY, key=key, account=account,
        )  # fmt: skip
    breaks = firm.snapshot().breaks
    assert breaks is not None
    assert breaks.to_pylist() == [{"account_id": firm.id_of("account", "a"), "difference_quantity": Decimal(2)}] * 2
