"""Starts what callers of the HTTP API asked for, and notes what becomes of it.

A request's run is named after it, so it is started once: a second try finds the run that is there. One that can't be started is
tried again with the next run of this DAG, and given up after some.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, DagRunState, dag, task

from tributary.policy import DEFAULTS, GO_LIVE, on_demand
from tributary.triggers.wake_up import WakeUp

REQUESTS = Asset(
    name="requests",
    uri="x-tributary://requests",
    watchers=[AssetWatcher(name="requests_bell", trigger=WakeUp("tributary_requests"))],
)


@dag(
    dag_id="serve_requests",
    dag_display_name="Requests of callers",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/10 * * * *", timezone="UTC"), assets=[REQUESTS]),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS | {"execution_timeout": timedelta(minutes=5)},
    tags=["api"],
)
def serve_requests() -> None:
    """Takes what waits, starts it, and looks at all that is not done."""

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
        logical_date=None,  # two runs of one DAG may be asked for in one moment
        skip_when_already_exists=True,
        map_index_template="{{ task.trigger_run_id }}",
    )

    @task(trigger_rule="all_done")
    def note_states(ti: Any = None) -> dict[str, int]:
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

    start.expand_kwargs(take_requests()) >> note_states()


def _dag_id(request: Any) -> str:
    if request.what != "run":
        return "replay_dead_letters"
    return on_demand(request.vendor) if request.params.get("keys") else str(request.vendor)


serve_requests()
