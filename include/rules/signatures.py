"""Rules about signatures: envelopes that wait, envelopes that ended unsigned, and signed papers without a new account."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_households, worst_of
from include.rules.household_view import HouseholdView
from include.rules.policy import Policy

_UNNAMED = "a document"


def find_waiting_envelopes(view: HouseholdView, policy: Policy) -> pa.Table:
    """An envelope has been waiting for signatures for too long.

    What: envelopes that were sent and are not in a final state. The finding names the household's oldest one and counts the others.
    Why: an account is not opened, a transfer does not start, or the client has an open question.
    Threshold: sent more than `envelope_wait_days` ago. Measure: days since it was sent.
    Closes: the envelope is signed, or reaches another final state.
    """
    rows = view.envelopes
    is_open = pc.is_in(rows["status"], value_set=pa.array(["sent", "delivered"]))
    first = _subtract_days(view, policy.envelope_wait_days)
    late = rows.filter(pc.and_(is_open, pc.fill_null(pc.less(rows["sent_on"], first), False)))
    worst = worst_of(late, "household_id", [("sent_on", "ascending"), ("envelope_key", "ascending")])
    return about_households(
        view, worst, _count_days(view, worst["sent_on"]),
        _name_purpose(worst), " has waited for signatures since ", worst["sent_on"], f", more than {policy.envelope_wait_days} days; ",
        worst["signed"], " of ", worst["signers"], " signers have signed.", _count_others(worst, " Other waiting documents: "),
    )  # fmt: skip


def find_ended_envelopes(view: HouseholdView, policy: Policy) -> pa.Table:
    """An envelope was declined, voided or expired, and no other envelope was sent since for the same purpose.

    What: envelopes that ended without completion. The finding names the household's newest one and counts the others. Envelopes without a
        purpose are compared by their subject. Case does not matter.
    Why: the signer declined for a reason, and the document is still unsigned.
    Threshold: ended within the last `envelope_ended_days`. Measure: days since it ended.
    Closes: another envelope is sent for the same purpose, or the days have passed.
    """
    rows = view.envelopes
    is_ended = pc.is_in(rows["status"], value_set=pa.array(["declined", "voided", "expired"]))
    ended = rows.filter(
        pc.and_(is_ended, pc.greater_equal(rows["ended_on"], _subtract_days(view, policy.envelope_ended_days)))
    )
    unreplaced = ended.filter(pc.invert(ended["is_replaced"]))
    worst = worst_of(unreplaced, "household_id", [("ended_on", "descending"), ("envelope_key", "ascending")])
    return about_households(
        view, worst, _count_days(view, worst["ended_on"]),
        _name_purpose(worst), " was ", worst["status"], " on ", worst["ended_on"], " and has not been sent again.",
        _count_others(worst, " Other unsigned documents: "),
    )  # fmt: skip


def find_unopened_accounts(view: HouseholdView, policy: Policy) -> pa.Table:
    """The papers for a new account are signed, and no account was opened.

    What: completed envelopes whose purpose is one of `account_opening_purposes`, compared with the household's newest account
        in any portfolio system: its opening date, or the day on which we first saw it.
    Why: the client is waiting; the application may be stuck in a queue, or was returned.
    Threshold: completed more than `account_opening_days` ago, but within a year. Measure: days since it was completed.
    Closes: an account is opened on or after the day on which the envelope was sent.
    """
    rows = view.envelopes.join(view.openings, "household_id")
    is_for_opening = pc.is_in(
        pc.utf8_lower(pc.utf8_trim_whitespace(rows["purpose"])),
        value_set=pa.array(sorted(policy.account_opening_purposes)),
    )
    is_due = pc.and_(
        pc.less(rows["completed_on"], _subtract_days(view, policy.account_opening_days)),
        pc.greater_equal(rows["completed_on"], _subtract_days(view, 365)),
    )
    has_no_account = pc.fill_null(pc.less(rows["opened_on"], rows["sent_on"]), True)
    is_signed = pc.and_(is_for_opening, pc.equal(rows["status"], "completed"))
    unopened = rows.filter(pc.fill_null(pc.and_(pc.and_(is_signed, is_due), has_no_account), False))
    worst = worst_of(unopened, "household_id", [("completed_on", "ascending"), ("envelope_key", "ascending")])
    return about_households(
        view, worst, _count_days(view, worst["completed_on"]),
        _name_purpose(worst), " was fully signed on ", worst["completed_on"],
        f", but no account was opened within {policy.account_opening_days} days.", _count_others(worst, " Other documents: "),
    )  # fmt: skip


def _subtract_days(view: HouseholdView, days: int) -> pa.Scalar:
    return pa.scalar(view.business_date - timedelta(days=days))


def _count_days(view: HouseholdView, since: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.days_between(since, pa.scalar(view.business_date))


def _name_purpose(rows: pa.Table) -> pa.ChunkedArray:
    """Return the purpose of each envelope, capitalized to begin a sentence."""
    return pc.utf8_capitalize(pc.fill_null(rows["purpose"], _UNNAMED))


def _count_others(rows: pa.Table, words: str) -> pa.ChunkedArray:
    sentence = pc.binary_join_element_wise(words, pc.subtract(rows["count"], 1).cast(pa.string()), ".", "")
    return pc.if_else(pc.greater(rows["count"], 1), sentence, "")
