"""Financial plans of the synthetic firm's households: goals, versions, and a probability of success.

A plan depends only on the seed, the vendor, the household, the firm's first day and the requested day. The probability changes
a little each week. In some weeks a planner changes a goal, which creates a new version of the plan.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from sandbox.firm.households import Household

_FOUR_PLACES = Decimal("0.0001")
_WHAT_IFS = ("Retire at 62", "Sell the House", "Bear Market")


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal of a plan.

    `amount` is in dollars per year. A single payment has the same `start_year` and `end_year`. `is_goal` is False for the basic
    expenses of retirement: living expenses and health care.
    """

    number: int
    name: str
    kind: str
    amount: Decimal
    start_year: int
    end_year: int
    inflation: Decimal
    is_goal: bool
    priority: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan of a household, on one day.

    Attributes:
        number: 0 is the base plan.
        version: Number of changed goals since the plan was created.
        probability: Probability of success, from 0 to 1.
    """

    number: int
    name: str
    created_at: datetime
    updated_at: datetime
    version: int
    probability: Decimal
    goals: tuple[Goal, ...]


def draw_plans(seed: int, vendor: str, household: Household, first: date, day: date) -> list[Plan]:
    """Return the plans that `vendor` has for a household on `day`, the base plan first. Some households have no plan."""
    key = f"{seed}:plans:{vendor}:{household.id}"
    draw = random.Random(key)
    count = draw.choice((0, 1, 1, 1, 2, 2, 3))
    if household.id == 1001:  # the first household has all data in every vendor
        count = max(count, 2)
    created = [first - timedelta(days=draw.randrange(60, 1500))]
    created += [first + timedelta(days=draw.randrange(-50, 70)) for _ in _WHAT_IFS]
    goals = tuple(_draw_goals(draw, household, first.year))
    names = ("Base Facts", *_WHAT_IFS)
    return [
        _simulate(f"{key}:{number}", Plan(number, names[number], at, at, 0, _draw_probability(key, number), goals), day)
        for number, at in enumerate(datetime.combine(on, time(16), UTC) for on in created[:count])
        if at.date() <= day
    ]


def _draw_probability(key: str, number: int) -> Decimal:
    mean = random.Random(key + ":success").betavariate(6, 2)
    return round_ratio(mean + (random.Random(f"{key}:success:{number}").gauss(0, 0.08) if number else 0))


def round_ratio(value: float | Decimal) -> Decimal:
    """Round a ratio to four decimals, and limit it to the range from 0.02 to 0.99."""
    return min(max(Decimal(str(value)).quantize(_FOUR_PLACES), Decimal("0.0200")), Decimal("0.9900"))


def _simulate(key: str, plan: Plan, day: date) -> Plan:
    """Simulate a plan week by week, from the first Monday after its creation through `day`."""
    monday = plan.created_at.date() + timedelta(days=7 - plan.created_at.weekday())
    probability = float(plan.probability)
    for _ in range(max((day - monday).days // 7 + 1, 0)):
        draw = random.Random(f"{key}:{monday}")
        probability = min(max(probability + draw.gauss(0, 0.007), 0.02), 0.99)
        if draw.random() < 0.04:
            probability += draw.gauss(0, 0.03)
            changed = draw.randrange(len(plan.goals))
            factor = draw.choice((Decimal("0.90"), Decimal("0.95"), Decimal("1.05"), Decimal("1.20")))
            goals = tuple(_change(g, factor) if n == changed else g for n, g in enumerate(plan.goals))
            at = datetime.combine(monday, time(13 + draw.randrange(7), draw.randrange(60)), UTC)
            plan = replace(plan, version=plan.version + 1, updated_at=at, goals=goals)
        monday += timedelta(days=7)
    return replace(plan, probability=round_ratio(probability))


def _change(goal: Goal, factor: Decimal) -> Goal:
    return replace(goal, amount=(goal.amount * factor).quantize(Decimal("0.01")))


def _draw_goals(draw: random.Random, household: Household, year: int) -> Iterator[Goal]:
    head = household.people[0]
    retires = max(head.born.year + draw.choice((62, 65, 67)), year)
    end_of_life = max(head.born.year + 95, retires + 5)
    start = year + draw.randrange(1, 12)
    yield Goal(
        0, "Living Expense", "Living", _thousands(draw, 48, 160), retires, end_of_life, Decimal("0.025"), False, 1
    )
    yield Goal(
        1, "Health Care", "Healthcare", _thousands(draw, 6, 18), retires, end_of_life, Decimal("0.050"), False, 2
    )
    goals = (
        Goal(2, "College", "Education", _thousands(draw, 20, 60), start, start + 3, Decimal("0.050"), True, 3),
        Goal(3, "Travel", "Travel", _thousands(draw, 5, 25), retires, retires + 10, Decimal("0.025"), True, 5),
        Goal(4, "Car", "Vehicle", _thousands(draw, 30, 70), start, start, Decimal("0.020"), True, 6),
        Goal(5, "Vacation Home", "Home", _thousands(draw, 250, 1400), start + 2, start + 2, Decimal("0.030"), True, 8),
    )
    yield from sorted(draw.sample(goals, draw.randrange(len(goals) + 1)), key=lambda goal: goal.number)


def _thousands(draw: random.Random, low: int, high: int) -> Decimal:
    return Decimal(f"{draw.randrange(low, high)}000.00")
