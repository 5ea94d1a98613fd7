"""What an alert says: ours in full, of foreign errors no more than their class."""

from __future__ import annotations

import json

import pytest

from tests.dags.airflow_home import ROOT, environment, run, said

pytestmark = pytest.mark.airflow

_DESCRIBE = """
import json
from types import SimpleNamespace as Thing
from alerts import describe
from include.errors import SchemaDrift

run, task = Thing(dag_id="a_vendor", run_id="a_run"), Thing(task_id="load", try_number=1)
failed = {"dag_run": run, "ti": task}
late = {"dag_run": {"dag_id": "a_vendor", "dag_run_id": "a_run"}, "deadline": {"deadline_time": "2026-11-24T12:00"}}
print("SAID", json.dumps({
    "ours": describe("Failed", failed | {"exception": SchemaDrift("A field is gone", table="pets")}),
    "foreign": describe("Failed", failed | {"exception": ValueError("Ann Example, 987-65-4320")}),
    "late": describe("Deadline missed", late),
}))
"""


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("alerts")
    environ = environment(folder, {}, folder) | {"AIRFLOW__API__BASE_URL": "https://airflow.example/"}
    environ["PYTHONPATH"] = f"{ROOT}:{ROOT / 'plugins'}"
    described: dict[str, list[str]] = json.loads(said(run(environ, _DESCRIBE), "SAID"))
    return described


def test_an_error_of_ours_is_told_in_full(alerts: dict[str, list[str]]) -> None:
    assert "Reason: SchemaDrift: A field is gone [table=pets]" in alerts["ours"][1]


def test_of_a_foreign_error_only_the_class_is_told(alerts: dict[str, list[str]]) -> None:
    assert "Reason: ValueError: see the task's log\n" in alerts["foreign"][1]
    assert "Ann" not in alerts["foreign"][1]
    assert "4320" not in alerts["foreign"][1]


def test_a_missed_deadline_names_the_run_and_leads_to_it(alerts: dict[str, list[str]]) -> None:
    title, body = alerts["late"]
    assert title == "Deadline missed: a_vendor"
    assert body.splitlines() == [
        "Run: a_run",
        "Deadline: 2026-11-24T12:00",
        "Link: https://airflow.example/dags/a_vendor/runs/a_run",
    ]
