"""All that the rules of planning and risk look at: what all vendors together say of each household and person.

A household, or a person, is the one that stands for all records of it (see `include.identity`). A picture is as of the
newest business date that was loaded as the present.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import sqlalchemy as sa

from include.rules import columns, picture_reading
from include.rules.book import SILENT, USD
from include.rules.policy import RESULT_DAYS

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
class Picture:
    """What is known of the firm's households and persons.

    Attributes:
        business_date: The day for which ages are reckoned.
        read_at: The database's time at which this was so.
        households: Who looks after them, and the vendor of the record that stands for each.
        persons: The same, with their household; null where no vendor says.
        plans: Base plans, and when each was changed last; null where the vendor does not say.
        chances: Probabilities of success of the plan that leads a household and of its goals, one row a day of the last
            `RESULT_DAYS`. `title` says of what, `target_low_ratio` is the floor that the plan itself states.
        risks: Risk numbers, 1-99, of a person and of each current portfolio.
        questionnaires: The one that counts of each person who completed any.
        assets: By planner: accounts in the plan that a portfolio system knows, against what those systems state.
        retirement: Active accounts of persons near or beyond seventy, by their share.
        policies: Insurance policies; `beneficiaries` is how many one names, null where the vendor does not say.
        envelopes: What was sent to be signed of the households that it is known of.
        openings: When the newest account of a household was opened.
        deals: Deals that were won in Salesforce, and when; their household and its representative, null where we know none.
            `is_served` says whether a portfolio system has the household.
        silent: Subjects about which nothing is to be said, as in a book.
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


def read_picture(connection: sa.Connection) -> Picture | None:
    """Reads the picture; None while any vendor's newest day is not reconciled, or does not add up.

    Args:
        connection: In a transaction whose statements all see the same state (REPEATABLE READ).
    """
    settled = connection.execute(picture_reading.SETTLED_DAY).mappings().first()
    if settled is None or settled["day"] is None:
        return None
    values = {"day": settled["day"], "result_days": RESULT_DAYS}

    def read(query: str, schema: pa.Schema) -> pa.Table:
        return columns.read_table(connection, query, schema, values)

    return Picture(
        business_date=settled["day"],
        read_at=settled["read_at"],
        households=read(picture_reading.HOUSEHOLDS, HOUSEHOLDS),
        persons=read(picture_reading.PERSONS, PERSONS),
        plans=read(picture_reading.PLANS, PLANS),
        chances=read(picture_reading.CHANCES, CHANCES),
        risks=read(picture_reading.RISKS, RISKS),
        questionnaires=read(picture_reading.QUESTIONNAIRES, QUESTIONNAIRES),
        assets=read(picture_reading.ASSETS, ASSETS),
        retirement=read(picture_reading.RETIREMENT, RETIREMENT),
        policies=read(picture_reading.POLICIES, POLICIES),
        envelopes=read(picture_reading.ENVELOPES, ENVELOPES),
        openings=read(picture_reading.OPENINGS, OPENINGS),
        deals=read(picture_reading.DEALS, DEALS),
        silent=read(picture_reading.SILENT, SILENT),
    )


def find_vendors(connection: sa.Connection, picture: Picture, rules: list[str]) -> list[str]:
    """Vendors under whose name anything may be found, or was by one of `rules` and is still open."""
    tables = (picture.households, picture.persons, picture.deals)
    named = pa.concat_arrays([table["vendor"].combine_chunks() for table in tables])
    still = connection.scalars(picture_reading.OPEN_VENDORS, {"rules": rules})
    return sorted({*named.unique().to_pylist(), *still})
