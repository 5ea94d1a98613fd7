"""Approvals: the alert is sent once per run, however often its task is retried, and a decision names the user who answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from include.crm.sync import approval
from local import airflow
from local.airflow_api import AirflowApi
from tests.conftest import Database
from tests.dags.airflow_home import ROOT, environment, prepare, run, said, whole_run
from tests.dags.stored_dags import serve_dags

pytestmark = pytest.mark.airflow

_ALERT = """
from airflow.dag_processing.dagbag import DagBag

alert = DagBag().dags["approve_salesforce"].get_task("alert_people").python_callable
for run_id, ids in (("manual__1+00:00", [3, 4]), ("manual__1+00:00", [3, 4]), ("manual__2", [5])):
    alert({"question_ids": ids, "wordings": [f"position: {ids[0]} of 10 records would change"]}, run_id)
"""


def test_an_approval_that_is_required_alerts_once(tmp_path: Path, database: Database) -> None:
    definitions = {
        "tributary_db": database.url(),
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": f"file://{tmp_path / 'alerts'}"}),
    }
    environ = environment(tmp_path / "airflow", definitions)
    environ["AIRFLOW__API__BASE_URL"] = "https://airflow.example"

    run(environ, _ALERT)

    first, other = [json.loads(line)["body"] for line in (tmp_path / "alerts").read_text().splitlines()]
    assert first.splitlines() == [
        "position: 3 of 10 records would change",
        "Run: manual__1+00:00",
        "Decide: https://airflow.example/dags/approve_salesforce/runs/manual__1%2B00%3A00/tasks/decide/required_actions",
    ]
    assert other.startswith("position: 5 of 10")
    recorded = database.rows(
        "select kind, dag_id, run_id, subject from control.alert where sent_at is not null order by 4"
    )
    assert [tuple(row.values()) for row in recorded] == [
        ("approval", "approve_salesforce", "manual__1+00:00", "3,4"),
        ("approval", "approve_salesforce", "manual__2", "5"),
    ]


def test_request_can_be_answered_though_its_alert_was_not_sent(
    tmp_path: Path, database: Database, airflow_database: Path
) -> None:
    definitions = {
        "tributary_db": database.url(),
        "tributary_alerts": json.dumps(
            {"conn_type": "generic", "password": "json://alerts.invalid"}
        ),  # refused: no TLS
    }
    environ = environment(tmp_path / "airflow", definitions)
    prepare(environ, airflow_database)
    answered = whole_run("approve_salesforce").replace(
        "run_conf={}", "mark_success_pattern='decide|record_decision|send'"
    )
    _, tasks = said(run(environ, answered), "RUN").split(" ", 1)
    assert json.loads(tasks) == {
        "alert_people": "failed", "decide": "success", "record_decision": "success", "send": "success",
    }  # fmt: skip


_WAIT = """
import sys
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import select

with create_session() as session:
    task = session.scalars(select(TaskInstance).where(TaskInstance.run_id == {run_id!r}, TaskInstance.task_id == "decide")).one()
    task.state = "awaiting_input"
    session.add(HITLDetail(ti_id=task.id, options=["Approve", "Reject"], subject="?", params={{"reason": ""}}, params_input={{}}))
"""
_RECORD = """
from include.errors import TargetUnavailable
from tributary.tasks.approval import record_decision

try:
    print("RECORDED", record_decision.function(params={{"question_ids": {ids}}}))
except TargetUnavailable as error:
    print("REFUSED", error)
"""


@dataclass
class Approvals:
    """Airflow's API with an administrator, an operator and a steward, and the firm's database behind it."""

    url: str
    settings: dict[str, str]
    database: Database

    def call(self, user: str, method: str, path: str, body: dict[str, Any]) -> int:
        """Call Airflow's API as a user; return the HTTP status."""
        api = AirflowApi(self.url, user, "only-for-tests")
        headers = {"Authorization": f"Bearer {api.log_in()}"}
        return requests.request(method, f"{self.url}/api/v2/{path}", json=body, headers=headers, timeout=60).status_code

    def request(self) -> tuple[int, str]:
        """Record a question, and start the run in which it waits; return the question's id and the path of its task."""
        question_id = self.database.value(
            "insert into control.crm_question (entity, question, records, difference, wording, run_id)"
            " values ('holding', 'change', 9, 'abc', 'Change 9 holdings?', 'r1') returning question_id"
        )
        run_id = approval.name_run([question_id])
        run_path = "dags/approve_salesforce/dagRuns"
        started = {"dag_run_id": run_id, "logical_date": None, "conf": {"question_ids": [question_id]}}
        assert self.call("opal", "POST", run_path, started) == 200
        run(self.settings, _WAIT.format(run_id=run_id))
        return question_id, f"{run_path}/{run_id}/taskInstances/decide"

    def answer(self, user: str, task: str, option: str, reason: str = "") -> int:
        body = {"chosen_options": [option], "params_input": {"reason": reason}}
        return self.call(user, "PATCH", f"{task}/-1/hitlDetails", body)

    def record(self, *question_ids: int) -> str:
        return next(
            line
            for line in run(self.settings, _RECORD.format(ids=list(question_ids))).splitlines()
            if line.startswith(("RECORDED", "REFUSED"))
        )

    def read(self, question_id: int) -> tuple[Any, ...]:
        [row] = self.database.rows(
            "select is_approved, decided_by, reason from control.crm_question where question_id = :id", id=question_id
        )
        return tuple(row.values())


@pytest.fixture(scope="module")
def approvals(
    shared_database: Database, airflow_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Approvals]:
    roles = {airflow.USER: "admin", "opal": "op", "stella": "op"}
    connection = shared_database.url().replace("postgresql://", "postgres://")
    environ = {"AIRFLOW_CONN_TRIBUTARY_DB": connection, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    with serve_dags(tmp_path_factory.mktemp("approvals"), airflow_database, roles, **environ) as (api, settings, _):
        yield Approvals(api.url, settings, shared_database)


def test_a_decision_names_the_user_who_answered(approvals: Approvals) -> None:
    question_id, task = approvals.request()
    assert approvals.answer("stella", task, "Reject", "Shares were sent twice") == 200
    assert approvals.record(question_id) == "RECORDED False"
    assert approvals.read(question_id) == (False, "stella", "Shares were sent twice")


def test_a_forged_xcom_neither_names_another_user_nor_decides(approvals: Approvals) -> None:
    question_id, task = approvals.request()
    forged = {
        "chosen_options": ["Approve"],
        "params_input": {},
        "responded_by_user": {"id": "stella", "name": "stella"},
    }
    body = {"key": "return_value", "value": forged}
    assert approvals.call("opal", "POST", f"{task}/xcomEntries", body) == 201
    assert approvals.record(question_id).startswith("REFUSED The audit trail has no answer")
    assert approvals.read(question_id) == (None, None, None)

    assert approvals.answer("opal", task, "Approve") == 200
    assert approvals.record(question_id) == "RECORDED True"
    assert approvals.read(question_id) == (True, "opal", "")


def test_a_refused_answer_does_not_count(approvals: Approvals) -> None:
    question_id, task = approvals.request()
    assert approvals.answer("stella", task, "Perhaps") == 400
    assert approvals.answer("opal", task, "Reject", "No") == 200
    assert approvals.answer("stella", task, "Approve") == 409
    assert approvals.record(question_id) == "RECORDED False"
    assert approvals.read(question_id) == (False, "opal", "No")


def test_an_answer_is_about_the_questions_of_its_run_alone(approvals: Approvals) -> None:
    answered, task = approvals.request()
    other, _ = approvals.request()
    assert approvals.answer("stella", task, "Approve") == 200
    assert approvals.record(other).startswith("REFUSED")
    assert approvals.record(answered, other).startswith("REFUSED")
