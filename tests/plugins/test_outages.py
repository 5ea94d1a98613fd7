"""An unreachable vendor: one alert for all tables after some minutes, and one when it is reachable again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Database
from tests.dags.airflow_home import ROOT, environment, prepare, run, said

pytestmark = pytest.mark.airflow

_DAG = """
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import dag, get_current_context, task
from tributary.outages import report_answer
from tributary.policy import DEFAULTS, PULL

from include.errors import VendorUnavailable


@dag(dag_id="orion", schedule=None, default_args=DEFAULTS | {"retry_delay": timedelta(seconds=1)})
def day():
    @task(map_index_template="{{ task.op_kwargs['table'] }}", **PULL)
    def pull(table):
        number = get_current_context()["ti"].try_number
        if number <= 2 and table != "assets":
            error = VendorUnavailable("The vendor did not answer", vendor="orion", table=table, status=503)
            error.failing_since = datetime.now(UTC) - timedelta(minutes={minutes})
            error.tries = 7
            raise error
        report_answer("orion")

    pull.expand(table=["accounts", "assets", "clients", "transactions"])


day()
"""
_RUN = """
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
assert not bag.import_errors, bag.import_errors
run = bag.dags["orion"].test()
print("RUN", run.state)
"""


def alerts_of_run(folder: Path, database: Database, airflow_database: Path, minutes: float) -> list[dict[str, Any]]:
    """Run a DAG of four pulls, three of which fail to reach the vendor twice; return the alerts."""
    (folder / "dags").mkdir()
    (folder / "dags" / "pulls.py").write_text(_DAG.replace("{minutes}", str(minutes)))
    definitions = {
        "tributary_db": database.url(),
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": f"file://{folder / 'alerts'}"}),
    }
    environ = environment(folder / "home", definitions)
    environ |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags")}
    prepare(environ, airflow_database)
    assert said(run(environ, _RUN), "RUN") == "success"
    lines = (folder / "alerts").read_text().splitlines() if (folder / "alerts").exists() else []
    return [json.loads(line) for line in lines]


def test_one_alert_for_all_tables_and_one_when_it_is_over(
    tmp_path: Path, database: Database, airflow_database: Path
) -> None:
    alerts = alerts_of_run(tmp_path, database, airflow_database, minutes=11)
    assert [each["title"] for each in alerts] == ["Unreachable: Orion Advisor", "Reachable again: Orion Advisor"]
    body = alerts[0]["body"]
    first = re.match(r"Table: (\w+) \(task pull\[\1\]\)\nUnreachable since: 20", body)
    assert first, body
    assert f"Last error: The vendor did not answer [vendor=orion table={first[1]} status=503]" in body
    assert "Requests that failed: 7\nNext try: by 20" in body
    assert "\nGives up: by 20" in body
    assert alerts[1]["body"].startswith("Responded again at: 20")
    outages = database.rows("select vendor, tasks, error, tries, over_at is null as is_open from control.outage")
    assert [tuple(row.values()) for row in outages] == [("orion", [], "VendorUnavailable", 42, False)]


@pytest.mark.long
def test_a_short_outage_sends_no_alert(tmp_path: Path, database: Database, airflow_database: Path) -> None:
    assert alerts_of_run(tmp_path, database, airflow_database, minutes=2) == []
    assert database.value("select count(*) from control.outage where over_at is not null") == 1


_GIVE_UP = """
from types import SimpleNamespace as Thing
from tributary.alerts import Alert
from include.errors import VendorUnavailable

run = Thing(dag_id="orion", run_id="a_run", run_type="scheduled")
for index, table in enumerate(("accounts", "assets", "clients")):
    task = Thing(task_id="pull", try_number=5, map_index=index, rendered_map_index=table)
    error = VendorUnavailable("The vendor did not answer", table=table)
    Alert("Failed").notify({"dag_run": run, "ti": task, "exception": error})
"""


def test_tables_that_give_up_on_one_vendor_send_one_alert(tmp_path: Path, database: Database) -> None:
    definitions = {
        "tributary_db": database.url(),
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": f"file://{tmp_path / 'alerts'}"}),
    }
    run(environment(tmp_path, definitions) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}, _GIVE_UP)
    [alert] = [json.loads(line) for line in (tmp_path / "alerts").read_text().splitlines()]
    assert alert["title"] == "Failed: orion"
    assert alert["body"].startswith("Task: pull[accounts], try 5")


_LIVE = """
from types import SimpleNamespace as Thing

from airflow.dag_processing.dagbag import DagBag
from include.errors import VendorUnavailable
from include.pipeline import incremental
from tributary import connections, outages
import airflow.sdk

context = {"ti": Thing(task_id="pull_edits", try_number=1, max_tries=2, map_index=-1, task=DagBag().dags["orion_live"].get_task("pull_edits")),
           "dag_run": Thing(dag_id="orion_live", run_id="a_run")}
airflow.sdk.get_current_context = lambda: context
outages.alert_of_outage(context | {"exception": VendorUnavailable("No response", vendor="orion")})
connections.vendor_run = lambda name, run: None
incremental.pull_edits = lambda vendor_run: 0
context["ti"].task.python_callable(run_id="a_run")
"""


def test_pull_of_edits_ends_the_outage_that_its_first_try_met(tmp_path: Path, database: Database) -> None:
    environ = environment(tmp_path, {"tributary_db": database.url()})
    run(environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}, _LIVE)
    assert database.value("select count(*) from control.outage where over_at is not null") == 1
