"""Insurance policies and outside assets in MoneyGuidePro."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    INTEGER,
    MONEY,
    STRING,
    TIMESTAMP,
    EntityMap,
    FanOut,
    Table,
    column,
    derived,
    ignored,
    sensitive,
)
from include.vendors.arrays import build_daily_key, day_of, each, join_key

if TYPE_CHECKING:
    import pyarrow as pa


def beneficiaries(text: pa.Array) -> pa.Array:
    """Return the number of beneficiaries of a policy from the JSON list; null if the vendor states no list."""
    import json

    import pyarrow as pa

    return each(lambda listed: len(json.loads(listed)), text, pa.int64())


# --- tables: parents before children ---------------------------------------------------------------------------------

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
        *ignored("premiumPaid"),
        *ignored("isAsset", BOOLEAN),
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
        column("requested_at", "@requested_at", TIMESTAMP, required=True),
        *ignored("costBasis, ticker"),
        *ignored("householdId, owner", INTEGER),
        *ignored("jointOwner", BOOLEAN),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "insurance_policy",
        "insurance_policies",
        {
            "insurance_policy_key": derived(join_key, "household_id", "name", "nth"),
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
            "outside_value_key": derived(build_daily_key, "asset_key", "requested_at"),
            "outside_account_key": "asset_key",
            "market_value_usd": "current_value_usd",
            "stated_on": derived(day_of, "requested_at"),
            "requested_on": derived(day_of, "requested_at"),
            "requested_at": "requested_at",
        },
    ),
)
