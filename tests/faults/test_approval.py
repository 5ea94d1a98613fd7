"""A change too great to be made unasked: a real scheduler lets the run wait, people are told, and the answer counts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from include import sessions
from include.local import airflow
from include.local.airflow_api import AirflowApi
from include.local.postgres import Postgres
from include.local.processes import Processes, find_free_port
from tests.conftest import Database, Firm
from tests.faults.test_scheduled_kills import ORION, ROOT, START_S, connections, wait_until
from tests.running_sandbox import Sandbox, run_sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(600)]

DAG = "salesforce"
ASK = "ask_a_person"
APP = {"client_id": "tributary", "client_secret": "sandbox-only", "username": "load@tributary.example"}
# Airflow 3.3.2 takes a task that is answered while its asking process ends for one that was killed, and asks again later.
READING_S = 2
OBJECTS = ("Account", "FinServ__FinancialAccount__c", "FinServ__FinancialHolding__c")


@dataclass
class Asking:
    """Airflow with the project's DAGs, a day in the warehouse, and a firm that lets five records change unasked."""

    api: AirflowApi
    sandbox: Sandbox
    database: Database
    alerts: Path

    def ask(self) -> str:
        """Starts a run with a change that nobody has approved; returns its id once it waits."""
        self.database.do("update warehouse.position set quantity = quantity * 2 where recorded_to is null")
        run_id = self.api.trigger(DAG)
        wait_until(lambda: self.api.task_states(DAG, run_id).get(ASK) == "awaiting_input", START_S)
        time.sleep(READING_S)
        return run_id

    def question(self, run_id: str) -> dict[str, Any]:
        """What a person reads."""
        return self.api._call("GET", f"dags/{DAG}/dagRuns/{run_id}/taskInstances/{ASK}/-1/hitlDetails")

    def reject(self, run_id: str) -> None:
        """Says no, as the button in Airflow's pages does."""
        path = f"dags/{DAG}/dagRuns/{run_id}/taskInstances/{ASK}/-1/hitlDetails"
        self.api._call("PATCH", path, json={"chosen_options": ["Reject"], "params_input": {}})

    def held(self) -> dict[str, str]:
        """All that the org holds, as text."""
        return {name: self.sandbox.http.get(f"/salesforce/_admin/records/{name}").text for name in OBJECTS}

    def told(self, run_id: str) -> list[str]:
        """Titles of the alerts about a run."""
        lines = self.alerts.read_text().splitlines() if self.alerts.exists() else []
        about = [line for line in map(json.loads, lines) if f"Run: {run_id}" in line["body"].splitlines()]
        return [line["title"] for line in about]


@pytest.fixture(scope="module")
def asking(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    folder = tmp_path_factory.mktemp("asking")
    now = datetime.now(UTC)
    postgres.create_database("airflow_approval")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create database approval template template_tributary")
    database = Database(postgres.url("approval"))
    processes = Processes(folder / "state")
    with run_sandbox(folder / "sandbox", households=6, now=now) as sandbox:
        httpx.post(f"{sandbox.url}/salesforce/_admin/consumers", json=APP).raise_for_status()
        firm = Firm(ORION, sandbox, database, folder)
        firm.now = now
        firm.day(sessions.latest_closed(now))
        firm.engine.dispose()
        salesforce = {
            "conn_type": "http", "host": f"{sandbox.url}/salesforce", "login": APP["client_id"],
            "password": APP["client_secret"], "extra": {"grant": "client_credentials", "firm": "test", "few": 5},
        }  # fmt: skip
        known = connections(folder, database, sandbox) | {DAG: json.dumps(salesforce)}
        port = find_free_port()
        settings = airflow.environment(folder / "home", postgres.url("airflow_approval"), port, ROOT, connections=known)
        # No run by schedule: it would wait for an answer, and ours behind it.
        settings |= {"TRIBUTARY_GO_LIVE": (now + timedelta(days=1)).isoformat()}
        settings |= {"TRIBUTARY_DATA_DOCS": str(folder / "docs"), "TRIBUTARY_WORK": str(folder / "work")}
        try:
            airflow.start(settings, processes)
            api = AirflowApi(f"http://127.0.0.1:{port}", airflow.USER, airflow.read_password(folder / "home"))
            api.wait_healthy(120, is_hopeless=lambda: airflow.has_died(processes))
            api.wait_dag(DAG)
            api.unpause(DAG)
            yield Asking(api, sandbox, database, folder / "alerts.jsonl")
        finally:
            processes.stop_all()


def test_who_says_yes_has_it_sent(asking: Asking) -> None:
    before = asking.held()
    run_id = asking.ask()

    assert asking.held() == before
    assert asking.told(run_id) == [f"Somebody must say yes or no: {DAG}"]
    asked = asking.question(run_id)
    assert "position: " in asked["body"]
    assert "/data-docs/salesforce-" in asked["body"]

    asking.api.approve(DAG, run_id, ASK)
    assert asking.api.wait_run(DAG, run_id, START_S) == "success"

    sent = (
        "select sum(created + updated) from control.ledger where stage = 'crm' and entity = 'position' and run_id = :r"
    )
    assert asking.database.value(sent, r=run_id) > 20
    assert asking.held() != before
    assert asking.told(run_id) == [f"Somebody must say yes or no: {DAG}"]


def test_who_says_no_has_nothing_sent_and_no_failure(asking: Asking) -> None:
    before = asking.held()
    run_id = asking.ask()

    asking.reject(run_id)
    assert asking.api.wait_run(DAG, run_id, START_S) == "success"

    states = asking.api.task_states(DAG, run_id)
    assert (states["send_changes"], states["raise_tasks"]) == ("skipped", "skipped")
    assert asking.held() == before
    assert (
        asking.database.value("select count(*) from control.ledger where stage = 'crm' and run_id = :r", r=run_id) == 0
    )
    assert asking.told(run_id) == [f"Somebody must say yes or no: {DAG}"]


def test_a_yes_does_not_lift_a_pause_that_came_while_the_run_waited(asking: Asking) -> None:
    before = asking.held()
    run_id = asking.ask()
    asking.api._call("POST", "variables", json={"key": "tributary_crm_paused", "value": "true"})
    try:
        asking.api.approve(DAG, run_id, ASK)
        asking.api.wait_run(DAG, run_id, START_S)
    finally:
        asking.api._session.delete(f"{asking.api.url}/api/v2/variables/tributary_crm_paused").raise_for_status()

    assert asking.held() == before
