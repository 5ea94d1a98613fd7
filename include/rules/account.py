"""Rules about accounts that are empty, have no owner, were closed, or are missing from the vendor's pull."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_accounts, dollars, usd
from include.rules.policy import Policy
from include.rules.snapshot import SUM_OF_SHARES, USD, Snapshot, to_decimal, total


def find_unfunded(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """An open account is empty.

    What: active accounts, opened at least `unfunded_days` ago, with a value of exactly 0 (or no value from the vendor). Accounts
        that were emptied and left open are included; accounts that the vendor no longer lists are excluded.
    Why: a transfer failed, or paperwork is missing; an empty account costs the client a fee.
    Threshold: `unfunded_days` calendar days from the opening. Measure: dollars.
    Closes: the account has a value, or is closed.
    """
    due = pa.scalar(snapshot.business_date - timedelta(days=policy.unfunded_days))
    accounts = snapshot.accounts.filter(
        pc.and_(snapshot.accounts["is_active"], pc.is_null(snapshot.accounts["absent_since"]))
    )
    is_old = pc.less_equal(accounts["open_date"], due)
    is_empty = pc.equal(pc.fill_null(accounts["market_value_usd"], Decimal(0)), usd(Decimal(0)))
    unfunded = accounts.filter(pc.and_(is_old, is_empty))
    nothing = pc.fill_null(unfunded["market_value_usd"], Decimal(0))
    return about_accounts(
        unfunded, nothing,
        "Opened on ", unfunded["open_date"], f"; still empty after {policy.unfunded_days} days.",
    )  # fmt: skip


def find_unowned(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """An active account has no owner, or its owners' shares do not add up to the whole.

    What: the sum of the account's ownership shares. Only shares of owners whose household is known are added.
    Why: a share without an owner is missing from every household's assets; a share with two owners counts twice.
    Threshold: the sum differs from 1 by more than `share_tolerance_ratio`. Measure: sum of the shares, a ratio.
    Closes: the shares add up to 1, or the account is closed.
    """
    owned = total(snapshot.shares, ["account_id"], {"share_ratio": SUM_OF_SHARES})
    accounts = snapshot.accounts.filter(snapshot.accounts["is_active"]).join(owned, "account_id")
    accounts = accounts.append_column("owned_ratio", pc.fill_null(accounts["share_ratio"], Decimal(0)))
    off = pc.abs(pc.subtract(accounts["owned_ratio"], pa.scalar(Decimal(1), SUM_OF_SHARES)))
    unowned = accounts.filter(pc.greater(off, pa.scalar(policy.share_tolerance_ratio, SUM_OF_SHARES)))
    owned_ratio = to_decimal(unowned["owned_ratio"], pa.decimal128(8, 4))
    has_no_owner = pc.equal(unowned["owned_ratio"], pa.scalar(Decimal(0), SUM_OF_SHARES))
    some = pc.binary_join_element_wise("Owners' shares add up to ", owned_ratio.cast(pa.string()), " instead of 1.", "")
    return about_accounts(unowned, owned_ratio, pc.if_else(has_no_owner, "The account has no owner.", some))


def find_closed(snapshot: Snapshot, policy: Policy) -> pa.Table | None:
    """An account was closed.

    What: accounts that were active on the previous day and are not active today. A backdated closing is found on the day on which
        the vendor reports it.
    Why: assets leave; standing orders, billing and beneficiaries must follow.
    Threshold: none. Measure: the account's value on the previous day, dollars.
    Closes: after the rule's `open_days`, because a closing is an event of one day.

    Returns None if there is no previous day to compare with.
    """
    if snapshot.before is None:
        return None
    closed = snapshot.accounts.filter(
        pc.and_(snapshot.accounts["was_active"], pc.invert(snapshot.accounts["is_active"]))
    )
    held = pc.fill_null(closed["before_usd"], Decimal(0)).cast(USD)
    on = pc.fill_null(closed["close_date"].cast(pa.string()), f"{snapshot.business_date}")
    return about_accounts(closed, held, "Closed on ", on, f". Value on {snapshot.before}: ", dollars(held), ".")


def find_absent(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """The vendor no longer lists an account, and never reported it as closed.

    What: accounts that were active when they were last listed, and are missing from the newest full pull of accounts. An account
        whose row is unreadable is not missing.
    Why: the account was deleted, or merged into another. Salesforce still shows its last value, which no vendor confirms now.
        Nothing is deleted automatically.
    Threshold: none. Measure: the account's value on the previous day, dollars; 0 if it had none.
    Closes: the vendor lists the account again, or it is ended in the warehouse.
    """
    absent = snapshot.accounts.filter(
        pc.and_(snapshot.accounts["is_active"], pc.is_valid(snapshot.accounts["absent_since"]))
    )
    held = pc.fill_null(absent["before_usd"], Decimal(0)).cast(USD)
    return about_accounts(
        absent, held, "Missing from the vendor's data since ", absent["absent_since"], ", but not reported as closed."
    )
