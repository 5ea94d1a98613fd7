"""A caller's request starts one run in a real Airflow, and the run's end is recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from include import business_dates
from include.gateway.api import request_queue
from include.gateway.api.request_queue import Attempt
from tests.conftest import Firm
from tests.dags.airflow_home import run, said

pytestmark = pytest.mark.airflow

# Every DAG is stored, as Airflow's processor would; then this one runs repeatedly, and in between
# the state of a run in Airflow may change.
_SERVE = """
import json
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import select, update
bag = DagBag()
for dag in bag.dags.values():
    dag.deadline = None
from airflow.models.dagbundle import DagBundleModel
with create_session() as session:
    if session.get(DagBundleModel, "dags-folder") is None:
        session.add(DagBundleModel(name="dags-folder"))
sync_bag_to_db(bag, "dags-folder", None)
states = []
for said in {ends!r}:
    if said:
        with create_session() as session:
            session.execute(update(DagRun).where(DagRun.run_id.like("api__%")).values(state=said))
    ran = bag.dags["serve_requests"].test()
    states.append([str(ran.state), {{ti.task_id + ("" if ti.map_index < 0 else "[%d]" % ti.map_index): ti.state
                                     for ti in ran.get_task_instances()}}])
with create_session() as session:
    runs = session.scalars(select(DagRun).where(DagRun.run_id.like("api__%"))).all()
    found = [[r.dag_id, r.run_id, r.conf] for r in runs]
    plans = {{
        r.run_id: bag.dags[r.dag_id].get_task("plan_day").python_callable(
            r.dag_id.removesuffix("_on_demand"), bag.dags[r.dag_id].params.dump() | r.conf, r
        )
        for r in runs if bag.dags[r.dag_id].has_task("plan_day")
    }}
print("SERVED", json.dumps([states, found, plans]))
"""


def serve(airflow: dict[str, str], *ends: str) -> tuple[list[Any], list[Any], dict[str, Any]]:
    """Return the states of the tasks of each run, the requested runs, and their plans."""
    states, runs, plans = json.loads(said(run(airflow, _SERVE.format(ends=["", *ends])), "SERVED"))
    return states, runs, plans


def request_run(engine: sa.Engine, what: str, vendor: str, **params: Any) -> str:
    return request_queue.submit(
        engine, Attempt.of("key:test", f"{what}-{vendor}-1", what, b""), what, vendor, params
    ).request_id


def test_requests_are_started_once_single_clients_by_themselves_and_their_ends_are_noticed(
    airflow: dict[str, str], today: Firm
) -> None:
    day = request_run(today.engine, "run", "orion", tables=["accounts"], wait=False)
    client = request_run(today.engine, "run", "emoney", keys=["a-client"])
    params = {"table": "orion.accounts", "business_date": "2026-11-23", "dead_letters": [7], "dry_run": True}
    replay = request_run(today.engine, "replay", "orion", **params)
    unknown = request_run(today.engine, "run", "nobody")

    states, runs, plans = serve(airflow, "running", "success")

    conf = {run_id: (dag_id, conf) for dag_id, run_id, conf in runs}
    assert conf == {
        f"api__{day}": ("orion", {"tables": ["accounts"], "wait": False}),
        f"api__{client}": ("emoney_on_demand", {"keys": ["a-client"]}),
        f"api__{replay}": ("replay_dead_letters", params),
    }
    # A run that another DAG starts has no data interval: it loads the latest day.
    latest = str(business_dates.business_date(None))
    assert {run_id: plan["business_date"] for run_id, plan in plans.items()} == {
        f"api__{day}": latest,
        f"api__{client}": latest,
    }
    first, *later = [tasks for _, tasks in states]
    assert [first[f"start[{n}]"] for n in range(4)] == ["success", "success", "success", "failed"]
    assert all(tasks["record_states"] == "success" for tasks in (first, *later))
    requests = today.database.rows("select cast(request_id as text) as id, state, tries from control.request")
    assert {(row["id"], row["state"], row["tries"]) for row in requests} == {
        (day, "succeeded", 1),
        (client, "succeeded", 1),
        (replay, "succeeded", 1),
        (unknown, "waiting", 3),
    }


@pytest.mark.long
def test_request_whose_run_is_there_is_not_started_again(airflow: dict[str, str], today: Firm) -> None:
    request_run(today.engine, "run", "orion", tables=["accounts"], wait=False)
    serve(airflow)
    # The task that starts the run was killed before it recorded the start.
    today.database.do("update control.request set state = 'waiting'")
    states, runs, _ = serve(airflow, "failed")
    assert len(runs) == 1
    assert states[0][1]["start[0]"] == "skipped"
    [request] = today.database.rows("select * from control.request")
    assert (request["state"], bool(request["detail"])) == ("failed", True)
