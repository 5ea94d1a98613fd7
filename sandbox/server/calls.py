"""Call counts of each route, by second of the sandbox's clock and by status."""

import re
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.server.clock import Clock

ABORTED = 0
"""Status that is recorded for a request whose connection was reset before the response began."""

_VARIABLE = re.compile(
    r"""/(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}  # a GUID
        |\d{2}-\d{2}-\d{4}|\d{4}-\d{2}-\d{2}|\d+
        |(?=[a-z]*\d)(?:[0-9a-z]{15}|[0-9a-z]{18})  # an id of Salesforce
        |cbjchbcaabaa[0-9a-z_-]{32}  # an id of Adobe Sign
        )(?=/|$)""",
    re.VERBOSE,
)


def name_route(path: str) -> str:
    """Return the name of the route of `path`: the path in lower case, with `{}` in place of ids and dates."""
    return _VARIABLE.sub("/{}", path.lower().rstrip("/"))


@dataclass
class Calls:
    """Counts of requests and rate-limit violations, until cleared.

    Attributes:
        clock: The sandbox's time.
        pace: Divisor of time limits: at 10, a limit per 60 seconds becomes one per 6 seconds of the sandbox's clock.
    """

    clock: Clock
    pace: float = 1.0
    _by_second: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _by_status: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    _allowed: dict[str, list[datetime]] = field(default_factory=dict)
    _violations: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, path: str, status: int) -> None:
        """Count one response with `status` to a request for `path`."""
        route = name_route(path)
        with self._lock:
            self._by_second[route][self.clock.now().isoformat(timespec="seconds")] += 1
            self._by_status[route][status] += 1

    def allow(self, limit: str, most: int, seconds: float) -> bool:
        """Count one call under a rate limit, and return True. If the limit is reached, record a violation and return False.

        Args:
            limit: Name of the limit.
            most: Number of calls allowed in any time span of `seconds`. A rejected call does not count.
            seconds: Length of the time span by the sandbox's clock; it is divided by `pace`.
        """
        with self._lock:
            now = self.clock.now()
            start = now - timedelta(seconds=seconds / self.pace)
            recent = [at for at in self._allowed.get(limit, ()) if start < at <= now]  # a test may turn the clock back
            is_allowed = len(recent) < most
            self._allowed[limit] = [*recent, now] if is_allowed else recent
            self._violations[limit] += not is_allowed
            return is_allowed

    def count_since(self, limit: str, since: datetime) -> int:
        """Return how many calls a limit has allowed after `since`."""
        with self._lock:
            return sum(at > since for at in self._allowed.get(limit, ()))

    def clear(self) -> None:
        """Clear all counts."""
        with self._lock:
            self._by_second.clear()
            self._by_status.clear()
            self._allowed.clear()
            self._violations.clear()

    def report(self) -> dict[str, object]:
        """Return the counts: `{"total", "routes": {route: {"count", "status": {..}, "seconds": {..}}}, "violations": {limit: n}}`."""
        with self._lock:
            routes = {
                route: {
                    "count": seconds.total(),
                    "status": {str(status): n for status, n in self._by_status[route].items()},
                    "seconds": dict(seconds),
                }
                for route, seconds in sorted(self._by_second.items())
            }
            violations = {limit: n for limit, n in sorted(self._violations.items()) if n}
            return {
                "total": sum(c.total() for c in self._by_second.values()),
                "routes": routes,
                "violations": violations,
            }
