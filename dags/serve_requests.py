"""Start the DAG runs that callers of the HTTP API requested, and record their states.

The id of a run derives from its request, so a retry finds the run instead of starting a second one. If a run can't be started, the next runs of
this DAG try again; after five attempts, the request fails.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, DagRunState, dag, task

from tributary.policy import DEFAULTS, GO_LIVE, SHOW_RUN_ID, on_demand
from tributary.triggers.wake_up import WakeUp

REQUESTS = Asset(
    name="requests",
    uri="x-tributary://requests",
    watchers=[AssetWatcher(name="requests_waiting", trigger=WakeUp("tributary_requests"))],
)


@dag(
    dag_id="serve_requests",
    dag_display_name="Requests of API callers",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/10 * * * *", timezone="UTC"), assets=[REQUESTS]),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS | {"execution_timeout": timedelta(minutes=5)},
    tags=["api"],
)
def serve_requests() -> None:
    """Take the waiting requests, start their runs, and record the state of the run of each unfinished request."""

    @task
    def take_requests() -> list[dict[str, Any]]:
        from include.gateway.api import request_queue
        from tributary import connections

        return [
            {"trigger_dag_id": _dag_id(request), "trigger_run_id": request.run_id, "conf": dict(request.params)}
            for request in request_queue.take(connections.database())
        ]

    start = TriggerDagRunOperator.partial(
        task_id="start",
        logical_date=None,  # two runs of one DAG may be requested in one moment
        skip_when_already_exists=True,
        map_index_template=SHOW_RUN_ID,
    )

    @task(trigger_rule="all_done")
    def record_states(ti: Any = None) -> dict[str, int]:
        from collections import Counter

        from include.gateway.api import request_queue
        from tributary import connections

        engine, seen = connections.database(), Counter[str]()
        for request in request_queue.open_requests(engine):
            there = ti.get_dr_count(_dag_id(request), run_ids=[request.run_id])
            state = DagRunState(ti.get_dagrun_state(_dag_id(request), request.run_id)).value if there else None
            request_queue.settle(engine, request, state)
            seen[state or "not there"] += 1
        request_queue.forget_answers(engine)
        return dict(seen)

    start.expand_kwargs(take_requests()) >> record_states()


def _dag_id(request: Any) -> str:
    if request.what != "run":
        return "replay_dead_letters"
    return on_demand(request.vendor) if request.params.get("keys") else str(request.vendor)


serve_requests()
