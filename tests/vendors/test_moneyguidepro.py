"""MoneyGuidePro's own code: numbers as texts, results that may be missing or stale, goals worded for people."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.validation.suite import read_suite
from include.vendors.arrays import ratio
from include.vendors.moneyguidepro import MONEYGUIDEPRO
from include.vendors.moneyguidepro.plans import amount, end_year, start_year
from sandbox.moneyguidepro.goals import write_money
from tests.vendors.conftest import Run
from tests.vendors.golden_day import NOW, Day, Responses, change_response, goldens, run_day

GOLDEN = goldens(MONEYGUIDEPRO)
SUMMARY, METER = "Households/70001/PlanSummary", "Households/70001/MonteCarloMeter"
RESULTS = ("households", "meters", "plan_summaries", "goals")


def regex_of(table: str, column: str) -> str:
    [expectation] = [e for e in read_suite("moneyguidepro", table) if e.column == column and "regex" in e.kwargs]
    pattern: str = expectation.kwargs["regex"]
    return pattern


@pytest.fixture(scope="module")
def golden_day(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day of the unchanged goldens."""
    return run_day(engine, tmp_path_factory.mktemp("planned"), MONEYGUIDEPRO, GOLDEN)


def change_summary(change: Callable[[Any], object]) -> Responses:
    return change_response(GOLDEN, "plan_summaries", lambda body: change(body[SUMMARY]))


def current_of(day: Day) -> dict[str, Any]:
    [result] = [r for r in day.read_canonical("plan_summaries", "plan_result") if r["household_key"] == "70001"]
    return result


# --- probabilities ---


@pytest.mark.parametrize(
    ("text", "stated"),
    [("82", "0.82"), ("82%", "0.82"), ("0", "0"), ("100%", "1"), ("7.25", "0.0725"), ("<50", None), (">99", None)],
)
def test_probability_is_read_from_its_text_and_the_text_is_kept(run: Run, text: str, stated: str | None) -> None:
    day = run(
        MONEYGUIDEPRO,
        change_response(GOLDEN, "meters", lambda body: body[METER].update(probabilityOfSuccess=text)),
        *RESULTS,
    )
    [result, _] = day.read_canonical("meters", "plan_result")
    assert result["probability_ratio"] == (None if stated is None else Decimal(stated))
    assert result["probability_text"] == text


def test_current_and_recommended_scenario_are_two_results(golden_day: Day) -> None:
    [recommended, _] = golden_day.read_canonical("meters", "plan_result")
    current = current_of(golden_day)
    assert (current["scenario"], current["probability_ratio"]) == ("current", Decimal("0.77"))
    assert (recommended["scenario"], recommended["probability_ratio"]) == ("recommended", Decimal("0.82"))
    assert current["plan_key"] == recommended["plan_key"]
    assert current["plan_result_key"] != recommended["plan_result_key"]


def test_missing_recommended_scenario_is_missing_and_not_zero(golden_day: Day, run: Run) -> None:
    results = golden_day.read_canonical("meters", "plan_result")
    assert [(row["plan_key"], row["probability_ratio"]) for row in results] == [
        ("70001", Decimal("0.82")),
        ("70002", None),
    ]
    zero = run(
        MONEYGUIDEPRO,
        change_response(GOLDEN, "meters", lambda body: body[METER].update(probabilityOfSuccess="0")),
        *RESULTS,
    )
    assert [row["probability_ratio"] for row in zero.read_canonical("meters", "plan_result")] == [0, None]


def test_household_without_a_plan_has_none(golden_day: Day) -> None:
    assert {row["plan_key"] for row in golden_day.read_canonical("plan_summaries", "plan")} == {"70001", "70002"}
    assert golden_day.produced("plan_summaries", "plan").dropped["no plan"] == 1


def test_meter_of_a_household_without_a_plan_is_no_result(run: Run) -> None:
    day = run(
        MONEYGUIDEPRO,
        change_summary(lambda row: row["results"]["current"]["monteCarloMeter"].update(probabilityOfSuccess=None)),
        *RESULTS,
    )
    assert [row["plan_key"] for row in day.read_canonical("meters", "plan_result")] == ["70002"]
    assert day.produced("meters", "plan_result").dropped["no plan"] == 1


@pytest.mark.parametrize(
    "text", ["ask your advisor", "82 percent", "1e2", "", "150%", "101", "-5", "0.82", "<0.5", "0.82%"]
)
def test_unknown_probability_format_is_a_dead_letter(run: Run, text: str) -> None:
    day = run(
        MONEYGUIDEPRO,
        change_response(GOLDEN, "meters", lambda body: body[METER].update(probabilityOfSuccess=text)),
        *RESULTS,
    )
    assert {"key": "70001", "reasons": ["expect_column_values_to_match_regex(probability)"]} in day.dead("meters")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.just(Decimal(0)), st.decimals(1, 100, places=6)), st.sampled_from(["", "%"]))
def test_any_percentage_becomes_its_ratio(percent: Decimal, sign: str) -> None:
    assert ratio(pa.array([f"{percent}{sign}"])).to_pylist() == [percent / 100]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.from_regex(regex_of("meters", "probability")), st.text(max_size=8)))
@example("150%")
@example("999")
def test_ratio_of_any_text_is_from_zero_to_one_or_missing(text: str) -> None:
    [value] = ratio(pa.array([text])).to_pylist()
    assert value is None or 0 <= value <= 1


@settings(max_examples=300, deadline=None)
@given(st.decimals("0.000001", "0.999999", places=6), st.sampled_from(["", "%"]))
def test_number_between_zero_and_one_may_be_a_fraction_and_is_no_percentage(number: Decimal, sign: str) -> None:
    text = f"{number}{sign}"
    assert ratio(pa.array([text])).to_pylist() == [None]
    assert not re.search(regex_of("meters", "probability"), text)
    assert not re.search(regex_of("plan_summaries", "probability"), text)


@pytest.mark.parametrize("high", ["101", "0.9"])
def test_target_range_that_is_no_percentage_is_missing(run: Run, high: str) -> None:
    day = run(
        MONEYGUIDEPRO, change_summary(lambda row: row["results"].update(monteCarloTargetRangeHigh=high)), *RESULTS
    )
    [plan] = [row for row in day.read_canonical("plan_summaries", "plan") if row["plan_key"] == "70001"]
    assert (plan["target_low_ratio"], plan["target_high_ratio"]) == (Decimal("0.75"), None)


# --- stale balances ---


@pytest.mark.parametrize(
    ("status", "stale"), [("Success", False), ("Failure", True), ("NotFound", True), ("Error", True), (None, True)]
)
def test_result_on_positions_that_were_not_refreshed_is_stale(run: Run, status: str | None, stale: bool) -> None:
    refresh = None if status is None else {"status": status, "messages": []}
    day = run(MONEYGUIDEPRO, change_summary(lambda row: row.update(refreshPositionsResponse=refresh)), *RESULTS)
    result = current_of(day)
    assert (result["is_stale"], result["probability_ratio"]) == (stale, Decimal("0.77"))


def test_result_is_stamped_with_the_time_of_its_call(golden_day: Day) -> None:
    assert {row["computed_at"] for row in golden_day.read_canonical("plan_summaries", "plan_result")} == {NOW}


@pytest.mark.parametrize("written", ["2026-11-16T18:20:00Z", "2026-11-17T01:30:00Z"], ids=["noon", "evening"])
def test_plan_is_dated_by_its_household_in_new_york(run: Run, written: str) -> None:
    changed = change_response(GOLDEN, "households", lambda rows: rows[0].update(lastModified=written))
    plans = run(MONEYGUIDEPRO, changed, *RESULTS).read_canonical("plan_summaries", "plan")
    assert {row["plan_key"]: str(row["updated_on"]) for row in plans} == {"70001": "2026-11-16", "70002": "2026-01-05"}


# --- goals ---


@pytest.mark.parametrize(
    ("wording", "dollars", "years"),
    [
        ("$85,000 / yr from 2031", "85000.00", (2031, None)),
        ("$55,000 in 2028", "55000.00", (2028, 2028)),
        ("$1.25M in 2031", "1250000.00", (2031, 2031)),
        ("$2M / yr from 2040", "2000000.00", (2040, None)),
        ("$0.005 in 2030", "0.00", (2030, 2030)),
        ("67 (2046)", None, (2046, None)),
        (None, None, (None, None)),
    ],
)
def test_goal_s_text_becomes_its_amount_and_years(
    wording: str | None, dollars: str | None, years: tuple[int | None, int | None]
) -> None:
    text = pa.array([wording], pa.string())
    assert amount(text).to_pylist() == [None if dollars is None else Decimal(dollars)]
    assert (start_year(text).to_pylist(), end_year(text).to_pylist()) == ([years[0]], [years[1]])


@settings(max_examples=300, deadline=None)
@given(st.decimals(0, 900_000, places=0), st.integers(2000, 2099))
def test_money_under_a_million_comes_back_to_the_dollar(dollars: Decimal, year: int) -> None:
    assert amount(pa.array([f"{write_money(dollars)} in {year}"])).to_pylist() == [dollars]


@settings(max_examples=200, deadline=None)
@given(st.decimals(1_000_000, 900_000_000, places=2), st.integers(2000, 2099))
def test_millions_come_back_to_what_was_written(dollars: Decimal, year: int) -> None:
    [usd] = amount(pa.array([f"{write_money(dollars)} / yr from {year}"])).to_pylist()
    assert abs(usd - dollars) <= 5000  # the text is rounded to a hundredth of a million


@settings(max_examples=500, deadline=None)
@given(st.from_regex(regex_of("goals", "wording")))
@example("$,, in 2031")
@example("$85,000 / yr from 2031\n")
@example("$9999999999999M in 2031")
@example("$٣ in 2031")
@example("$0 in 0000")
def test_goal_that_the_suite_lets_pass_is_understood_whole(wording: str) -> None:
    if not re.search(regex_of("goals", "wording"), wording):
        return
    text = pa.array([wording])
    [dollars] = amount(text).cast(pa.decimal128(20, 2)).to_pylist()
    assert (dollars is not None) == wording.startswith("$")
    assert start_year(text).to_pylist() != [None]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_read_or_gives_nothing(wording: str) -> None:
    text = pa.array([wording])
    for read in (amount, start_year, end_year):
        assert len(read(text)) == 1


@pytest.mark.parametrize(
    "wording", ["see advisor notes", "TBD", "$85,000", "85,000 in 2031", "$85,000 / yr from soon", ""]
)
def test_goal_in_another_format_is_a_dead_letter(run: Run, wording: str) -> None:
    item = {"description": "Boat", "current": wording}
    responses = change_summary(lambda row: row["categories"][0]["topics"][1].update(items=[item]))
    day = run(MONEYGUIDEPRO, responses, *RESULTS)
    assert day.dead("goals") == [
        {"key": "70001:Other Goals:Boat:1", "reasons": ["expect_column_values_to_match_regex(wording)"]}
    ]
    assert "Boat" not in {row["name"] for row in day.read_canonical("goals", "goal")}


def test_goal_is_known_by_its_household_topic_and_name(golden_day: Day) -> None:
    living = [row["goal_key"] for row in golden_day.read_canonical("goals", "goal") if row["name"] == "Living Expense"]
    assert living == ["70001:Retirement:Living Expense:1", "70002:Retirement:Living Expense:1"]


def test_two_goals_of_one_name_are_two_in_any_order(run: Run) -> None:
    items = [{"description": "Car", "current": wording} for wording in ("$9,000 in 2030", "$41,000 in 2028")]
    days = [
        run(
            MONEYGUIDEPRO,
            change_summary(lambda row, i=order: row["categories"][0]["topics"][1].update(items=i)),
            *RESULTS,
        )
        for order in (items, items[::-1])
    ]
    cars = [
        {row["goal_key"]: row["start_year"] for row in day.read_canonical("goals", "goal") if row["name"] == "Car"}
        for day in days
    ]
    assert cars == [{"70001:Other Goals:Car:1": 2028, "70001:Other Goals:Car:2": 2030}] * 2


# --- people, policies, assets ---


def test_participants_are_persons_of_their_household(golden_day: Day) -> None:
    people = {row["person_key"]: row for row in golden_day.read_canonical("participants", "person")}
    assert [people[key]["household_key"] for key in ("140001", "140002")] == ["70001"] * 2
    assert people["140002"]["name"] == "Ada"  # without a last name


def test_participant_is_known_elsewhere_by_the_household_s_key(golden_day: Day) -> None:
    references = {
        row["person_key"]: row["cross_references"] for row in golden_day.read_canonical("participants", "person")
    }
    assert references == {"140001": "orion:household:1001", "140002": "orion:household:1001", "140003": None}


@pytest.mark.parametrize(("listed", "count"), [([{"name": "Ada", "percent": 100.0}], 1), ([], 0), (None, None)])
def test_beneficiaries_are_counted_and_an_unknown_number_is_not_zero(run: Run, listed: Any, count: int | None) -> None:
    def change(body: Any) -> None:
        body["Households/70001/InsurancePolicies"]["policies"][0]["beneficiaries"] = listed

    day = run(MONEYGUIDEPRO, change_response(GOLDEN, "insurance_policies", change), "households", "insurance_policies")
    assert day.read_canonical("insurance_policies", "insurance_policy")[0]["beneficiaries"] == count


def test_two_policies_of_one_name_are_two_in_any_order(run: Run) -> None:
    days = []
    for order in (1, -1):

        def change(body: Any, order: int = order) -> None:
            policies = body["Households/70001/InsurancePolicies"]
            policies["policies"] = [
                policies["policies"][0] | {"name": "Term Life", "insuredName": insured, "deathBenefit": benefit}
                for insured, benefit in [("Gus Example", 500_000), ("Ada Example", 250_000), ("Ada Example", 250_000)]
            ][::order]

        responses = change_response(GOLDEN, "insurance_policies", change)
        day = run(MONEYGUIDEPRO, responses, "households", "insurance_policies")
        rows = day.read_canonical("insurance_policies", "insurance_policy")
        days.append({row["insurance_policy_key"]: (row["insured_name"], row["death_benefit_usd"]) for row in rows})
    ada, gus = ("Ada Example", Decimal(250_000)), ("Gus Example", Decimal(500_000))
    assert days == [{"70001:Term Life:1": ada, "70001:Term Life:2": ada, "70001:Term Life:3": gus}] * 2


def test_account_number_of_an_asset_is_never_in_clear(golden_day: Day) -> None:
    number = json.loads(GOLDEN["assets"])["Households/70001/Assets"][0]["accountNumber"]
    assert number not in str(
        [golden_day.staged("assets"), golden_day.dead("assets"), golden_day.read_canonical("assets", "outside_account")]
    )
