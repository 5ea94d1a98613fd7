"""Rules about financial plans: probability of success, age, assets, and missing beneficiaries."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_households, dollars, is_share, percent, usd, worst_of
from include.rules.household_view import RATIO, HouseholdView
from include.rules.policy import Policy
from include.rules.snapshot import USD, to_decimal, total

_POINTS = pa.decimal128(22, 1)


def find_goals_at_risk(view: HouseholdView, policy: Policy) -> pa.Table:
    """The probability of success of a household's plan, or of one of its goals, is too low or has fallen.

    What: the newest probability in the current scenario, for the household's leading plan and for each of its goals. A missing
        probability is not evaluated. The finding names the plan or goal with the lowest one. Simulations vary a little each time.
    Why: the sooner it is known, the smaller the change in saving or spending that fixes it.
    Threshold: below the plan's own minimum (`goal_floor_percent` if the plan states none); or at least `goal_fall_points` below the
        highest probability of the last `goal_fall_days` days. Measure: the probability, percent.
    Closes: the probability is no longer too low, and has not fallen. A fall ends when `goal_fall_days` have passed.
    """
    now = _find_newest(view, policy)
    floor = pc.fill_null(now["target_low_ratio"], pa.scalar(policy.goal_floor_percent / 100, RATIO))
    fall = pc.subtract(now["highest_ratio"], now["probability_ratio"])
    now = now.append_column("floor", floor)
    now = now.append_column("is_low", pc.less(now["probability_ratio"], floor))
    least = pa.scalar(Decimal(policy.goal_fall_points) / 100, RATIO)
    now = now.append_column("has_fallen", pc.greater_equal(fall, least))
    at_risk = now.filter(pc.or_(now["is_low"], now["has_fallen"]))
    worst = worst_of(at_risk, "household_id", [("probability_ratio", "ascending"), ("of_id", "ascending")])
    chance = _points(worst["probability_ratio"])
    below = pc.binary_join_element_wise(", below its minimum of ", percent(_points(worst["floor"])), "")
    days = f" within {policy.goal_fall_days} days"
    down = pc.binary_join_element_wise(", down from ", percent(_points(worst["highest_ratio"])), days, "")
    others = pc.binary_join_element_wise(
        " Other plans or goals at risk: ", pc.subtract(worst["count"], 1).cast(pa.string()), ".", ""
    )
    return about_households(
        view, worst, chance,
        worst["title"], ": probability of success ", percent(chance), pc.if_else(worst["is_low"], below, ""),
        pc.if_else(worst["has_fallen"], down, ""), ".", pc.if_else(pc.greater(worst["count"], 1), others, ""),
    )  # fmt: skip


def _find_newest(view: HouseholdView, policy: Policy) -> pa.Table:
    """Return the newest row of each plan and goal, with the highest probability of the last `goal_fall_days` days (`highest_ratio`)."""
    chances = view.chances
    newest = chances.group_by("of_id").aggregate([("computed_on", "max")])
    now = chances.join(newest, "of_id").filter(pc.field("computed_on") == pc.field("computed_on_max"))
    first = pa.scalar(view.business_date - timedelta(days=policy.goal_fall_days))
    recent = chances.filter(pc.greater_equal(chances["computed_on"], first))
    highest = recent.group_by("of_id").aggregate([("probability_ratio", "max")])
    now = now.join(highest, "of_id")
    return now.append_column("highest_ratio", pc.coalesce(now["probability_ratio_max"], now["probability_ratio"]))


def _points(ratio: pa.ChunkedArray) -> pa.ChunkedArray:
    hundred = pa.scalar(100, pa.decimal128(3, 0))
    return to_decimal(pc.multiply(ratio, hundred), _POINTS)


def find_old_plans(view: HouseholdView, policy: Policy) -> pa.Table:
    """No plan of a household was changed for a long time.

    What: the last change of any of the household's base plans, at any planner. Households without a plan, or whose plans have no date
        of change, are not evaluated.
    Why: a plan that does not include the new job or the new child is misleading.
    Threshold: the last change is more than `plan_days` ago. Measure: days since the last change.
    Closes: a plan is changed.
    """
    changed = view.plans.group_by("household_id").aggregate([("changed_on", "max")])
    first = pa.scalar(view.business_date - timedelta(days=policy.plan_days))
    old = changed.filter(pc.less(changed["changed_on_max"], first))
    age = pc.days_between(old["changed_on_max"], pa.scalar(view.business_date))
    return about_households(
        view, old, age,
        "The last plan change was on ", old["changed_on_max"], f", more than {policy.plan_days} days ago.",
    )  # fmt: skip


def find_assets_apart(view: HouseholdView, policy: Policy) -> pa.Table:
    """A plan's assets differ from those that the portfolio system states.

    What: the plan's value of the accounts that are also in a portfolio system, compared with the value that the portfolio systems state
        for the household. They differ if an account is missing from the plan, has an old value there, or has such a different name that
        it could not be matched. Assets held away are only in the plan and are left out. A household without values in a portfolio
        system is not evaluated. If a household has plans in several planning
        systems, the system with the largest difference counts.
    Why: a probability of success based on the wrong assets is wrong.
    Threshold: both `plan_gap_percent` of the larger value and `plan_gap_floor_usd`. Measure: dollars, the plan's value minus the
        portfolio systems'.
    Closes: the difference is below one of the thresholds.
    """
    assets = view.assets.filter(pc.greater(view.assets["managed_usd"], usd(Decimal(0))))
    gap = pc.subtract(assets["copied_usd"], assets["managed_usd"]).cast(USD)
    assets = assets.append_column("gap_usd", gap).append_column("size_usd", pc.abs(gap))
    larger = pc.max_element_wise(assets["copied_usd"], assets["managed_usd"])
    is_apart = pc.and_(
        pc.greater_equal(assets["size_usd"], usd(policy.plan_gap_floor_usd)),
        is_share(assets["size_usd"], larger, policy.plan_gap_percent),
    )
    apart = assets.filter(pc.and_(pc.greater(assets["size_usd"], usd(Decimal(0))), is_apart))
    worst = worst_of(apart, "household_id", [("size_usd", "descending"), ("gap_usd", "ascending")])
    return about_households(
        view, worst, worst["gap_usd"],
        "The plan values managed accounts at ", dollars(worst["copied_usd"]), ", the portfolio system at ",
        dollars(worst["managed_usd"]), ": a difference of ", dollars(worst["gap_usd"]), ".",
    )  # fmt: skip


def find_missing_beneficiaries(view: HouseholdView, policy: Policy) -> pa.Table:
    """An insurance policy with a death benefit names no beneficiary.

    What: policies for which the vendor reports zero beneficiaries. A policy for which it reports nothing is not evaluated.
        Beneficiaries of accounts are not covered: no vendor's public API has a field for them.
    Why: the money goes to the estate, through probate and to its creditors, and maybe to the wrong person.
    Threshold: a death benefit of at least `beneficiary_floor_usd`. Measure: sum of the death benefits, dollars.
    Closes: every such policy names a beneficiary.
    """
    policies = view.policies
    pays = policies.filter(pc.greater(policies["death_benefit_usd"], usd(Decimal(0))))
    is_due = pc.greater_equal(pays["death_benefit_usd"], usd(policy.beneficiary_floor_usd))
    bare = pays.filter(pc.and_(pc.equal(pays["beneficiaries"], 0), is_due))
    sums = total(bare, ["household_id"], {"death_benefit_usd": USD})
    sums = sums.join(bare.group_by("household_id").aggregate([([], "count_all")]), "household_id")
    some = pc.binary_join_element_wise(sums["count_all"].cast(pa.string()), " policies have", "")
    return about_households(
        view, sums, sums["death_benefit_usd"],
        pc.if_else(pc.equal(sums["count_all"], 1), "1 policy has", some), " no beneficiary; the death benefit is ",
        dollars(sums["death_benefit_usd"]), ".",
    )  # fmt: skip
