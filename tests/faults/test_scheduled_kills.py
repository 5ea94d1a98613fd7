"""Tasks of the real DAG killed under the real scheduler; Airflow's own retry completes the day."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from include import business_dates
from include.vendors import named
from local import airflow
from local.airflow_api import AirflowApi
from local.postgres import Postgres
from local.processes import Processes, find_free_port
from tests.conftest import Database, connect
from tests.firm_keys import write_keyring
from tests.running_sandbox import Sandbox, run_sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
ORION = named("orion")
ASSETS = [table.name for table in ORION.tables].index("assets")
NOTICED_S = 30
START_S = 300


@dataclass
class Scheduled:
    """Airflow with the project's DAGs, a sandbox of ten households, and a warehouse."""

    api: AirflowApi
    processes: Processes
    sandbox: Sandbox
    database: Database
    day: date
    alerts: Path

    def task(self, run_id: str, task_id: str) -> dict[str, Any]:
        """Read the task instance of the assets' pull, or of the day's load, from Airflow."""
        instances = self.api._pages(f"dags/orion/dagRuns/{run_id}/taskInstances", "task_instances")
        index = ASSETS if task_id == "pull" else -1
        matches = (t for t in instances if (t["task_id"], t["map_index"]) == (task_id, index))
        return next(matches, {"id": "", "state": None, "try_number": 0})

    def kill(self, run_id: str, task_id: str) -> float:
        """Kill the process that runs a task; return the seconds until Airflow notices."""
        title = f"airflow worker -- {self.task(run_id, task_id)['id']}"
        scheduler = psutil.Process(self.processes.start("scheduler", []))
        [running] = [child for child in scheduler.children(recursive=True) if title_of(child) == title]
        running.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda: self.task(run_id, task_id)["state"] == "up_for_retry", NOTICED_S)
        return time.monotonic() - killed

    def check(self, run_id: str) -> None:
        """Check the facts against the vendor, that the run loaded each map once, and that the ledger balances."""
        positions = self.database.rows(
            "select position_key, quantity, market_value_usd from warehouse.position where recorded_to is null"
        )
        stated = self.sandbox.rows("Portfolio/Assets", asOfDate=str(self.day))
        assert len(positions) == len(stated)
        assert {row["position_key"]: (row["quantity"], row["market_value_usd"]) for row in positions} == {
            str(row["id"]): (row["currentShares"], row["currentValue"]) for row in stated
        }
        loads = self.database.rows("select * from control.ledger where stage = 'load' and run_id = :run", run=run_id)
        loaded = Counter((row["table_name"], row["entity"]) for row in loads)
        assert loaded == Counter((m.table, m.entity) for m in ORION.maps)
        assert {r["produced"] - r["inserted"] - r["updated"] - r["unchanged"] - r["superseded"] for r in loads} == {0}
        checks = self.database.rows("select * from control.reconciliation where run_id = :run", run=run_id)
        assert checks
        assert all(check["is_passed"] for check in checks)
        assert not self.alerts.exists()


@pytest.fixture(scope="module")
def scheduled(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduled]:
    folder = tmp_path_factory.mktemp("scheduled")
    now = datetime.now(UTC)
    postgres.create_database("airflow_kills")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create database scheduled_kills template template_tributary")
    database = Database(postgres.url("scheduled_kills"))
    processes = Processes(folder / "state")
    with run_sandbox(folder / "sandbox", households=10, now=now) as sandbox:
        port = find_free_port()
        settings = airflow.environment(
            folder / "home",
            postgres.url("airflow_kills"),
            port,
            ROOT,
            connections=connections(folder, database, sandbox),
        )
        settings |= {"TRIBUTARY_GO_LIVE": now.isoformat()}
        try:
            airflow.start(settings, processes)
            api = AirflowApi(f"http://127.0.0.1:{port}", airflow.USER, airflow.read_password(folder / "home"))
            api.wait_healthy(120, is_hopeless=lambda: airflow.has_died(processes))
            api.ensure_pool("pulls", 4)
            api.wait_dag("orion")
            api.unpause("orion")
            day = business_dates.latest_closed(now)
            yield Scheduled(api, processes, sandbox, database, day, folder / "alerts.jsonl")
        finally:
            processes.stop_all()


def title_of(process: psutil.Process) -> str:
    """Return a process's title; empty if it has just ended."""
    try:
        return "".join(process.cmdline()[:1])
    except psutil.Error:
        return ""


def connections(folder: Path, database: Database, sandbox: Sandbox) -> dict[str, str]:
    connection = connect(sandbox)
    definitions: dict[str, dict[str, Any]] = {
        "orion": {
            "conn_type": "http",
            "host": connection.url,
            "login": connection.login,
            "password": connection.password,
            "extra": dict(connection.extra),
        },
        "tributary_staging": {"conn_type": "generic", "extra": {"root": str(folder / "staging")}},
        "tributary_keys": {"conn_type": "generic", "password": write_keyring()},
        "tributary_alerts": {"conn_type": "generic", "password": f"file://{folder / 'alerts.jsonl'}"},
    }
    return {"tributary_db": database.url(), **{name: json.dumps(values) for name, values in definitions.items()}}


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not in {seconds} s"
        time.sleep(0.2)


def test_a_killed_pull_is_tried_again_and_the_day_completes(
    scheduled: Scheduled, record_property: Callable[[str, object], None]
) -> None:
    fault_id = scheduled.sandbox.fault("latency", seconds=60, times=1)
    run_id = scheduled.api.trigger("orion")
    faults = "/_sandbox/faults"
    wait_until(
        lambda: any(f["hits"] for f in scheduled.sandbox.http.get(faults).json() if f["id"] == fault_id), START_S
    )
    record_property("noticed_after_s", seconds := scheduled.kill(run_id, "pull"))
    print(f"pull: noticed after {seconds:.1f} s")
    assert scheduled.api.wait_run("orion", run_id, START_S) == "success"
    assert scheduled.task(run_id, "pull")["try_number"] == 2
    scheduled.check(run_id)


def test_a_killed_load_is_tried_again_and_the_day_completes(
    scheduled: Scheduled, record_property: Callable[[str, object], None]
) -> None:
    products = {row["productId"] for row in scheduled.sandbox.rows("Portfolio/Assets") if row["ticker"]}
    for product in sorted(products)[:5]:
        scheduled.sandbox.admin("orion/correct_price", product_id=product, date=str(scheduled.day), price=123.45)
    waiting = """
        select count(*) from pg_stat_activity where usename = 'tributary_load' and datname = current_database()
        and wait_event_type = 'Lock' and query ~* '^(copy "warehouse"."|update warehouse.)position'
    """
    with psycopg.connect(scheduled.database.admin_url) as connection:
        connection.execute("select warehouse.ensure_month(%s)", [scheduled.day])
        connection.commit()
        connection.execute("lock table warehouse.position in share row exclusive mode")
        run_id = scheduled.api.trigger("orion")
        wait_until(lambda: scheduled.database.value(waiting) == 1, START_S)
        record_property("noticed_after_s", seconds := scheduled.kill(run_id, "publish"))
        print(f"load: noticed after {seconds:.1f} s")
    assert scheduled.api.wait_run("orion", run_id, START_S) == "success"
    assert scheduled.task(run_id, "publish")["try_number"] == 2
    scheduled.check(run_id)
