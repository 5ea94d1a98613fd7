"""Rules about positions that the previous day and the transactions do not explain."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_accounts
from include.rules.policy import Policy
from include.rules.snapshot import Snapshot


def find_roll_forward_breaks(snapshot: Snapshot, policy: Policy) -> pa.Table | None:
    """The units of an account's positions differ from those of the previous day plus its transactions.

    What: the roll-forward breaks that the day's reconciliation recorded, counted per account.
    Why: a transaction is missing or wrong, so that returns, cost and tax are wrong.
    Threshold: none here; the vendor's declaration sets the tolerance in units. Measure: number of positions.
    Closes: the account has no break on a later day, or after the same day is pulled again.

    Returns None if the roll-forward could not be checked for the day.
    """
    if snapshot.breaks is None:
        return None
    counted = snapshot.breaks.group_by("account_id").aggregate([([], "count_all")])
    broken = snapshot.accounts.join(counted, "account_id", join_type="inner")
    count = broken["count_all"].cast(pa.decimal128(20, 0))
    some = pc.binary_join_element_wise(count.cast(pa.string()), " positions do", "")
    subject = pc.if_else(pc.equal(broken["count_all"], 1), "1 position does", some)
    return about_accounts(broken, count, subject, " not match the previous day plus transactions.")
