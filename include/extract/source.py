"""The inputs of a pull besides its session: keys, the parent's rows, stored responses, and limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from include.contract.limits import DEFAULT
from include.control.answers import Answers
from include.sensitive import Redactor
from include.staging.partitions import Partition

Keys = Mapping[str, str]
"""The key of one request of a fan-out: column of the parent table -> value as text."""


@dataclass(frozen=True, slots=True)
class Source:
    """Inputs of a pull besides the session. A shape uses only those that it needs.

    Attributes:
        keys: Keys that a fan-out requests.
        parent: Partition of the parent table in the same run; None if there is none.
        answers: Stored responses of a fan-out.
        redactor: Turns sensitive values into tokens before a response is stored.
        clock: Returns the current time, for `@requested_at`.
        speed: Speed of the vendor's clock relative to the wall clock.
        is_routine: Whether the run may send ETags. False for pushed rows, selected keys and full refreshes, which follow a known change
            or must request everything.
        most_rows: Maximum rows of a pull, to detect endless paging.
    """

    keys: Sequence[Keys]
    parent: Partition | None
    answers: Answers
    redactor: Redactor
    clock: Callable[[], datetime]
    speed: float = 1.0
    is_routine: bool = False
    most_rows: int = DEFAULT.rows
