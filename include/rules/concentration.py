"""Rules about concentration in one security, in a household and in an account."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import Words, about_accounts, about_households, dollars, is_share, percent, percent_of, usd
from include.rules.policy import Policy
from include.rules.snapshot import USD, Snapshot, total


def find_household_concentration(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """A household has too much in one security.

    What: the value of one security in all accounts of the household, compared with the value of all its positions; both are weighted by
        the household's shares of the accounts. Cash and diversified securities (`concentration_exempt_types`) are not evaluated, but
        they count in the total. The finding names the largest security.
    Why: one company's loss becomes the family's; a fiduciary must have discussed it.
    Threshold: both `household_concentration_percent` and `household_concentration_floor_usd`. Measure: percent.
    Closes: no security reaches both thresholds.
    """
    pairs = _select_evaluated(snapshot, policy).join(snapshot.shares, "account_id", join_type="inner")
    pairs = pairs.append_column("part_usd", pc.multiply(pairs["market_value_usd"], pairs["share_ratio"]))
    held = total(pairs, ["household_id", "security_id"], {"part_usd": USD})
    whole = snapshot.sum_owned(snapshot.held, "held_usd")
    floor, least = policy.household_concentration_floor_usd, policy.household_concentration_percent
    worst = _find_largest(snapshot, held, whole, "household_id", floor, least)
    return about_households(snapshot, worst, worst["share"], *_describe(worst, "household"))


def find_account_concentration(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """An account has too much in one security.

    What: the value of one security, compared with the value of all positions of the account. The same securities are evaluated as for a
        household.
    Why: an account has its own mandate, whatever else the family holds.
    Threshold: both `account_concentration_percent` and `account_concentration_floor_usd`. Measure: percent.
    Closes: no security reaches both thresholds.
    """
    evaluated = _select_evaluated(snapshot, policy).rename_columns({"market_value_usd": "part_usd"})
    held = total(evaluated, ["account_id", "security_id"], {"part_usd": USD})
    floor, least = policy.account_concentration_floor_usd, policy.account_concentration_percent
    worst = _find_largest(snapshot, held, snapshot.held, "account_id", floor, least)
    ids = snapshot.accounts.select(["account_id", "household_id", "representative_id"])
    worst = worst.join(ids, "account_id", join_type="inner")
    return about_accounts(worst, worst["share"], *_describe(worst, "account"))


def _select_evaluated(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """Return the positions without diversified securities and (by default) cash: account_id, security_id, market_value_usd."""
    exempt = pa.array(sorted(policy.concentration_exempt_types), pa.string())
    securities = snapshot.securities
    spreads = pc.or_(
        pc.is_in(securities["category"], value_set=exempt), pc.is_in(securities["security_type"], value_set=exempt)
    )
    is_evaluated = pc.invert(
        pc.is_in(snapshot.positions["security_id"], value_set=securities["security_id"].filter(spreads))
    )
    if not policy.concentration_includes_cash:
        is_evaluated = pc.and_(is_evaluated, pc.invert(snapshot.positions["is_cash"]))
    return snapshot.positions.drop_columns("is_cash").filter(is_evaluated)


def _find_largest(
    snapshot: Snapshot, held: pa.Table, whole: pa.Table, by: str, floor: Decimal, least: Decimal
) -> pa.Table:
    """Return the households or accounts with a security that reaches both thresholds, one row each.

    Args:
        snapshot: The day.
        held: Value of each security by subject, `part_usd`.
        whole: Value of all positions by subject, `held_usd`.
        by: Column of the subject: `household_id` or `account_id`.
        floor: Minimum value of the security, dollars.
        least: Minimum share of the security, percent.

    Returns:
        The columns of `held` and `whole` for the largest such security, its `title` and `share` (percent), and `count`: the number of such
        securities.
    """
    held = held.filter(pc.greater_equal(held["part_usd"], usd(floor)))
    both = held.join(whole, by, join_type="inner")
    both = both.filter(pc.greater(both["held_usd"], usd(Decimal(0))))
    beyond = both.filter(is_share(both["part_usd"], both["held_usd"], least))
    ordered = beyond.sort_by([("part_usd", "descending"), ("security_id", "ascending")])
    ordered = ordered.append_column("place", pa.array(range(ordered.num_rows), pa.int64()))
    first = ordered.group_by(by).aggregate([("place", "min"), ("place", "count")])
    worst = ordered.take(first["place_min"]).append_column("count", first["place_count"])
    worst = worst.join(snapshot.securities.select(["security_id", "title"]), "security_id")
    return worst.append_column("share", percent_of(worst["part_usd"], worst["held_usd"]))


def _describe(worst: pa.Table, holder: str) -> tuple[Words, ...]:
    more = pc.subtract(worst["count"], 1).cast(pa.string())
    others = pc.binary_join_element_wise(" Other securities above the limit: ", more, ".", "")
    return (
        worst["title"], " is ", percent(worst["share"]), " (", dollars(worst["part_usd"]), f") of the {holder}'s ",
        dollars(worst["held_usd"]), ".", pc.if_else(pc.greater(worst["count"], 1), others, ""),
    )  # fmt: skip
