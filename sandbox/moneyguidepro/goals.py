"""Goals in MoneyGuidePro's plan summary, as free text in two columns: current and recommended."""

import random
from decimal import Decimal

from sandbox.firm.households import Household
from sandbox.firm.planning import Goal, Plan
from sandbox.firm.records import Row

_ODD_TEXTS = ("see advisor notes", "TBD", "as needed", "about half of today's")


def write_money(amount: Decimal) -> str:
    """Write an amount: "$85,000", "-$5,000", or from a million on "$1.2M"."""
    sign, size = "-" if amount < 0 else "", abs(amount)
    if size >= 1_000_000:
        return f"{sign}${size / 1_000_000:.2f}".rstrip("0").rstrip(".") + "M"
    return f"{sign}${size:,.0f}"


def _write_goal(goal: Goal, amount: Decimal) -> str:
    if goal.start_year == goal.end_year:
        return f"{write_money(amount)} in {goal.start_year}"
    return f"{write_money(amount)} / yr from {goal.start_year}"


def write_categories(seed: int, house: Household, plan: Plan, is_recommended: bool) -> list[Row]:
    """Return the categories of a plan summary. Without a recommended scenario, the recommended column is null."""
    age = _write_age(house, plan, is_recommended)
    topics: dict[str, list[Row]] = {"Retirement": [age], "Other Goals": []}
    for goal in plan.goals:
        draw = random.Random(f"{seed}:moneyguidepro:item:{house.id}:{goal.number}")
        topics["Other Goals" if goal.is_goal else "Retirement"].append(_write_item(draw, goal, is_recommended))
    header = {"current": "Current", "recommended": "Recommended", "changes": "Changes", "description": "Goals"}
    lines = [_line(name) | {"items": items} for name, items in topics.items() if items]
    return [{"description": "Goals", "header": header, "topics": lines}]


def _write_item(draw: random.Random, goal: Goal, is_recommended: bool) -> Row:
    """Return a goal as a line. In about 1% of cases the current text is not an amount but odd text, as people type it."""
    reduction = (goal.amount * draw.choice((0, 0, 1, 2)) / 20).quantize(Decimal(1))
    current = draw.choice(_ODD_TEXTS) if draw.random() < 0.01 else _write_goal(goal, goal.amount)
    if not is_recommended:
        return _line(goal.name, current) | {"details": []}
    changes = write_money(-reduction) if reduction else ""
    return _line(goal.name, current, _write_goal(goal, goal.amount - reduction), changes) | {"details": []}


def _write_age(house: Household, plan: Plan, is_recommended: bool) -> Row:
    year = plan.goals[0].start_year
    text = f"{year - house.people[0].born.year} ({year})"
    line = _line("Retirement Age", text, text, "") if is_recommended else _line("Retirement Age", text)
    return line | {"details": []}


def _line(
    description: str, current: str | None = None, recommended: str | None = None, changes: str | None = None
) -> Row:
    return {"description": description, "current": current, "recommended": recommended, "changes": changes}
