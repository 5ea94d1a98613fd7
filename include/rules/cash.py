"""Cash of an account: less than nothing, or more than is good."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.book import Book
from include.rules.finding import about_accounts, dollars, is_share, percent, percent_of, usd
from include.rules.policy import Policy


def find_negative_cash(book: Book, policy: Policy) -> pa.Table:
    """An account is overdrawn.

    What: the cash that the vendor states for the account.
    Why: the custodian charges interest, or sells; in an IRA it may be a prohibited loan.
    Threshold: below zero by more than `negative_cash_tolerance_usd`. Measure: dollars.
    Closes: cash is back within the tolerance.
    """
    cash = book.accounts["cash_usd"]
    overdrawn = book.accounts.filter(pc.less(cash, usd(-policy.negative_cash_tolerance_usd)))
    cash = overdrawn["cash_usd"]
    return about_accounts(overdrawn, cash, "Cash is ", dollars(cash), ".")


def find_excess_cash(book: Book, policy: Policy) -> pa.Table:
    """An account holds a lot of cash.

    What: the cash that the vendor states, against the value of the account.
    Why: money that the client pays a fee for is not invested.
    Threshold: `excess_cash_percent` and `excess_cash_floor_usd`, both. Measure: percent of the account.
    Closes: cash is below one of them.
    """
    held = book.accounts.filter(pc.greater(book.accounts["market_value_usd"], usd(Decimal(0))))
    is_excess = pc.and_(
        pc.greater_equal(held["cash_usd"], usd(policy.excess_cash_floor_usd)),
        is_share(held["cash_usd"], held["market_value_usd"], policy.excess_cash_percent),
    )
    idle = held.filter(is_excess)
    share = percent_of(idle["cash_usd"], idle["market_value_usd"])
    return about_accounts(
        idle, share,
        "Cash is ", dollars(idle["cash_usd"]), ", ", percent(share), " of the account's ",
        dollars(idle["market_value_usd"]), ".",
    )  # fmt: skip
