"""Signatures: asked for and not given, refused, or given and nothing came of it."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_households, worst_of
from include.rules.picture import Picture
from include.rules.policy import Policy

_UNNAMED = "a document"


def find_waiting_envelopes(picture: Picture, policy: Policy) -> pa.Table:
    """An envelope waits for signatures for too long.

    What: envelopes that were sent and have not come to an end; the oldest of a household is told, and the others counted.
    Why: an account that is not opened, a transfer that does not start, a client who has a question and does not ask.
    Threshold: sent more than `envelope_wait_days` ago. Measure: days.
    Closes: it is signed, or comes to another end.
    """
    rows = picture.envelopes
    is_open = pc.is_in(rows["status"], value_set=pa.array(["sent", "delivered"]))
    first = _before(picture, policy.envelope_wait_days)
    late = rows.filter(pc.and_(is_open, pc.fill_null(pc.less(rows["sent_on"], first), False)))
    worst = worst_of(late, "household_id", [("sent_on", "ascending"), ("envelope_key", "ascending")])
    return about_households(
        picture, worst, _age(picture, worst["sent_on"]),
        _purpose(worst), " waits for signatures since ", worst["sent_on"], f", which is more than {policy.envelope_wait_days} days; ",
        worst["signed"], " of ", worst["signers"], " have signed.", _others(worst, " Others that wait: "),
    )  # fmt: skip


def find_ended_envelopes(picture: Picture, policy: Policy) -> pa.Table:
    """A signature was declined, or the envelope was voided or ran out, and nobody has sent another for the same purpose.

    What: envelopes that came to an end without completion; the newest of a household is told, and the others counted.
    Why: somebody said no for a reason, and what was to be signed is still not.
    Threshold: within the last `envelope_ended_days`. Measure: days since.
    Closes: another is sent for the same purpose, or its days are over.
    """
    rows = picture.envelopes
    is_ended = pc.is_in(rows["status"], value_set=pa.array(["declined", "voided", "expired"]))
    ended = rows.filter(
        pc.and_(is_ended, pc.greater_equal(rows["ended_on"], _before(picture, policy.envelope_ended_days)))
    )
    newest = rows.group_by(["household_id", "purpose"]).aggregate([("sent_on", "max")])
    ended = ended.append_column("about", pc.fill_null(ended["purpose"], ""))
    newest = newest.append_column("about", pc.fill_null(newest["purpose"], "")).select(
        ["household_id", "about", "sent_on_max"]
    )
    ended = ended.join(newest, ["household_id", "about"])
    left = ended.filter(pc.fill_null(pc.less_equal(ended["sent_on_max"], ended["ended_on"]), True))
    worst = worst_of(left, "household_id", [("ended_on", "descending"), ("envelope_key", "ascending")])
    return about_households(
        picture, worst, _age(picture, worst["ended_on"]),
        _purpose(worst), " was ", worst["status"], " on ", worst["ended_on"], ", and none was sent since.",
        _others(worst, " Others that ended so: "),
    )  # fmt: skip


def find_unopened_accounts(picture: Picture, policy: Policy) -> pa.Table:
    """The papers of a new account are signed, and no account was opened.

    What: completed envelopes whose purpose is one of `account_opening_purposes`, against the newest account of the household
        in any portfolio system: its opening date, or the day on which we first saw it.
    Why: the client has signed and waits; the application may lie in a queue, or was sent back.
    Threshold: completed more than `account_opening_days` ago, within a year. Measure: days.
    Closes: an account is opened that is not older than the envelope.
    """
    rows = picture.envelopes.join(picture.openings, "household_id")
    is_meant = pc.is_in(pc.utf8_lower(rows["purpose"]), value_set=pa.array(sorted(policy.account_opening_purposes)))
    is_due = pc.and_(
        pc.less(rows["completed_on"], _before(picture, policy.account_opening_days)),
        pc.greater_equal(rows["completed_on"], _before(picture, 365)),
    )
    is_lacking = pc.fill_null(pc.less(rows["opened_on"], rows["sent_on"]), True)
    is_signed = pc.and_(is_meant, pc.equal(rows["status"], "completed"))
    lacking = rows.filter(pc.fill_null(pc.and_(pc.and_(is_signed, is_due), is_lacking), False))
    worst = worst_of(lacking, "household_id", [("completed_on", "ascending"), ("envelope_key", "ascending")])
    return about_households(
        picture, worst, _age(picture, worst["completed_on"]),
        _purpose(worst), " was signed by all on ", worst["completed_on"],
        f", and no account was opened within {policy.account_opening_days} days.", _others(worst, " Others: "),
    )  # fmt: skip


def _before(picture: Picture, days: int) -> pa.Scalar:
    return pa.scalar(picture.business_date - timedelta(days=days))


def _age(picture: Picture, since: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.days_between(since, pa.scalar(picture.business_date))


def _purpose(rows: pa.Table) -> pa.ChunkedArray:
    """What an envelope is for, with a capital, as a sentence begins."""
    return pc.utf8_capitalize(pc.fill_null(rows["purpose"], _UNNAMED))


def _others(rows: pa.Table, words: str) -> pa.ChunkedArray:
    told = pc.binary_join_element_wise(words, pc.subtract(rows["count"], 1).cast(pa.string()), ".", "")
    return pc.if_else(pc.greater(rows["count"], 1), told, "")
