"""The sandbox's clock. A test can set it, and it can run faster than the wall clock."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class Clock:
    """A clock that starts at `start`, by default the machine's time.

    Attributes:
        rate: Number of sandbox seconds that pass in one real second.
        start: Sandbox time (UTC) when the clock was started or last set.
    """

    rate: float = 1.0
    start: datetime = field(default_factory=lambda: datetime.now(UTC))
    _since: float = field(default_factory=time.monotonic, repr=False)

    def now(self) -> datetime:
        """Return the sandbox's time, in UTC."""
        return self.start + timedelta(seconds=(time.monotonic() - self._since) * self.rate)

    def set(self, now: datetime | None = None, rate: float | None = None, advance: float = 0.0) -> None:
        """Set the time to `now` (by default unchanged) plus `advance` sandbox seconds, and continue at `rate`.

        Raises:
            ValueError: `now` has no offset, or `rate` is not positive.
        """
        if now is not None and now.tzinfo is None:
            raise ValueError("the clock's time needs an offset, such as 2026-03-02T14:30:00Z")
        if rate is not None and rate <= 0:
            raise ValueError("the clock's rate must be above 0")
        moment = (now.astimezone(UTC) if now else self.now()) + timedelta(seconds=advance)
        self.start, self._since = moment, time.monotonic()
        self.rate = self.rate if rate is None else rate

    def real_seconds(self, seconds: float) -> float:
        """Return how many real seconds pass during `seconds` of sandbox time."""
        return seconds / self.rate
