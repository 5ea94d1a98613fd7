"""Marts of planning and risk: one row per household or person across vendors, now and as known at a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from include.control import findings
from include.control.findings import Look
from include.rules.evaluation import FOUND
from include.rules.snapshot import SILENT
from tests.warehouse.loading import DAY, NEXT
from tests.warehouse.planning_office import COMPUTED, NOON, Office

MARTS = (
    "plan_freshness",
    "goal_health",
    "risk_alignment",
    "questionnaire",
    "questionnaire_age",
    "plan_assets",
    "out_of_line",
)


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


def test_risk_number_states_the_day_of_the_vendors_analysis(office: Office) -> None:
    load_risk(office, 45, {"portfolio_key": "now", "risk_number": 62})
    analyzed = {
        "portfolio_risk_key": "now:next",
        "portfolio_key": "now",
        "risk_number": 62,
        "measured_on": NEXT,
        "measured_at": NOON,
    }
    evening = datetime(2026, 3, 5, 1, 30, tzinfo=UTC)
    office.of["risk"].load("portfolio_risk", [analyzed | {"analyzed_at": evening}], NEXT)
    assert office.query_mart("risk_alignment", "portfolio_measured_on, portfolio_analyzed_on") == [
        (NEXT, date(2026, 3, 4))
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


def test_plan_changed_today_has_age_zero_in_the_evening_of_new_york(office: Office) -> None:
    office.plan("first", {"plan_key": "p"})
    for table in ("plan", "household"):
        office.do(f"update warehouse.{table} set recorded_from = '2026-11-01' where vendor = :vendor", "first")
    evening = datetime(2026, 11, 21, 1, tzinfo=UTC)
    [row] = office.of["first"].rows(
        "select changed_on, age_days from mart.plan_freshness_as_known(:at) where vendor = :vendor", at=evening
    )
    assert row == {"changed_on": DAY, "age_days": 0}


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
