"""What an alert says: ours in full, of foreign errors no more than their class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.vendors import VENDORS
from tests.conftest import Database
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


_SEND = """
from alerts import Alert

late = {"dag_id": "orion_on_demand", "dag_run_id": "a_run"}
for run_type in ("backfill", "scheduled"):
    Alert("Deadline missed").notify({"dag_run": late | {"run_type": run_type}, "deadline": {"deadline_time": "12:00"}})
"""


def test_a_missed_deadline_tells_what_is_done_and_none_of_a_backfill_is_told(
    tmp_path: Path, database: Database
) -> None:
    for n, (stage, dead) in enumerate([("stage", 2), ("validate", 1), ("stage", 0), ("load", 0)]):
        database.do(
            "insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled, extracted_at,"
            " fetched, staged, dead, produced, inserted) values (:n, :run, 'orion', :table, '2026-11-20', :stage, :pull,"
            " 'present', now(), 1200 + :dead, 1200, :dead, 1200 - :dead, 1200 - :dead)",
            n=n, run="a_run", table=f"table {n // 2}", stage=stage, pull=f"pull {n}", dead=dead,
        )  # fmt: skip
    known = {
        "tributary_db": database.url("tributary_hear"),  # as the triggerer has it, which calls back
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": f"file://{tmp_path / 'alerts'}"}),
    }
    environ = environment(tmp_path, known, tmp_path) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    run(environ, _SEND)
    [told] = (tmp_path / "alerts").read_text().splitlines()
    assert "So far: 2 tables staged, 1 loaded; 2,400 rows, 3 dead letters" in json.loads(told)["body"].splitlines()


# Always after the hour by which Orion and Tamarac are due, on the last of their days.
_WATCH = """
from datetime import UTC, datetime
from airflow.dag_processing.dagbag import DagBag
from include.control import lateness

find = lateness.find_late
lateness.find_late = lambda engine, vendor, now, go_live: find(engine, vendor, datetime(2026, 11, 24, 20, tzinfo=UTC), go_live)
for vendor in ("orion", "tamarac"):
    DagBag().dags["watch_lateness"].get_task("tell_late").python_callable(vendor)
"""


def test_a_vendor_without_a_connection_is_not_late_and_of_another_the_page_is_told(
    tmp_path: Path, database: Database
) -> None:
    for vendor in VENDORS:
        database.do(
            "insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled,"
            " extracted_at, recorded_at) values (nextval('control.ledger_id'), 'r', :vendor, 't', '2025-01-02', 'stage', :vendor,"
            " 'present', '2025-01-02', '2025-01-02')",
            vendor=vendor.name,
        )
    known = {
        "tributary_db": database.url(),
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": f"file://{tmp_path / 'alerts'}"}),
        "orion": json.dumps({"conn_type": "http", "host": "https://orion.example"}),
    }
    environ = environment(tmp_path / "home", known, tmp_path) | {"AIRFLOW__API__BASE_URL": "https://airflow.example/"}
    run(environ, _WATCH)
    alerts = [json.loads(line) for line in (tmp_path / "alerts").read_text().splitlines()]
    assert [each["title"].split(",")[0] for each in alerts] == ["Late: Orion Advisor"]
    assert alerts[0]["body"].splitlines()[-2:] == ["DAG: orion", "Link: https://airflow.example/dags/orion"]
