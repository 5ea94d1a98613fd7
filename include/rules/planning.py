"""Financial plans: likely to succeed, kept up to date, resting on the right assets, and leaving to somebody."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.book import USD, to_decimal, total
from include.rules.finding import about_households, dollars, is_share, percent, usd, worst_of
from include.rules.picture import RATIO, Picture
from include.rules.policy import Policy

_POINTS = pa.decimal128(22, 1)


def find_goals_at_risk(picture: Picture, policy: Policy) -> pa.Table:
    """A household's plan, or one of its goals, is not likely enough to succeed, or much less likely than it was.

    What: the newest probability in the scenario as it is today, of the plan that leads the household and of each of its
        goals; missing is not zero. Of several, the least likely is named. A simulation differs a little each time.
    Why: the sooner it is known, the smaller the change in saving or spending that mends it.
    Threshold: below the floor that the plan states for itself, or else below `goal_floor_percent`; or at least
        `goal_fall_points` below the highest of the last `goal_fall_days`. Measure: the probability, percent.
    Closes: it is neither below nor fallen; a fall is over when its days are.
    """
    now = _newest(picture, policy)
    floor = pc.fill_null(now["target_low_ratio"], pa.scalar(policy.goal_floor_percent / 100, RATIO))
    fall = pc.subtract(now["highest_ratio"], now["probability_ratio"])
    now = now.append_column("floor", floor)
    now = now.append_column("is_low", pc.less(now["probability_ratio"], floor))
    least = pa.scalar(Decimal(policy.goal_fall_points) / 100, RATIO)
    now = now.append_column("has_fallen", pc.greater_equal(fall, least))
    found = now.filter(pc.or_(now["is_low"], now["has_fallen"]))
    worst = worst_of(found, "household_id", [("probability_ratio", "ascending"), ("of_id", "ascending")])
    chance = _points(worst["probability_ratio"])
    below = pc.binary_join_element_wise(", below its floor of ", percent(_points(worst["floor"])), "")
    days = f" within {policy.goal_fall_days} days"
    down = pc.binary_join_element_wise(", down from ", percent(_points(worst["highest_ratio"])), days, "")
    others = pc.binary_join_element_wise(" Others at risk: ", pc.subtract(worst["count"], 1).cast(pa.string()), ".", "")
    return about_households(
        picture, worst, chance,
        worst["title"], " succeeds with ", percent(chance), pc.if_else(worst["is_low"], below, ""),
        pc.if_else(worst["has_fallen"], down, ""), ".", pc.if_else(pc.greater(worst["count"], 1), others, ""),
    )  # fmt: skip


def _newest(picture: Picture, policy: Policy) -> pa.Table:
    """The newest row of each plan and goal, with the highest probability of the days that count."""
    chances = picture.chances
    newest = chances.group_by("of_id").aggregate([("computed_on", "max")])
    now = chances.join(newest, "of_id").filter(pc.field("computed_on") == pc.field("computed_on_max"))
    first = pa.scalar(picture.business_date - timedelta(days=policy.goal_fall_days))
    recent = chances.filter(pc.greater_equal(chances["computed_on"], first))
    highest = recent.group_by("of_id").aggregate([("probability_ratio", "max")])
    now = now.join(highest, "of_id")
    return now.append_column("highest_ratio", pc.coalesce(now["probability_ratio_max"], now["probability_ratio"]))


def _points(ratio: pa.ChunkedArray) -> pa.ChunkedArray:
    hundred = pa.scalar(100, pa.decimal128(3, 0))
    return to_decimal(pc.multiply(ratio, hundred), _POINTS)


def find_old_plans(picture: Picture, policy: Policy) -> pa.Table:
    """Nobody has touched a household's plan for a long time.

    What: the last change of any of its base plans, with whichever planner. A plan of which no vendor says when it was
        changed is not judged, nor is a household that has none.
    Why: a plan that does not know of the new job, or of the child, misleads.
    Threshold: more than `plan_days` ago. Measure: days.
    Closes: a plan is changed.
    """
    changed = picture.plans.group_by("household_id").aggregate([("changed_on", "max")])
    first = pa.scalar(picture.business_date - timedelta(days=policy.plan_days))
    old = changed.filter(pc.less(changed["changed_on_max"], first))
    age = pc.days_between(old["changed_on_max"], pa.scalar(picture.business_date))
    return about_households(
        picture, old, age,
        "No plan was changed since ", old["changed_on_max"], f", which is more than {policy.plan_days} days.",
    )  # fmt: skip


def find_assets_apart(picture: Picture, policy: Policy) -> pa.Table:
    """A plan counts on other assets than the portfolio system states.

    What: the accounts in the plan that a portfolio system knows, too, against what those systems state of the household.
        One that the plan lacks, lists with an old value, or writes so differently that it is not recognized, is the
        difference. Assets held away are in the plan only, and are left out; a household of which no portfolio system states
        anything is not judged. Of several planners the one farthest off.
    Why: a probability of success that rests on the wrong sum is wrong.
    Threshold: `plan_gap_percent` of the larger and `plan_gap_floor_usd`, both. Measure: dollars, the plan's less the
        portfolio system's.
    Closes: they are close enough.
    """
    assets = picture.assets.filter(pc.greater(picture.assets["managed_usd"], usd(Decimal(0))))
    gap = pc.subtract(assets["copied_usd"], assets["managed_usd"]).cast(USD)
    assets = assets.append_column("gap_usd", gap).append_column("size_usd", pc.abs(gap))
    larger = pc.max_element_wise(assets["copied_usd"], assets["managed_usd"])
    is_apart = pc.and_(
        pc.greater_equal(assets["size_usd"], usd(policy.plan_gap_floor_usd)),
        is_share(assets["size_usd"], larger, policy.plan_gap_percent),
    )
    found = assets.filter(pc.and_(pc.greater(assets["size_usd"], usd(Decimal(0))), is_apart))
    worst = worst_of(found, "household_id", [("size_usd", "descending"), ("gap_usd", "ascending")])
    return about_households(
        picture, worst, worst["gap_usd"],
        "The plan counts on ", dollars(worst["copied_usd"]), " of accounts that the portfolio system puts at ",
        dollars(worst["managed_usd"]), ": a difference of ", dollars(worst["gap_usd"]), ".",
    )  # fmt: skip


def find_missing_beneficiaries(picture: Picture, policy: Policy) -> pa.Table:
    """An insurance policy pays out on a death, and names nobody to whom.

    What: policies of which the vendor lists the beneficiaries, and lists none; where it says nothing, nothing is judged.
        Of an account's beneficiaries no vendor's public API names a field.
    Why: the money goes to the estate, through probate and to its creditors, and maybe to the wrong person.
    Threshold: a death benefit of at least `beneficiary_floor_usd`. Measure: dollars of death benefits.
    Closes: somebody is named.
    """
    policies = picture.policies
    pays = policies.filter(pc.greater(policies["death_benefit_usd"], usd(Decimal(0))))
    is_due = pc.greater_equal(pays["death_benefit_usd"], usd(policy.beneficiary_floor_usd))
    bare = pays.filter(pc.and_(pc.equal(pays["beneficiaries"], 0), is_due))
    sums = total(bare, ["household_id"], {"death_benefit_usd": USD})
    sums = sums.join(bare.group_by("household_id").aggregate([([], "count_all")]), "household_id")
    some = pc.binary_join_element_wise(sums["count_all"].cast(pa.string()), " policies name", "")
    return about_households(
        picture, sums, sums["death_benefit_usd"],
        pc.if_else(pc.equal(sums["count_all"], 1), "1 policy names", some), " no beneficiary; the death benefit is ",
        dollars(sums["death_benefit_usd"]), ".",
    )  # fmt: skip
