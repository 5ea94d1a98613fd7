"""DocuSign's error responses and rate limits.

Documented:

- The format of errors, and the error codes.
- The limits of the account: 3,000 calls per clock hour, and 500 in 30 seconds. Response headers report them.
- One status call per envelope and path in 15 minutes. A few more calls are only flagged; many more are rejected with 400.
- The number of downloads of a document while its envelope is unfinished.

Our choices:

- The number of status calls that are too many.
- A call beyond the account's limits gets 400. The faults `hourly_limit` and `burst_limit` can return another `status`, such as 429,
  so callers must read the error code.
- A rejected call does not count.
"""

import math
import uuid
from datetime import datetime, timedelta

from sandbox.server.calls import Calls
from sandbox.server.faults import Faults
from sandbox.server.response import Refused

HOURLY, BURST, BURST_SECONDS = 3000, 500, 30
POLLING_SECONDS = 900
POLLED_AN_HOUR, POLLED_IN_A_BURST = 40, 20
DOWNLOADS = {"combined": ((3, 3600), (5, 6 * 3600)), "one": ((10, 3600), (20, 6 * 3600))}
_STATUS = 400


def refuse(status: int, code: str, message: str) -> Refused:
    """Return an error in DocuSign's format, to be raised."""
    return Refused(status, {"errorCode": code, "message": message})


class Limits:
    """The rate limits of one account. `calls` counts the calls and reports violations."""

    def __init__(self, calls: Calls, faults: Faults) -> None:
        self.calls, self.faults = calls, faults

    def admit(self, path: str) -> None:
        """Count one call against the account's limits.

        Raises:
            Refused: a limit is exceeded.
        """
        for kind, code in (("hourly_limit", "HOURLY"), ("burst_limit", "BURST")):
            if fault := self.faults.take(path, kind):
                raise _exceed(f"{code}_APIINVOCATION_LIMIT_EXCEEDED", int(fault.options.get("status", _STATUS)))
        if not self.calls.allow("docusign_burst", BURST, BURST_SECONDS):
            raise _exceed("BURST_APIINVOCATION_LIMIT_EXCEEDED")
        if not self.calls.allow("docusign", HOURLY, self._find_hour()[1]):
            raise _exceed("HOURLY_APIINVOCATION_LIMIT_EXCEEDED")

    def poll(self, path: str) -> None:
        """Count one status call about an envelope.

        Raises:
            Refused: 400, if the limit is heavily exceeded. A smaller excess only records a violation.
        """
        self.calls.allow(f"docusign_polling {path}", 1, POLLING_SECONDS)
        for name, most, seconds in (("Burst", POLLED_IN_A_BURST, 30), ("Hourly", POLLED_AN_HOUR, 3600)):
            if not self.calls.allow(f"docusign_polling_{name.lower()} {path}", most, seconds):
                raise _exceed(f"{name}_Envelope_Polling_Limit_Exceeded")

    def download(self, path: str) -> None:
        """Count one download of a document of an unfinished envelope.

        Raises:
            Refused: 400, if a limit is exceeded.
        """
        for most, seconds in DOWNLOADS["combined" if path.endswith("/combined") else "one"]:
            if not self.calls.allow(f"docusign_download_{seconds} {path}", most, seconds):
                raise refuse(400, "API_REQUEST_IS_THROTTLED", "GetDocument call blocked.")

    def write_headers(self) -> dict[str, str]:
        """Return the rate-limit headers that every REST response has."""
        now, pace = self.calls.clock.now(), self.calls.pace
        ends_at, elapsed = self._find_hour()
        hour, burst = now - timedelta(seconds=elapsed / pace), now - timedelta(seconds=BURST_SECONDS / pace)
        return {
            "X-RateLimit-Limit": str(HOURLY),
            "X-RateLimit-Remaining": str(HOURLY - self._count("docusign", hour)),
            "X-RateLimit-Reset": str(int(ends_at)),
            "X-BurstLimit-Limit": str(BURST),
            "X-BurstLimit-Remaining": str(BURST - self._count("docusign_burst", burst)),
        }

    def _find_hour(self) -> tuple[float, float]:
        """Return the end of the current clock hour (Unix time), and how many of its 3600 seconds have passed.

        At a pace of N, an hour lasts 3600 / N seconds by the sandbox's clock.
        """
        now, length = self.calls.clock.now().timestamp(), 3600 / self.calls.pace
        passed = now % length
        return math.ceil(now - passed + length), passed * self.calls.pace

    def _count(self, limit: str, since: datetime) -> int:
        return self.calls.count_since(limit, since)


def write_trace() -> dict[str, str]:
    """Return the header with an id of the call, which DocuSign's support asks for."""
    return {"X-DocuSign-TraceToken": str(uuid.uuid4())}


def _exceed(code: str, status: int = _STATUS) -> Refused:
    return refuse(status, code, "The maximum number of calls has been exceeded.")
