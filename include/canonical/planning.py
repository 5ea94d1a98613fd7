"""Planning entities. A plan is a description, so a pull of an unchanged plan creates no version. Its results are events."""

from __future__ import annotations

from include.canonical.entity import RATIO, Entity, references
from include.contract import BOOLEAN, DATE, INTEGER, MONEY, STRING, TIMESTAMP

PLANNING: tuple[Entity, ...] = (
    Entity(
        "plan",
        "description",
        {
            "name": STRING,
            "is_base": BOOLEAN,
            "target_low_ratio": RATIO,
            "target_high_ratio": RATIO,
            # In New York.
            "created_on": DATE,
            # In New York.
            "updated_on": DATE,
        },
        references("household"),
    ),
    Entity(
        "goal",
        "description",
        {
            "name": STRING,
            "goal_type": STRING,
            # Dollars per year; paid once if the start and end years are equal.
            "amount_usd": MONEY,
            "start_year": INTEGER,
            "end_year": INTEGER,
            "priority": INTEGER,
            # The vendor's text, if it sends one.
            "wording": STRING,
        },
        references("household", "plan"),
    ),
    Entity(
        "plan_result",
        "event",
        {
            # current or recommended.
            "scenario": STRING,
            # Probability of success, 0-1; null if the vendor sends none, which is not zero.
            "probability_ratio": RATIO,
            "probability_text": STRING,
            # Whether the vendor computed it from balances that it could not refresh.
            "is_stale": BOOLEAN,
            "computed_on": DATE,
            "computed_at": TIMESTAMP,
        },
        references("household", "plan"),
        dated="computed_on",
        version="computed_at",
        is_observed=True,
    ),
    Entity(
        "goal_result",
        "event",
        {
            "scenario": STRING,
            "probability_ratio": RATIO,
            # Money set aside for the goal divided by its cost; above 1 if overfunded.
            "funded_ratio": "decimal(12,8)",
            "shortfall_year": INTEGER,
            "shortfall_usd": MONEY,
            "computed_on": DATE,
            "computed_at": TIMESTAMP,
        },
        references("goal"),
        dated="computed_on",
        version="computed_at",
        is_observed=True,
    ),
    Entity(
        "outside_account",
        "description",
        {
            "name": STRING,
            "account_number_hash": STRING,
            "account_number_last4": STRING,
            "institution": STRING,
            "account_type": STRING,
            "is_linked": BOOLEAN,
        },
        references("household"),
        sticky=("account_number_hash", "account_number_last4"),
    ),
    Entity(
        "outside_value",
        "event",
        {"market_value_usd": MONEY, "stated_on": DATE, "requested_on": DATE, "requested_at": TIMESTAMP},
        references("outside_account"),
        dated="requested_on",
        version="requested_at",
        is_observed=True,
        money="market_value_usd",
    ),
    Entity(
        "insurance_policy",
        "description",
        {
            "name": STRING,
            "policy_type": STRING,
            "owner_name": STRING,
            "insured_name": STRING,
            "annual_premium_usd": MONEY,
            "cash_value_usd": MONEY,
            "death_benefit_usd": MONEY,
            "beneficiaries": INTEGER,
        },
        references("household"),
    ),
)
