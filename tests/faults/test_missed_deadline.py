"""A run that misses its deadline: a real scheduler notices, a real triggerer sends an alert, and the run continues."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from include.vendors import VENDORS
from local import airflow
from local.airflow_api import AirflowApi
from local.postgres import Postgres
from local.processes import Processes, find_free_port
from tests.conftest import Database
from tests.faults.test_scheduled_kills import ROOT, START_S, connections, wait_until
from tests.running_sandbox import Sandbox, run_sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(600)]

VENDOR = VENDORS[0]
DEADLINE_S = 20  # a rejected run has failed by then
MISSED = f"Deadline missed: {VENDOR.title} loaded within {DEADLINE_S / 3600:g} hours: {VENDOR.name}"


@dataclass
class Hurried:
    """Airflow with the project's DAGs, whose runs have a deadline of `DEADLINE_S` seconds."""

    api: AirflowApi
    sandbox: Sandbox
    alerts: Path

    def deadline(self, run_id: str) -> str:
        """Read a run's deadline."""
        return str(self._deadline(run_id)["deadline_time"])

    def is_missed(self, run_id: str) -> bool:
        """Whether Airflow has noticed that a run is late."""
        return bool(self._deadline(run_id)["missed"])

    def _deadline(self, run_id: str) -> dict[str, Any]:
        path = f"{self.api.url}/ui/dags/{VENDOR.name}/dagRuns/{quote(run_id)}/deadlines"
        response = self.api._session.get(path, timeout=30)
        response.raise_for_status()
        [deadline] = response.json()["deadlines"]
        return dict(deadline)

    def read_alerts(self, run_id: str) -> dict[str, str]:
        """Read the alerts about a run so far: title -> body."""
        lines = self.alerts.read_text().splitlines() if self.alerts.exists() else []
        about = [line for line in map(json.loads, lines) if f"Run: {run_id}" in line["body"].splitlines()]
        assert len({line["title"] for line in about}) == len(about), "alerted twice"
        return {line["title"]: line["body"] for line in about}


@pytest.fixture(scope="module")
def hurried(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hurried]:
    folder = tmp_path_factory.mktemp("hurried")
    now = datetime.now(UTC)
    postgres.create_database("airflow_deadline")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create database missed_deadline template template_tributary")
    database = Database(postgres.url("missed_deadline"))
    processes = Processes(folder / "state")
    with run_sandbox(folder / "sandbox", households=10, now=now) as sandbox:
        port = find_free_port()
        definitions = connections(folder, database, sandbox)
        settings = airflow.environment(
            folder / "home", postgres.url("airflow_deadline"), port, ROOT, connections=definitions
        )
        settings |= {
            "TRIBUTARY_GO_LIVE": now.isoformat(),
            "TRIBUTARY_DEADLINE_HOURS": str(DEADLINE_S / 3600),
        }
        try:
            airflow.start(settings, processes)
            api = AirflowApi(f"http://127.0.0.1:{port}", airflow.USER, airflow.read_password(folder / "home"))
            api.wait_healthy(120, is_hopeless=lambda: airflow.has_died(processes))
            api.ensure_pool("pulls", 4)
            api.wait_dag(VENDOR.name)
            api.unpause(VENDOR.name)
            yield Hurried(api, sandbox, folder / "alerts.jsonl")
        finally:
            processes.stop_all()


def test_a_missed_deadline_alerts_once_with_a_link_and_the_run_continues(hurried: Hurried) -> None:
    hurried.sandbox.fault("latency", seconds=2 * DEADLINE_S, times=1)
    run_id = hurried.api.trigger(VENDOR.name)
    wait_until(lambda: bool(hurried.read_alerts(run_id)), 60)
    assert hurried.api.runs(VENDOR.name)[0]["state"] == "running"
    assert hurried.api.wait_run(VENDOR.name, run_id, START_S) == "success"
    assert list(hurried.read_alerts(run_id)) == [MISSED]
    link = hurried.read_alerts(run_id)[MISSED].splitlines()[-1]
    assert link == f"Link: {hurried.api.url}/dags/{VENDOR.name}/runs/{quote(run_id)}"


def test_a_failed_run_also_misses_its_deadline(hurried: Hurried) -> None:
    hurried.sandbox.fault("field_renamed", "portfolio/clients", field="name", to="title")
    run_id = hurried.api.trigger(VENDOR.name, {"tables": ["clients"]})
    assert hurried.api.wait_run(VENDOR.name, run_id, START_S) == "failed"
    wait_until(lambda: len(hurried.read_alerts(run_id)) == 2, 60)
    assert set(hurried.read_alerts(run_id)) == {f"Failed: {VENDOR.name}", MISSED}


def test_a_run_with_rejected_input_sends_no_alert(hurried: Hurried) -> None:
    run_id = hurried.api.trigger(VENDOR.name, {"business_date": "2026-11-20", "tables": ["clients"]})
    assert hurried.api.wait_run(VENDOR.name, run_id, START_S) == "failed"
    time.sleep(2 * DEADLINE_S)
    assert hurried.read_alerts(run_id) == {}


def test_a_run_that_was_cleared_before_its_deadline_misses_the_new_one(hurried: Hurried) -> None:
    run_id = hurried.api.trigger(VENDOR.name, {"business_date": "2026-11-20", "tables": ["clients"]})
    assert hurried.api.wait_run(VENDOR.name, run_id, START_S) == "failed"
    before = hurried.deadline(run_id)
    hurried.api._call("POST", f"dags/{VENDOR.name}/dagRuns/{run_id}/clear", json={"dry_run": False})
    assert hurried.deadline(run_id) > before
    wait_until(lambda: hurried.is_missed(run_id), 60)
    assert hurried.api.wait_run(VENDOR.name, run_id, START_S) == "failed"
