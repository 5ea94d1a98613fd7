"""What follows from a receiver's answer: the waits, the end of patience, and when a receiver is left alone."""

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
"""After each try that failed: what Standard Webhooks propose, and two days more. Twelve tries in about five days."""
JITTER = 0.2
"""A wait is longer or shorter by up to this share."""
DISABLE_AFTER = timedelta(days=5)
"""Without a single success."""
LONGEST_RETRY_AFTER = timedelta(days=1)

_GONE = 410


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery, and of its subscriber.

    Attributes:
        status: Of the delivery.
        due_at: Of its next try, if it waits.
        paused_until: Until when the receiver asks to be left alone.
        is_gone: Whether it wants nothing any more.
    """

    status: Literal["waiting", "delivered", "dead"]
    due_at: datetime
    paused_until: datetime | None = None
    is_gone: bool = False


def judge(answer: Answer, tries: int, now: datetime, chance: float) -> Verdict:
    """Judges a try.

    Args:
        answer: What the receiver said.
        tries: How many there have been, with this one.
        now: When.
        chance: From -1 to 1: by how much of the jitter the wait changes.
    """
    if answer.is_success:
        return Verdict("delivered", now)
    if answer.status == _GONE:
        return Verdict("waiting", now, is_gone=True)  # kept, for the day on which somebody enables it again
    asked = _read_retry_after(answer.retry_after, now)
    if tries > len(WAITS):
        return Verdict("dead", now, asked)
    due_at = now + WAITS[tries - 1] * (1 + JITTER * chance)
    return Verdict("waiting", max(due_at, asked or due_at), asked)


def _read_retry_after(text: str | None, now: datetime) -> datetime | None:
    """Reads seconds or a date; nothing where it is neither, or past."""
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            asked = now + min(timedelta(seconds=int(text[:9])), LONGEST_RETRY_AFTER)
        else:
            when = parsedate_to_datetime(text)
            asked = min(when.replace(tzinfo=when.tzinfo or UTC), now + LONGEST_RETRY_AFTER)
    except (ValueError, OverflowError):
        return None
    return asked if asked > now else None
