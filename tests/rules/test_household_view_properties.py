"""Properties of the rules of planning and risk on any view."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from include.rules import HOUSEHOLD_RULES
from include.rules.evaluation import evaluate
from include.rules.household_view import HouseholdView
from include.rules.policy import Policy
from tests.rules.household_views import DAY, expect, make_view, ratio

HOMES, PEOPLE, IDS, NUMBERS = st.integers(1, 4), st.integers(11, 14), st.integers(1, 5), st.integers(1, 99)
RATIOS = st.one_of(
    st.sampled_from(["0", "0.7", "0.6999", "1", "0.8"]).map(ratio), st.decimals(0, 1, places=4).map(ratio)
)
MONEY = st.one_of(
    st.sampled_from([Decimal(n).quantize(Decimal("0.01")) for n in (0, 1, 25_000, 100_000)]),
    st.decimals(0, 2_000_000, places=2),
)
DAYS = st.one_of(st.integers(0, 800), st.sampled_from([92, 93, 365, 366])).map(lambda n: DAY - timedelta(days=n))
TYPES = st.sampled_from(["Traditional IRA", "Roth IRA", "401(K)", None])


def rows(*key: str, **columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw rows with unique keys."""
    strategy = st.fixed_dictionaries(columns)
    return st.lists(strategy, max_size=12, unique_by=lambda row: tuple(row[name] for name in key))


@st.composite
def views(draw: st.DrawFn) -> HouseholdView:
    maybe = st.one_of(st.none(), MONEY)
    born = st.one_of(st.none(), st.dates(date(1930, 1, 1), date(1965, 12, 31)))
    chances = draw(
        rows("of_id", "computed_on", of_id=IDS, computed_on=DAYS, probability_ratio=RATIOS,
             target_low_ratio=st.one_of(st.none(), RATIOS))
    )  # fmt: skip
    return make_view(
        draw(st.dictionaries(PEOPLE, born, min_size=4)),
        draw(rows("plan_id", household_id=HOMES, plan_id=IDS, changed_on=st.one_of(st.none(), DAYS))),
        [row | {"household_id": row["of_id"] % 4 + 1} for row in chances],
        draw(rows("person_id", "portfolio_id", person_id=PEOPLE, portfolio_id=IDS, client_risk_number=NUMBERS,
                  portfolio_risk_number=NUMBERS)),
        draw(rows("person_id", person_id=PEOPLE, completed_on=DAYS, version=st.sampled_from(["RQ3", "RQ4", None]))),
        draw(rows("household_id", "copied_usd", household_id=HOMES, copied_usd=MONEY, managed_usd=MONEY)),
        draw(rows("account_id", person_id=PEOPLE, account_id=IDS, account_type=TYPES, market_value_usd=maybe)),
        draw(rows("insurance_policy_id", household_id=HOMES, insurance_policy_id=IDS, death_benefit_usd=maybe,
                  beneficiaries=st.one_of(st.none(), st.integers(0, 2)))),
    )  # fmt: skip


POLICIES = st.fixed_dictionaries(
    {}, optional={"risk_gap_points": st.integers(1, 40), "goal_floor_percent": st.integers(1, 100),
                  "goal_fall_points": st.integers(1, 40), "goal_fall_days": st.integers(1, 366), "plan_days": st.integers(1, 700),
                  "questionnaire_days": st.integers(1, 700), "plan_gap_percent": st.integers(1, 100),
                  "plan_gap_floor_usd": st.integers(0, 200_000), "rmd_lead_days": st.integers(1, 3000),
                  "beneficiary_floor_usd": st.integers(0, 100_000)},
).map(Policy.of)  # fmt: skip


def find(view: HouseholdView, policy: Policy) -> list[dict[str, Any]]:
    failed: dict[str, Exception] = {}
    findings, _ = evaluate(view, policy, HOUSEHOLD_RULES, failed)
    assert failed == {}
    return sorted(findings.to_pylist(), key=lambda row: (row["rule"], row["subject_id"]))


@settings(max_examples=80, deadline=None)
@given(views(), POLICIES)
def test_findings_are_those_of_plain_python(view: HouseholdView, policy: Policy) -> None:
    findings = find(view, policy)
    measures = {(row["rule"], row["subject_id"]): row["measure"] for row in findings}
    assert len(measures) == len(findings), "a subject was found twice"
    assert measures == expect(view, policy)


@settings(max_examples=25, deadline=None)
@given(views(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(view: HouseholdView, random: Random) -> None:
    tables = {f.name: getattr(view, f.name) for f in fields(view)}
    mixed = {name: _shuffle(table, random) for name, table in tables.items() if isinstance(table, pa.Table)}
    assert find(replace(view, **mixed), Policy()) == find(view, Policy())


def _shuffle(table: pa.Table, random: Random) -> pa.Table:
    order = list(range(table.num_rows))
    random.shuffle(order)
    return table.take(pa.array(order, pa.int64()))


@settings(max_examples=25, deadline=None)
@given(views())
def test_a_stricter_firm_loses_no_finding(view: HouseholdView) -> None:
    strict = Policy.of({"risk_gap_points": 5, "goal_floor_percent": 85, "goal_fall_points": 5, "plan_days": 180, "plan_gap_percent": 5,
                        "plan_gap_floor_usd": 1000, "questionnaire_days": 180, "rmd_lead_days": 100, "goal_fall_days": 180,
                        "beneficiary_floor_usd": 0})  # fmt: skip
    assert {(row["rule"], row["subject_id"]) for row in find(view, Policy())} <= {
        (row["rule"], row["subject_id"]) for row in find(view, strict)
    }


@settings(max_examples=25, deadline=None)
@given(views())
def test_details_are_whole_sentences_with_every_figure(view: HouseholdView) -> None:
    for row in find(view, Policy()):
        assert row["details"].endswith(".")
        assert "None" not in row["details"]
        assert "unknown" not in row["details"]
        assert row["subject_entity"] in ("household", "person")
        assert row["household_id"] is not None
