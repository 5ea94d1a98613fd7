"""Marts of values and flows: an account that several vendors know counts once."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.warehouse.loading import DAY, NEXT, Loader, position
from tests.warehouse.planning_office import NOON, Office


def test_an_account_that_both_know_counts_once_and_by_its_share(office: Office) -> None:
    pms = office.of["pms"]
    pms.load("account", [{"account_key": "a", "household_key": "h1", "is_counted": True}])
    pms.load("account_owner", [{"account_owner_key": "a:1", "account_key": "a", "household_key": "h1",
                                "share_ratio": Decimal("0.5")}])  # fmt: skip
    pms.load("account_value", [{"account_value_key": "a", "account_key": "a", "market_value_usd": Decimal(200_000)}])
    keys = {"copy": 95_000, "away": 40_000}
    office.of["first"].load("outside_account", [{"outside_account_key": key, "household_key": "h1"} for key in keys])
    office.of["first"].load(
        "outside_value",
        [{"outside_value_key": f"{key}:1", "outside_account_key": key, "market_value_usd": Decimal(usd), "stated_on": DAY,
          "requested_on": DAY, "requested_at": NOON} for key, usd in keys.items()],
    )  # fmt: skip
    columns = "copied_usd, held_away_usd, managed_usd, difference_usd"
    assert office.query_mart("plan_assets", columns) == [(0, 135_000, 100_000, -100_000)]
    office.join("outside_account", "first", "copy", "a")
    assert office.query_mart("plan_assets", columns) == [(95_000, 40_000, 100_000, -5_000)]


def test_what_two_portfolio_systems_manage_counts_once(office: Office) -> None:
    for name, usd in (("pms", 100_000), ("second", 99_000)):
        vendor = office.of[name]
        vendor.load("account", [{"account_key": "a", "household_key": "h1", "is_counted": True}])
        vendor.load("account_owner", [{"account_owner_key": "a:1", "account_key": "a", "household_key": "h1",
                                       "share_ratio": Decimal(1)}])  # fmt: skip
        vendor.load("account_value", [{"account_value_key": "a", "account_key": "a", "market_value_usd": Decimal(usd)}])
    office.of["first"].load("outside_account", [{"outside_account_key": "x", "household_key": "h1"}])
    office.of["first"].load("outside_value", [{"outside_value_key": "x:1", "outside_account_key": "x", "requested_on": DAY,
                                               "requested_at": NOON, "market_value_usd": Decimal(1)}])  # fmt: skip
    assert office.query_mart("plan_assets", "managed_usd") == [(199_000,)]
    office.join("account", "second", "a")
    assert office.query_mart("plan_assets", "managed_usd") == [(100_000,)]


def test_an_account_that_only_planners_list_is_no_copy_of_a_portfolio_systems(office: Office) -> None:
    for planner in ("first", "second"):
        list_outside(office.of[planner], DAY, x=40_000)
    office.do(
        "insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) values ('account', :id, :other, now(), 'test')",
        id=office.id_of("second", "outside_account", "x"), other=office.id_of("first", "outside_account", "x"),
    )  # fmt: skip
    columns = "copied_usd, held_away_usd, managed_usd, difference_usd"
    assert office.query_mart("plan_assets", columns) == [(0, 40_000, 0, 0)] * 2


@pytest.mark.parametrize("value", [{}, {"market_value_usd": None}])
def test_a_copy_is_held_away_if_the_portfolio_system_states_no_value(office: Office, value: dict[str, Any]) -> None:
    pms = office.of["pms"]
    hold(pms, DAY, a=100_000, b=1)
    list_outside(office.of["first"], DAY, x=95_000)
    office.join("outside_account", "first", "x", "a")
    columns = "copied_usd, held_away_usd, managed_usd"
    assert office.query_mart("plan_assets", columns) == [(95_000, 0, 100_001)]
    hold(pms, NEXT, b=1)
    if value:
        pms.load("account_value", [{"account_value_key": "a", "account_key": "a"} | value], NEXT)
    managed = 0 if value else 1
    assert office.query_mart("plan_assets", columns) == [(0, 95_000, managed)]


def hold(vendor: Loader, day: date, **worth_usd: int) -> None:
    """Load the household's managed accounts and their values on a day."""
    vendor.load("account", [{"account_key": key, "household_key": "h1", "is_counted": True} for key in worth_usd], day)
    vendor.load(
        "account_owner",
        [{"account_owner_key": f"{key}:1", "account_key": key, "household_key": "h1", "share_ratio": Decimal(1)}
         for key in worth_usd], day,
    )  # fmt: skip
    vendor.load(
        "account_value",
        [
            {"account_value_key": key, "account_key": key, "market_value_usd": Decimal(usd)}
            for key, usd in worth_usd.items()
        ],
        day,
    )


def list_outside(vendor: Loader, day: date, **worth_usd: int) -> None:
    """Load the household's outside accounts and their values on a day."""
    vendor.load("outside_account", [{"outside_account_key": key, "household_key": "h1"} for key in worth_usd], day)
    vendor.load(
        "outside_value",
        [{"outside_value_key": f"{key}:{day}", "outside_account_key": key, "market_value_usd": Decimal(usd), "requested_on": day,
          "requested_at": NOON} for key, usd in worth_usd.items()], day,
    )  # fmt: skip


def test_what_a_vendor_does_not_name_any_more_is_worth_nothing(office: Office) -> None:
    columns = "managed_usd, held_away_usd, net_worth_usd, accounts"
    hold(office.of["pms"], DAY, stays=100_000, moved=60_000)
    list_outside(office.of["first"], DAY, house=300_000, sold=40_000)
    assert office.query_mart("net_worth", columns) == [(160_000, 340_000, 500_000, 4)]
    before = office.of["pms"].now()
    hold(office.of["pms"], NEXT, stays=101_000)
    list_outside(office.of["first"], NEXT, house=300_000)
    assert office.query_mart("net_worth", columns) == [(101_000, 300_000, 401_000, 2)]
    assert office.query_mart("net_worth", columns, at=before) == [(160_000, 340_000, 500_000, 4)]


def test_copy_of_a_missing_account_has_its_own_value(office: Office) -> None:
    hold(office.of["pms"], DAY, stays=100_000, moved=60_000)
    list_outside(office.of["first"], DAY, copy=59_000)
    office.join("outside_account", "first", "copy", "moved")
    columns = "managed_usd, held_away_usd, net_worth_usd, accounts, copies"
    assert office.query_mart("net_worth", columns) == [(160_000, 0, 160_000, 2, 1)]
    hold(office.of["pms"], NEXT, stays=100_000)
    assert office.query_mart("net_worth", columns) == [(100_000, 59_000, 159_000, 2, 0)]


def test_account_without_value_is_counted_and_not_worth_zero(office: Office) -> None:
    columns = "managed_usd, held_away_usd, net_worth_usd, accounts, accounts_without_value"
    hold(office.of["pms"], DAY, a=100_000)
    list_outside(office.of["first"], DAY, house=300_000)
    unknown = {"outside_value_key": "later", "outside_account_key": "house", "requested_on": NEXT, "requested_at": NOON}
    office.of["first"].load("outside_value", [unknown], NEXT)
    assert office.query_mart("net_worth", columns) == [(100_000, None, 100_000, 2, 1)]
    office.of["pms"].load("account_value", [{"account_value_key": "a", "account_key": "a"}], NEXT)
    assert office.query_mart("net_worth", columns) == [(None, None, None, 2, 2)]


def test_copy_of_an_account_without_value_counts(office: Office) -> None:
    hold(office.of["pms"], DAY, a=100_000)
    list_outside(office.of["first"], DAY, copy=99_000)
    office.join("outside_account", "first", "copy", "a")
    office.of["pms"].load("account_value", [{"account_value_key": "a", "account_key": "a"}], NEXT)
    assert office.query_mart("net_worth", "net_worth_usd, accounts, copies") == [(99_000, 1, 1)]


def test_copy_of_an_account_at_a_vendor_no_longer_used_counts(office: Office) -> None:
    for name in ("pms", "second"):
        hold(office.of[name], DAY, a=100_000)
    office.join("account", "second", "a")
    hold(office.of["second"], NEXT, a=150_000)
    list_outside(office.of["first"], NEXT, house=1)
    assert office.query_mart("net_worth", "managed_usd") == [(100_000,)]
    office.do("insert into control.unused_vendor (vendor) values (:vendor)")
    assert office.query_mart("net_worth", "managed_usd") == [(150_000,)]
    assert office.query_mart("plan_assets", "managed_usd") == [(150_000,)]


def test_plan_assets_are_counted_as_in_the_net_worth(office: Office) -> None:
    hold(office.of["pms"], DAY, stays=100_000, moved=50_000, left=20_000)
    hold(office.of["second"], DAY, moved=51_000)
    list_outside(office.of["first"], DAY, moved=49_000, left=21_000)
    office.join("account", "second", "moved")
    for key in ("moved", "left"):
        office.join("outside_account", "first", key)
    columns = "copied_usd, held_away_usd, managed_usd"
    assert office.query_mart("plan_assets", columns) == [(70_000, 0, 170_000)]
    hold(office.of["pms"], NEXT, stays=100_000)
    assert office.query_mart("plan_assets", columns) == [(49_000, 21_000, 151_000)]
    assert office.query_mart("net_worth", "held_away_usd, managed_usd") == [(21_000, 151_000)]


def test_account_that_two_planners_list_is_held_away_for_both(office: Office) -> None:
    hold(office.of["pms"], DAY, a=100_000)
    for name, usd in (("first", 40_000), ("second", 41_000)):
        list_outside(office.of[name], DAY, away=usd)
    office.do(
        "insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) values ('account', :id, :other, now(), 'test')",
        id=office.id_of("second", "outside_account", "away"), other=office.id_of("first", "outside_account", "away"),
    )  # fmt: skip
    columns = "held_away_usd, copied_usd, managed_usd"
    assert office.query_mart("plan_assets", columns) == [(40_000, 0, 100_000), (41_000, 0, 100_000)]


def test_household_has_the_same_name_in_its_net_worth_as_in_its_plans(office: Office) -> None:
    hold(office.of["pms"], DAY, a=100_000)
    list_outside(office.of["first"], DAY, house=1)
    office.do("insert into control.unused_vendor (vendor) values (:vendor)")
    names = [office.query_mart(mart, "household_name") for mart in ("plan_assets", "net_worth")]
    assert names == [[("Family first",)]] * 2


def test_assets_of_a_plan_without_values_are_unknown_and_not_zero(office: Office) -> None:
    list_outside(office.of["first"], DAY, house=1)
    unknown = {"outside_value_key": "later", "outside_account_key": "house", "requested_on": NEXT, "requested_at": NOON}
    office.of["first"].load("outside_value", [unknown], NEXT)
    for mart in ("net_worth", "plan_assets"):
        assert office.query_mart(mart, "held_away_usd, managed_usd") == [(None, 0)]
    assert office.query_mart("plan_assets", "copied_usd, difference_usd") == [(0, 0)]


def read_aum(office: Office) -> list[tuple[Any, ...]]:
    """Return the AUM of the household's records at all vendors: day, sum."""
    homes = [office.id_of(vendor, "household", "h1") for vendor in ("pms", "first", "second")]
    query = "select business_date, sum(aum_usd) from mart.aum_by_household where household_id = any(:homes) group by 1 order by 1"
    return [tuple(row.values()) for row in office.of["pms"].rows(query, homes=homes)]


def test_copy_counts_in_aum_on_days_without_positions_of_the_original(office: Office) -> None:
    for name, usd in (("pms", 100), ("first", 98), ("second", 99)):
        hold(office.of[name], DAY, a=usd)
        office.of[name].load("position", [position("P", usd, "a")])
    for name in ("first", "second"):
        office.join("account", name, "a")
    assert read_aum(office) == [(DAY, 100)]
    office.of["second"].load("position", [position("P", 101, "a")], NEXT)
    assert read_aum(office) == [(DAY, 100), (NEXT, 101)]
    office.of["first"].load("position", [position("P", 102, "a")], NEXT)
    assert read_aum(office) == [(DAY, 100), (NEXT, 102)]
    of_account = "select sum(value_usd) as usd from mart.lineage_balance('account', :id, :day, 'infinity') where entity = 'position'"
    shown = [
        office.of["pms"].rows(of_account, id=office.id_of(name, "account", "a"), day=NEXT)[0]["usd"]
        for name in ("pms", "first", "second")
    ]
    assert shown == [None, 102, None]


def flow(key: str, day: date, usd: int) -> dict[str, Any]:
    return {"transaction_key": key, "account_key": "a", "security_key": "s1", "trade_date": day, "status": "posted",
            "flow": "contribution", "amount_usd": Decimal(usd)}  # fmt: skip


def read_flows(office: Office) -> list[tuple[Any, ...]]:
    """Return the net flows of the household's records at all vendors: day, sum."""
    homes = [office.id_of(vendor, "household", "h1") for vendor in ("pms", "second")]
    query = "select trade_date, sum(net_flow_usd) from mart.net_flows where household_id = any(:homes) group by 1 order by 1"
    return [tuple(row.values()) for row in office.of["pms"].rows(query, homes=homes)]


def test_flows_of_an_account_at_two_vendors_count_once(office: Office) -> None:
    for name in ("pms", "second"):
        hold(office.of[name], DAY, a=100)
        office.of[name].load("transaction", [flow("t", DAY, 10)])
    assert read_flows(office) == [(DAY, 20)]
    office.join("account", "second", "a")
    assert read_flows(office) == [(DAY, 10)]
    office.of["second"].load(
        "transaction", [flow("later", NEXT, 30)], NEXT
    )  # the first vendor is not loaded for this day
    assert read_flows(office) == [(DAY, 10), (NEXT, 30)]
    office.of["pms"].load("transaction", [flow("later", NEXT, 29)], NEXT)
    assert read_flows(office) == [(DAY, 10), (NEXT, 29)]


@pytest.mark.parametrize("end", ["closed", "absent"])
def test_flows_of_a_copy_count_after_the_end_of_the_original(office: Office, end: str) -> None:
    for name in ("pms", "second"):
        hold(office.of[name], DAY, a=100)
    office.join("account", "second", "a")
    rows = (
        [{"account_key": "a", "household_key": "h1", "is_counted": True, "close_date": DAY}] if end == "closed" else []
    )
    office.of["pms"].load("account", rows, NEXT)
    for day in (DAY, NEXT):
        office.of["pms"].load("transaction", [], day)
    office.of["second"].load("transaction", [flow("t", DAY, 10), flow("later", NEXT, 30)], NEXT)
    assert read_flows(office) == [(NEXT, 30)]


def test_flows_of_a_copy_count_before_the_first_day_of_the_original(office: Office) -> None:
    """The firm moved to the vendor of the original, which has no history before."""
    office.of["second"].load("transaction", [flow("t", DAY, 10), flow("moved", NEXT, 20)], NEXT)
    for name in ("pms", "second"):
        hold(office.of[name], NEXT, a=100)
    office.join("account", "second", "a")
    office.of["pms"].load("transaction", [flow("moved", NEXT, 21)], NEXT)
    assert read_flows(office) == [(DAY, 10), (NEXT, 21)]
    earlier = flow("earlier", DAY - timedelta(days=9), 5)
    office.of["pms"].load("transaction", [earlier, flow("moved", NEXT, 21)], NEXT)
    assert read_flows(office) == [(earlier["trade_date"], 5), (NEXT, 21)]


def test_flows_of_an_account_that_its_vendor_lists_under_another_key_count(office: Office) -> None:
    """At a conversion, the vendor has the account under a new key, without its transactions so far."""
    hold(office.of["pms"], DAY, a=100)
    office.of["pms"].load("transaction", [flow("t", DAY, 10)])
    hold(office.of["pms"], NEXT, b=100)
    office.of["pms"].load("transaction", [flow("later", NEXT, 20) | {"account_key": "b"}], NEXT)
    assert read_flows(office) == [(DAY, 10), (NEXT, 20)]
    office.join("account", "pms", "a", "b")
    assert read_flows(office) == [(DAY, 10), (NEXT, 20)]


def load_opened(office: Office, name: str, **fields: Any) -> None:
    rows = [
        {"account_key": key, "household_key": "h1", "is_counted": (name, key) != ("pms", "parent")} | fields
        for key in ("a", "s1", "parent")
    ]
    office.of[name].load("account", rows)


def read_openings(office: Office, *days: date) -> list[tuple[Any, ...]]:
    rows = office.of["pms"].rows(
        "select * from mart.openings_and_closings where day = any(:days) order by 1", days=list(days)
    )
    return [tuple(row.values()) for row in rows]


def test_openings_leave_out_parents_of_sleeves_and_copies(office: Office) -> None:
    opened, closed = date(2011, 1, 3), date(2012, 1, 3)
    load_opened(office, "pms", open_date=opened, close_date=closed)
    load_opened(office, "second", open_date=opened + timedelta(days=1), close_date=closed + timedelta(days=1))
    for key in ("a", "s1", "parent"):
        office.join("account", "second", key)
    days = [day + timedelta(days=n) for day in (opened, closed) for n in (0, 1)]
    assert read_openings(office, *days) == [(opened, 2, 0), (closed + timedelta(days=1), 0, 2)]


@pytest.mark.parametrize(("is_active", "closings"), [(True, 0), (False, 2)])
def test_account_that_is_open_at_another_vendor_is_not_closed(office: Office, is_active: bool, closings: int) -> None:
    day = date(2013 + closings, 1, 3)
    load_opened(office, "pms", close_date=day, is_active=False)
    load_opened(office, "second", is_active=is_active)
    for key in ("a", "s1", "parent"):
        office.join("account", "second", key)
    assert read_openings(office, day) == ([(day, 0, closings)] if closings else [])


def test_account_of_a_vendor_no_longer_used_is_open_at_no_vendor(office: Office) -> None:
    """The firm moved to the second vendor, which closed the account later; the first one lists it as it was."""
    day = date(2016, 1, 4)
    load_opened(office, "pms", is_active=True)
    load_opened(office, "second", close_date=day, is_active=False)
    for key in ("a", "s1", "parent"):
        office.join("account", "second", key)
    assert read_openings(office, day) == []
    office.do("insert into control.unused_vendor (vendor) values (:vendor)")
    assert read_openings(office, day) == [(day, 0, 2)]
