"""Airflow loses its database or a worker for some seconds while a task runs: the run succeeds by itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from include.warehouse import schema
from local import airflow, supervisor
from local.airflow_api import AirflowApi
from local.postgres import Postgres
from local.processes import Processes, find_free_port
from tests.conftest import PASSWORDS, Database
from tests.faults.test_scheduled_kills import ROOT, START_S, connections, title_of, wait_until
from tests.running_sandbox import Sandbox, run_sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(900)]

CLIENTS = {"tables": ["clients"], "wait": False}
NOTICED_S = 70
"""A minute, plus some seconds on a busy machine."""


@dataclass
class Lossy:
    """Airflow with the project's DAGs, and a PostgreSQL of its own that may crash."""

    api: AirflowApi
    processes: Processes
    sandbox: Sandbox
    postgres: Postgres
    alerts: Path

    def start_pull(self, latency_s: float) -> str:
        """Start a run; return once its pull waits for the vendor."""
        fault_id = self.sandbox.fault("latency", "portfolio/clients", seconds=latency_s, times=1)
        run_id = self.api.trigger("orion", CLIENTS)
        faults = "/_sandbox/faults"

        def is_held() -> bool:
            states = self.api.task_states("orion", run_id)
            assert "failed" not in states.values(), states
            return any(each["hits"] for each in self.sandbox.http.get(faults).json() if each["id"] == fault_id)

        wait_until(is_held, START_S)
        return run_id

    def pull(self, run_id: str) -> dict[str, Any]:
        """Read the task instance of the pull."""
        instances = self.api._pages(f"dags/orion/dagRuns/{run_id}/taskInstances", "task_instances")
        return next(t for t in instances if t["task_id"] == "pull")

    def check(self, run_id: str) -> None:
        """Wait for the run; check that it succeeds without an alert."""
        state = self.api.wait_run("orion", run_id, START_S)
        assert state == "success", self.api.task_states("orion", run_id)
        assert not self.alerts.exists(), self.alerts.read_text()


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lossy]:
    folder = tmp_path_factory.mktemp("lossy")
    now = datetime.now(UTC)
    processes = Processes(folder / "state")
    with Postgres.temporary() as postgres, run_sandbox(folder / "sandbox", households=5, now=now) as sandbox:
        postgres.create_database("airflow")
        postgres.create_database("firm")
        database = Database(postgres.url("firm"))
        schema.create_roles(database.admin_url, PASSWORDS)
        schema.migrate(database.url("tributary_migrate"))
        port = find_free_port()
        definitions = connections(folder, database, sandbox)
        settings = airflow.environment(folder / "home", postgres.url("airflow"), port, ROOT, connections=definitions)
        settings |= {"TRIBUTARY_GO_LIVE": now.isoformat()}
        try:
            airflow.start(settings, processes)
            supervisor.start(processes, postgres)
            api = AirflowApi(f"http://127.0.0.1:{port}", airflow.USER, airflow.read_password(folder / "home"))
            api.wait_healthy(120, is_hopeless=lambda: airflow.has_died(processes))
            api.ensure_pool("pulls", 4)
            api.wait_dag("orion")
            api.unpause("orion")
            yield Lossy(api, processes, sandbox, postgres, folder / "alerts.jsonl")
        finally:
            supervisor.stop(processes)
            processes.stop_all()


def test_a_run_bears_a_crash_of_postgresql(lossy: Lossy) -> None:
    run_id = lossy.start_pull(30)
    with psycopg.connect(lossy.postgres.url("airflow"), autocommit=True) as connection:
        backends = "select pid from pg_stat_activity where datname = 'airflow' and pid <> pg_backend_pid()"
        victim = connection.execute(backends + " limit 1").fetchone()
    assert victim is not None
    os.kill(victim[0], signal.SIGKILL)
    lossy.check(run_id)


def test_a_worker_that_died_is_noticed_within_a_minute(lossy: Lossy) -> None:
    run_id = lossy.start_pull(30)
    title = f"airflow worker -- {lossy.pull(run_id)['id']}"
    scheduler = psutil.Process(lossy.processes.start("scheduler", []))
    [running] = [each for each in scheduler.children(recursive=True) if title_of(each) == title]
    supervisor = running.parent()
    assert supervisor is not None
    supervisor.send_signal(signal.SIGKILL)
    running.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: lossy.pull(run_id)["state"] == "up_for_retry", NOTICED_S)
    print(f"noticed after {time.monotonic() - killed:.0f} s")
    lossy.check(run_id)
