"""Marts of planning and risk: one row per household or person across vendors, now and as known at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from include.control import findings
from include.control.findings import Look
from include.rules.evaluation import FOUND
from include.rules.snapshot import SILENT
from tests.warehouse.loading import DAY, NEXT, Loader, position

MARTS = (
    "plan_freshness",
    "goal_health",
    "risk_alignment",
    "questionnaire",
    "questionnaire_age",
    "plan_assets",
    "out_of_line",
)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
COMPUTED = {"computed_on": DAY, "computed_at": NOON, "scenario": "current"}


class Office:
    """A portfolio system, two planners and a risk vendor, which share one household or its person."""

    def __init__(self, new_loader: Callable[[], Loader]) -> None:
        self.of = {vendor: new_loader() for vendor in ("pms", "first", "second", "risk")}
        self.of["pms"].load("representative", [{"representative_key": "r1", "name": "Rep Sample"}])
        for vendor in ("pms", "first", "second"):
            home = {"household_key": "h1", "name": f"Family {vendor}", "representative_key": "r1"}
            self.of[vendor].load("household", [home])
            self.of[vendor].load("person", [{"person_key": "p1", "name": f"Ada {vendor}", "household_key": "h1"}])
        self.of["risk"].load("person", [{"person_key": "p1", "name": "Ada Risk"}])
        for rank, vendor in enumerate(self.of):
            self.do("insert into control.survivorship values (:vendor, '', :rank)", vendor, rank=rank)
        for vendor in ("first", "second"):
            self.join("household", vendor, "h1")
        for vendor in ("first", "second", "risk"):
            self.join("person", vendor, "p1")

    def do(self, statement: str, vendor: str = "pms", **values: Any) -> None:
        self.of[vendor].database.do(statement, **({"vendor": self.of[vendor].vendor.name} | values))

    def id_of(self, vendor: str, entity: str, key: str) -> int:
        query = "select id from warehouse.source_key where entity = :entity and vendor = :vendor and source_key = :key"
        [row] = self.of[vendor].rows(query, entity=entity, key=key)
        return int(row["id"])

    def join(self, entity: str, vendor: str, key: str, to: str = "") -> None:
        """Link a vendor's record to one of the portfolio system's."""
        known_as = "account" if entity == "outside_account" else entity
        self.of["pms"].database.do(
            """
            insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id)
            values (:entity, :id, :other, now(), 'test')
            """,
            entity=known_as, id=self.id_of(vendor, entity, key), other=self.id_of("pms", known_as, to or key),
        )  # fmt: skip

    def plan(self, vendor: str, *plans: dict[str, Any], day: date = DAY) -> None:
        rows = [{"household_key": "h1", "is_base": True, "name": "Base", "updated_on": DAY} | plan for plan in plans]
        self.of[vendor].load("plan", rows, day)

    def result(self, vendor: str, *results: dict[str, Any], day: date = DAY) -> None:
        rows = [COMPUTED | {"household_key": "h1", "plan_key": "n1", "is_stale": False} | row for row in results]
        self.of[vendor].load("plan_result", rows, day)

    def query_mart(self, mart: str, columns: str, at: Any = "infinity", where: str = "true") -> list[tuple[Any, ...]]:
        """Return a mart's rows about the household, as known at a time."""
        about = "" if mart == "questionnaire_age" else " and household_id = :household"
        rows = self.of["pms"].rows(
            f"select {columns} from mart.{mart}_as_known(:at) where {where}{about} order by 1",
            at=at, household=self.id_of("pms", "household", "h1"),
        )  # fmt: skip
        return [tuple(row.values()) for row in rows]


@pytest.fixture
def office(new_loader: Callable[[], Loader]) -> Office:
    return Office(new_loader)


def test_a_plan_belongs_to_the_merged_household_under_its_preferred_name(office: Office) -> None:
    office.plan("first", {"plan_key": "n1", "updated_on": date(2026, 1, 2), "target_low_ratio": Decimal("0.75")})
    office.result(
        "first",
        {"plan_result_key": "a", "probability_ratio": Decimal("0.8")},
        {"plan_result_key": "b", "probability_ratio": Decimal("0.9"), "scenario": "recommended"},
    )
    columns = "household_name, representative_name, changed_on, probability_ratio, recommended_ratio, target_low_ratio, computed_on"
    assert office.query_mart("plan_freshness", columns) == [
        ("Family pms", "Rep Sample", date(2026, 1, 2), Decimal("0.8"), Decimal("0.9"), Decimal("0.75"), DAY)
    ]


def test_without_a_recommended_scenario_its_probability_is_missing_and_not_zero(office: Office) -> None:
    office.plan("first", {"plan_key": "n1"})
    office.result("first", {"plan_result_key": "a", "probability_ratio": Decimal("0.8")})
    assert office.query_mart("plan_freshness", "probability_ratio, recommended_ratio") == [(Decimal("0.8"), None)]


def test_the_newest_computation_is_returned(office: Office) -> None:
    office.plan("first", {"plan_key": "n1"})
    older = {"plan_result_key": "a", "probability_ratio": Decimal("0.9"), "computed_on": DAY - timedelta(days=7)}
    office.result("first", older, {"plan_result_key": "b", "probability_ratio": Decimal("0.6")})
    assert office.query_mart("plan_freshness", "probability_ratio, computed_on") == [(Decimal("0.6"), DAY)]


def test_the_preferred_vendors_base_plan_leads(office: Office) -> None:
    office.plan(
        "first",
        {"plan_key": "n1", "name": "Old", "updated_on": date(2025, 1, 1)},
        {"plan_key": "n2", "name": "New", "updated_on": date(2026, 1, 1)},
        {"plan_key": "n3", "name": "What if", "is_base": False},
    )
    office.plan("second", {"plan_key": "n1", "name": "Other"})
    assert office.query_mart("plan_freshness", "plan_name, is_leading") == [
        ("New", True), ("Old", False), ("Other", False), ("What if", False),
    ]  # fmt: skip


def test_a_plan_that_the_vendor_names_no_more_is_left_out(office: Office) -> None:
    office.plan("first", {"plan_key": "n1", "name": "Gone"}, {"plan_key": "n2", "name": "Kept"})
    known_before = office.of["pms"].now()
    office.plan("first", {"plan_key": "n2", "name": "Kept"}, day=NEXT)
    assert office.query_mart("plan_freshness", "plan_name") == [("Kept",)]
    assert office.query_mart("plan_freshness", "plan_name", known_before) == [("Gone",), ("Kept",)]


def test_goals_have_their_own_figures_and_their_plans(office: Office) -> None:
    office.plan("first", {"plan_key": "n1"})
    office.result("first", {"plan_result_key": "a", "probability_ratio": Decimal("0.8")})
    goals = [{"goal_key": key, "household_key": "h1", "plan_key": "n1", "name": key, "goal_type": "Education",
              "amount_usd": Decimal(30_000)} for key in ("college", "new", "deleted")]  # fmt: skip
    office.of["first"].load("goal", goals)
    expected = COMPUTED | {
        "probability_ratio": Decimal("0.55"),
        "funded_ratio": Decimal("0.4"),
        "shortfall_year": 2041,
    }
    before = expected | {"computed_on": DAY - timedelta(days=7)}
    office.of["first"].load(
        "goal_result",
        [
            expected | {"goal_result_key": "1", "goal_key": "college"},
            before | {"goal_result_key": "2", "goal_key": "deleted"},
        ],
    )
    columns = "goal_name, probability_ratio, funded_ratio, shortfall_year, plan_probability_ratio, is_named"
    some = (Decimal("0.55"), Decimal("0.4"), 2041, Decimal("0.8"))
    assert office.query_mart("goal_health", columns) == [
        ("college", *some, True), ("deleted", *some, False), ("new", None, None, None, Decimal("0.8"), True),
    ]  # fmt: skip


def load_risk(office: Office, client: int, *portfolios: dict[str, Any], day: date = DAY) -> None:
    dated = {"measured_on": day, "measured_at": NOON}
    rows = [{"person_key": "p1", "portfolio_type": "current"} | {"portfolio_key": p["portfolio_key"]} | {
        k: v for k, v in p.items() if k in ("portfolio_type", "is_deleted", "name")} for p in portfolios]  # fmt: skip
    office.of["risk"].load("portfolio", rows, day)
    office.of["risk"].load(
        "client_risk",
        [{"client_risk_key": f"p1:{day}", "person_key": "p1", "risk_number": client} | dated],
    )
    office.of["risk"].load(
        "portfolio_risk",
        [{"portfolio_risk_key": f"{p['portfolio_key']}:{day}", "portfolio_key": p["portfolio_key"],
          "risk_number": p["risk_number"]} | dated for p in portfolios],
    )  # fmt: skip


def test_risk_is_compared_for_current_portfolios_of_the_one_person(office: Office) -> None:
    load_risk(
        office,
        45,
        {"portfolio_key": "now", "name": "Now", "risk_number": 62},
        {"portfolio_key": "idea", "name": "Idea", "risk_number": 40, "portfolio_type": "proposed"},
        {"portfolio_key": "gone", "name": "Gone", "risk_number": 99, "is_deleted": True},
    )
    columns = "person_name, household_name, portfolio_name, client_risk_number, portfolio_risk_number, difference"
    assert office.query_mart("risk_alignment", columns) == [("Ada pms", "Family pms", "Now", 45, 62, 17)]


def test_the_newest_of_both_numbers_count(office: Office) -> None:
    load_risk(office, 45, {"portfolio_key": "now", "risk_number": 62})
    load_risk(office, 50, {"portfolio_key": "now", "risk_number": 58}, day=NEXT)
    assert office.query_mart("risk_alignment", "client_risk_number, portfolio_risk_number, client_measured_on") == [
        (50, 58, NEXT)
    ]


def questionnaire(key: str, completed: str | None, **more: Any) -> dict[str, Any]:
    at = datetime.fromisoformat(f"{completed}T17:00:00Z") if completed else None
    return {
        "questionnaire_key": key, "person_key": "p1", "version": "RQ4", "completed_at": at, "is_completed": at is not None,
        "is_archived": False, "is_deleted": False, "risk_number": 50,
    } | more  # fmt: skip


def test_the_last_completed_questionnaire_counts_that_is_neither_archived_nor_deleted(office: Office) -> None:
    office.of["risk"].load(
        "questionnaire",
        [questionnaire("old", "2024-01-02"), questionnaire("counts", "2025-03-04", version="RQ3"),
         questionnaire("archived", "2026-01-02", is_archived=True), questionnaire("deleted", "2026-02-02", is_deleted=True),
         questionnaire("open", None)],
    )  # fmt: skip
    assert office.query_mart("questionnaire", "person_name, version, completed_on, representative_name") == [
        ("Ada pms", "RQ3", date(2025, 3, 4), "Rep Sample")
    ]


def test_questionnaire_completed_in_the_evening_has_the_date_of_new_york(office: Office) -> None:
    evening = datetime(2026, 7, 2, 1, 30, tzinfo=UTC)
    office.of["risk"].load("questionnaire", [questionnaire("a", "2026-07-02", completed_at=evening)])
    assert office.query_mart("questionnaire", "completed_on") == [(date(2026, 7, 1),)]


def test_questionnaires_of_an_advisors_clients_are_counted_by_age(office: Office) -> None:
    office.of["risk"].load("person", [{"person_key": f"p{n}", "name": f"P{n}"} for n in (1, 2, 3)])
    for vendor, key in (("risk", "p2"), ("risk", "p3")):
        office.do("update warehouse.person set household_id = :home where person_id = :id", vendor,
                  home=office.id_of("pms", "household", "h1"), id=office.id_of("risk", "person", key))  # fmt: skip
    fresh = (datetime.now(UTC).date() - timedelta(days=30)).isoformat()
    office.of["risk"].load(
        "questionnaire",
        [
            questionnaire("a", "2025-01-02"),
            questionnaire("b", fresh, person_key="p2"),
            questionnaire("c", None, person_key="p3"),
        ],
    )
    mine = f"representative_id = {office.id_of('pms', 'representative', 'r1')}"
    columns = "representative_name, persons, without, beyond_12_months, oldest_on, newest_on"
    assert office.query_mart("questionnaire_age", columns, where=mine) == [
        ("Rep Sample", 3, 1, 1, date(2025, 1, 2), date.fromisoformat(fresh))
    ]


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


def test_the_household_of_an_envelope_is_that_which_was_known_then(office: Office) -> None:
    signer = {"person_key": "p1", "name": "Ada", "household_key": "h1", "email": "ada@example.com"}
    made = {"is_final": False, "created_on": DAY, "changed_at": NOON, "status": "sent", "envelope_key": "e"}
    office.of["first"].load("person", [signer])
    office.of["first"].load("envelope", [made])
    office.of["first"].load(
        "envelope_recipient", [made | {"envelope_recipient_key": "r", "role": "signer", "email": "Ada@example.com"}]
    )
    assert office.query_mart("envelope", "envelope_key") == [("e",)]
    then = office.of["first"].now()
    office.of["first"].load("person", [signer | {"email": "new@example.com"}], NEXT)
    assert office.query_mart("envelope", "envelope_key") == []
    assert office.query_mart("envelope", "envelope_key", then) == [("e",)]


def settle(office: Office, day: date, *measures: int) -> None:
    loader = office.of["pms"]
    rows = [{"rule": "plan_old", "severity": "info", "subject_entity": "household", "details": "Old.",
             "subject_id": office.id_of("pms", "household", "h1"), "household_id": office.id_of("pms", "household", "h1"),
             "representative_id": office.id_of("pms", "representative", "r1"), "measure": Decimal(n)} for n in measures]  # fmt: skip
    look = Look(loader.vendor.name, day, datetime.combine(day, datetime.min.time(), UTC), "run")
    with loader.engine.begin() as connection:
        findings.settle(
            connection, look, {"plan_old": 0}, pa.Table.from_pylist(rows, schema=FOUND), SILENT.empty_table()
        )


def test_who_was_out_of_line_since_when_and_until_when(office: Office) -> None:
    columns = "rule, household_name, representative_name, out_since, last_seen, back_on, days"
    settle(office, DAY, 400)
    known_then = office.of["pms"].now()
    settle(office, NEXT)
    assert office.query_mart("out_of_line", columns) == [("plan_old", "Family pms", "Rep Sample", DAY, DAY, NEXT, 3)]
    assert office.query_mart("out_of_line", columns, known_then) == [
        ("plan_old", "Family pms", "Rep Sample", DAY, DAY, None, 0)
    ]
    settle(office, date(2026, 11, 24), 401)
    assert len(office.query_mart("out_of_line", columns)) == 2


def test_a_link_that_is_taken_apart_is_known_as_it_was(office: Office) -> None:
    office.plan("first", {"plan_key": "n1"})
    known_before = office.of["pms"].now()
    office.do("update warehouse.identity set recorded_to = clock_timestamp() where entity = 'household'")
    assert office.query_mart("plan_freshness", "household_name") == []
    assert office.query_mart("plan_freshness", "household_name", known_before) == [("Family pms",)]


@pytest.mark.parametrize("mart", MARTS)
def test_a_mart_is_its_function_at_the_end_of_time(office: Office, mart: str) -> None:
    rows = office.of["pms"].rows
    assert rows(f"select * from mart.{mart}_as_known('infinity') except all select * from mart.{mart}") == []
    assert rows(f"select * from mart.{mart}_as_known('2001-01-01')") == []
