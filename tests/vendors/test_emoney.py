"""eMoney's own code: a spouse beside each client, goals among expenses, results computed at request time."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.vendors.arrays import parse_household_key
from include.vendors.emoney import EMONEY
from include.vendors.emoney.plans import compute_funded_ratio
from tests.extract.vendor_server import RecordedCall, Reply
from tests.vendors.conftest import Run
from tests.vendors.golden_day import NOW, Day, change_response, goldens, reply_from, run_day, to_json

GOLDEN = goldens(EMONEY)
PLANNED = ("clients", "plans", "expenses", "monte_carlo", "goal_results", "goal_funding")
[GUS, BO, _] = [row["clientId"] for row in json.loads(GOLDEN["clients"])]
[BASE, WHAT_IF] = [row["planId"] for row in json.loads(GOLDEN["plans"])[f"clients/{GUS}/plans"]]
SIMULATED = f"clients/{GUS}/plans/{BASE}/projection/montecarlo"
MONEY = pa.decimal128(20, 2)


@pytest.fixture(scope="module")
def golden_day(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day of the unchanged goldens."""
    return run_day(engine, tmp_path_factory.mktemp("planned"), EMONEY, GOLDEN)


def run_simulation(run: Run, **fields: Any) -> Day:
    """Run a day with these fields of the base plan's simulation."""
    return run(EMONEY, change_response(GOLDEN, "monte_carlo", lambda body: body[SIMULATED].update(fields)), *PLANNED)


# --- people ---


def test_spouse_is_a_person_of_the_same_household_at_the_same_address(golden_day: Day) -> None:
    people = {row["person_key"]: row for row in golden_day.read_canonical("clients", "person")}
    gus, ada = people[GUS], people[f"{GUS}:spouse"]
    shared = ("household_key", "street", "city", "state_code", "postal_code", "phone", "cross_references")
    assert [ada[name] for name in shared] == [gus[name] for name in shared]
    assert (ada["name"], ada["birth_date"], ada["email"]) == ("Ada Example-Testwell", date(1961, 7, 1), None)


def test_client_without_a_spouse_is_one_person(golden_day: Day) -> None:
    assert [
        row["person_key"] for row in golden_day.read_canonical("clients", "person") if row["household_key"] == BO
    ] == [BO]
    assert golden_day.produced("clients", "person").split == 1


@pytest.mark.parametrize("spouse", [{"firstName": "Ada"}, {"lastName": "Example"}], ids=["first", "last"])
def test_spouse_with_half_a_name_is_a_person(run: Run, spouse: dict[str, str]) -> None:
    day = run(EMONEY, change_response(GOLDEN, "clients", lambda rows: rows[0].update(spouse=spouse)), "clients")
    [other] = [row for row in day.read_canonical("clients", "person") if row["person_key"] == f"{GUS}:spouse"]
    assert other["name"] == " ".join(spouse.values())


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("orion:1001", "orion:household:1001"),
        (" emoney:6f1c-09.a_7 ", "emoney:household:6f1c-09.a_7"),
        ("what we call them", None),
        ("orion: 1001", None),
        ("orion:1001:2", None),
        (None, None),
    ],
)
def test_id_of_another_vendor_is_the_key_of_its_household(theirs: str | None, ours: str | None) -> None:
    assert parse_household_key(pa.array([theirs], pa.string())).to_pylist() == [ours]


# --- goals ---


def test_plan_changed_in_the_evening_has_the_date_of_new_york(run: Run) -> None:
    evening = {"createdDate": "2026-07-02T03:30:00Z", "updatedDate": "2026-11-17T01:30:00Z"}
    changed = change_response(GOLDEN, "plans", lambda body: body[f"clients/{GUS}/plans"][0].update(evening))
    plans = {row["plan_key"]: row for row in run(EMONEY, changed, *PLANNED).read_canonical("plans", "plan")}
    assert (plans[BASE]["created_on"], plans[BASE]["updated_on"]) == (date(2026, 7, 1), date(2026, 11, 16))


def test_goal_is_an_expense_with_the_goal_flag(golden_day: Day) -> None:
    goals = {row["goal_key"] for row in golden_day.read_canonical("expenses", "goal")}
    assert goals == {f"{BASE}:1001002", f"{BASE}:1001004", f"{WHAT_IF}:1001002"}
    assert golden_day.produced("expenses", "goal").dropped["no goal"] == 2  # one is false, one is absent


def test_same_goal_in_two_plans_is_two_goals(golden_day: Day) -> None:
    amounts = {
        row["plan_key"]: row["amount_usd"]
        for row in golden_day.read_canonical("expenses", "goal")
        if row["name"] == "College"
    }
    assert amounts == {BASE: Decimal("41000.00"), WHAT_IF: Decimal("30000.00")}


def test_funding_is_requested_only_for_goals(golden_day: Day) -> None:
    assert {row["expense_id"] for row in golden_day.staged("goal_funding")} == {"1001002", "1001004"}


def test_retirement_is_the_goal_of_every_plan_that_has_its_probability(golden_day: Day) -> None:
    [goal] = golden_day.read_canonical("monte_carlo", "goal")
    [result] = golden_day.read_canonical("monte_carlo", "goal_result")
    assert goal["goal_key"] == result["goal_key"] == f"{BASE}:retirement"


def test_result_of_a_goal_is_of_the_goal_among_the_expenses(golden_day: Day) -> None:
    goals = {row["goal_key"] for row in golden_day.read_canonical("expenses", "goal")}
    assert {row["goal_key"] for row in golden_day.read_canonical("goal_results", "goal_result")} <= goals


# --- probabilities ---


def test_probability_is_stamped_with_the_time_of_its_call(golden_day: Day) -> None:
    for table, entity in [
        ("monte_carlo", "plan_result"),
        ("monte_carlo", "goal_result"),
        ("goal_results", "goal_result"),
    ]:
        assert {(row["computed_at"], row["computed_on"]) for row in golden_day.read_canonical(table, entity)} == {
            (NOW, NOW.date())
        }


def test_every_call_computes_anew_and_the_later_one_is_newer(run: Run) -> None:
    results = []
    for now, probability in [(NOW, 0.8243), (NOW.replace(hour=5), 0.8251)]:
        responses = change_response(
            GOLDEN, "monte_carlo", lambda body, p=probability: body[SIMULATED].update(probabilityOfSuccess=p)
        )
        results += run(EMONEY, responses, *PLANNED, now=now).read_canonical("monte_carlo", "plan_result")
    first, second = results
    assert first["plan_result_key"] == second["plan_result_key"]  # one fact a day
    assert (first["probability_ratio"], second["probability_ratio"]) == (Decimal("0.8243"), Decimal("0.8251"))
    assert first["computed_at"] < second["computed_at"]


def test_missing_probability_is_no_result_and_not_zero(golden_day: Day, run: Run) -> None:
    assert WHAT_IF not in {row["plan_key"] for row in golden_day.read_canonical("monte_carlo", "plan_result")}
    assert golden_day.produced("monte_carlo", "plan_result").dropped["no probability"] == 1
    [zero] = run_simulation(run, probabilityOfSuccess=0).read_canonical("monte_carlo", "plan_result")
    assert zero["probability_ratio"] == 0


@pytest.mark.parametrize("status", [404, 409])
def test_plan_that_cannot_be_calculated_has_no_result(run: Run, status: int) -> None:
    respond = reply_from(EMONEY, GOLDEN)

    def refuse(call: RecordedCall) -> Reply:
        return Reply({"message": "not calculated"}, status) if "montecarlo" in call.path else respond(call)

    day = run(EMONEY, refuse, *PLANNED)
    assert [day.staged("monte_carlo"), day.dead("monte_carlo"), day.staged("goal_results")] == [[], [], []]


@pytest.mark.parametrize("stated", [82, 1.0001, -0.1])
def test_probability_that_is_no_ratio_is_a_dead_letter(run: Run, stated: float) -> None:
    day = run_simulation(run, probabilityOfSuccess=stated)
    reasons = {row["key"]: row["reasons"] for row in day.dead("monte_carlo")}
    assert reasons[BASE] == ["expect_column_values_to_be_between(probability_ratio): 0 to 1"]
    assert day.read_canonical("monte_carlo", "plan_result") == []


@pytest.mark.parametrize(("stated", "year"), [(2049, 2049), (0, None), (None, None)])
def test_year_zero_means_no_shortfall(run: Run, stated: int | None, year: int | None) -> None:
    goal = {"probabilityOfSuccess": 0.9, "firstShortfallYear": stated}
    [result] = run_simulation(run, retirementGoal=goal).read_canonical("monte_carlo", "goal_result")
    assert result["shortfall_year"] == year


# --- money set aside ---


@pytest.mark.parametrize(
    ("funding", "expense", "ratio"),
    [("50.00", "200.00", "0.25"), ("300.00", "200.00", "1.5"), ("0.00", "200.00", "0"), ("5.00", "0.00", None), (None, "1.00", None)],
)  # fmt: skip
def test_funded_ratio_is_money_set_aside_over_what_the_goal_costs(
    funding: str | None, expense: str, ratio: str | None
) -> None:
    ratios = compute_funded_ratio(
        *(pa.array([None if v is None else Decimal(v)], MONEY) for v in (funding, expense))
    ).to_pylist()
    assert ratios == [None if ratio is None else Decimal(ratio)]


AMOUNTS = st.one_of(st.none(), st.decimals(0, 10_000_000_000, places=2))  # the suite accepts it


@settings(max_examples=300, deadline=None)
@given(AMOUNTS, AMOUNTS)
def test_funded_ratio_is_exact_or_missing_and_fits_the_warehouse(
    funding: Decimal | None, expense: Decimal | None
) -> None:
    [ratio] = (
        compute_funded_ratio(pa.array([funding], MONEY), pa.array([expense], MONEY))
        .cast(pa.decimal128(12, 8))
        .to_pylist()
    )
    if funding is None or not expense or funding / expense >= 1000:
        assert ratio is None
    else:
        assert abs(ratio - funding / expense) <= Decimal("0.00000001")


def test_goal_without_funding_has_its_probability_alone(run: Run) -> None:
    day = run(EMONEY, GOLDEN | {"goal_funding": to_json({})}, *PLANNED)
    results = day.read_canonical("goal_results", "goal_result")
    assert {row["funded_ratio"] for row in results} == {None}
    assert Decimal("0.91234568") in {row["probability_ratio"] for row in results}


def test_rows_have_the_key_of_their_call(golden_day: Day) -> None:
    assert {row["client_id"] for row in golden_day.staged("accounts")} == {GUS}
    assert {(row["client_id"], row["plan_id"]) for row in golden_day.staged("monte_carlo")} >= {
        (GUS, BASE),
        (GUS, WHAT_IF),
    }
