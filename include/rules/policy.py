"""The firm's thresholds: one number, one name, its unit in the name. The rule that reads it says what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from include.errors import ConfigurationError

FLOW_DAYS = 92
"""Calendar days for which a book holds deposits and withdrawals: the most that `flow_review_days` can be."""
RESULT_DAYS = 366
"""Calendar days for which a picture holds probabilities: the most that `goal_fall_days` can be."""

_MOST_DAYS = {"flow_review_days": FLOW_DAYS, "goal_fall_days": RESULT_DAYS}


@dataclass(frozen=True)
class Policy:
    """Thresholds with defaults for an adviser to private households in the United States.

    Attributes:
        aum_move_percent: A household's assets moved at least so much, without deposits and withdrawals ...
        aum_move_floor_usd: ... and at least so many dollars.
        negative_cash_tolerance_usd: An account may be overdrawn by so much (fees and trades that settle tomorrow).
        excess_cash_percent: Cash is at least so much of an account ...
        excess_cash_floor_usd: ... and at least so many dollars.
        unfunded_days: Calendar days from its opening in which an account is expected to be funded.
        share_tolerance_ratio: By how much the owners' shares of an account may miss 1 (thirds do).
        household_concentration_percent: One security is at least so much of a household ...
        household_concentration_floor_usd: ... and at least so many dollars.
        account_concentration_percent: One security is at least so much of an account ...
        account_concentration_floor_usd: ... and at least so many dollars.
        concentration_exempt_types: Security types and categories, in the vendor's words, that spread risk themselves.
        concentration_includes_cash: Whether cash counts as a security that one can hold too much of.
        household_total_tolerance_usd: By how much a household's positions and its accounts' values may differ.
        large_flow_percent: Deposits, or withdrawals, are at least so much of the account ...
        large_flow_floor_usd: ... and at least so many dollars ...
        large_flow_always_usd: ... or at least so many dollars, whatever the account's size.
        flow_review_days: Calendar days, up to the business date, whose deposits and withdrawals are added up.
        risk_gap_points: A portfolio's risk number may differ from its owner's by so much.
        questionnaire_days: A risk questionnaire holds for so many calendar days.
        questionnaire_versions: Versions of it that are in use, in the vendor's words.
        goal_floor_percent: A plan or goal succeeds at least so likely, unless the plan states a floor of its own.
        goal_fall_points: Its probability fell by so many points (of a hundred) ...
        goal_fall_days: ... from the highest of so many calendar days.
        plan_days: A financial plan holds for so many calendar days.
        plan_gap_percent: Managed assets in the plan and in the portfolio system differ by so much of the larger ...
        plan_gap_floor_usd: ... and by at least so many dollars.
        rmd_lead_days: A plan changed so many calendar days before the year of the first required distribution knows of it.
        rmd_account_types: Types of account, in the vendors' words, that must pay out in their owner's life.
        envelope_wait_days: Calendar days that an envelope may wait for signatures.
        envelope_ended_days: Calendar days for which one that was declined, voided or ran out is told of.
        account_opening_days: Calendar days from the last signature in which an account is expected to be opened.
        account_opening_purposes: Purposes of envelopes, in small letters, after which an account is opened.
        deal_household_days: Calendar days from winning a deal in which a portfolio system is expected to have the household.
        beneficiary_floor_usd: The death benefit from which on a policy must name a beneficiary.
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
        """Returns the defaults with a firm's own values, as they stand in JSON.

        Args:
            overrides: Name -> number (or number as text), list of texts, or true/false.

        Raises:
            ConfigurationError: A name that is no threshold, or a value that makes no sense; all of them are named.
        """
        defaults = cls()
        known = {field.name for field in fields(cls)}
        faults = [f"{name} is no threshold" for name in overrides if name not in known]
        read: dict[str, Any] = {}
        for name in known & set(overrides):
            try:
                read[name] = _read(name, overrides[name], getattr(defaults, name))
            except ValueError as error:
                faults.append(f"{name} {error}")
        if faults:
            raise ConfigurationError(f"The rules' thresholds are wrong: {'; '.join(sorted(faults))}")
        return replace(defaults, **read)


def _read(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value
    if isinstance(default, frozenset):
        if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(word, str) for word in value):
            raise ValueError("must be a list of texts")
        return frozenset(value)
    number = _read_number(value)
    least, most = _bounds(name)
    if not least <= number <= most:
        raise ValueError(f"must lie between {least} and {most}")
    if isinstance(default, int):
        if number != int(number):
            raise ValueError("must be a whole number")
        return int(number)
    if number.as_tuple().exponent < -4:  # type: ignore[operator]  # finite: it lies between bounds
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
    """What makes sense, by unit. A percentage of 0 would find everything; a fall can't be more than all."""
    by_unit = {
        "percent": (Decimal("0.01"), Decimal(100)),
        "usd": (Decimal(0), Decimal(1_000_000_000_000)),
        "ratio": (Decimal(0), Decimal("0.1")),
        "days": (Decimal(1), Decimal(_MOST_DAYS.get(name, 3650))),
        "points": (Decimal(1), Decimal(98)),
    }
    return by_unit[name.rsplit("_", 1)[1]]
