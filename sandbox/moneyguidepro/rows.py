"""The firm's households as MoneyGuidePro's objects. Many numbers are free text: "82%", "$85,000 / yr from 2031".

In some weeks, the refresh of positions fails for some households. The response is still complete, but has last week's values.
"""

import random
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property

from sandbox.firm.households import Household
from sandbox.firm.likeness import Share, draw_likenesses, has_household, write_couple
from sandbox.firm.outside import Holding, draw_holdings
from sandbox.firm.planning import Plan, draw_plans
from sandbox.firm.records import Row, Table
from sandbox.firm.world import World
from sandbox.moneyguidepro.goals import write_categories, write_money
from sandbox.server.response import write_moment

VENDOR = "moneyguidepro"
SHARE = Share("planning", 0.5, 0.9)  # a tenth of the firm's households are also in eMoney
_KEY = "householdId"
TABLES = {
    "households": Table(_KEY, _KEY),
    "meters": Table(_KEY, _KEY, (_KEY,)),
    "plan_summaries": Table(_KEY, _KEY, (_KEY,)),
    "networths": Table(_KEY, _KEY, (_KEY,)),
    "insurance_policies": Table(_KEY, _KEY, (_KEY,)),
    "assets": Table(_KEY, "assetKey", (_KEY,)),
}
FIRST_HOUSEHOLD, FIRST_PARTICIPANT = 70_001, 140_001
TARGET_LOW, TARGET_HIGH = "75", "90"
_MARITAL = ("Single", "Single", "Divorced", "Widowed")


class RowWriter:
    """Writes the rows of a household. Each method takes the household's number in the firm (from 0)."""

    def __init__(self, world: World) -> None:
        self.world, self.seed = world, world.firm.seed

    @cached_property
    def numbers(self) -> Mapping[int, int]:
        """Return the number of each household by householdId."""
        numbers = range(self.world.firm.households)
        return {FIRST_HOUSEHOLD + n: n for n in numbers if has_household(self.seed, SHARE, n)}

    def write_households(self, number: int) -> list[Row]:
        """Return the household as one row, with its people as participants."""
        house, draw = self._find(number), self._draw("household", number)
        people = draw_likenesses(self.seed, VENDOR, house)
        marital = "Married" if len(people) > 1 else draw.choice(_MARITAL)
        plan = self._find_plan(house)
        return [
            {
                _KEY: FIRST_HOUSEHOLD + number,
                "integrationKey": f"orion:{house.id}" if draw.random() < 0.5 else None,
                "name": write_couple(people),
                "advisorId": f"{house.representative_id:05d}",
                "participants": [
                    {
                        "participantId": FIRST_PARTICIPANT + number * 2 + place,
                        "participantType": place + 1,
                        "firstName": person.first_name,
                        "lastName": person.last_name,
                        "dob": person.born and f"{person.born:%m/%d/%Y}",
                        "maritalStatus": marital,
                        "sex": {"M": 1, "F": 2}[person.gender],
                        "email": person.email,
                    }
                    for place, person in enumerate(people)
                ],
                "lastModified": write_moment(plan.updated_at if plan else house.edited_at),
            }
        ]

    def write_meters(self, number: int) -> list[Row]:
        """Return the meter of the recommended scenario. Without a plan or such a scenario, its probability is null."""
        house = self._find(number)
        plan = self._find_plan(house)
        has_result = plan is not None and self._is_recommended(number)
        return [{_KEY: FIRST_HOUSEHOLD + number} | self._write_meter(number, plan if has_result else None)]

    def write_plan_summaries(self, number: int) -> list[Row]:
        """Return the plan summary: goals and results as text, current and recommended."""
        house = self._find(number)
        plan = self._find_plan(house)
        recommended = plan if self._is_recommended(number) else None
        results = {
            "current": plan and self._write_result(number, plan, Decimal("-0.05")),
            "recommended": recommended and self._write_result(number, recommended, Decimal(0)),
            "monteCarloTargetRangeLow": TARGET_LOW,
            "monteCarloTargetRangeHigh": TARGET_HIGH,
        }
        return [
            {
                _KEY: FIRST_HOUSEHOLD + number,
                "categories": write_categories(self.seed, house, plan, self._is_recommended(number)) if plan else [],
                "results": results,
                "refreshPositionsResponse": self._refresh(number),
            }
        ]

    def write_networths(self, number: int) -> list[Row]:
        """Return the household's net worth: assets and liabilities, in dollars."""
        draw = self._draw("networth", number)
        invested = self._draw_holdings(number)
        home, car, debt = (Decimal(draw.randrange(low, high) * 1000) for low, high in ((250, 900), (8, 60), (20, 240)))
        kinds = sorted({holding.kind for holding in invested})
        parts: dict[str, list[tuple[str, Decimal]]] = {
            "investmentAssets": [(kind, _add(h.value for h in invested if h.kind == kind)) for kind in kinds],
            "otherAssets": [("Primary Home", home), ("Vehicles", car)],
            "liabilities": [("Mortgage", debt)],
        }
        names = {"investmentAssets": "Investment Assets", "otherAssets": "Other Assets", "liabilities": "Liabilities"}
        totals = {part: _add(value for _, value in rows) for part, rows in parts.items()}
        assets = totals["investmentAssets"] + totals["otherAssets"]
        groups = {
            part: {
                "name": names[part],
                "totalValue": totals[part],
                "categories": [{"name": name, "totalValue": value} for name, value in rows],
            }
            for part, rows in parts.items()
        }
        worth = {"networth": assets - totals["liabilities"], "totalAssets": assets}
        refresh = {"refreshPositionsResponse": self._refresh(number)}
        return [{_KEY: FIRST_HOUSEHOLD + number} | worth | groups | refresh]

    def write_insurance_policies(self, number: int) -> list[Row]:
        """Return one object with all insurance policies of the household."""
        house, draw = self._find(number), self._draw("insurance", number)
        people = [person.name for person in draw_likenesses(self.seed, VENDOR, house)]
        policies = []
        for n in range(draw.choice((0, 1, 1, 2, 3))):
            kind = draw.choice(("Term Life", "Whole Life", "Long-Term Care", "Disability"))
            is_whole, premium = kind == "Whole Life", Decimal(draw.randrange(300, 6000))
            policies.append(
                {
                    "name": f"Sample Mutual {kind} {n + 1}",
                    "typeName": kind,
                    "ownerName": people[0],
                    "insuredName": draw.choice(people),
                    "isAsset": is_whole,
                    "annualPremium": premium,
                    "premiumPaid": draw.choice(("Until Retirement", "20 years", "Lifetime")),
                    "cashValue": Decimal(draw.randrange(5, 90) * 1000) if is_whole else Decimal(0),
                    "deathBenefit": Decimal(draw.randrange(1, 20) * 50_000) if "Life" in kind else Decimal(0),
                    "beneficiaries": [
                        {"name": people[-1] if len(people) > 1 else "Estate", "percent": Decimal("100.0")}
                    ],
                }
            )
        return [{_KEY: FIRST_HOUSEHOLD + number, "policies": policies}]

    def write_assets(self, number: int) -> list[Row]:
        """Return the household's accounts as assets: copies of the firm's accounts, and accounts held away."""
        return [
            {
                _KEY: FIRST_HOUSEHOLD + number,
                "assetKey": write_asset_key(number, holding),
                "accountNumber": holding.number,
                "type": holding.kind,
                "owner": (holding.owner or 0) + 1,
                "jointOwner": holding.owner is None,
                "currentValue": holding.value,
                "costBasis": "" if holding.account is None else f"{holding.value * Decimal('0.8'):.2f}",
                "ticker": None,
            }
            for holding in self._draw_holdings(number)
        ]

    def _find(self, number: int) -> Household:
        return self.world.open_book().households[number]

    def _draw(self, purpose: str, number: int) -> random.Random:
        return random.Random(f"{self.seed}:{VENDOR}:{purpose}:{number}")

    def _find_plan(self, house: Household) -> Plan | None:
        """Return the household's base plan, the only one that the API shows; None if there is no plan."""
        plans = draw_plans(self.seed, VENDOR, house, self.world.firm.first, self.world.closed_through)
        return plans[0] if plans else None

    def _is_recommended(self, number: int) -> bool:
        return number == 0 or self._draw("recommended", number).random() < 0.85

    def _draw_holdings(self, number: int) -> list[Holding]:
        day, first = self.world.closed_through, self.world.firm.first
        if self._refresh(number)["status"] != "Success":
            day = max(day - timedelta(days=7), first)
        return draw_holdings(self.seed, VENDOR, self._find(number), self.world.open_book(), day)

    def _refresh(self, number: int) -> Row:
        week = self.world.closed_through - date.min
        chance = self._draw(f"refresh:{week.days // 7}", number).random()
        status = (
            "Failure" if chance < 0.05 else "NotFound" if chance < 0.06 else "Error" if chance < 0.065 else "Success"
        )
        return {"status": status, "messages": [] if status == "Success" else ["Positions could not be refreshed."]}

    def _write_meter(self, number: int, plan: Plan | None) -> Row:
        is_in_range = plan is not None and plan.probability >= Decimal(TARGET_LOW) / 100
        return {
            "probabilityOfSuccess": plan and self._write_success(number, plan.probability),
            "targetRangeLow": TARGET_LOW,
            "targetRangeHigh": TARGET_HIGH,
            "targetText": None if plan is None else "In Confidence Zone" if is_in_range else "Below Confidence Zone",
            "highlightHtmlColor": "#2E7D32" if is_in_range else "#C62828",
            "image": None,
            "imageExtension": None,
            "isLegacyImage": False,
            "refreshPositionsResponse": self._refresh(number),
        }

    def _write_success(self, number: int, probability: Decimal) -> str:
        """Write a probability in the household's format: "82", "82%", or sometimes "<50"."""
        style = self._draw("style", number).random()
        if probability < Decimal("0.5") and style < 0.5:
            return "<50"
        return f"{probability * 100:.0f}" + ("%" if style >= 0.7 else "")

    def _write_result(self, number: int, plan: Plan, shift: Decimal) -> Row:
        probability = max(plan.probability + shift, Decimal("0.01"))
        margin = Decimal(int((probability - Decimal("0.5")) * 800) * 1000)
        calculation = {
            "description": "Monte Carlo",
            "probabilityOfSuccess": f"{probability * 100:.0f}",
            "safetyMarginCurrent": write_money(margin),
            "safetyMarginFuture": write_money(margin * Decimal("2.5")),
        }
        displayed = Plan(
            plan.number, plan.name, plan.created_at, plan.updated_at, plan.version, probability, plan.goals
        )
        return {"calculations": [calculation], "monteCarloMeter": self._write_meter(number, displayed)}


def _add(values: Iterable[Decimal]) -> Decimal:
    return sum(values, Decimal("0.00"))


def write_asset_key(number: int, holding: Holding) -> str:
    """Return the `assetKey` of a holding of household `number`."""
    return f"{FIRST_HOUSEHOLD + number}-{holding.slot}"
