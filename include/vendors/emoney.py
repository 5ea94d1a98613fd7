"""eMoney Advisor: clients with their spouses, plans, goals and the results of Monte Carlo simulations.

The vendor has published the login (a signed assertion and an API key), the limits (60 calls a minute, 250 simulations an hour), and
the paths of plans, expenses and simulations. The lists of clients and accounts and their fields are defaults of this file.
A goal is an expense with a goal flag. The vendor computes a probability at each call, with slightly different results, so it is
stored with the time of the call. Clients may be deleted permanently, without a trace.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    PRICE,
    STRING,
    TIMESTAMP,
    Beside,
    Budget,
    EntityMap,
    FanOut,
    Inside,
    Numbered,
    SignedAssertion,
    Table,
    Vendor,
    column,
    constant,
    derived,
    ignored,
    sensitive,
)
from include.vendors.arrays import (
    beside,
    by_day,
    day_of,
    full_name,
    is_missing,
    joined,
    known_elsewhere,
    ratio,
    state_code,
)

if TYPE_CHECKING:
    import pyarrow as pa

# --- what only eMoney needs ------------------------------------------------------------------------------------------


def people(clients: pa.Table) -> pa.Table:
    """Return one row for a client and one for the spouse, who is not a client; both share an address."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = ["first_name", "last_name", "birth_date", "email"]
    shared = ["client_id", "phone", "street", "city", "state_code", "postal_code", "external_id"]
    numbered = clients.append_column("row", pa.array(range(clients.num_rows), pa.int64()))
    married = numbered.filter(
        pc.or_(pc.is_valid(numbered["spouse_first_name"]), pc.is_valid(numbered["spouse_last_name"]))
    )
    spouses = married.select(["row", *shared, *(f"spouse_{name}" for name in names)])
    spouses = spouses.rename_columns(["row", *shared, *names])
    heads = numbered.select(["row", *shared, *names])
    keys = pa.concat_arrays(
        [heads["client_id"].combine_chunks(), joined(spouses["client_id"].combine_chunks(), _word("spouse", spouses))]
    )
    return pa.concat_tables([heads, spouses]).append_column("person_id", keys)


def is_no(flag: pa.Array) -> pa.Array:
    """Return whether a flag is not set."""
    import pyarrow.compute as pc

    return pc.invert(pc.fill_null(flag, False))


def funded(funding: pa.Array, expense: pa.Array) -> pa.Array:
    """Return funding / cost of a goal; null if the cost is not positive, or so small that the ratio is 1,000 or more."""
    import pyarrow as pa
    import pyarrow.compute as pc

    narrow = pa.decimal128(16, 2)  # the quotient of wider types would exceed the maximum precision
    cost = pc.if_else(pc.greater(expense, 0), expense, None).cast(narrow)
    found = pc.round(pc.divide(funding.cast(narrow), cost), 8, round_mode="half_to_even")
    return pc.if_else(pc.less(found, 1000), found, None)


def year(shortfall: pa.Array) -> pa.Array:
    """Return the year of the shortfall; null for zero, which means none."""
    import pyarrow.compute as pc

    return pc.if_else(pc.greater(shortfall, 0), shortfall, None)


def retirement_key(plan_id: pa.Array) -> pa.Array:
    """Return the key of the retirement goal, which every plan has."""
    import pyarrow as pa

    return joined(plan_id, pa.repeat(pa.scalar("retirement"), len(plan_id)))


def with_funding(goals: pa.Table, funding: pa.Table) -> pa.Table:
    """Join the simulation results of goals with their funding."""
    return beside(
        goals, funding.rename_columns(["plan_id", "goal_id", "funding_usd", "expense_usd"]), ["plan_id", "goal_id"]
    )


def goal_by_day(plan_id: pa.Array, goal_id: pa.Array, at: pa.Array) -> pa.Array:
    """Return the key of a goal's result of one day."""
    return joined(plan_id, goal_id, day_of(at))


def _word(word: str, rows: pa.Table) -> pa.Array:
    import pyarrow as pa

    return pa.repeat(pa.scalar(word), rows.num_rows)


# --- tables: parents before children ---------------------------------------------------------------------------------

CLIENTS = Table(
    name="clients",
    path="clients",
    key=("client_id",),
    shape=Numbered("page", "pageSize"),
    version="updated_at",
    page_rows=100,
    is_nested=True,
    omits_nulls=True,
    columns=(
        column("client_id", "clientId", STRING, required=True),
        column("first_name", "firstName", STRING),
        column("last_name", "lastName", STRING, required=True),
        column("birth_date", "dateOfBirth", DATE),
        column("marital_status", "maritalStatus", STRING),
        column("email", "email", STRING),
        column("phone", "phone", STRING),
        column("street", "address.street", STRING),
        column("city", "address.city", STRING),
        column("state_code", "address.state", STRING),
        column("postal_code", "address.zip", STRING),
        column("owner_id", "ownerId", STRING),
        column("external_id", "externalId", STRING),
        column("spouse_first_name", "spouse.firstName", STRING),
        column("spouse_last_name", "spouse.lastName", STRING),
        column("spouse_birth_date", "spouse.dateOfBirth", DATE),
        column("spouse_email", "spouse.email", STRING),
        column("updated_at", "updatedDate", TIMESTAMP),
        ignored("address"),
        ignored("spouse"),
        ignored("previousMarriages", BOOLEAN),
        ignored("createdDate"),
    ),
)

PLANS = Table(
    name="plans",
    path="clients/{client_id}/plans",
    key=("plan_id",),
    shape=FanOut("clients"),
    version="updated_at",
    omits_nulls=True,
    parents={"client_id": "clients"},
    columns=(
        column("plan_id", "planId", STRING, required=True),
        column("client_id", "@client_id", STRING, required=True),
        column("name", "name", STRING),
        column("is_base", "isBase", BOOLEAN),
        column("created_at", "createdDate", TIMESTAMP),
        column("updated_at", "updatedDate", TIMESTAMP),
        ignored("clientId"),
    ),
)

EXPENSES = Table(
    name="expenses",
    path="clients/{client_id}/plans/{plan_id}/expenses",
    key=("plan_id", "expense_id"),
    shape=FanOut("plans"),
    omits_nulls=True,
    parents={"plan_id": "plans"},
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
        ignored("clientId"),
        ignored("planId"),
    ),
)

MONTE_CARLO = Table(
    name="monte_carlo",
    path="clients/{client_id}/plans/{plan_id}/projection/montecarlo",
    key=("plan_id",),
    # 409: the plan can't be calculated yet.
    shape=FanOut("plans", bucket="monte_carlo", missing=(404, 409)),
    omits_nulls=True,
    parents={"plan_id": "plans"},
    columns=(
        column("plan_id", "@plan_id", STRING, required=True),
        column("client_id", "@client_id", STRING, required=True),
        column("probability_ratio", "probabilityOfSuccess", PRICE, rounded=True),
        column("retirement_ratio", "retirementGoal.probabilityOfSuccess", PRICE, rounded=True),
        column("shortfall_year", "retirementGoal.firstShortfallYear", INTEGER),
        column("other_goals", "otherGoals", STRING),
        column("asked_at", "@asked_at", TIMESTAMP, required=True),
        ignored("clientId"),
        ignored("planId"),
        ignored("retirementGoal"),
        ignored("retirementGoal.hasShortfall", BOOLEAN),
        ignored("retirementGoal.meanSurplus", MONEY),
        ignored("leaveToHeirsGoal"),
        ignored("leaveToHeirsGoal.probabilityOfSuccess", PRICE),
    ),
)

GOAL_RESULTS = Table(
    name="goal_results",
    path="",
    key=("plan_id", "goal_id"),
    shape=Inside("monte_carlo", ("other_goals",)),
    omits_nulls=True,
    columns=(
        column("goal_id", "goalId", STRING, required=True),
        column("plan_id", "@plan_id", STRING, required=True),
        column("probability_ratio", "probabilityOfSuccess", PRICE, rounded=True),
        column("shortfall_usd", "meanShortfall", MONEY, rounded=True),
        column("asked_at", "@asked_at", TIMESTAMP, required=True),
        ignored("name"),
        ignored("meanSurplus", MONEY),
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
        column("asked_at", "@asked_at", TIMESTAMP, required=True),
        ignored("clientId"),
        ignored("planId"),
        ignored("goalId"),
    ),
)

ACCOUNTS = Table(
    name="accounts",
    path="clients/{client_id}/accounts",
    key=("account_id",),
    shape=FanOut("clients"),
    omits_nulls=True,
    money="value_usd",
    parents={"client_id": "clients"},
    columns=(
        column("account_id", "accountId", STRING, required=True),
        column("client_id", "@client_id", STRING, required=True),
        column("name", "name", STRING),
        sensitive("account_number", "accountNumber"),
        column("institution", "institution", STRING),
        column("account_type", "type", STRING),
        column("value_usd", "value", MONEY, rounded=True),
        column("as_of_date", "asOfDate", DATE),
        column("is_linked", "isLinked", BOOLEAN),
        column("asked_at", "@asked_at", TIMESTAMP, required=True),
        ignored("clientId"),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "household",
        "clients",
        {
            "household_key": "client_id",
            "representative_key": "owner_id",
            "name": derived(full_name, "first_name", "last_name"),
            "street": "street",
            "city": "city",
            "state_code": derived(state_code, "state_code"),
            "postal_code": "postal_code",
            "email": "email",
            "phone": "phone",
            "is_active": constant(True),
        },
    ),
    EntityMap(
        "person",
        "clients",
        {
            "person_key": "person_id",
            "household_key": "client_id",
            "name": derived(full_name, "first_name", "last_name"),
            "first_name": "first_name",
            "last_name": "last_name",
            "birth_date": "birth_date",
            "email": "email",
            "phone": "phone",
            "street": "street",
            "city": "city",
            "state_code": derived(state_code, "state_code"),
            "postal_code": "postal_code",
            "cross_references": derived(known_elsewhere, "external_id"),
        },
        split=people,
        takes=(
            "client_id",
            "first_name",
            "last_name",
            "birth_date",
            "email",
            "phone",
            "street",
            "city",
            "state_code",
            "postal_code",
            "external_id",
            "spouse_first_name",
            "spouse_last_name",
            "spouse_birth_date",
            "spouse_email",
        ),
    ),
    EntityMap(
        "plan",
        "plans",
        {
            "plan_key": "plan_id",
            "household_key": "client_id",
            "name": "name",
            "is_base": "is_base",
            "created_on": derived(day_of, "created_at"),
            "updated_on": derived(day_of, "updated_at"),
        },
    ),
    EntityMap(
        "goal",
        "expenses",
        {
            "goal_key": derived(joined, "plan_id", "expense_id"),
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
            "plan_result_key": derived(partial(by_day, word="current"), "plan_id", "asked_at"),
            "household_key": "client_id",
            "plan_key": "plan_id",
            "scenario": constant("current"),
            "probability_ratio": derived(ratio, "probability_ratio"),
            "is_stale": constant(False),
            "computed_on": derived(day_of, "asked_at"),
            "computed_at": "asked_at",
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
            "goal_result_key": derived(partial(by_day, word="retirement"), "plan_id", "asked_at"),
            "goal_key": derived(retirement_key, "plan_id"),
            "scenario": constant("current"),
            "probability_ratio": derived(ratio, "retirement_ratio"),
            "shortfall_year": derived(year, "shortfall_year"),
            "computed_on": derived(day_of, "asked_at"),
            "computed_at": "asked_at",
        },
        dropped={"no probability": derived(is_missing, "retirement_ratio")},
    ),
    EntityMap(
        "goal_result",
        "goal_results",
        {
            "goal_result_key": derived(goal_by_day, "plan_id", "goal_id", "asked_at"),
            "goal_key": derived(joined, "plan_id", "goal_id"),
            "scenario": constant("current"),
            "probability_ratio": derived(ratio, "probability_ratio"),
            "funded_ratio": derived(funded, "funding_usd", "expense_usd"),
            "shortfall_usd": "shortfall_usd",
            "computed_on": derived(day_of, "asked_at"),
            "computed_at": "asked_at",
        },
        split=with_funding,
        takes=("plan_id", "goal_id", "probability_ratio", "shortfall_usd", "asked_at"),
        beside={
            "goal_funding": Beside(
                ("plan_id", "expense_id", "funding_usd", "expense_usd"), {"plan_id": "plan_id", "expense_id": "goal_id"}
            )
        },
    ),
    EntityMap(
        "outside_account",
        "accounts",
        {
            "outside_account_key": "account_id",
            "household_key": "client_id",
            "name": "name",
            "account_number_hash": "account_number_hash",
            "account_number_last4": "account_number_last4",
            "institution": "institution",
            "account_type": "account_type",
            "is_linked": "is_linked",
        },
    ),
    EntityMap(
        "outside_value",
        "accounts",
        {
            "outside_value_key": derived(by_day, "account_id", "asked_at"),
            "outside_account_key": "account_id",
            "market_value_usd": "value_usd",
            "stated_on": "as_of_date",
            "asked_on": derived(day_of, "asked_at"),
            "asked_at": "asked_at",
        },
    ),
)

EMONEY = Vendor(
    name="emoney",
    title="eMoney Advisor",
    notes=__doc__,
    login=SignedAssertion(),
    headers={"apikey": "api_key"},
    tables=(CLIENTS, PLANS, EXPENSES, MONTE_CARLO, GOAL_RESULTS, GOAL_FUNDING, ACCOUNTS),
    maps=MAPS,
    cron="0 4 * * 6",
    # At 250 simulations an hour, 2,000 plans take eight hours.
    due={"stage": "14:00", "load": "15:00"},
    # Clients maintain their own address at eMoney.
    ranks={"": 30, "email": 5, "phone": 5},
    budget=Budget(calls_per_minute=60, burst=10, calls_per_hour={"monte_carlo": 250}),
)
