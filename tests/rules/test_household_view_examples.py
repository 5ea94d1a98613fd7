"""Each rule of planning and risk: its thresholds and its texts."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.rules.household_view import HouseholdView
from include.rules.planning import (
    find_assets_apart,
    find_goals_at_risk,
    find_missing_beneficiaries,
    find_old_plans,
)
from include.rules.policy import Policy
from include.rules.retirement import find_unplanned_distributions
from include.rules.risk import find_misaligned, find_old_questionnaires
from tests.rules.household_views import DAY, make_view, ratio
from tests.rules.snapshots import details, read_measures, usd

POLICY = Policy()
WEEK = timedelta(days=7)


@pytest.mark.parametrize(("portfolio", "gap"), [(55, None), (56, 11), (35, None), (34, -11)])
def test_risk_may_differ_by_ten_points_either_way(portfolio: int, gap: int | None) -> None:
    risk = {"person_id": 11, "portfolio_id": 1, "client_risk_number": 45, "portfolio_risk_number": portfolio}
    assert read_measures(find_misaligned(make_view(risks=[risk]), POLICY)) == ({11: Decimal(gap)} if gap else {})


def test_the_portfolio_with_the_largest_gap_is_reported() -> None:
    risks = [{"person_id": 11, "portfolio_id": n, "client_risk_number": 50, "portfolio_risk_number": number}
             for n, number in enumerate((65, 30, 62))]  # fmt: skip
    findings = find_misaligned(make_view(risks=risks), POLICY)
    assert read_measures(findings) == {11: Decimal(-20)}
    assert details(findings) == ["The portfolio's risk number is 30, 20 points below the client's 50."]
    assert findings.to_pylist()[0]["household_id"] == 1


def view_questionnaire(days: int, version: str | None = "RQ4") -> HouseholdView:
    row = {"person_id": 11, "version": version, "completed_on": DAY - timedelta(days=days)}
    return make_view(questionnaires=[row])


def test_a_questionnaire_holds_for_twelve_months() -> None:
    assert read_measures(find_old_questionnaires(view_questionnaire(365), POLICY)) == {}
    findings = find_old_questionnaires(view_questionnaire(366), POLICY)
    assert read_measures(findings) == {11: Decimal(366)}
    assert details(findings) == ["The questionnaire was completed on 2025-11-19, more than 365 days ago."]


def test_an_old_version_is_found_whatever_its_age_and_an_unknown_one_is_not() -> None:
    findings = find_old_questionnaires(view_questionnaire(3, "RQ3"), POLICY)
    assert details(findings) == ["The questionnaire was completed on 2026-11-17, in an outdated version (RQ3)."]
    assert read_measures(find_old_questionnaires(view_questionnaire(3, None), POLICY)) == {}


def chance(on: date, value: str, of: int = 1, low: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "household_id": 1, "of_id": of, "computed_on": on, "probability_ratio": ratio(value),
        "target_low_ratio": ratio(low) if low else None,
    } | more  # fmt: skip


@pytest.mark.parametrize(("value", "low", "is_found"), [("0.70", None, False), ("0.6999", None, True),
                                                        ("0.74", "0.75", True), ("0.65", "0.6", False)])  # fmt: skip
def test_a_plan_has_the_firms_floor_or_its_own(value: str, low: str | None, is_found: bool) -> None:
    findings = find_goals_at_risk(make_view(chances=[chance(DAY, value, low=low)]), POLICY)
    assert bool(read_measures(findings)) is is_found


def test_a_fall_is_measured_from_the_highest_of_its_days() -> None:
    steps = [chance(DAY - n * WEEK, str(Decimal("0.85") + n * Decimal("0.02"))) for n in range(6)]
    findings = find_goals_at_risk(make_view(chances=steps), POLICY)
    assert details(findings) == ["The plan: probability of success 85.0%, down from 95.0% within 92 days."]
    for days, is_found in ((92, True), (93, False)):
        chances = [chance(DAY - timedelta(days=days), "0.99"), chance(DAY, "0.85")]
        assert bool(read_measures(find_goals_at_risk(make_view(chances=chances), POLICY))) is is_found


def test_the_least_likely_is_reported_and_the_others_are_counted() -> None:
    chances = [chance(DAY, "0.6", 1), chance(DAY, "0.4", 2, title="A goal (Education)"), chance(DAY, "0.9", 3)]
    findings = find_goals_at_risk(make_view(chances=chances), POLICY)
    assert details(findings) == [
        "A goal (Education): probability of success 40.0%, below its minimum of 70.0%. Other plans or goals at risk: 1."
    ]


def test_a_household_without_a_probability_is_not_evaluated() -> None:
    assert read_measures(find_goals_at_risk(make_view(), POLICY)) == {}


def test_the_newest_change_of_any_plan_counts() -> None:
    plans = [{"household_id": 1, "plan_id": n, "changed_on": DAY - timedelta(days=d)} for n, d in ((1, 900), (2, 365))]
    assert read_measures(find_old_plans(make_view(plans=plans), POLICY)) == {}
    findings = find_old_plans(make_view(plans=plans[:1]), POLICY)
    assert details(findings) == ["The last plan change was on 2024-06-03, more than 365 days ago."]
    unknown = [{"household_id": 1, "plan_id": 1, "changed_on": None}]
    assert read_measures(find_old_plans(make_view(plans=unknown), POLICY)) == {}


@pytest.mark.parametrize(
    ("copied", "managed", "gap"),
    [
        (1_000_000, 1_110_000, None),
        (1_000_000, 1_120_000, -120_000),
        (24_999, 1, None),
        (25_001, 1, 25_000),
        (90_000, 0, None),
    ],
)
def test_assets_differ_by_share_and_by_dollars(copied: int, managed: int, gap: int | None) -> None:
    assets = [{"household_id": 1, "copied_usd": usd(copied), "managed_usd": usd(managed)}]
    assert read_measures(find_assets_apart(make_view(assets=assets), POLICY)) == ({1: Decimal(gap)} if gap else {})


def test_difference_of_assets_is_signed() -> None:
    assets = [{"household_id": 1, "copied_usd": usd(60_000), "managed_usd": usd(100_000)}]
    assert details(find_assets_apart(make_view(assets=assets), POLICY)) == [
        "The plan values managed accounts at $60,000.00, the portfolio system at $100,000.00: "
        "a difference of -$40,000.00."
    ]


@pytest.mark.parametrize(
    ("born", "first"),
    [
        (date(1948, 6, 30), 2018),
        (date(1948, 7, 1), 2019),
        (date(1949, 6, 30), 2019),
        (date(1949, 7, 1), 2021),
        (date(1950, 12, 31), 2022),
        (date(1951, 1, 1), 2024),
        (date(1959, 12, 31), 2032),
        (date(1960, 1, 1), 2035),
    ],
)
def test_distributions_begin_with_the_year_that_the_law_names(born: date, first: int) -> None:
    account = {"person_id": 11, "account_id": 1, "account_type": "Traditional IRA", "market_value_usd": usd(1000)}
    plans = [{"household_id": 2, "plan_id": 1, "changed_on": DAY}]
    for year, is_due in ((first - 1, False), (first, True)):
        view = make_view({11: born}, plans, retirement=[account], day=date(year, 1, 2))
        assert bool(read_measures(find_unplanned_distributions(view, POLICY))) is is_due


def distributions(changed: date | None, account_type: str = "SEP IRA", value: int | None = 1000) -> Any:
    account = {"person_id": 11, "account_id": 1, "account_type": account_type, "market_value_usd": value and usd(value)}
    plans = [{"household_id": 2, "plan_id": 9, "changed_on": DAY}]
    plans += [{"household_id": 1, "plan_id": 1, "changed_on": changed}] if changed else []
    return find_unplanned_distributions(make_view({11: date(1951, 2, 3)}, plans, retirement=[account]), POLICY)


def test_a_plan_changed_in_the_year_before_knows_of_them() -> None:
    assert read_measures(distributions(date(2023, 1, 1))) == {}
    assert details(distributions(date(2022, 12, 31))) == [
        "Minimum distributions are required since 2024 from accounts worth $1,000.00; the last plan change was on 2022-12-31."
    ]
    assert details(distributions(None)) == [
        "Minimum distributions are required since 2024 from accounts worth $1,000.00; there is no financial plan."
    ]


def test_only_accounts_that_must_pay_out_and_hold_something_count() -> None:
    assert read_measures(distributions(None, "Roth IRA")) == {}
    assert read_measures(distributions(None, value=None)) == {}


def test_a_firm_without_plans_has_no_findings_about_missing_plans() -> None:
    assert find_unplanned_distributions(make_view(), POLICY) is None


@pytest.mark.parametrize(("named", "benefit", "is_found"), [(0, 500_000, True), (1, 500_000, False), (None, 500_000, False),
                                                            (0, 0, False), (0, None, False)])  # fmt: skip
def test_only_a_policy_with_an_empty_beneficiary_list_is_found(
    named: int | None, benefit: int | None, is_found: bool
) -> None:
    policy = {"household_id": 1, "insurance_policy_id": 1, "beneficiaries": named,
              "death_benefit_usd": None if benefit is None else usd(benefit)}  # fmt: skip
    assert bool(read_measures(find_missing_beneficiaries(make_view(policies=[policy]), POLICY))) is is_found


def test_several_policies_are_one_finding() -> None:
    policies = [
        {"household_id": 1, "insurance_policy_id": n, "beneficiaries": 0, "death_benefit_usd": usd(100)} for n in (1, 2)
    ]
    findings = find_missing_beneficiaries(make_view(policies=policies), POLICY)
    assert details(findings) == ["2 policies have no beneficiary; the death benefit is $200.00."]
