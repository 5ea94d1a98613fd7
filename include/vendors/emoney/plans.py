"""eMoney's plans, goals and simulation results."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    INTEGER,
    MONEY,
    PRICE,
    STRING,
    TIMESTAMP,
    Beside,
    EntityMap,
    FanOut,
    Nested,
    Table,
    column,
    constant,
    derived,
    ignored,
)
from include.vendors.arrays import build_daily_key, day_of, is_missing, join_key, left_join, new_york_day_of, ratio

if TYPE_CHECKING:
    import pyarrow as pa


def is_no(flag: pa.Array) -> pa.Array:
    """Return whether a flag is false or null."""
    import pyarrow.compute as pc

    return pc.invert(pc.fill_null(flag, False))


def compute_funded_ratio(funding: pa.Array, expense: pa.Array) -> pa.Array:
    """Return the ratio of funding to cost of a goal; null if the cost is not positive, or if the ratio is 1,000 or more."""
    import pyarrow as pa
    import pyarrow.compute as pc

    narrow = pa.decimal128(16, 2)  # the quotient of wider types would exceed the maximum precision
    cost = pc.if_else(pc.greater(expense, 0), expense, None).cast(narrow)
    funded_ratio = pc.round(pc.divide(funding.cast(narrow), cost), 8, round_mode="half_to_even")
    return pc.if_else(pc.less(funded_ratio, 1000), funded_ratio, None)


def read_shortfall_year(shortfall: pa.Array) -> pa.Array:
    """Return the year of the shortfall; null for 0, by which the vendor states that there is no shortfall."""
    import pyarrow.compute as pc

    return pc.if_else(pc.greater(shortfall, 0), shortfall, None)


def retirement_key(plan_id: pa.Array) -> pa.Array:
    """Return the key of a plan's retirement goal. Every plan has one, without an id of its own."""
    import pyarrow as pa

    return join_key(plan_id, pa.repeat(pa.scalar("retirement"), len(plan_id)))


def add_funding(goals: pa.Table, funding: pa.Table) -> pa.Table:
    """Join the simulation results of goals with the goals' funding and cost."""
    return left_join(
        goals, funding.rename_columns(["plan_id", "goal_id", "funding_usd", "expense_usd"]), ["plan_id", "goal_id"]
    )


def goal_by_day(plan_id: pa.Array, goal_id: pa.Array, at: pa.Array) -> pa.Array:
    """Return the key of a goal's result: plan, goal, UTC date."""
    return join_key(plan_id, goal_id, day_of(at))


# --- tables: parents before children ---------------------------------------------------------------------------------

PLANS = Table(
    name="plans",
    path="clients/{client_id}/plans",
    key=("plan_id",),
    shape=FanOut("clients"),
    version="updated_at",
    omits_nulls=True,
    references={"client_id": "clients"},
    columns=(
        column("plan_id", "planId", STRING, required=True),
        column("client_id", "@client_id", STRING, required=True),
        column("name", "name", STRING),
        column("is_base", "isBase", BOOLEAN),
        column("created_at", "createdDate", TIMESTAMP),
        column("updated_at", "updatedDate", TIMESTAMP),
        *ignored("clientId"),
    ),
)

EXPENSES = Table(
    name="expenses",
    path="clients/{client_id}/plans/{plan_id}/expenses",
    key=("plan_id", "expense_id"),
    shape=FanOut("plans"),
    omits_nulls=True,
    references={"plan_id": "plans"},
    columns=(
        column("expense_id", "expenseId", STRING, required=True),
        column("plan_id", "@plan_id", STRING, required=True),
        column("client_id", "@client_id", STRING, required=True),
        column("name", "name", STRING),
        column("expense_type", "type", STRING),
        column("amount_usd", "amount", MONEY, rounded=True),
        column("start_year", "startYear", INTEGER),
        column("end_year", "endYear", INTEGER),
        column("inflation_ratio", "inflationRate", PRICE),
        column("is_goal", "isGoal", BOOLEAN),
        column("priority", "priority", INTEGER),
        *ignored("clientId, planId"),
    ),
)

MONTE_CARLO = Table(
    name="monte_carlo",
    path="clients/{client_id}/plans/{plan_id}/projection/montecarlo",
    key=("plan_id",),
    # 409: the plan can't be calculated yet.
    shape=FanOut("plans", bucket="monte_carlo", missing=(404, 409)),
    omits_nulls=True,
    references={"plan_id": "plans"},
    columns=(
        column("plan_id", "@plan_id", STRING, required=True),
        column("client_id", "@client_id", STRING, required=True),
        column("probability_ratio", "probabilityOfSuccess", PRICE, rounded=True),
        column("retirement_ratio", "retirementGoal.probabilityOfSuccess", PRICE, rounded=True),
        column("shortfall_year", "retirementGoal.firstShortfallYear", INTEGER),
        column("other_goals", "otherGoals", STRING),
        column("requested_at", "@requested_at", TIMESTAMP, required=True),
        *ignored("clientId, planId, retirementGoal, leaveToHeirsGoal"),
        *ignored("retirementGoal.hasShortfall", BOOLEAN),
        *ignored("retirementGoal.meanSurplus", MONEY),
        *ignored("leaveToHeirsGoal.probabilityOfSuccess", PRICE),
    ),
)

GOAL_RESULTS = Table(
    name="goal_results",
    path="",
    key=("plan_id", "goal_id"),
    shape=Nested("monte_carlo", ("other_goals",)),
    omits_nulls=True,
    columns=(
        column("goal_id", "goalId", STRING, required=True),
        column("plan_id", "@plan_id", STRING, required=True),
        column("probability_ratio", "probabilityOfSuccess", PRICE, rounded=True),
        column("shortfall_usd", "meanShortfall", MONEY, rounded=True),
        column("requested_at", "@requested_at", TIMESTAMP, required=True),
        *ignored("name"),
        *ignored("meanSurplus", MONEY),
    ),
)

GOAL_FUNDING = Table(
    name="goal_funding",
    path="clients/{client_id}/plans/{plan_id}/projection/goalfunding/{expense_id}",
    key=("plan_id", "expense_id"),
    shape=FanOut("expenses", only="is_goal"),
    omits_nulls=True,
    columns=(
        column("plan_id", "@plan_id", STRING, required=True),
        column("expense_id", "@expense_id", STRING, required=True),
        column("funding_usd", "goalTotalFunding", MONEY, rounded=True),
        column("expense_usd", "goalTotalExpense", MONEY, rounded=True),
        column("requested_at", "@requested_at", TIMESTAMP, required=True),
        *ignored("clientId, planId, goalId"),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "plan",
        "plans",
        {
            "plan_key": "plan_id",
            "household_key": "client_id",
            "name": "name",
            "is_base": "is_base",
            "created_on": derived(new_york_day_of, "created_at"),
            "updated_on": derived(new_york_day_of, "updated_at"),
        },
    ),
    EntityMap(
        "goal",
        "expenses",
        {
            "goal_key": derived(join_key, "plan_id", "expense_id"),
            "household_key": "client_id",
            "plan_key": "plan_id",
            "name": "name",
            "goal_type": "expense_type",
            "amount_usd": "amount_usd",
            "start_year": "start_year",
            "end_year": "end_year",
            "priority": "priority",
        },
        dropped={"no goal": derived(is_no, "is_goal")},
    ),
    EntityMap(
        "plan_result",
        "monte_carlo",
        {
            "plan_result_key": derived(partial(build_daily_key, word="current"), "plan_id", "requested_at"),
            "household_key": "client_id",
            "plan_key": "plan_id",
            "scenario": constant("current"),
            "probability_ratio": derived(ratio, "probability_ratio"),
            "is_stale": constant(False),
            "computed_on": derived(day_of, "requested_at"),
            "computed_at": "requested_at",
        },
        dropped={"no probability": derived(is_missing, "probability_ratio")},
    ),
    EntityMap(
        "goal",
        "monte_carlo",
        {
            "goal_key": derived(retirement_key, "plan_id"),
            "household_key": "client_id",
            "plan_key": "plan_id",
            "name": constant("Retirement"),
            "goal_type": constant("Retirement"),
        },
        dropped={"no probability": derived(is_missing, "retirement_ratio")},
    ),
    EntityMap(
        "goal_result",
        "monte_carlo",
        {
            "goal_result_key": derived(partial(build_daily_key, word="retirement"), "plan_id", "requested_at"),
            "goal_key": derived(retirement_key, "plan_id"),
            "scenario": constant("current"),
            "probability_ratio": derived(ratio, "retirement_ratio"),
            "shortfall_year": derived(read_shortfall_year, "shortfall_year"),
            "computed_on": derived(day_of, "requested_at"),
            "computed_at": "requested_at",
        },
        dropped={"no probability": derived(is_missing, "retirement_ratio")},
    ),
    EntityMap(
        "goal_result",
        "goal_results",
        {
            "goal_result_key": derived(goal_by_day, "plan_id", "goal_id", "requested_at"),
            "goal_key": derived(join_key, "plan_id", "goal_id"),
            "scenario": constant("current"),
            "probability_ratio": derived(ratio, "probability_ratio"),
            "funded_ratio": derived(compute_funded_ratio, "funding_usd", "expense_usd"),
            "shortfall_usd": "shortfall_usd",
            "computed_on": derived(day_of, "requested_at"),
            "computed_at": "requested_at",
        },
        split=add_funding,
        takes=("plan_id", "goal_id", "probability_ratio", "shortfall_usd", "requested_at"),
        beside={
            "goal_funding": Beside(
                ("plan_id", "expense_id", "funding_usd", "expense_usd"), {"plan_id": "plan_id", "expense_id": "goal_id"}
            )
        },
    ),
)
