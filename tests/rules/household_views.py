"""Small household views, written as rows, and each rule's expected findings, in plain Python with exact decimals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pyarrow as pa

from include.rules import household_view as views
from include.rules.household_view import HouseholdView
from include.rules.policy import Policy
from include.rules.snapshot import SILENT

DAY = date(2026, 11, 20)
Rows = Iterable[Mapping[str, Any]]


def ratio(value: Any) -> Decimal:
    return Decimal(value).quantize(Decimal("0.00000001"))


def make_view(
    people: Mapping[int, date | None] | None = None,
    plans: Rows = (),
    chances: Rows = (),
    risks: Rows = (),
    questionnaires: Rows = (),
    assets: Rows = (),
    retirement: Rows = (),
    policies: Rows = (),
    envelopes: Rows = (),
    openings: Rows = (),
    deals: Rows = (),
    day: date = DAY,
) -> HouseholdView:
    """Build a view of four households; by default person 11 belongs to household 1, 12 to 2 and so on."""
    born = people if people is not None else {10 + n: date(1960 + n, 5, 6) for n in range(1, 5)}
    homes = [{"household_id": n, "vendor": "v", "representative_id": 70 + n} for n in range(1, 5)]
    persons = [
        {"person_id": n, "vendor": "v", "household_id": n - 10, "representative_id": 60 + n, "birth_date": on}
        for n, on in born.items()
    ]
    return HouseholdView(
        business_date=day,
        read_at=datetime.combine(day, datetime.min.time(), UTC),
        households=_table(homes, views.HOUSEHOLDS),
        persons=_table(persons, views.PERSONS),
        plans=_table(plans, views.PLANS),
        chances=_table([{"title": "The plan"} | dict(row) for row in chances], views.CHANCES),
        risks=_table(risks, views.RISKS),
        questionnaires=_table(questionnaires, views.QUESTIONNAIRES),
        assets=_table(assets, views.ASSETS),
        retirement=_table(retirement, views.RETIREMENT),
        policies=_table(policies, views.POLICIES),
        envelopes=_table(envelopes, views.ENVELOPES),
        openings=_table(openings, views.OPENINGS),
        deals=_table(deals, views.DEALS),
        silent=SILENT.empty_table(),
    )


def expect(view: HouseholdView, policy: Policy) -> dict[tuple[str, int], Decimal]:
    """Return the expected findings: (rule, subject) -> measure."""
    rules = (_misaligned, _questionnaires, _goals, _plans, _assets, _distributions, _beneficiaries)
    return {(rule, subject): measure for evaluate in rules for rule, subject, measure in evaluate(view, policy)}


Measured = Iterator[tuple[str, int, Decimal]]


def _misaligned(view: HouseholdView, policy: Policy) -> Measured:
    gaps: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for row in view.risks.to_pylist():
        gap = row["portfolio_risk_number"] - row["client_risk_number"]
        if abs(gap) > policy.risk_gap_points:
            gaps[row["person_id"]].append((-abs(gap), row["portfolio_id"], gap))
    for person, person_gaps in gaps.items():
        yield "risk_misaligned", person, Decimal(min(person_gaps)[2])


def _questionnaires(view: HouseholdView, policy: Policy) -> Measured:
    for row in view.questionnaires.to_pylist():
        age = (view.business_date - row["completed_on"]).days
        is_outdated = row["version"] is not None and row["version"] not in policy.questionnaire_versions
        if age > policy.questionnaire_days or is_outdated:
            yield "questionnaire_old", row["person_id"], Decimal(age)


def _goals(view: HouseholdView, policy: Policy) -> Measured:
    history: dict[tuple[int, int], dict[date, dict[str, Any]]] = defaultdict(dict)
    for row in view.chances.to_pylist():
        history[row["household_id"], row["of_id"]][row["computed_on"]] = row
    by_household: dict[int, list[tuple[Decimal, int]]] = defaultdict(list)
    for (household, of), days in history.items():
        now = days[max(days)]
        chance = now["probability_ratio"]
        floor = now["target_low_ratio"] if now["target_low_ratio"] is not None else policy.goal_floor_percent / 100
        first = view.business_date - timedelta(days=policy.goal_fall_days)
        highest = max([r["probability_ratio"] for on, r in days.items() if on >= first], default=chance)
        if chance < floor or (highest - chance) * 100 >= policy.goal_fall_points:
            by_household[household].append((chance, of))
    for household, chances in by_household.items():
        yield "goal_at_risk", household, (min(chances)[0] * 100).quantize(Decimal("0.1"), ROUND_HALF_EVEN)


def _plans(view: HouseholdView, policy: Policy) -> Measured:
    for household, on in _changed(view).items():
        if (view.business_date - on).days > policy.plan_days:
            yield "plan_old", household, Decimal((view.business_date - on).days)


def _changed(view: HouseholdView) -> dict[int, date]:
    newest: dict[int, date] = {}
    for row in view.plans.to_pylist():
        if row["changed_on"] is not None:
            newest[row["household_id"]] = max(row["changed_on"], newest.get(row["household_id"], date.min))
    return newest


def _assets(view: HouseholdView, policy: Policy) -> Measured:
    pairs: dict[int, list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for row in view.assets.to_pylist():
        gap = row["copied_usd"] - row["managed_usd"]
        larger = max(row["copied_usd"], row["managed_usd"])
        if (
            row["managed_usd"] > 0
            and gap
            and abs(gap) >= policy.plan_gap_floor_usd
            and abs(gap) * 100 >= larger * policy.plan_gap_percent
        ):
            pairs[row["household_id"]].append((-abs(gap), gap))
    for household, gaps in pairs.items():
        yield "plan_assets_apart", household, min(gaps)[1]


def _distributions(view: HouseholdView, policy: Policy) -> Measured:
    if not view.plans.num_rows:
        return
    balances: dict[int, Decimal] = defaultdict(Decimal)
    for row in view.retirement.to_pylist():
        if row["account_type"] in policy.rmd_account_types:
            balances[row["person_id"]] += row["market_value_usd"] or Decimal(0)
    changed = _changed(view)
    for row in view.persons.to_pylist():
        usd, born = balances[row["person_id"]], row["birth_date"]
        if usd <= 0 or born is None or first_year(born) > view.business_date.year:
            continue
        begins = date(first_year(born), 1, 1) - timedelta(days=policy.rmd_lead_days)
        if changed.get(row["household_id"], date.min) < begins:
            yield "rmd_unplanned", row["person_id"], usd


def first_year(born: date) -> int:
    """Return the year in which a person reaches the age of required distributions."""
    if born < date(1949, 7, 1):
        half = born.month + 6  # six months after the seventieth birthday
        return born.year + 70 + (1 if half > 12 else 0)
    return born.year + (72 if born.year < 1951 else 73 if born.year < 1960 else 75)


def _beneficiaries(view: HouseholdView, policy: Policy) -> Measured:
    bare: dict[int, Decimal] = defaultdict(Decimal)
    for row in view.policies.to_pylist():
        benefit = row["death_benefit_usd"] or Decimal(0)
        if row["beneficiaries"] == 0 and benefit > 0 and benefit >= policy.beneficiary_floor_usd:
            bare[row["household_id"]] += benefit
    for household, usd in bare.items():
        yield "beneficiary_missing", household, usd


def _table(rows: Rows, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
