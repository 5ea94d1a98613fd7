"""The household view: the input of the planning and risk rules, with the data of all vendors on households and persons.

A household or person may have records at several vendors; the view has it once, under the id of the record that represents them (see
`include.identity`). The view is as of the newest business date that a current pull loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import sqlalchemy as sa

from include.database import columns
from include.rules import household_view_queries
from include.rules.policy import RESULT_DAYS
from include.rules.snapshot import SILENT, USD

RATIO = pa.decimal128(9, 8)

HOUSEHOLDS = pa.schema({"household_id": pa.int64(), "vendor": pa.string(), "representative_id": pa.int64()})
PERSONS = pa.schema(
    {
        "person_id": pa.int64(),
        "vendor": pa.string(),
        "household_id": pa.int64(),
        "representative_id": pa.int64(),
        "birth_date": pa.date32(),
    }
)
PLANS = pa.schema({"household_id": pa.int64(), "plan_id": pa.int64(), "changed_on": pa.date32()})
CHANCES = pa.schema(
    {
        "household_id": pa.int64(),
        "title": pa.string(),
        "of_id": pa.int64(),
        "computed_on": pa.date32(),
        "probability_ratio": RATIO,
        "target_low_ratio": RATIO,
    }
)
RISKS = pa.schema(
    {
        "person_id": pa.int64(),
        "portfolio_id": pa.int64(),
        "client_risk_number": pa.int64(),
        "portfolio_risk_number": pa.int64(),
    }
)
QUESTIONNAIRES = pa.schema({"person_id": pa.int64(), "version": pa.string(), "completed_on": pa.date32()})
ASSETS = pa.schema({"household_id": pa.int64(), "copied_usd": USD, "managed_usd": USD})
RETIREMENT = pa.schema(
    {"person_id": pa.int64(), "account_id": pa.int64(), "account_type": pa.string(), "market_value_usd": USD}
)
POLICIES = pa.schema(
    {
        "household_id": pa.int64(),
        "insurance_policy_id": pa.int64(),
        "death_benefit_usd": USD,
        "beneficiaries": pa.int64(),
    }
)
ENVELOPES = pa.schema(
    {
        "household_id": pa.int64(),
        "envelope_key": pa.string(),
        "purpose": pa.string(),
        "status": pa.string(),
        "sent_on": pa.date32(),
        "completed_on": pa.date32(),
        "ended_on": pa.date32(),
        "is_replaced": pa.bool_(),
        "signers": pa.int64(),
        "signed": pa.int64(),
    }
)
OPENINGS = pa.schema({"household_id": pa.int64(), "opened_on": pa.date32()})
DEALS = pa.schema(
    {
        "deal_id": pa.int64(),
        "vendor": pa.string(),
        "household_id": pa.int64(),
        "representative_id": pa.int64(),
        "won_on": pa.date32(),
        "is_served": pa.bool_(),
    }
)


@dataclass(frozen=True)
class HouseholdView:
    """The data on the firm's households and persons.

    Attributes:
        business_date: The day for which ages are computed.
        read_at: The database's time of reading.
        households: Households with their representative, and the vendor of the record that represents the household.
        persons: Persons with the same columns, and their household; null if no vendor states it.
        plans: Base plans with the date of their last change; null if the vendor does not state it.
        chances: Probabilities of success of each household's leading plan and of its goals, one row per day of the last
            `RESULT_DAYS` days. `title` names the plan or goal, `target_low_ratio` is the plan's own minimum.
        risks: Risk numbers (1-99) of each current portfolio and its owner.
        questionnaires: The effective questionnaire of each person who completed one.
        assets: One row per household and planner: the plan's value of the accounts that are also in a portfolio system, and the value
            that the portfolio systems state.
        retirement: Active accounts of persons aged 69 or older, with the person's share of the value.
        policies: Insurance policies; `beneficiaries` is the number of beneficiaries, null if the vendor does not state it.
        envelopes: Envelopes that were sent and whose household is known; `is_replaced` states whether another one was sent for the same
            purpose after it ended.
        openings: Opening date of each household's newest account, or the day on which we first saw the account.
        deals: Deals won in Salesforce with the date, their household and its representative; null if unknown. `is_served` states
            whether a portfolio system has the household.
        silent: Subjects on which no finding opens or closes, because one of their rows is a dead letter. With a null id, no finding
            closes, because the dead letter may concern any subject.
    """

    business_date: date
    read_at: datetime
    households: pa.Table
    persons: pa.Table
    plans: pa.Table
    chances: pa.Table
    risks: pa.Table
    questionnaires: pa.Table
    assets: pa.Table
    retirement: pa.Table
    policies: pa.Table
    envelopes: pa.Table
    openings: pa.Table
    deals: pa.Table
    silent: pa.Table


def read_household_view(connection: sa.Connection) -> HouseholdView | None:
    """Read the household view; return None while any vendor's newest day is not reconciled, or failed to reconcile.

    Args:
        connection: In a transaction whose statements all see the same state (REPEATABLE READ).
    """
    settled = connection.execute(household_view_queries.SETTLED_DAY).mappings().first()
    if settled is None or settled["day"] is None:
        return None
    values = {"day": settled["day"], "result_days": RESULT_DAYS}

    def read(query: str, schema: pa.Schema) -> pa.Table:
        return columns.read_table(connection, query, schema, values)

    return HouseholdView(
        business_date=settled["day"],
        read_at=settled["read_at"],
        households=read(household_view_queries.HOUSEHOLDS, HOUSEHOLDS),
        persons=read(household_view_queries.PERSONS, PERSONS),
        plans=read(household_view_queries.PLANS, PLANS),
        chances=read(household_view_queries.CHANCES, CHANCES),
        risks=read(household_view_queries.RISKS, RISKS),
        questionnaires=read(household_view_queries.QUESTIONNAIRES, QUESTIONNAIRES),
        assets=read(household_view_queries.ASSETS, ASSETS),
        retirement=read(household_view_queries.RETIREMENT, RETIREMENT),
        policies=read(household_view_queries.POLICIES, POLICIES),
        envelopes=read(household_view_queries.ENVELOPES, ENVELOPES),
        openings=read(household_view_queries.OPENINGS, OPENINGS),
        deals=read(household_view_queries.DEALS, DEALS),
        silent=read(household_view_queries.SILENT, SILENT),
    )


def find_vendors(connection: sa.Connection, view: HouseholdView, rules: list[str]) -> list[str]:
    """Return the vendors of the view's households, persons and deals, and the vendors with open findings of `rules`."""
    tables = (view.households, view.persons, view.deals)
    in_view = pa.concat_arrays([table["vendor"].combine_chunks() for table in tables])
    with_findings = connection.scalars(household_view_queries.OPEN_VENDORS, {"rules": rules})
    return sorted({*in_view.unique().to_pylist(), *with_findings})
