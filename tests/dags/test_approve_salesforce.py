"""The alert of a required approval: sent once per run, however often its task is retried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.dags.airflow_home import environment, run

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
    environ = environment(tmp_path / "airflow", definitions, tmp_path / "docs")
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
