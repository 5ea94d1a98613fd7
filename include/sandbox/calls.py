"""How often each route was called: by second of the sandbox's clock, and by status."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from include.sandbox.clock import Clock

ABORTED = 0
"""Stands for the status of a call whose connection was reset before an answer began."""

_VARIABLE = re.compile(r"/(?:\d{2}-\d{2}-\d{4}|\d{4}-\d{2}-\d{2}|\d+|(?=[a-z]*\d)(?:[0-9a-z]{15}|[0-9a-z]{18}))(?=/|$)")


def name_route(path: str) -> str:
    """Return `path` in lower case with ids and dates as `{}`: one name for one route."""
    return _VARIABLE.sub("/{}", path.lower().rstrip("/"))


@dataclass
class Calls:
    """Counts of calls, kept until cleared."""

    clock: Clock
    _by_second: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _by_status: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def count(self, path: str, status: int) -> None:
        """Count one answered call of `path`."""
        route = name_route(path)
        self._by_second[route][self.clock.now().isoformat(timespec="seconds")] += 1
        self._by_status[route][status] += 1

    def clear(self) -> None:
        """Forget every call."""
        self._by_second.clear()
        self._by_status.clear()

    def report(self) -> dict[str, object]:
        """Return `{"total", "routes": {route: {"count", "status": {..}, "seconds": {..}}}}`."""
        routes = {
            route: {
                "count": seconds.total(),
                "status": {str(status): n for status, n in self._by_status[route].items()},
                "seconds": dict(seconds),
            }
            for route, seconds in sorted(self._by_second.items())
        }
        return {"total": sum(c.total() for c in self._by_second.values()), "routes": routes}
