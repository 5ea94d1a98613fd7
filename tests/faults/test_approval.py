"""A change that requires approval, under a real scheduler: the request waits, users are alerted, and the decision applies."""

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

from include import business_dates
from local import airflow
from local.airflow_api import AirflowApi
from local.postgres import Postgres
from local.processes import Processes, find_free_port
from tests.conftest import Database, Firm
from tests.faults.test_scheduled_kills import ORION, ROOT, START_S, connections, wait_until
from tests.running_sandbox import Sandbox, run_sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(600)]

DAG = "salesforce"
APPROVAL_DAG, DECISION = "approve_salesforce", "decide"
APP = {"client_id": "tributary", "client_secret": "sandbox-only", "username": "load@tributary.example"}
# If a decision arrives while the requesting process ends, Airflow 3.3.2 considers the task killed and requests it again.
READING_S = 2
OBJECTS = ("Account", "FinServ__FinancialAccount__c", "FinServ__FinancialHolding__c")


@dataclass
class ApprovalRun:
    """Airflow with the project's DAGs, a day in the warehouse, and a firm whose first loads all need approval."""

    api: AirflowApi
    sandbox: Sandbox
    database: Database
    alerts: Path

    def request_approval(self) -> tuple[str, str]:
        """Start a run with an unapproved change; return its id, and that of the approval's run once it waits."""
        self.database.do("update warehouse.position set quantity = quantity * 2 where recorded_to is null")
        before = {each["dag_run_id"] for each in self.api.runs(APPROVAL_DAG)}
        run_id = self.api.trigger(DAG)
        self.api.wait_run(DAG, run_id, START_S)
        [approval_id] = [each["dag_run_id"] for each in self.api.runs(APPROVAL_DAG) if each["dag_run_id"] not in before]
        wait_until(lambda: self.api.task_states(APPROVAL_DAG, approval_id).get(DECISION) == "awaiting_input", START_S)
        time.sleep(READING_S)
        return run_id, approval_id

    def read_request(self, run_id: str) -> dict[str, Any]:
        """Read the approval request as a user sees it."""
        return self.api._call("GET", f"dags/{APPROVAL_DAG}/dagRuns/{run_id}/taskInstances/{DECISION}/-1/hitlDetails")

    def decide(self, run_id: str, option: str, reason: str) -> None:
        """Decide as the button in Airflow's pages does, and wait until the decision is stored."""
        path = f"dags/{APPROVAL_DAG}/dagRuns/{run_id}/taskInstances/{DECISION}/-1/hitlDetails"
        self.api._call("PATCH", path, json={"chosen_options": [option], "params_input": {"reason": reason}})
        assert self.api.wait_run(APPROVAL_DAG, run_id, START_S) == "success"

    def follow(self, before: set[str]) -> str:
        """Wait for the sync that an approval starts; return its id."""
        [run_id] = {each["dag_run_id"] for each in self.api.runs(DAG)} - before
        assert self.api.wait_run(DAG, run_id, START_S) == "success"
        return run_id

    def runs(self) -> set[str]:
        return {each["dag_run_id"] for each in self.api.runs(DAG)}

    def read_org(self) -> dict[str, str]:
        """Read all records of the org, as text."""
        return {name: self.sandbox.http.get(f"/salesforce/_admin/records/{name}").text for name in OBJECTS}

    def list_alerts(self, run_id: str) -> list[str]:
        """List the titles of the alerts about a run."""
        lines = self.alerts.read_text().splitlines() if self.alerts.exists() else []
        about = [line for line in map(json.loads, lines) if run_id in line["body"]]
        return [line["title"] for line in about]


@pytest.fixture(scope="module")
def approval_run(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApprovalRun]:
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
        firm.day(business_dates.latest_closed(now))
        firm.engine.dispose()
        salesforce = {
            "conn_type": "http", "host": sandbox.org_url, "login": APP["client_id"],
            "password": APP["client_secret"], "extra": {"grant": "client_credentials", "firm": "test", "few": 0},
        }  # fmt: skip
        definitions = connections(folder, database, sandbox) | {DAG: json.dumps(salesforce)}
        port = find_free_port()
        settings = airflow.environment(
            folder / "home", postgres.url("airflow_approval"), port, ROOT, connections=definitions
        )
        # No scheduled run: it would wait for a decision, and block ours.
        settings |= {"TRIBUTARY_GO_LIVE": (now + timedelta(days=1)).isoformat()}
        settings |= {"TRIBUTARY_WORK": str(folder / "work")}
        try:
            airflow.start(settings, processes)
            api = AirflowApi(f"http://127.0.0.1:{port}", airflow.USER, airflow.read_password(folder / "home"))
            api.wait_healthy(120, is_hopeless=lambda: airflow.has_died(processes))
            for dag_id in (DAG, APPROVAL_DAG):
                api.wait_dag(dag_id)
                api.unpause(dag_id)
            yield ApprovalRun(api, sandbox, database, folder / "alerts.jsonl")
        finally:
            processes.stop_all()


def test_what_is_approved_is_sent(approval_run: ApprovalRun) -> None:
    before = approval_run.read_org()
    _, approval_id = approval_run.request_approval()

    assert approval_run.read_org() == before
    assert approval_run.list_alerts(approval_id) == ["Approval required: Salesforce"]
    details = approval_run.read_request(approval_id)
    assert "position: " in details["body"]
    assert "/salesforce-changes/salesforce-" in details["body"]

    runs = approval_run.runs()
    approval_run.decide(approval_id, "Approve", "")
    run_id = approval_run.follow(runs)

    sent = (
        "select sum(created + updated) from control.ledger where stage = 'crm' and entity = 'position' and run_id = :r"
    )
    assert approval_run.database.value(sent, r=run_id) > 20
    assert approval_run.read_org() != before


def test_rejected_changes_are_not_sent_and_not_requested_again(approval_run: ApprovalRun) -> None:
    before = approval_run.read_org()
    run_id, approval_id = approval_run.request_approval()
    approval_run.decide(approval_id, "Reject", "The vendor sent shares twice")

    states = approval_run.api.task_states(DAG, run_id)
    assert (states["send_changes"], states["raise_tasks"]) == ("failed", "upstream_failed")
    assert approval_run.read_org() == before
    again = approval_run.api.trigger(DAG)
    assert approval_run.api.wait_run(DAG, again, START_S) == "failed"
    assert approval_run.api.task_states(DAG, again)["request_approval"] == "skipped"
    assert approval_run.list_alerts(run_id) == approval_run.list_alerts(again) == []
    decisions = approval_run.database.rows("select reason, decided_by from control.crm_question where not is_approved")
    assert {tuple(row.values()) for row in decisions} == {("The vendor sent shares twice", "admin")}


def test_an_approval_does_not_lift_a_pause_that_came_while_the_request_waited(approval_run: ApprovalRun) -> None:
    before = approval_run.read_org()
    _, approval_id = approval_run.request_approval()
    approval_run.api._call("POST", "variables", json={"key": "tributary_crm_paused", "value": "true"})
    try:
        runs = approval_run.runs()
        approval_run.decide(approval_id, "Approve", "")
        approval_run.follow(runs)
    finally:
        approval_run.api._session.delete(
            f"{approval_run.api.url}/api/v2/variables/tributary_crm_paused"
        ).raise_for_status()

    assert approval_run.read_org() == before
