"""The text of an alert: our errors in full, foreign ones by class only."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from include.vendors import VENDORS
from tests.conftest import Database
from tests.dags.airflow_home import ROOT, environment, run, said

pytestmark = pytest.mark.airflow

_DESCRIBE = """
import json
from types import SimpleNamespace as Thing
from tributary.alerts import describe
from include.errors import SchemaDrift

run, task = Thing(dag_id="a_vendor", run_id="a_run"), Thing(task_id="load", try_number=1)
failed = {"dag_run": run, "ti": task}
pull = Thing(task_id="pull", try_number=1, map_index=2, rendered_map_index="assets")
part = Thing(task_id="publish.transform", try_number=3, map_index=0)
manual = Thing(dag_id="a_vendor", run_id="manual__2026-11-24T12:00:00+00:00")
late = {"dag_run": {"dag_id": "a_vendor", "dag_run_id": "a_run"}, "deadline": {"deadline_time": "2026-11-24T12:00"}}
print("SAID", json.dumps({
    "ours": describe("Failed", failed | {"exception": SchemaDrift("A field is gone", table="pets")}),
    "foreign": describe("Failed", failed | {"exception": ValueError("Ann Example, 987-65-4320")}),
    "late": describe("Deadline missed", late),
    "one": describe("Failed", failed),
    "mapped": describe("Failed", {"dag_run": manual, "ti": pull}),
    "grouped": describe("Failed", {"dag_run": run, "ti": part}),
}))
"""


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("alerts")
    environ = environment(folder, {}) | {"AIRFLOW__API__BASE_URL": "https://airflow.example/"}
    environ["PYTHONPATH"] = f"{ROOT}:{ROOT / 'plugins'}"
    described: dict[str, list[str]] = json.loads(said(run(environ, _DESCRIBE), "SAID"))
    return described


def test_our_own_errors_are_reported_in_full(alerts: dict[str, list[str]]) -> None:
    assert "Reason: SchemaDrift: A field is gone [table=pets]" in alerts["ours"][1]


def test_other_errors_are_reported_by_class_only(alerts: dict[str, list[str]]) -> None:
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


RUNS = "https://airflow.example/dags/a_vendor/runs"


def test_a_link_leads_to_the_task_that_failed_mapped_or_in_a_group(alerts: dict[str, list[str]]) -> None:
    links = {name: alerts[name][1].splitlines()[-1] for name in ("one", "mapped", "grouped")}
    assert links == {
        "one": f"Link: {RUNS}/a_run/tasks/load",
        "mapped": f"Link: {RUNS}/manual__2026-11-24T12%3A00%3A00%2B00%3A00/tasks/pull/mapped/2",
        "grouped": f"Link: {RUNS}/a_run/tasks/publish.transform/mapped/0",
    }
    assert alerts["mapped"][1].startswith("Task: pull[assets], try 1")
    assert alerts["grouped"][1].startswith("Task: publish.transform[0], try 3")


def test_airflows_ui_has_the_pages_that_links_lead_to() -> None:
    import airflow.ui

    scripts = (Path(next(iter(airflow.ui.__path__))) / "dist" / "assets").glob("index-*.js")
    routes = "".join(script.read_text() for script in scripts)
    for route in ("dags/:dagId/runs/:runId/tasks/:taskId", "dags/:dagId/runs/:runId/tasks/:taskId/mapped/:mapIndex"):
        assert f"path:`{route}`" in routes


_SEND = """
from tributary.alerts import Alert

late = {"dag_id": "orion_on_demand", "dag_run_id": "a_run"}
for run_type in ("backfill", "scheduled"):
    Alert("Deadline missed").notify({"dag_run": late | {"run_type": run_type}, "deadline": {"deadline_time": "12:00"}})
"""


def test_a_missed_deadline_reports_progress_and_backfills_send_no_alert(tmp_path: Path, database: Database) -> None:
    for n, (stage, dead) in enumerate([("stage", 2), ("validate", 1), ("stage", 0), ("load", 0)]):
        database.do(
            "insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled, extracted_at,"
            " fetched, staged, dead, produced, inserted) values (:n, :run, 'orion', :table, '2026-11-20', :stage, :pull,"
            " 'current', now(), 1200 + :dead, 1200, :dead, 1200 - :dead, 1200 - :dead)",
            n=n, run="a_run", table=f"table {n // 2}", stage=stage, pull=f"pull {n}", dead=dead,
        )  # fmt: skip
    definitions = {
        "tributary_db": database.url("tributary_listener"),  # as in the triggerer, which runs the callback
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": f"file://{tmp_path / 'alerts'}"}),
    }
    environ = environment(tmp_path, definitions) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    run(environ, _SEND)
    [alert] = (tmp_path / "alerts").read_text().splitlines()
    assert "So far: 2 tables staged, 1 loaded; 2,400 rows, 3 dead letters" in json.loads(alert)["body"].splitlines()


_TWICE = """
import threading
from tributary.alerts import Alert

late = {"dag_id": "orion", "dag_run_id": "a_run", "run_type": "manual"}
about = {"dag_run": late, "deadline": {"id": "a deadline", "deadline_time": "12:00"}}
each = [threading.Thread(target=Alert("Deadline missed").notify, args=(about,)) for _ in range(4)]
for thread in each:
    thread.start()
for thread in each:
    thread.join()
"""


def _alerting(folder: Path, database: Database, urls: str, role: str = "tributary_listener") -> dict[str, str]:
    definitions = {
        "tributary_db": database.url(role),
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": urls}),
    }
    return environment(folder, definitions) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}


def test_a_deadline_that_several_triggerers_notice_alerts_once(tmp_path: Path, database: Database) -> None:
    environ = _alerting(tmp_path, database, f"file://{tmp_path / 'alerts'}")
    run(environ, _TWICE)
    run(environ, _TWICE)
    assert len((tmp_path / "alerts").read_text().splitlines()) == 1
    [record] = database.rows("select kind, dag_id, run_id, subject, sent_at is not null as is_sent from control.alert")
    assert tuple(record.values()) == ("deadline", "orion", "a_run", "a deadline", True)


def test_an_alert_that_could_not_be_sent_is_sent_by_the_next_try(tmp_path: Path, database: Database) -> None:
    run(_alerting(tmp_path, database, "nothing://nowhere"), _TWICE)
    assert database.value("select count(*) from control.alert") == 0
    run(_alerting(tmp_path, database, f"file://{tmp_path / 'alerts'}"), _TWICE)
    assert len((tmp_path / "alerts").read_text().splitlines()) == 1


_TRY = """
from tributary.alerts import send
try:
    send("failed", "Failed: orion", "a reason", dag_id="orion", run_id="a_run")
except Exception as error:
    print("ERROR", type(error).__name__)
"""


class _Receiver(http.server.BaseHTTPRequestHandler):
    received: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["title"])
        self.send_response(200)
        self.end_headers()


def test_an_address_that_works_receives_an_alert_once_while_another_is_down(tmp_path: Path, database: Database) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Receiver, bind_and_activate=False) as receiver:
        receiver.server_bind()  # the port is taken, and refuses connections
        url = f"json://127.0.0.1:{receiver.server_port}/"
        environ = _alerting(tmp_path, database, f"{url} file://{tmp_path / 'alerts'}")
        for _ in range(2):
            assert said(run(environ, _TRY), "ERROR") == "TargetUnavailable"
        assert len((tmp_path / "alerts").read_text().splitlines()) == 1
        assert database.rows("select kind, subject from control.alert") == [
            {"kind": "delivered", "subject": "failed  1 file"}
        ]

        receiver.server_activate()
        threading.Thread(target=receiver.handle_request, daemon=True).start()
        assert "ERROR" not in run(environ, _TRY)
    assert _Receiver.received == ["Failed: orion"]
    assert len((tmp_path / "alerts").read_text().splitlines()) == 1
    assert database.value("select count(*) from control.alert where kind = 'failed' and sent_at is not null") == 1


_DEAD = """
from types import SimpleNamespace as Thing
from tributary.alerts import Alert

task = Thing(task_id="publish", try_number=5, map_index=-1)
Alert("Failed").notify({"dag_run": Thing(dag_id="orion", run_id="a_run", run_type="scheduled"), "ti": task})
"""


def test_dag_processor_sends_the_alert_of_a_task_whose_process_died_without_a_database(tmp_path: Path) -> None:
    alerts = json.dumps({"conn_type": "generic", "password": f"file://{tmp_path / 'alerts'}"})
    environ = environment(tmp_path, {"tributary_alerts": alerts}) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    run(environ, _DEAD)
    [alert] = (tmp_path / "alerts").read_text().splitlines()
    assert "Reason: the task's process ended without a result" in json.loads(alert)["body"]


_FAIL = """
import sys
from types import SimpleNamespace as Thing
from tributary.alerts import Alert
from include.errors import ApprovalNeeded, ConfigurationError, HeldBack, InputRejected

task = Thing(task_id="plan_day", try_number=1, map_index=-1)
for run_id, run_type, error in (
    ("rejected", "manual", InputRejected("no such table")),
    ("in a backfill", "backfill", InputRejected("no such table")),
    ("scheduled", "scheduled", InputRejected("no such table")),
    ("by an error", "manual", ConfigurationError("no such path")),
    ("held back", "scheduled", HeldBack("nothing is sent")),
    ("unapproved", "manual", ApprovalNeeded("nothing is sent")),
):
    run = Thing(dag_id="orion", run_id=run_id, run_type=run_type)
    Alert("Failed").notify({"dag_run": run, "ti": task, "exception": error})
"""
_MISS = """
from tributary.alerts import Alert

for run_id in ("rejected", "scheduled", "by an error", "held back", "unapproved"):
    run = {"dag_id": "orion", "dag_run_id": run_id, "run_type": "manual"}
    Alert("Deadline missed").notify({"dag_run": run, "deadline": {"id": f"of {run_id}", "deadline_time": "12:00"}})
"""


def test_no_alert_of_rejected_input_or_of_a_sync_that_is_held_back_neither_at_once_nor_at_the_deadline(
    tmp_path: Path, database: Database
) -> None:
    urls = f"file://{tmp_path / 'alerts'}"
    run(_alerting(tmp_path, database, urls, "tributary_load"), _FAIL)
    run(_alerting(tmp_path, database, urls), _MISS)
    alerts = [json.loads(line) for line in (tmp_path / "alerts").read_text().splitlines()]
    assert [(each["title"], "Run: scheduled" in each["body"]) for each in alerts] == [
        ("Failed: orion", True), ("Failed: orion", False), ("Deadline missed: orion", True), ("Deadline missed: orion", False),
    ]  # fmt: skip
    silent = database.rows("select run_id, title, sent_at from control.alert where kind = 'silent' order by run_id")
    assert [tuple(row.values()) for row in silent] == [
        ("held back", "HeldBack: nothing is sent", None),
        ("in a backfill", "InputRejected: no such table", None),
        ("rejected", "InputRejected: no such table", None),
        ("unapproved", "ApprovalNeeded: nothing is sent", None),
    ]


def test_an_alert_goes_out_without_a_database(tmp_path: Path, database: Database) -> None:
    environ = _alerting(tmp_path, database, f"file://{tmp_path / 'alerts'}")
    environ["AIRFLOW_CONN_TRIBUTARY_DB"] = "postgresql://u:p@127.0.0.1:1/nothing"
    run(environ, _SEND)
    assert len((tmp_path / "alerts").read_text().splitlines()) == 1


# Always after the deadline of Orion and Tamarac, on the last of their days.
_WATCH = """
from datetime import UTC, datetime
from airflow.dag_processing.dagbag import DagBag
from include.control import lateness

find = lateness.find_late
lateness.find_late = lambda engine, vendor, now, go_live: find(engine, vendor, datetime(2026, 11, 24, 20, tzinfo=UTC), go_live)
for vendor in ("orion", "tamarac"):
    DagBag().dags["watch_lateness"].get_task("report_late").python_callable(vendor)
"""


def test_a_late_vendor_alerts_with_its_page_unless_it_has_no_connection(tmp_path: Path, database: Database) -> None:
    for vendor in VENDORS:
        database.do(
            "insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled,"
            " extracted_at, recorded_at) values (nextval('control.ledger_id'), 'r', :vendor, 't', '2025-01-02', 'stage', :vendor,"
            " 'current', '2025-01-02', '2025-01-02')",
            vendor=vendor.name,
        )
    database.do("insert into control.unused_vendor values ('orion')")
    definitions = {
        "tributary_db": database.url(),
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": f"file://{tmp_path / 'alerts'}"}),
        "orion": json.dumps({"conn_type": "http", "host": "https://orion.example"}),
    }
    environ = environment(tmp_path / "home", definitions) | {"AIRFLOW__API__BASE_URL": "https://airflow.example/"}
    run(environ, _WATCH)
    alerts = [json.loads(line) for line in (tmp_path / "alerts").read_text().splitlines()]
    assert [each["title"].split(",")[0] for each in alerts] == ["Late: Orion Advisor"]
    assert alerts[0]["body"].splitlines()[-2:] == ["DAG: orion", "Link: https://airflow.example/dags/orion"]
    unused = database.rows("select vendor from control.unused_vendor order by vendor")
    assert unused == [{"vendor": "orion"}, {"vendor": "tamarac"}]  # the first one until its next pull is loaded


_WATCH_BACKUPS = """
from airflow.dag_processing.dagbag import DagBag

for _ in range(2):
    DagBag().dags["watch_lateness"].get_task("report_missing_backup").python_callable()
"""


def test_a_missing_backup_alerts_once_a_day(tmp_path: Path, database: Database) -> None:
    database.do("insert into control.backup (known_at, kind) values (now() - interval '30 hours', 'full')")
    environ = _alerting(tmp_path, database, f"file://{tmp_path / 'alerts'}", "tributary_load")
    run(environ | {"AIRFLOW_VAR_TRIBUTARY_BACKUP_HOURS": "0"}, _WATCH_BACKUPS)
    assert not (tmp_path / "alerts").exists()
    run(environ, _WATCH_BACKUPS)
    database.do("update control.backup set known_at = now() - interval '54 hours'")
    run(environ, _WATCH_BACKUPS)
    titles = [json.loads(line)["title"] for line in (tmp_path / "alerts").read_text().splitlines()]
    assert [title.split(",")[-1] for title in titles] == [" 30 hours ago", " 54 hours ago"]
