"""Rules about negative and excess cash in accounts."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_accounts, dollars, is_share, percent, percent_of, usd
from include.rules.policy import Policy
from include.rules.snapshot import Snapshot


def find_negative_cash(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """An account is overdrawn.

    What: the cash balance that the vendor states for the account.
    Why: the custodian charges interest, or sells securities; in an IRA, the overdraft may be a prohibited loan.
    Threshold: below zero by more than `negative_cash_tolerance_usd`. Measure: dollars.
    Closes: the cash balance is back within the tolerance.
    """
    cash = snapshot.accounts["cash_usd"]
    overdrawn = snapshot.accounts.filter(pc.less(cash, usd(-policy.negative_cash_tolerance_usd)))
    cash = overdrawn["cash_usd"]
    return about_accounts(overdrawn, cash, "The cash balance is ", dollars(cash), ".")


def find_excess_cash(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """An account holds a lot of cash.

    What: the cash balance that the vendor states, compared with the account's value.
    Why: the client pays a fee for money that is not invested.
    Threshold: both `excess_cash_percent` and `excess_cash_floor_usd`. Measure: percent of the account's value.
    Closes: cash is below one of the thresholds.
    """
    held = snapshot.accounts.filter(pc.greater(snapshot.accounts["market_value_usd"], usd(Decimal(0))))
    is_excess = pc.and_(
        pc.greater_equal(held["cash_usd"], usd(policy.excess_cash_floor_usd)),
        is_share(held["cash_usd"], held["market_value_usd"], policy.excess_cash_percent),
    )
    idle = held.filter(is_excess)
    share = percent_of(idle["cash_usd"], idle["market_value_usd"])
    return about_accounts(
        idle, share,
        "Cash of ", dollars(idle["cash_usd"]), " is ", percent(share), " of the account's ",
        dollars(idle["market_value_usd"]), ".",
    )  # fmt: skip
