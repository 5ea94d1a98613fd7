"""Retry policy: the waits between attempts, the number of attempts, and when to pause or disable a subscriber."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

from include.outbound.post import Answer

WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24, 24, 24)),
)
"""Wait after each failed attempt: the schedule of Standard Webhooks plus two days. Twelve attempts in about five days."""
JITTER = 0.2
"""Maximum fraction by which a wait is randomly shortened or extended."""
DISABLE_AFTER = timedelta(days=5)
"""A subscriber is disabled after this time without a successful delivery."""
LONGEST_RETRY_AFTER = timedelta(days=1)

_GONE = 410


@dataclass(frozen=True, slots=True)
class Verdict:
    """The consequences of an attempt for the delivery and its subscriber.

    Attributes:
        status: New status of the delivery.
        due_at: Earliest time of the next attempt, if the delivery waits; otherwise the time of this attempt.
        paused_until: End of the pause that the receiver requested (`Retry-After`); None if it requested none.
        is_gone: Whether the receiver wants no more events (HTTP 410).
    """

    status: Literal["waiting", "delivered", "dead"]
    due_at: datetime
    paused_until: datetime | None = None
    is_gone: bool = False


def evaluate(answer: Answer, tries: int, now: datetime, chance: float) -> Verdict:
    """Return the consequences of an attempt.

    Args:
        answer: The receiver's response.
        tries: Number of attempts of this delivery, including this one.
        now: Time of the attempt.
        chance: Random number from -1 to 1; the wait varies by `chance * JITTER`.
    """
    if answer.is_success:
        return Verdict("delivered", now)
    if answer.status == _GONE:
        return Verdict("waiting", now, is_gone=True)  # it waits until an operator re-enables the subscriber
    retry_at = _read_retry_after(answer.retry_after, now)
    if tries > len(WAITS):
        return Verdict("dead", now, retry_at)
    due_at = now + WAITS[tries - 1] * (1 + JITTER * chance)
    return Verdict("waiting", max(due_at, retry_at or due_at), retry_at)


def _read_retry_after(text: str | None, now: datetime) -> datetime | None:
    """Parse a `Retry-After` header, in seconds or as a date; return None if it is neither or not in the future."""
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            retry_at = now + min(timedelta(seconds=int(text[:9])), LONGEST_RETRY_AFTER)
        else:
            when = parsedate_to_datetime(text)
            retry_at = min(when.replace(tzinfo=when.tzinfo or UTC), now + LONGEST_RETRY_AFTER)
    except (ValueError, OverflowError):
        return None
    return retry_at if retry_at > now else None
