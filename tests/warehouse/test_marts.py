"""Marts: now and as known at a time."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.warehouse.loading import DAY, NEXT, Loader, position

MARTS = (
    "aum_by_household",
    "aum_by_representative",
    "aum_by_asset_class",
    "net_flows",
    "openings_and_closings",
    "freshness",
)


def account(key: str, household: str = "h1", **more: Any) -> dict[str, Any]:
    return {"account_key": key, "household_key": household, "is_counted": True, "open_date": DAY} | more


def owner(account: str, household: str, share: str = "1") -> dict[str, Any]:
    return {
        "account_owner_key": f"{account}:{household}", "account_key": account, "household_key": household,
        "share_ratio": Decimal(share),
    }  # fmt: skip


@pytest.fixture
def firm(loader: Loader) -> Loader:
    """Two households under one representative; a parent account that is also listed as its two sleeves."""
    loader.load("representative", [{"representative_key": "r1", "name": "Rep Sample"}])
    loader.load(
        "household",
        [{"household_key": key, "name": f"Family {key}", "representative_key": "r1"} for key in ("h1", "h2")],
    )
    loader.load("account", [account("parent", is_counted=False), account("s1"), account("s2"), account("joint", "h2")])
    loader.load("account_owner", [owner("parent", "h1"), owner("s1", "h1"), owner("s2", "h1"),
                                  owner("joint", "h1", "0.25"), owner("joint", "h2", "0.75")])  # fmt: skip
    loader.load("security", [{"security_key": "s1", "name": "Sample Fund", "asset_class": "Equity"}])
    loader.load("position", [position("P", 30, "parent"), position("A", 10, "s1"), position("B", 20, "s2"),
                             position("J", 100, "joint")])  # fmt: skip
    loader.load("transaction", [
        {"transaction_key": f"T{n}", "account_key": key, "security_key": "s1", "trade_date": DAY, "status": status,
         "flow": flow, "amount_usd": Decimal(amount)}
        for n, (key, status, flow, amount) in enumerate([
            ("parent", "posted", "contribution", "9"), ("s1", "posted", "contribution", "9"),
            ("joint", "posted", "distribution", "-4"), ("s1", "reversed", "contribution", "50"),
            ("s1", "posted", "income", "3"),
        ])
    ])  # fmt: skip
    return loader


def query_mart(loader: Loader, mart: str, columns: str, at: Any = "infinity") -> set[tuple[Any, ...]]:
    """Return a mart's rows about this vendor, as known at a time."""
    mine = "select id from warehouse.source_key where vendor = :vendor"
    about = {
        "aum_by_household": "household_id",
        "net_flows": "household_id",
        "aum_by_representative": "representative_id",
    }
    where = f" where {about[mart]} in ({mine})" if mart in about else ""
    return {
        tuple(row.values()) for row in loader.rows(f"select {columns} from mart.{mart}_as_known(:at){where}", at=at)
    }


HOUSEHOLDS = "business_date, household_name, aum_usd, accounts"


def test_sleeves_count_once_and_a_joint_account_by_share(firm: Loader) -> None:
    assert query_mart(firm, "aum_by_household", HOUSEHOLDS) == {
        (DAY, "Family h1", Decimal("55.00"), 3),
        (DAY, "Family h2", Decimal("75.00"), 1),
    }
    assert query_mart(firm, "aum_by_representative", "representative_name, aum_usd, households") == {
        ("Rep Sample", Decimal("130.00"), 2)
    }


def test_a_position_with_two_owners_is_one_position(firm: Loader) -> None:
    firm.load("security", [{"security_key": "s1", "name": "Sample Fund", "asset_class": "One of its own"}], NEXT)
    firm.load("position", [position("A", 10, "s1"), position("J", 100, "joint")], NEXT)
    rows = firm.rows("select aum_usd, positions from mart.aum_by_asset_class where asset_class = 'One of its own'")
    assert [tuple(row.values()) for row in rows] == [(Decimal("110.00"), 2)]


def test_flows_are_those_of_counted_accounts_that_are_posted(firm: Loader) -> None:
    columns = "household_name, contributions_usd, distributions_usd, net_flow_usd"
    assert query_mart(firm, "net_flows", columns) == {
        ("Family h1", Decimal("9.00"), Decimal("-1.00"), Decimal("8.00")),
        ("Family h2", None, Decimal("-3.00"), Decimal("-3.00")),
    }


def test_a_correction_is_known_after_and_not_before(firm: Loader) -> None:
    known_before = firm.now()
    before = query_mart(firm, "aum_by_household", HOUSEHOLDS)
    firm.load("position", [position("A", 11, "s1"), position("B", 20, "s2"), position("J", 100, "joint")])
    firm.load("household", [{"household_key": "h1", "name": "Family New", "representative_key": "r1"}])
    assert query_mart(firm, "aum_by_household", HOUSEHOLDS, known_before) == before
    assert query_mart(firm, "aum_by_household", HOUSEHOLDS) == {
        (DAY, "Family New", Decimal("56.00"), 3),
        (DAY, "Family h2", Decimal("75.00"), 1),
    }
    assert query_mart(firm, "aum_by_representative", "aum_usd", known_before) == {(Decimal("130.00"),)}
    assert query_mart(firm, "aum_by_representative", "aum_usd") == {(Decimal("131.00"),)}


def test_a_trade_that_is_reversed_later_was_a_flow_before(firm: Loader) -> None:
    known_before = firm.now()
    gone = {"transaction_key": "T1", "account_key": "s1", "security_key": "s1", "trade_date": DAY, "status": "reversed",
            "flow": "contribution", "amount_usd": Decimal(9)}  # fmt: skip
    firm.load("transaction", [gone], NEXT)
    columns = "household_name, net_flow_usd"
    assert ("Family h1", Decimal("8.00")) in query_mart(firm, "net_flows", columns, known_before)
    assert ("Family h1", Decimal("-1.00")) in query_mart(firm, "net_flows", columns)


def test_a_description_holds_for_days_before_it_was_first_seen(firm: Loader) -> None:
    early = date(2026, 11, 2)
    firm.load("position", [position("A", 5, "s1")], early, pulled="historical")
    assert (early, "Family h1", Decimal("5.00"), 1) in query_mart(firm, "aum_by_household", HOUSEHOLDS)


def test_a_moved_account_counts_once_on_each_day(firm: Loader) -> None:
    firm.load("account_owner", [owner("s1", "h2")], NEXT)
    firm.load("position", [position("A", 10, "s1")], NEXT)
    rows = query_mart(firm, "aum_by_household", HOUSEHOLDS)
    assert (NEXT, "Family h2", Decimal("10.00"), 1) in rows
    assert {row for row in rows if row[0] == NEXT} == {(NEXT, "Family h2", Decimal("10.00"), 1)}
    assert (DAY, "Family h1", Decimal("55.00"), 3) in rows


def test_shares_keep_their_cents(firm: Loader) -> None:
    """Each household's sum is rounded once, so all sums together differ from the total by at most a cent per household."""
    firm.load("position", [position("J", 1, "joint", "0.01"), position("K", 1, "joint", "0.02")])
    assert {row[2] for row in query_mart(firm, "aum_by_household", HOUSEHOLDS)} == {Decimal("0.01"), Decimal("0.02")}


def test_pushed_rows_do_not_make_a_day_fresh(firm: Loader) -> None:
    firm.load("position", [position("A", 11, "s1")], NEXT, push=1)
    firm.load("plan", [], NEXT, push=2)
    rows = firm.rows(
        "select table_name, business_date from mart.freshness where vendor = :vendor and table_name in ('position', 'plan')"
    )
    assert {tuple(row.values()) for row in rows} == {("position", DAY), ("plan", NEXT)}


@pytest.mark.parametrize("mart", MARTS)
def test_a_mart_is_its_function_at_the_end_of_time(firm: Loader, mart: str) -> None:
    rows = firm.rows(f"select * from mart.{mart}")
    assert rows
    assert firm.rows(f"select * from mart.{mart}_as_known('infinity') except all select * from mart.{mart}") == []
    assert firm.rows(f"select * from mart.{mart}_as_known('2001-01-01')") == []
