"""Rules about large deposits and withdrawals."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_accounts, dollars, is_share, usd
from include.rules.policy import Policy
from include.rules.snapshot import USD, Snapshot, total


def find_large_deposits(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """An account received large deposits.

    What: the sum of posted deposits whose trade date is in the last `flow_review_days` days, compared with the account's value, which
        includes them. Because of the sum over several days, late or split deposits are also found.
    Why: new money has to be invested, and its origin known.
    Threshold: both `large_flow_percent` and `large_flow_floor_usd`; or `large_flow_always_usd`. Measure: dollars.
    Closes: the days have passed, or the deposit is reversed.
    """
    deposits, value = _sum_flows(snapshot, policy, "contribution")
    return _find(deposits, value, policy, "Deposits")


def find_large_withdrawals(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """Large withdrawals left an account.

    What: the sum of posted withdrawals as for deposits, compared with the account's value before them (its value plus the withdrawals).
    Why: the client may be leaving, may need money unexpectedly, or may be a victim of fraud; the advisor should call.
    Threshold: as for deposits. Measure: dollars.
    Closes: the days have passed, or the withdrawal is reversed.
    """
    flows, value = _sum_flows(snapshot, policy, "distribution")
    flows = flows.set_column(flows.schema.get_field_index("flow_usd"), "flow_usd", pc.negate(flows["flow_usd"]))
    return _find(flows, pc.add(value, flows["flow_usd"]).cast(USD), policy, "Withdrawals")


def _sum_flows(snapshot: Snapshot, policy: Policy, kind: str) -> tuple[pa.Table, pa.ChunkedArray]:
    """Return the accounts with flows of one kind and the sum of these flows (`flow_usd`), and the accounts' values (0 if not stated)."""
    first = pa.scalar(snapshot.business_date - timedelta(days=policy.flow_review_days))
    recent = snapshot.flows.filter(
        pc.and_(pc.greater(snapshot.flows["trade_date"], first), pc.equal(snapshot.flows["flow"], kind))
    )
    sums = total(recent, ["account_id"], {"amount_usd": USD}).rename_columns(["account_id", "flow_usd"])
    accounts = snapshot.accounts.join(sums, "account_id", join_type="inner")
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
        f"{word} of ", dollars(large["flow_usd"]), f" within {policy.flow_review_days} days; the account's value including them is ",
        dollars(large["whole_usd"]), ".",
    )  # fmt: skip
