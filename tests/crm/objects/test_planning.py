"""Plans, goals and risk in Salesforce: one household across vendors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.crm import tasks
from include.crm.run import SyncRun
from include.rules import HOUSEHOLD_RULES
from include.rules.evaluation import evaluate_all
from include.rules.policy import Policy
from tests.crm.conftest import Crm
from tests.rules.conftest import Ledgered
from tests.running_sandbox import LAST

GOALS = "FinServ__FinancialGoal__c"
ALERTS = "FinServ__Alert__c"
NOON = datetime.combine(LAST, datetime.min.time(), UTC) + timedelta(hours=12)
EVENING = NOON + timedelta(hours=14)
"""In New York; it is the next day in UTC."""
ANALYZED = NOON - timedelta(days=40)
COLLEGE = {"goal_key": "n1:2", "name": "College", "goal_type": "Education", "amount_usd": Decimal(30_000), "start_year": 2031,
           "end_year": 2034, "wording": "$30,000 / yr from 2031"}  # fmt: skip


class Office:
    """A planner and a risk vendor that share the portfolio system's first household and its eldest member."""

    def __init__(self, crm: Crm, folder: Path) -> None:
        self.crm = crm
        self.planner, self.risk = (Ledgered(crm.database, folder, name) for name in ("plans", "risks"))
        self.person = crm.database.rows("""
            select p.person_id, p.person_key, p.household_id, h.household_key from warehouse.known_person p
            join warehouse.household h on h.household_id = p.household_id
            order by h.household_id, p.birth_date nulls last, p.person_id
        """)[0]
        self.planner.load("household", [{"household_key": "h1", "name": "Planned"}], LAST)
        self.risk.load("person", [{"person_key": "p1", "name": "At Risk"}], LAST)
        self._join("household", self.planner, "h1", self.person["household_id"])
        self._join("person", self.risk, "p1", self.person["person_id"])

    def _join(self, entity: str, vendor: Ledgered, key: str, other: int) -> None:
        self.crm.database.do(
            """
            insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id)
            values (:entity, :id, :other, now(), 'test')
            """,
            entity=entity, id=vendor.id_of(entity, key), other=other,
        )  # fmt: skip

    def plan(
        self, ratio: str, *goals: dict[str, Any], changed: date = date(2026, 3, 4), is_stale: bool = False
    ) -> None:
        """Load the base plan with its goals (each half funded) and its probability; its balances may be stale."""
        dated = {"scenario": "current", "computed_on": LAST + timedelta(days=1), "computed_at": EVENING}
        base = {"plan_key": "n1", "household_key": "h1", "name": "Base", "is_base": True, "updated_on": changed}
        self.planner.load("plan", [base], LAST)
        self.planner.load("plan_result", [dated | {"plan_result_key": "n1", "plan_key": "n1", "household_key": "h1",
                                                   "probability_ratio": Decimal(ratio), "is_stale": is_stale}],
                          LAST)  # fmt: skip
        self.planner.load("goal", [{"household_key": "h1", "plan_key": "n1"} | goal for goal in goals], LAST)
        values = {"probability_ratio": Decimal("0.55"), "funded_ratio": Decimal("0.5"), "shortfall_year": 2033}
        self.planner.load("goal_result", [dated | values | {"goal_result_key": goal["goal_key"], "goal_key": goal["goal_key"]}
                                          for goal in goals], LAST)  # fmt: skip
        self.planner.reconcile(LAST)

    def numbers(self, client: int, portfolio: int) -> None:
        dated = {"measured_on": LAST, "measured_at": NOON}
        self.risk.load("portfolio", [{"portfolio_key": "f1", "person_key": "p1", "portfolio_type": "current"}], LAST)
        self.risk.load(
            "client_risk", [dated | {"client_risk_key": "c", "person_key": "p1", "risk_number": client}], LAST
        )
        self.risk.load("portfolio_risk", [dated | {"portfolio_risk_key": "f", "portfolio_key": "f1", "risk_number": portfolio,
                                             "analyzed_at": ANALYZED}], LAST)  # fmt: skip
        self.risk.load("questionnaire", [{"questionnaire_key": "q1", "person_key": "p1", "version": "RQ4", "is_completed": True,
                                          "completed_at": datetime(2025, 1, 2, 17, tzinfo=UTC)}], LAST)  # fmt: skip
        self.risk.reconcile(LAST)

    def household(self) -> dict[str, Any]:
        return self.crm.records("Account")[f"sample:orion:household:{self.person['household_key']}"]

    def member(self) -> dict[str, Any]:
        return self.crm.records("Account")[f"sample:orion:person:{self.person['person_key']}"]


@pytest.fixture
def office(crm: Crm, tmp_path: Path) -> Iterator[Office]:
    office = Office(crm, tmp_path / "staging")
    office.plan("0.8125", COLLEGE)
    office.numbers(45, 62)
    yield office
    for vendor in (office.planner, office.risk):
        vendor.engine.dispose()


def test_a_household_shows_its_plan_and_the_risk_of_the_member_farthest_off(office: Office) -> None:
    office.crm.sync()
    record = office.household()
    assert {name: value for name, value in record.items() if name.startswith("Tributary_") and name != "Tributary_Key__c"} == {
        "Tributary_Plan_Success__c": "81.25", "Tributary_Plan_Computed__c": str(LAST), "Tributary_Plan_Changed__c": "2026-03-04",
        "Tributary_Plan_Source__c": "plans", "Tributary_Plan_Stale__c": False, "Tributary_Risk_Number__c": "45.0", "Tributary_Portfolio_Risk__c": "62.0",
        "Tributary_Risk_Measured__c": str(ANALYZED.date()), "Tributary_Questionnaire_Date__c": "2025-01-02",
    }  # fmt: skip


@pytest.mark.parametrize("persons", ["individuals", "person_accounts"])
def test_a_person_shows_the_own_risk_and_the_plan_of_the_household(office: Office, persons: Any) -> None:
    if persons == "person_accounts":
        office.crm.http.post("/salesforce/_admin/settings", json={"person_accounts": True})
    office.crm.settings = replace(office.crm.settings, persons=persons)
    office.crm.sync()
    record = office.member()
    assert (record["Tributary_Risk_Number__c"], record["Tributary_Portfolio_Risk__c"]) == ("45.0", "62.0")
    assert (record["Tributary_Plan_Success__c"], record["Tributary_Questionnaire_Date__c"]) == ("81.25", "2025-01-02")
    others = [r for key, r in office.crm.records("Account", "person").items() if r["Id"] != record["Id"]]
    assert others
    assert not [r for r in others if "Tributary_Risk_Number__c" in r]


def test_household_that_becomes_one_with_another_no_longer_shows_a_plan_or_a_risk(office: Office) -> None:
    office.crm.sync()
    assert "Tributary_Plan_Success__c" in office.household()
    office.crm.database.do(
        """
        insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id)
        select 'household', :home, min(household_id), now(), 'a-decision' from warehouse.household
        where household_id <> :home and vendor = 'orion'
        """,
        home=office.person["household_id"],
    )

    office.crm.sync()

    shown = [name for name, value in office.household().items() if name.startswith("Tributary_") and value]
    assert shown == ["Tributary_Key__c"]
    assert office.crm.sent() == {}


def test_records_of_a_planner_that_become_one_with_others_are_cleared_and_end(office: Office) -> None:
    """A vendor without positions has no day of its own."""
    office.planner.load("household", [{"household_key": key, "name": key} for key in ("h1", "h2")], LAST)
    office.planner.load("person", [{"person_key": "p2", "name": "Joined Later", "household_key": "h2"}], LAST)
    plan = {"plan_key": "n2", "household_key": "h2", "name": "Base", "is_base": True}
    office.planner.load("plan", [plan], LAST)
    result = {
        "plan_result_key": "n2",
        "plan_key": "n2",
        "household_key": "h2",
        "scenario": "current",
        "computed_on": LAST,
    }
    office.planner.load("plan_result", [result | {"computed_at": NOON, "probability_ratio": Decimal("0.7")}], LAST)
    office.planner.reconcile(LAST)
    office.crm.sync()
    assert office.crm.records("Account")["sample:plans:household:h2"]["Tributary_Plan_Success__c"] == "70.0"
    assert office.crm.memberships()["p2"]
    office._join("household", office.planner, "h2", office.person["household_id"])
    office._join("person", office.planner, "p2", office.person["person_id"])

    office.crm.sync()

    assert not office.crm.records("Account")["sample:plans:household:h2"].get("Tributary_Plan_Success__c")
    assert not office.crm.memberships()["p2"]


def test_a_plan_with_stale_balances_is_marked(office: Office) -> None:
    office.plan("0.81", COLLEGE, is_stale=True)
    office.crm.sync()
    for record in (office.household(), office.member()):
        assert (record["Tributary_Plan_Success__c"], record["Tributary_Plan_Stale__c"]) == ("81.0", True)


def test_records_represented_by_others_are_not_created(office: Office) -> None:
    counts = office.crm.sync()
    assert not [key for key in office.crm.records("Account") if ":plans:" in key or ":risks:" in key]
    assert counts["goal"].created == 1


def test_a_goal_has_the_planners_values(office: Office) -> None:
    office.crm.sync()
    record = office.crm.records(GOALS)["sample:plans:goal:n1:2"]
    assert record["FinServ__PrimaryOwner__c"] == office.member()["Id"]
    assert record["FinServ__Household__c"] == office.household()["Id"]
    expected = {"Name": "College", "FinServ__Type__c": "Education", "FinServ__Status__c": "In Progress",
            "FinServ__Description__c": "$30,000 / yr from 2031", "FinServ__TargetValue__c": "120000.0", "FinServ__ActualValue__c": "60000.0",
            "FinServ__TargetDate__c": "2031-01-01", "Tributary_Success__c": "55.0", "Tributary_Funded__c": "50.0",
            "Tributary_Shortfall_Year__c": "2033.0", "Tributary_Computed__c": str(LAST), "Tributary_Current__c": True}  # fmt: skip
    assert {name: record.get(name) for name in expected} == expected


def test_a_second_sync_sends_nothing(office: Office) -> None:
    office.crm.sync()
    assert office.crm.sent() == {}


def test_a_status_that_an_advisor_sets_is_the_firms(office: Office) -> None:
    office.crm.sync()
    office.crm.log_in()
    goal = office.crm.records(GOALS)["sample:plans:goal:n1:2"]
    path = f"/services/data/v66.0/sobjects/{GOALS}/{goal['Id']}"
    assert office.crm.sandbox.org.patch(path, json={"FinServ__Status__c": "Completed"}).status_code == 204
    office.plan("0.8125", COLLEGE | {"name": "University"})
    assert office.crm.sent() == {"goal": 1}
    record = office.crm.records(GOALS)["sample:plans:goal:n1:2"]
    assert (record["Name"], record["FinServ__Status__c"]) == ("University", "Completed")


def test_a_removed_goal_is_marked_and_kept(office: Office) -> None:
    travel = COLLEGE | {"goal_key": "n1:3", "name": "Travel", "goal_type": "Travel", "end_year": None}
    office.plan("0.8125", COLLEGE, travel)
    office.crm.sync()
    office.plan("0.8125", travel)
    assert office.crm.sent() == {"goal": 1}
    goals = office.crm.records(GOALS)
    assert {key[-1]: record["Tributary_Current__c"] for key, record in goals.items()} == {"2": False, "3": True}
    assert goals["sample:plans:goal:n1:3"]["FinServ__TargetValue__c"] == "30000.0"


def test_a_long_key_of_a_planner_fits_the_field(office: Office) -> None:
    office.plan("0.8125", COLLEGE | {"goal_key": f"17:Education:{'A very long name of a goal ' * 4}"})
    office.crm.sync()
    [key] = office.crm.records(GOALS)
    assert key.startswith("sample:plans:goal:")
    assert len(key) <= 120


def test_a_finding_about_a_person_is_an_alert_and_a_task_on_the_person(office: Office) -> None:
    evaluate_all(office.crm.engine, Policy(), "rules")
    office.crm.sync()
    alerts = [r for r in office.crm.records(ALERTS).values() if r["FinServ__Message__c"] == "risk misaligned"]
    assert [r["FinServ__Account__c"] for r in alerts] == [office.member()["Id"]]
    specs = {rule.name: tasks.TaskSpec(rule.task_subject or "", rule.due_days) for rule in HOUSEHOLD_RULES}
    tasks.sync(office.crm.org, SyncRun("tasks", LAST), specs)
    raised = {r["Subject"]: r for r in office.crm.records("Task").values()}
    task = raised["Review a portfolio that does not match the client's risk"]
    assert task["WhatId"] == office.member()["Id"]
    assert task["Description"] == "The portfolio's risk number is 62, 17 points above the client's 45."
    assert raised["Request a new risk questionnaire"]["WhatId"] == office.member()["Id"]
