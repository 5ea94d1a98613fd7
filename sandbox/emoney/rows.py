"""The firm's households as eMoney's objects: clients, plans, expenses, projections and accounts.

GUIDs are derived from the seed and the firm's ids. Half of the clients have the household's id in Orion as `externalId`
("orion:1001").
"""

import random
import uuid
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any

from sandbox.firm.households import Household
from sandbox.firm.likeness import Share, draw_likenesses, has_household
from sandbox.firm.outside import draw_holdings
from sandbox.firm.planning import Goal, Plan, draw_plans, round_ratio
from sandbox.firm.records import Row, Table
from sandbox.firm.world import World
from sandbox.server.response import write_moment

VENDOR = "emoney"
SHARE = Share("planning", 0.0, 0.6)
_OF_PLAN = ("clientId", "planId")
TABLES = {
    "clients": Table("clientId", "clientId"),
    "plans": Table("clientId", "planId", ("clientId",)),
    "expenses": Table("clientId", "expenseId", _OF_PLAN),
    "projections": Table("clientId", "planId", _OF_PLAN),
    "goal_funding": Table("clientId", "goalId", (*_OF_PLAN, "goalId")),
    "accounts": Table("clientId", "accountId", ("clientId",)),
}
_ZERO = Decimal("0.00")


def write_guid(seed: int, *parts: Any) -> str:
    """Return the GUID of a record. It depends only on the seed and `parts`."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, ":".join(map(str, (VENDOR, seed, *parts)))))


class RowWriter:
    """Writes the rows of a household. Each method takes the household's number in the firm (from 0)."""

    def __init__(self, world: World) -> None:
        self.world, self.seed = world, world.firm.seed

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Return the number of each household by clientId, in order of clientId."""
        numbers = (n for n in range(self.world.firm.households) if has_household(self.seed, SHARE, n))
        return dict(sorted((write_guid(self.seed, "client", 1001 + n), n) for n in numbers))

    def write_clients(self, number: int) -> list[Row]:
        """Return the household as one client: the first person, with the second person as spouse."""
        house = self._find(number)
        head, *others = draw_likenesses(self.seed, VENDOR, house)
        draw = random.Random(f"{self.seed}:{VENDOR}:client:{house.id}")
        single = draw.choice(("Single", "Single", "Divorced", "Widowed"))
        created = write_moment(house.created_at or house.edited_at)
        return [
            {
                "clientId": self._client(house),
                "firstName": head.first_name,
                "lastName": head.last_name,
                "dateOfBirth": head.born and head.born.isoformat(),
                "maritalStatus": "Married" if others else single,
                "previousMarriages": single == "Divorced" or draw.random() < 0.1,
                "email": head.email,
                "phone": head.phone,
                "address": {
                    "street": " ".join(filter(None, (head.home.street, head.home.unit))),
                    "city": head.home.city,
                    "state": head.home.state,
                    "zip": head.home.zip_code,
                },
                "ownerId": f"{house.representative_id:05d}",
                "externalId": f"orion:{house.id}" if draw.random() < 0.5 else None,
                "spouse": {
                    "firstName": others[0].first_name,
                    "lastName": others[0].last_name,
                    "dateOfBirth": others[0].born and others[0].born.isoformat(),
                    "email": others[0].email,
                }
                if others
                else None,
                "createdDate": created,
                "updatedDate": write_moment(house.edited_at),
            }
        ]

    def write_plans(self, number: int) -> list[Row]:
        """Return the household's plans, the base plan first."""
        house = self._find(number)
        return [
            self._of_plan(house, plan)
            | {
                "name": plan.name,
                "isBase": plan.number == 0,
                "createdDate": write_moment(plan.created_at),
                "updatedDate": write_moment(plan.updated_at),
            }
            for plan in self._draw_plans(house)
        ]

    def write_expenses(self, number: int) -> list[Row]:
        """Return the expenses of all plans of the household."""
        house = self._find(number)
        return [
            self._of_plan(house, plan)
            | {
                "expenseId": _write_goal_id(house, plan, goal),
                "name": goal.name,
                "type": goal.kind,
                "amount": goal.amount,
                "startYear": goal.start_year,
                "endYear": goal.end_year,
                "inflationRate": goal.inflation,
                "isGoal": goal.is_goal,
                "priority": goal.priority,
            }
            for plan in self._draw_plans(house)
            for goal in plan.goals
        ]

    def write_projections(self, number: int) -> list[Row]:
        """Return the Monte Carlo projections of all plans, before random variation. A plan that is not calculated has none."""
        house = self._find(number)
        return [
            self._of_plan(house, plan) | self._project(house, plan)
            for plan in self._draw_plans(house)
            if self._is_ready(house, plan)
        ]

    def write_goal_funding(self, number: int) -> list[Row]:
        """Return the funding of each goal of all plans. Living expenses and health care together are the goal `retirement`."""
        house = self._find(number)
        rows = []
        for plan in self._draw_plans(house):
            goals_by_id = {_write_goal_id(house, plan, goal): [goal] for goal in plan.goals if goal.is_goal}
            goals_by_id |= {"retirement": [goal for goal in plan.goals if not goal.is_goal]}
            for goal_id, goals in goals_by_id.items():
                expense = sum((_cost(goal) for goal in goals), _ZERO)
                funding = (expense * min(plan.probability + Decimal("0.1"), Decimal(1))).quantize(_ZERO)
                row = {"goalId": goal_id, "goalTotalFunding": funding, "goalTotalExpense": expense}
                rows.append(self._of_plan(house, plan) | row)
        return rows

    def write_accounts(self, number: int) -> list[Row]:
        """Return the household's accounts: copies of the firm's accounts, and accounts held away."""
        house = self._find(number)
        return [
            {
                "clientId": self._client(house),
                "accountId": write_guid(self.seed, "account", house.id, holding.slot),
                "name": holding.name,
                "accountNumber": holding.number,
                "institution": holding.institution,
                "type": holding.kind,
                "value": holding.value,
                "asOfDate": holding.as_of.isoformat(),
                "isLinked": holding.is_linked,
            }
            for holding in draw_holdings(self.seed, VENDOR, house, self.world.open_book(), self.world.closed_through)
        ]

    def _find(self, number: int) -> Household:
        return self.world.open_book().households[number]

    def _client(self, house: Household) -> str:
        return write_guid(self.seed, "client", house.id)

    def _draw_plans(self, house: Household) -> list[Plan]:
        return draw_plans(self.seed, VENDOR, house, self.world.firm.first, self.world.closed_through)

    def _of_plan(self, house: Household, plan: Plan) -> Row:
        return {"clientId": self._client(house), "planId": write_guid(self.seed, "plan", house.id, plan.number)}

    def _is_ready(self, house: Household, plan: Plan) -> bool:
        chance = random.Random(f"{self.seed}:{VENDOR}:ready:{house.id}:{plan.number}:{plan.version}").random()
        return house.id == 1001 or chance >= 0.03

    def _project(self, house: Household, plan: Plan) -> Row:
        draw = random.Random(f"{self.seed}:{VENDOR}:project:{house.id}:{plan.number}:{plan.version}")
        has_shortfall = plan.probability < Decimal("0.75")
        living = plan.goals[0]
        return {
            "probabilityOfSuccess": plan.probability,
            "retirementGoal": {
                "probabilityOfSuccess": round_ratio(plan.probability + Decimal("0.03")),
                "hasShortfall": has_shortfall,
                "firstShortfallYear": living.end_year - draw.randrange(1, 5)
                if has_shortfall
                else draw.choice((0, None)),
                "meanSurplus": (living.amount * int(plan.probability * 20)).quantize(_ZERO),
            },
            "leaveToHeirsGoal": {"probabilityOfSuccess": round_ratio(plan.probability - Decimal("0.15"))}
            if draw.random() < 0.5
            else None,
            "otherGoals": [
                {
                    "goalId": _write_goal_id(house, plan, goal),
                    "name": goal.name,
                    "probabilityOfSuccess": round_ratio(float(plan.probability) + draw.gauss(0.05, 0.08)),
                    "meanSurplus": (goal.amount * plan.probability).quantize(_ZERO),
                    "meanShortfall": (goal.amount * (1 - plan.probability)).quantize(_ZERO),
                }
                for goal in plan.goals
                if goal.is_goal
            ],
        }


def _write_goal_id(house: Household, plan: Plan, goal: Goal) -> str:
    return f"{house.id}{plan.number}{goal.number}"


def _cost(goal: Goal) -> Decimal:
    """Return the cost of a goal over all its years, in today's dollars."""
    return goal.amount * (goal.end_year - goal.start_year + 1)


def shake(row: Row, draw: random.Random) -> Row:
    """Return a copy of a projection with slightly different probabilities, as after another simulation."""

    def vary(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: round_ratio(float(part) + draw.gauss(0, 0.004))
                if name == "probabilityOfSuccess" and isinstance(part, Decimal)
                else vary(part)
                for name, part in value.items()
            }
        return [vary(part) for part in value] if isinstance(value, list) else value

    shaken: Row = vary(row)
    return shaken
