"""What is reported about a vendor's responses: latency, rate limits, and its clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import requests
import sqlalchemy as sa

from include.check.report import Findings
from include.check.watcher import Watcher, compare_clocks
from include.control.clocks import Clocks
from include.vendors import named
from tests.check.planted import list_concerns

VENDOR = named("docusign")


def respond(seconds: float = 0.1, **headers: str) -> requests.Response:
    response = requests.Response()
    response._content = b"[]"
    response.elapsed = timedelta(seconds=seconds)
    response.headers.update({name.replace("_", "-"): text for name, text in headers.items()})
    return response


def watch(response: requests.Response) -> Findings:
    watcher, findings = Watcher(), Findings()
    watcher.begin(VENDOR.tables[0])
    watcher.observe(response)
    watcher.report(VENDOR, findings)
    return findings


def test_a_slow_vendor_is_amber() -> None:
    assert list_concerns(watch(respond(seconds=12)).list()) == {"latency": "amber"}
    assert list_concerns(watch(respond(seconds=9)).list()) == {}


@pytest.mark.parametrize(("remaining", "concerns"), [("2999", {}), ("299", {"rate limit": "amber"})])
def test_an_allowance_that_is_nearly_used_up_is_amber(remaining: str, concerns: dict[str, str]) -> None:
    response = respond(X_RateLimit_Limit="3000", X_RateLimit_Remaining=remaining)
    assert list_concerns(watch(response).list()) == concerns


@pytest.mark.parametrize(
    ("minutes", "is_trusted", "state"),
    [(1, True, "green"), (10, True, "amber"), (70, True, "red"), (70, False, "amber")],
)
def test_the_clock_of_a_vendor(engine: sa.Engine, minutes: int, is_trusted: bool, state: str) -> None:
    findings = Findings()
    theirs = datetime.now(UTC) + timedelta(minutes=minutes)
    compare_clocks(Clocks(engine), theirs, findings, is_vendor_trusted=is_trusted)
    assert [finding.state for finding in findings.list()] == [state]


def test_a_vendor_without_a_date_is_not_compared(engine: sa.Engine) -> None:
    findings = Findings()
    compare_clocks(Clocks(engine), None, findings)
    assert [finding.state for finding in findings.list()] == ["grey"]
