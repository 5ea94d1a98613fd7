"""What a pull needs besides its session: keys, stored responses, and the limits of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from include.contract.limits import DEFAULT
from include.control.answers import Answers
from include.sensitive import Redactor
from include.staging.partitions import Partition

Keys = Mapping[str, str]
"""Column of the parent table -> value: one request of a fan-out."""


@dataclass(frozen=True, slots=True)
class Source:
    """Inputs of a fan-out or a report besides the session.

    Attributes:
        keys: Keys that a fan-out requests.
        parent: Partition of the parent table; None if there is none.
        answers: Stored responses of a fan-out.
        redactor: Hides sensitive values.
        clock: Returns the time of a request.
        speed: Speed of the vendor's clock relative to the wall clock.
        is_routine: Whether this is a routine run, which may send ETags; false after news of changes and for retries.
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
