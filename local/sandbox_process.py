"""Start the demo's sandbox, in the state that the demo needs."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from include import business_dates
from include.errors import ConfigurationError, TargetUnavailable
from local.processes import Processes

ROOT = Path(__file__).parents[1]
NAME = "sandbox"
PACE = 240
"""Factor by which the sandbox shortens the windows of its rate limits, so that a pull that takes hours takes seconds."""
START_SECONDS = 900.0
"""Seconds that the sandbox or Airflow may take to start, on a slow machine."""


@dataclass(frozen=True)
class Served:
    """The data and vendors that the sandbox serves.

    Attributes:
        households: Number of households of the generated firm.
        data: Folder of vendor files to serve instead, as JSON lines; None serves the firm.
        behind: How far the sandbox's clock is behind the machine's.
        is_org_full: Whether to fill the Salesforce org with years of records.
        shape: What the Salesforce org is; None keeps the existing org.
    """

    households: int
    data: Path | None = None
    is_org_full: bool = False
    behind: timedelta = timedelta()
    shape: str | None = None


@dataclass(frozen=True)
class Started:
    """A started sandbox.

    Attributes:
        connections: The settings of each vendor's connection, by vendor.
        is_org_full: Whether the Salesforce org was filled before the first sync, now or by an earlier start.
    """

    connections: dict[str, dict[str, Any]]
    is_org_full: bool


def start_sandbox(processes: Processes, state: Path, url: str, org_port: int, served: Served) -> Started:
    """Start the sandbox.

    Args:
        processes: The record of the demo's processes.
        state: Folder of the sandbox's state.
        url: The sandbox's own URL, with its port.
        org_port: Port of the Salesforce org.
        served: What it serves.

    Raises:
        TargetUnavailable: The sandbox did not start; the message names its log.
        ConfigurationError: The org can't be filled, because it has other records.
    """
    command = [sys.executable, "-m", "sandbox.app", "--port", url.rsplit(":", 1)[1]]
    command += ["--org-port", str(org_port)]
    command += ["--households", str(served.households), "--state", str(state)]
    command += ["--data", str(served.data.resolve())] if served.data else []
    command += ["--pace", str(PACE), *(["--shape", served.shape] if served.shape else [])]
    if served.behind:
        command += ["--now", (datetime.now(UTC) - served.behind).isoformat()]
    processes.start(NAME, command, folder=ROOT)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and NAME in processes.pids():
        try:
            requests.get(f"{url}/_sandbox/clock", timeout=5)
            return _prepare(url, served)
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.2)
    log = processes.log(NAME)
    last = (log.read_text().splitlines() or [""])[-1]
    raise TargetUnavailable("The sandbox did not start; see its log", last_line=last, log=log)


def _prepare(url: str, served: Served) -> Started:
    """Register the demo's user in the org, fill the org if requested, and close the latest trading day."""
    consumer = {"client_id": "tributary", "client_secret": "sandbox-only", "username": "load@tributary.example"}
    requests.post(f"{url}/salesforce/_admin/consumers", json=consumer, timeout=10)
    if served.is_org_full:
        answer = requests.post(f"{url}/_sandbox/salesforce/full_org", timeout=START_SECONDS)
        if answer.status_code == requests.codes.conflict:
            raise ConfigurationError(
                "The Salesforce org here has records of an earlier demo: `make clean` deletes them, then ORG=full can fill it"
            )
        answer.raise_for_status()
    _close_day(url, datetime.now(UTC) - served.behind)
    connections = requests.get(f"{url}/_sandbox/connections", timeout=10).json()
    is_full = requests.get(f"{url}/_sandbox/salesforce/full_org", timeout=10).json()["is_full"]
    return Started(connections, is_full)


def _close_day(url: str, now: datetime) -> None:
    """Make the vendors that close a day at night close the latest trading day at once, so that the demo does not wait for the night."""
    from sandbox.vendors import VENDORS

    closed = {"date": business_dates.latest_closed(now).isoformat()}
    for vendor in VENDORS:
        if vendor.closes_at_night:
            requests.post(f"{url}/_sandbox/{vendor.name}/closed_through", json=closed, timeout=10)
