"""The firm's thresholds for the business rules. Each name ends with the unit. The rule that uses a threshold explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from include.errors import ConfigurationError

FLOW_DAYS = 92
"""Calendar days of deposits and withdrawals in a snapshot; `flow_review_days` can't be larger."""
RESULT_DAYS = 366
"""Calendar days of probabilities of success in a household view; `goal_fall_days` can't be larger."""

_MOST_DAYS = {"flow_review_days": FLOW_DAYS, "goal_fall_days": RESULT_DAYS}


@dataclass(frozen=True)
class Policy:
    """Thresholds, with defaults for an adviser to private households in the United States.

    If a rule has a threshold in percent and one in dollars (`_floor_usd`), a finding requires both.

    Attributes:
        aum_move_percent: Minimum move of a household's assets without deposits and withdrawals, percent.
        aum_move_floor_usd: Minimum move of a household's assets, dollars.
        negative_cash_tolerance_usd: Allowed overdraft of an account, for fees and for trades that settle tomorrow.
        excess_cash_percent: Minimum cash, percent of the account's value.
        excess_cash_floor_usd: Minimum cash, dollars.
        unfunded_days: Calendar days after its opening within which an account should be funded.
        share_tolerance_ratio: Allowed difference from 1 of the sum of an account's ownership shares (three thirds are not exactly 1).
        household_concentration_percent: Minimum share of one security in a household, percent.
        household_concentration_floor_usd: Minimum value of this security, dollars.
        account_concentration_percent: Minimum share of one security in an account, percent.
        account_concentration_floor_usd: Minimum value of this security, dollars.
        concentration_exempt_types: Diversified security types and categories, in the vendor's words.
        concentration_includes_cash: Whether cash counts as a security in the concentration rules.
        household_total_tolerance_usd: Allowed difference between the sums of a household's positions and of its account values.
        large_flow_percent: Minimum deposits or withdrawals, percent of the account's value.
        large_flow_floor_usd: Minimum deposits or withdrawals, dollars.
        large_flow_always_usd: Deposits or withdrawals that are large whatever the account's value, dollars.
        flow_review_days: Calendar days, up to the business date, whose deposits and withdrawals are added up.
        risk_gap_points: Allowed difference between a portfolio's risk number and its owner's.
        questionnaire_days: Calendar days for which a risk questionnaire is valid.
        questionnaire_versions: Questionnaire versions that are in use, in the vendor's words.
        goal_floor_percent: Required probability of success of a plan or goal, unless the plan states its own minimum.
        goal_fall_points: Minimum fall of the probability, in percentage points, from its highest value of the last `goal_fall_days`.
        goal_fall_days: Calendar days within which a fall counts.
        plan_days: Calendar days for which a financial plan is up to date.
        plan_gap_percent: Minimum difference of managed assets between plan and portfolio system, percent of the larger value.
        plan_gap_floor_usd: Minimum difference of managed assets, dollars.
        rmd_lead_days: A plan covers required distributions if it was changed in the year of the first one or later, or up to this many
            calendar days before that year.
        rmd_account_types: Types of accounts with required distributions in the owner's lifetime, in the vendors' words.
        envelope_wait_days: Calendar days that an envelope may wait for signatures.
        envelope_ended_days: Calendar days for which a declined, voided or expired envelope is a finding.
        account_opening_days: Calendar days from the last signature within which an account should be opened.
        account_opening_purposes: Purposes of envelopes, in lower case, after which an account should be opened.
        deal_household_days: Calendar days from winning a deal within which a portfolio system should have the household.
        beneficiary_floor_usd: Minimum death benefit for which a policy must name a beneficiary.
    """

    aum_move_percent: Decimal = Decimal(10)
    aum_move_floor_usd: Decimal = Decimal(50_000)
    negative_cash_tolerance_usd: Decimal = Decimal(1)
    excess_cash_percent: Decimal = Decimal(10)
    excess_cash_floor_usd: Decimal = Decimal(25_000)
    unfunded_days: int = 30
    share_tolerance_ratio: Decimal = Decimal("0.0001")
    household_concentration_percent: Decimal = Decimal(20)
    household_concentration_floor_usd: Decimal = Decimal(100_000)
    account_concentration_percent: Decimal = Decimal(35)
    account_concentration_floor_usd: Decimal = Decimal(50_000)
    concentration_exempt_types: frozenset[str] = frozenset(
        {"MutualFund", "Mutual Fund", "Open-End Fund", "ETF", "Exchange Traded Fund", "MoneyMarket", "Money Market"}
    )
    concentration_includes_cash: bool = False
    household_total_tolerance_usd: Decimal = Decimal(1)
    large_flow_percent: Decimal = Decimal(10)
    large_flow_floor_usd: Decimal = Decimal(25_000)
    large_flow_always_usd: Decimal = Decimal(250_000)
    flow_review_days: int = 7
    risk_gap_points: int = 10
    questionnaire_days: int = 365
    questionnaire_versions: frozenset[str] = frozenset({"RQ4", "RQ4 simple"})
    goal_floor_percent: Decimal = Decimal(70)
    goal_fall_points: int = 10
    goal_fall_days: int = 92
    plan_days: int = 365
    plan_gap_percent: Decimal = Decimal(10)
    plan_gap_floor_usd: Decimal = Decimal(25_000)
    rmd_lead_days: int = 365
    rmd_account_types: frozenset[str] = frozenset(
        {
            "Traditional IRA",
            "IRA",
            "IRA Rollover",
            "Rollover IRA",
            "SEP IRA",
            "SIMPLE IRA",
            "401(K)",
            "401(k)",
            "403(b)",
            "457(b)",
        }
    )
    envelope_wait_days: int = 5
    envelope_ended_days: int = 30
    account_opening_days: int = 10
    account_opening_purposes: frozenset[str] = frozenset({"account opening", "new account", "new account application"})
    deal_household_days: int = 10
    beneficiary_floor_usd: Decimal = Decimal(1)

    @classmethod
    def of(cls, overrides: Mapping[str, Any]) -> Self:
        """Return the defaults with a firm's own values applied.

        Args:
            overrides: Name -> number (or number as text), list of texts, or true/false, from JSON.

        Raises:
            ConfigurationError: A name is unknown or a value is invalid; the message lists all faults.
        """
        defaults = cls()
        known = {field.name for field in fields(cls)}
        faults = [f"{name} is not a threshold" for name in overrides if name not in known]
        values: dict[str, Any] = {}
        for name in known & set(overrides):
            try:
                values[name] = read_threshold(name, overrides[name])
            except ValueError as error:
                faults.append(f"{name} {error}")
        if faults:
            raise ConfigurationError(f"Invalid thresholds of the business rules: {'; '.join(sorted(faults))}")
        return replace(defaults, **values)


def read_threshold(name: str, value: Any) -> Any:
    """Return the value of a threshold, given as in JSON.

    Raises:
        ValueError: The value is invalid.
    """
    default = getattr(Policy(), name)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value
    if isinstance(default, frozenset):
        if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(word, str) for word in value):
            raise ValueError("must be a list of strings")
        return frozenset(value)
    number = _read_number(value)
    least, most = _bounds(name)
    if not least <= number <= most:
        raise ValueError(f"must be between {least} and {most}")
    if isinstance(default, int):
        if number != int(number):
            raise ValueError("must be a whole number")
        return int(number)
    if number.as_tuple().exponent < -4:  # type: ignore[operator]  # finite: it is within bounds
        raise ValueError("must not have more than four decimals")
    return number


def _read_number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("must be a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("must be a number") from None
    if not number.is_finite():
        raise ValueError("must be a number")
    return number


def _bounds(name: str) -> tuple[Decimal, Decimal]:
    """Return the smallest and largest valid value of a threshold, by its unit. A percentage of 0 would make everything a finding."""
    by_unit = {
        "percent": (Decimal("0.01"), Decimal(100)),
        "usd": (Decimal(0), Decimal(1_000_000_000_000)),
        "ratio": (Decimal(0), Decimal("0.1")),
        "days": (Decimal(1), Decimal(_MOST_DAYS.get(name, 3650))),
        "points": (Decimal(1), Decimal(98)),
    }
    return by_unit[name.rsplit("_", 1)[1]]
