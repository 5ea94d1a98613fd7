"""Positions that yesterday and the transactions do not explain."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.book import Book
from include.rules.finding import about_accounts
from include.rules.policy import Policy


def find_roll_forward_breaks(book: Book, policy: Policy) -> pa.Table | None:
    """Units of an account's positions are not those of the day before plus its transactions.

    What: the breaks that the reconciliation of the day's own run listed, counted by account.
    Why: a transaction is missing or wrong, so that returns, cost and tax are too.
    Threshold: none here; the vendor's declaration says by how many units a position may differ. Measure: positions.
    Closes: a day, or the same day pulled again, rolls forward.
    """
    if book.breaks is None:
        return None
    counted = book.breaks.group_by("account_id").aggregate([([], "count_all")])
    broken = book.accounts.join(counted, "account_id", join_type="inner")
    count = broken["count_all"].cast(pa.decimal128(20, 0))
    some = pc.binary_join_element_wise(count.cast(pa.string()), " positions do", "")
    subject = pc.if_else(pc.equal(broken["count_all"], 1), "1 position does", some)
    return about_accounts(broken, count, subject, " not follow from the day before and its transactions.")
