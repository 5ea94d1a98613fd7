"""Watch the responses of a vendor during a check: times, sizes, clock and rate-limit headers."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from datetime import datetime, timedelta

import requests

from include.check.report import Findings
from include.contract import Table, Vendor
from include.control import clocks
from include.control.clocks import Clocks, describe_difference, read_date

_RATE_HEADER = re.compile(r"(?i)^(x-)?(rate-?limit|burst-?limit)")
_LOW_RATIO = 0.1
"""Share (0-1) of an allowance below which the rest is reported."""
_SYNCHRONIZE = "Synchronize the clocks (NTP)."
_SLOW_S = 10.0
"""Seconds to the first byte of a small page from which a vendor is reported as slow."""


class Watcher:
    """Collects facts about the responses, by table. `observe` is called from several threads."""

    def __init__(self) -> None:
        self._table = ""
        self.seconds: dict[str, float] = defaultdict(float)
        self.bytes: dict[str, int] = defaultdict(int)
        self.slowest_s = 0.0
        self.headers: dict[str, str] = {}
        self._date: datetime | None = None
        self._date_seen_s = 0.0
        self._lock = threading.Lock()

    def begin(self, table: Table) -> None:
        """Count the following responses as those of a table."""
        self._table = table.name

    def observe(self, response: requests.Response) -> None:
        """Record one response."""
        with self._lock:
            seconds = response.elapsed.total_seconds()
            self.seconds[self._table] += seconds
            self.bytes[self._table] += len(response.content)
            self.slowest_s = max(self.slowest_s, seconds)
            self._date = read_date(response.headers.get("Date", ""), response.headers.get("Age", ""))
            self._date_seen_s = time.monotonic()
            self.headers |= {name: text for name, text in response.headers.items() if _RATE_HEADER.match(name)}

    def read_clock(self) -> datetime | None:
        """Return the time on the vendor's clock now, by its newest response; None if that stated none."""
        return self._date and self._date + timedelta(seconds=time.monotonic() - self._date_seen_s)

    def report(self, vendor: Vendor, findings: Findings) -> None:
        """Add findings about latency and rate limits."""
        if self.slowest_s > _SLOW_S:
            findings.add(
                "latency", "amber", f"The slowest response took {self.slowest_s:.1f} s, for a page of at most 100 rows.",
                "Ask the vendor why; a pull of all rows takes many such pages.",
            )  # fmt: skip
        elif self.seconds:
            findings.add("latency", "green", f"The slowest response took {self.slowest_s:.2f} s.")
        budget = f"The rate budget allows {vendor.budget.calls_per_minute:g} calls a minute."
        if not self.headers:
            findings.add("rate limit", "grey", f"The vendor sends no rate-limit headers. {budget}")
            return
        shown = ", ".join(f"{name} {value}" for name, value in sorted(self.headers.items()))
        for name, text in self.headers.items():
            limit = self.headers.get(re.sub("(?i)remaining", "Limit", name), "")
            if (
                "remaining" in name.lower()
                and text.isdigit()
                and limit.isdigit()
                and int(text) < int(limit) * _LOW_RATIO
            ):
                findings.add(
                    "rate limit", "amber", f"Little of the vendor's allowance is left: {shown}. {budget}",
                    "Find out which other program uses the allowance, or lower `budget` in the connection's extra.",
                )  # fmt: skip
        findings.add("rate limit", "green", f"{shown}. {budget}")


def compare_own_clocks(own: Clocks, findings: Findings) -> datetime | None:
    """Add a finding about the clocks of this machine and the database; return the time if they agree, else None."""
    ours, database = own.read()
    if abs(ours - database) > clocks.MOST:
        text = f"The clock of this machine is {describe_difference(ours, database)} by the database: a run stops with ClockSkew."
        findings.add("clock", "red", text, _SYNCHRONIZE)
        return None
    apart = abs(ours - database).total_seconds()
    findings.add("clock", "green", f"The clocks of this machine and of the database differ by {apart:.0f} s.")
    return ours


def compare_clocks(own: Clocks, theirs: datetime | None, findings: Findings, *, is_vendor_trusted: bool = True) -> None:
    """Add findings about our clocks and another system's; None for `theirs` if its responses state no time."""
    ours = compare_own_clocks(own, findings)
    if ours is None:
        return
    if theirs is None:
        findings.add("clock", "grey", "The responses have no valid `Date` header. Our own clocks agree.")
    elif abs(theirs - ours) > clocks.MOST:
        text = f"The other system's clock is {describe_difference(theirs, ours)} by this machine and the database."
        is_too_far = is_vendor_trusted and abs(theirs - ours) > clocks.MOST_OF_VENDOR
        more = " A run stops with ClockSkew." if is_too_far else ""
        action = f"{_SYNCHRONIZE} If the vendor's clock is wrong, tell the vendor, and set `ignore_clock` to true in the connection's extra."
        findings.add("clock", "red" if is_too_far else "amber", text + more, action)
