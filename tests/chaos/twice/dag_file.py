"""DAGs of the harness: scheduled and triggered runs whose tasks record each start, and runs that miss their deadline on purpose.

The harness copies this file into the folder of its DAGs, and replaces the cron at the end.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, CronTriggerTimetable, task

from tributary.policy import DEFAULTS, deadline

EVERY_MINUTE: Any = CronTriggerTimetable("* * * * *", timezone="UTC")
START = pendulum.parse(os.environ["TWICE_START"])
DEADLINE_S = 5
COMMON: dict[str, Any] = {
    "start_date": START,
    "catchup": False,
    "is_paused_upon_creation": True,
    "default_args": {**DEFAULTS, "retries": 1, "retry_delay": timedelta(seconds=10)},
}
HURRIED = COMMON | {"schedule": EVERY_MINUTE, "deadline": deadline("within 5 seconds", DEADLINE_S / 3600)}


def record_start(context: Any) -> None:
    """Record that a process runs this try of this task."""
    import psycopg

    ti = context["ti"]
    with psycopg.connect(os.environ["TWICE_DATABASE"]) as database:
        database.execute(
            "insert into execution (dag_id, run_id, task_id, map_index, try_number) values (%s, %s, %s, %s, %s)",
            [ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number],
        )


@task
def work(number: int, **context: Any) -> None:
    """Only record the start."""
    record_start(context)


@task
def sleep(**context: Any) -> None:
    """Run longer than the deadline."""
    record_start(context)
    time.sleep(3 * DEADLINE_S)


@task
def fail_once(**context: Any) -> None:
    """Fail the first try; the second one begins after the deadline."""
    from include.errors import TargetUnavailable

    record_start(context)
    if context["ti"].try_number == 1:
        raise TargetUnavailable("The first try fails on purpose")


@task
def fail(**context: Any) -> None:
    """Fail without a retry."""
    from include.errors import DataQualityError

    record_start(context)
    raise DataQualityError("The run fails on purpose")


# With `catchup`, every minute has a run, also if the schedulers are late.
with DAG("twice_minute", **COMMON | {"schedule": EVERY_MINUTE, "catchup": True, "max_active_runs": 4}):
    work.expand(number=[0, 1, 2])
with DAG("twice_triggered", **COMMON | {"schedule": None}):
    work.expand(number=[0, 1])
with DAG("twice_late", **HURRIED):
    sleep()
with DAG("twice_retried", **HURRIED):
    fail_once()
with DAG("twice_failed", **HURRIED):
    fail()
