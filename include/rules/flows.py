"""Money that came from, or went to, outside the firm."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.book import USD, Book, total
from include.rules.finding import about_accounts, dollars, is_share, usd
from include.rules.policy import Policy


def find_large_deposits(book: Book, policy: Policy) -> pa.Table:
    """Much money came into an account.

    What: posted deposits of the last `flow_review_days` days by trade date, added up, so that one entered late or in
        pieces is found; against the account's value, in which they are.
    Why: new money has to be invested, and its origin known.
    Threshold: `large_flow_percent` and `large_flow_floor_usd`, both; or `large_flow_always_usd`. Measure: dollars.
    Closes: the days are over, or the deposit is reversed.
    """
    came, value = _flow(book, policy, "contribution")
    return _find(came, value, policy, "Deposits")


def find_large_withdrawals(book: Book, policy: Policy) -> pa.Table:
    """Much money left an account.

    What: as for deposits; against the account's value and what left it.
    Why: it may be a client leaving, a plan gone wrong, or theft from an older person; somebody should call.
    Threshold: as for deposits. Measure: dollars.
    Closes: the days are over, or the withdrawal is reversed.
    """
    left, value = _flow(book, policy, "distribution")
    left = left.set_column(left.schema.get_field_index("flow_usd"), "flow_usd", pc.negate(left["flow_usd"]))
    return _find(left, pc.add(value, left["flow_usd"]).cast(USD), policy, "Withdrawals")


def _flow(book: Book, policy: Policy, kind: str) -> tuple[pa.Table, pa.ChunkedArray]:
    """Accounts with their sum of one kind of flow (`flow_usd`), and their values."""
    first = pa.scalar(book.business_date - timedelta(days=policy.flow_review_days))
    recent = book.flows.filter(pc.and_(pc.greater(book.flows["trade_date"], first), pc.equal(book.flows["flow"], kind)))
    sums = total(recent, ["account_id"], {"amount_usd": USD}).rename_columns(["account_id", "flow_usd"])
    accounts = book.accounts.join(sums, "account_id", join_type="inner")
    return accounts, pc.fill_null(accounts["market_value_usd"], Decimal(0))


def _find(accounts: pa.Table, whole: pa.ChunkedArray, policy: Policy, word: str) -> pa.Table:
    accounts = accounts.append_column("whole_usd", whole)
    flow = accounts["flow_usd"]
    is_large = pc.or_(
        pc.greater_equal(flow, usd(policy.large_flow_always_usd)),
        pc.and_(
            pc.greater_equal(flow, usd(policy.large_flow_floor_usd)),
            is_share(flow, accounts["whole_usd"], policy.large_flow_percent),
        ),
    )
    large = accounts.filter(pc.and_(pc.greater(flow, usd(Decimal(0))), is_large))
    return about_accounts(
        large, large["flow_usd"],
        f"{word} of ", dollars(large["flow_usd"]), f" within {policy.flow_review_days} days, in an account of ",
        dollars(large["whole_usd"]), ".",
    )  # fmt: skip
