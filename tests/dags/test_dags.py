"""The DAGs under a real Airflow: they import, and whole runs end in a warehouse and a CRM that hold the day."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from include import sessions
from include.vendors import VENDORS
from tests.conftest import Firm
from tests.dags.airflow_home import ROOT, connections, environment, run

pytestmark = pytest.mark.airflow

_BAG = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
print("BAG", json.dumps({"errors": {k: str(v)[-500:] for k, v in bag.import_errors.items()},
    "dags": {d.dag_id: {"owner": d.owner, "deadline": bool(getattr(d, "deadline", None)), "doc": bool(d.doc_md),
             "tasks": {t.task_id: [t.retries, bool(t.on_failure_callback)] for t in d.tasks}} for d in bag.dags.values()},
    "files": sorted({d.fileloc.rsplit("/", 1)[1] for d in bag.dags.values()})}))
"""

_TEST = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
dag = DagBag().dags[{dag_id!r}]
dag.deadline = None  # dag.test() of Airflow 3.3.2 can't look up the deadlines of a DAG that it has just stored
run = dag.test(run_conf={conf!r})
print("RUN", run.state, json.dumps({{ti.task_id + ("" if ti.map_index < 0 else "[%d]" % ti.map_index): ti.state for ti in run.get_task_instances()}}))
"""


@pytest.fixture
def today(start_firm: Callable[..., Firm]) -> Firm:
    """A firm whose sandbox lives in the present, as Airflow does."""
    return start_firm(now=datetime.now(UTC), households=20)


@pytest.fixture
def airflow(tmp_path: Path, today: Firm) -> dict[str, str]:
    environ = environment(tmp_path / "airflow", connections(today, tmp_path / "alerts.jsonl"), tmp_path / "docs")
    run(environ, "from airflow.utils.db import initdb; initdb()")
    httpx.post(
        f"{today.sandbox.url}/salesforce/_admin/consumers",
        json={"client_id": "tributary", "client_secret": "sandbox-only", "username": "load@tributary.example"},
    ).raise_for_status()
    return environ


def _said(output: str, word: str) -> str:
    return next(line for line in output.splitlines() if line.startswith(word))[len(word) + 1 :]


def test_every_dag_imports_tells_of_failures_and_says_what_it_is(airflow: dict[str, str]) -> None:
    bag = json.loads(_said(run(airflow, _BAG), "BAG"))
    assert bag["errors"] == {}
    assert set(bag["dags"]) == {"salesforce", "replay_dead_letters", "watch_lateness", *(v.name for v in VENDORS)}
    assert bag["files"] == sorted(path.name for path in (ROOT / "dags").glob("*.py"))
    assert all(dag["doc"] for dag in bag["dags"].values())
    assert all(told for dag in bag["dags"].values() for _, told in dag["tasks"].values())


def test_a_day_runs_from_the_vendor_to_salesforce(airflow: dict[str, str], today: Firm) -> None:
    day = sessions.latest_closed(datetime.now(UTC))
    output = run(airflow, _TEST.format(dag_id="orion", conf={}))
    state, tasks = _said(output, "RUN").split(" ", 1)
    assert state == "success", tasks
    assert len(today.held(day)) > 200, tasks
    state, tasks = _said(run(airflow, _TEST.format(dag_id="salesforce", conf={})), "RUN").split(" ", 1)
    assert state == "success", tasks
    sent = today.database.value("select sum(created) from control.ledger where stage = 'crm'")
    assert sent > 200
    assert (Path(airflow["TRIBUTARY_DATA_DOCS"]) / "site" / "index.html").exists()
