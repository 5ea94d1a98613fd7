"""MoneyGuidePro (Envestnet MoneyGuide): households, their plans, the plans' inputs, and the probability of success.

Source of fields: a partner's typed model of the responses, published with the partner's API. Paths, paging and login are not public;
those here are defaults. Numbers are strings, and their scale is not public: a probability between 0 and 1 may be
a fraction, and is a dead letter. Without a recommended scenario there is no probability: missing is not zero. Goals and
policies have no ids: those with the same name are numbered in the order of their values. A response with HTTP 200 may
report that balances could not be refreshed; then the result is flagged stale.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    STRING,
    TIMESTAMP,
    Basic,
    Beside,
    Budget,
    Constant,
    Derived,
    EntityMap,
    FanOut,
    Inside,
    Table,
    Vendor,
    column,
    constant,
    derived,
    ignored,
    sensitive,
)
from include.vendors.arrays import beside, by_day, day_of, each, full_name, is_missing, joined, known_elsewhere, ratio

if TYPE_CHECKING:
    import pyarrow as pa

# --- what only MoneyGuidePro needs -----------------------------------------------------------------------------------

# "$85,000 / yr from 2031", "$1.2M in 2050", "67 (2046)"; the suite of the goals accepts the same formats.
WORDING = (
    r"^(?:\$(?P<amount>[0-9][0-9,]{0,10}(?:\.[0-9]{1,4})?)(?P<million>M?) (?P<how>/ yr from|in) (?P<year>[12][0-9]{3})"
    r"|[0-9]{2,3} \((?P<at>[12][0-9]{3})\))$"
)


def amount(wording: pa.Array) -> pa.Array:
    """Return the dollars in a goal's text; null for an age."""
    import pyarrow as pa
    import pyarrow.compute as pc

    said = pc.extract_regex(wording, WORDING)
    number = pc.replace_substring(pc.struct_field(said, "amount"), ",", "")
    dollars = pc.if_else(pc.equal(number, ""), None, number).cast(pa.decimal128(18, 4))
    millions = pc.multiply(dollars, pa.scalar(Decimal(1_000_000))).cast(pa.decimal128(28, 4))
    named = pc.if_else(pc.equal(pc.struct_field(said, "million"), "M"), millions, dollars.cast(millions.type))
    return pc.round(named, 2, round_mode="half_to_even")


def start_year(wording: pa.Array) -> pa.Array:
    """Return the start year in a goal's text."""
    return each(lambda text: _year(text, "year") or _year(text, "at"), wording, _int64())


def end_year(wording: pa.Array) -> pa.Array:
    """Return the end year of a one-time goal, which is its start year; null for other goals."""
    return each(lambda text: _year(text, "year") if " in " in text else None, wording, _int64())


def is_stale(status: pa.Array) -> pa.Array:
    """Return whether the vendor could not refresh balances."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.not_equal(status, "Success"), True)


def beneficiaries(text: pa.Array) -> pa.Array:
    """Return the number of beneficiaries of a policy."""
    import json

    return each(lambda listed: len(json.loads(listed)), text, _int64())


def with_household(summaries: pa.Table, households: pa.Table) -> pa.Table:
    """Join plan summaries with their households, which have the time of the last change."""
    return beside(
        summaries, households.set_column(0, "household_id", households["household_id"].cast("string")), ["household_id"]
    )


def _year(text: str, name: str) -> int | None:
    match = re.match(WORDING, text)
    return int(match[name]) if match and match[name] else None


def _int64() -> pa.DataType:
    import pyarrow as pa

    return pa.int64()


# --- tables: parents before children ---------------------------------------------------------------------------------

HOUSEHOLDS = Table(
    name="households",
    path="Households",
    key=("household_id",),
    is_nested=True,
    omits_nulls=True,
    columns=(
        column("household_id", "householdId", INTEGER, required=True),
        column("integration_key", "integrationKey", STRING),
        column("name", "name", STRING, required=True),
        column("advisor_id", "advisorId", STRING),
        column("participants", "participants", STRING),
        column("last_modified", "lastModified", TIMESTAMP),
    ),
)

PARTICIPANTS = Table(
    name="participants",
    path="",
    key=("participant_id",),
    shape=Inside("households", ("participants",)),
    omits_nulls=True,
    dates="us",
    columns=(
        column("participant_id", "participantId", INTEGER, required=True),
        column("household_id", "@household_id", INTEGER, required=True),
        column("integration_key", "@integration_key", STRING),
        column("participant_type", "participantType", INTEGER),
        column("first_name", "firstName", STRING),
        column("last_name", "lastName", STRING),
        column("birth_date", "dob", DATE),
        column("email", "email", STRING),
        column("sex", "sex", INTEGER),
        ignored("maritalStatus"),
    ),
)

METERS = Table(
    name="meters",
    path="Households/{household_id}/MonteCarloMeter",
    params={"includeImage": "false"},
    key=("household_id",),
    shape=FanOut("households"),
    omits_nulls=True,
    columns=(
        column("household_id", "@household_id", STRING, required=True),
        column("probability", "probabilityOfSuccess", STRING),
        column("refresh_status", "refreshPositionsResponse.status", STRING),
        column("asked_at", "@asked_at", TIMESTAMP, required=True),
        ignored("householdId", INTEGER),
        ignored("targetRangeLow"),
        ignored("targetRangeHigh"),
        ignored("targetText"),
        ignored("highlightHtmlColor"),
        ignored("image"),
        ignored("imageExtension"),
        ignored("isLegacyImage", BOOLEAN),
        ignored("refreshPositionsResponse"),
        ignored("refreshPositionsResponse.messages"),
    ),
)

_METER = (
    "probabilityOfSuccess", "targetRangeLow", "targetRangeHigh", "targetText", "highlightHtmlColor", "image", "imageExtension",
    "refreshPositionsResponse", "refreshPositionsResponse.status", "refreshPositionsResponse.messages",
)  # fmt: skip

PLAN_SUMMARIES = Table(
    name="plan_summaries",
    path="Households/{household_id}/PlanSummary",
    key=("household_id",),
    shape=FanOut("households"),
    omits_nulls=True,
    columns=(
        column("household_id", "@household_id", STRING, required=True),
        column("categories", "categories", STRING),
        column("probability", "results.current.monteCarloMeter.probabilityOfSuccess", STRING),
        column("target_low", "results.monteCarloTargetRangeLow", STRING),
        column("target_high", "results.monteCarloTargetRangeHigh", STRING),
        column("refresh_status", "refreshPositionsResponse.status", STRING),
        column("asked_at", "@asked_at", TIMESTAMP, required=True),
        ignored("householdId", INTEGER),
        ignored("results"),
        ignored("results.current"),
        ignored("results.recommended"),
        ignored("results.current.calculations"),
        ignored("results.recommended.calculations"),
        ignored("results.current.monteCarloMeter"),
        ignored("results.recommended.monteCarloMeter"),
        ignored("results.current.monteCarloMeter.isLegacyImage", BOOLEAN),
        ignored("results.recommended.monteCarloMeter.isLegacyImage", BOOLEAN),
        *(ignored(f"results.current.monteCarloMeter.{name}") for name in _METER[1:]),
        *(ignored(f"results.recommended.monteCarloMeter.{name}") for name in _METER),
        ignored("refreshPositionsResponse"),
        ignored("refreshPositionsResponse.messages"),
    ),
)

GOALS = Table(
    name="goals",
    path="",
    key=("household_id", "topic", "name", "nth"),
    shape=Inside("plan_summaries", ("categories",), ("topics", "items")),
    omits_nulls=True,
    parents={"household_id": "plan_summaries"},
    columns=(
        column("household_id", "@household_id", STRING, required=True),
        column("topic", "^description", STRING, required=True),
        column("name", "description", STRING, required=True),
        column("nth", "@nth", INTEGER, required=True),
        column("wording", "current", STRING),
        column("recommended_wording", "recommended", STRING),
        ignored("^current"),
        ignored("^recommended"),
        ignored("^changes"),
        ignored("^^description"),
        ignored("changes"),
        ignored("details"),
    ),
)

INSURANCE_POLICIES = Table(
    name="insurance_policies",
    path="Households/{household_id}/InsurancePolicies",
    key=("household_id", "name", "nth"),
    shape=FanOut("households"),
    rows="policies",
    omits_nulls=True,
    columns=(
        column("household_id", "@household_id", STRING, required=True),
        column("name", "name", STRING, required=True),
        column("nth", "@nth", INTEGER, required=True),
        column("policy_type", "typeName", STRING),
        column("owner_name", "ownerName", STRING),
        column("insured_name", "insuredName", STRING),
        column("annual_premium_usd", "annualPremium", MONEY, rounded=True),
        column("cash_value_usd", "cashValue", MONEY, rounded=True),
        column("death_benefit_usd", "deathBenefit", MONEY, rounded=True),
        column("beneficiaries", "beneficiaries", STRING),
        ignored("isAsset", BOOLEAN),
        ignored("premiumPaid"),
    ),
)

ASSETS = Table(
    name="assets",
    path="Households/{household_id}/Assets",
    key=("asset_key",),
    shape=FanOut("households"),
    omits_nulls=True,
    money="current_value_usd",
    columns=(
        column("asset_key", "assetKey", STRING, required=True),
        column("household_id", "@household_id", STRING, required=True),
        sensitive("account_number", "accountNumber"),
        column("asset_type", "type", STRING),
        column("current_value_usd", "currentValue", MONEY, rounded=True),
        column("asked_at", "@asked_at", TIMESTAMP, required=True),
        ignored("householdId", INTEGER),
        ignored("owner", INTEGER),
        ignored("jointOwner", BOOLEAN),
        ignored("costBasis"),
        ignored("ticker"),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

# Columns that both scenarios of a plan share.
_RESULT: dict[str, str | Derived | Constant] = {
    "household_key": "household_id",
    "plan_key": "household_id",
    "probability_ratio": derived(ratio, "probability"),
    "probability_text": "probability",
    "is_stale": derived(is_stale, "refresh_status"),
    "computed_on": derived(day_of, "asked_at"),
    "computed_at": "asked_at",
}

MAPS = (
    EntityMap(
        "household",
        "households",
        {
            "household_key": "household_id",
            "representative_key": "advisor_id",
            "name": "name",
            "is_active": constant(True),
        },
    ),
    EntityMap(
        "person",
        "participants",
        {
            "person_key": "participant_id",
            "household_key": "household_id",
            "name": derived(full_name, "first_name", "last_name"),
            "first_name": "first_name",
            "last_name": "last_name",
            "birth_date": "birth_date",
            "email": "email",
            "cross_references": derived(known_elsewhere, "integration_key"),
        },
    ),
    EntityMap(
        "plan",
        "plan_summaries",
        {
            "plan_key": "household_id",
            "household_key": "household_id",
            "name": constant("MoneyGuidePro plan"),
            "is_base": constant(True),
            "target_low_ratio": derived(ratio, "target_low"),
            "target_high_ratio": derived(ratio, "target_high"),
            "updated_on": derived(day_of, "last_modified"),
        },
        split=with_household,
        takes=("household_id", "target_low", "target_high", "probability"),
        beside={"households": Beside(("household_id", "last_modified"), {"household_id": "household_id"})},
        dropped={"no plan": derived(is_missing, "probability")},
    ),
    EntityMap(
        "plan_result",
        "plan_summaries",
        {
            "plan_result_key": derived(partial(by_day, word="current"), "household_id", "asked_at"),
            "scenario": constant("current"),
            **_RESULT,
        },
        dropped={"no plan": derived(is_missing, "probability")},
    ),
    EntityMap(
        "plan_result",
        "meters",
        {
            "plan_result_key": derived(partial(by_day, word="recommended"), "household_id", "asked_at"),
            "scenario": constant("recommended"),
            **_RESULT,
        },
        dropped={"no recommended scenario": derived(is_missing, "probability")},
    ),
    EntityMap(
        "goal",
        "goals",
        {
            "goal_key": derived(joined, "household_id", "topic", "name", "nth"),
            "household_key": "household_id",
            "plan_key": "household_id",
            "name": "name",
            "goal_type": "topic",
            "amount_usd": derived(amount, "wording"),
            "start_year": derived(start_year, "wording"),
            "end_year": derived(end_year, "wording"),
            "wording": "wording",
        },
    ),
    EntityMap(
        "insurance_policy",
        "insurance_policies",
        {
            "insurance_policy_key": derived(joined, "household_id", "name", "nth"),
            "household_key": "household_id",
            "name": "name",
            "policy_type": "policy_type",
            "owner_name": "owner_name",
            "insured_name": "insured_name",
            "annual_premium_usd": "annual_premium_usd",
            "cash_value_usd": "cash_value_usd",
            "death_benefit_usd": "death_benefit_usd",
            "beneficiaries": derived(beneficiaries, "beneficiaries"),
        },
    ),
    EntityMap(
        "outside_account",
        "assets",
        {
            "outside_account_key": "asset_key",
            "household_key": "household_id",
            "name": "asset_type",
            "account_number_hash": "account_number_hash",
            "account_number_last4": "account_number_last4",
            "account_type": "asset_type",
        },
    ),
    EntityMap(
        "outside_value",
        "assets",
        {
            "outside_value_key": derived(by_day, "asset_key", "asked_at"),
            "outside_account_key": "asset_key",
            "market_value_usd": "current_value_usd",
            "stated_on": derived(day_of, "asked_at"),
            "asked_on": derived(day_of, "asked_at"),
            "asked_at": "asked_at",
        },
    ),
)

MONEYGUIDEPRO = Vendor(
    name="moneyguidepro",
    title="MoneyGuidePro",
    notes=__doc__,
    login=Basic(),
    headers={"institutionId": "institution_id"},
    tables=(HOUSEHOLDS, PARTICIPANTS, METERS, PLAN_SUMMARIES, GOALS, INSURANCE_POLICIES, ASSETS),
    maps=MAPS,
    cron="0 5 * * 6",
    ranks={"": 40},
    # The vendor publishes no limit; this is ours, and the connection may lower it.
    budget=Budget(calls_per_minute=300, burst=20),
)
