"""A Celery worker that gets SIGTERM, as at an upgrade: its pull continues on another worker, and its other tasks end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.vendors import named
from local.celery_airflow import Celery, run_celery
from local.production_packages import ROOT
from tests.conftest import Firm
from tests.dags.airflow_home import connections
from tests.workers.waiting import wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(900)]

VENDOR = named("emoney")
DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def rest():
    @task
    def sleep():
        import time
        time.sleep(10)

    sleep()

rest()
"""
RESPONSES = "select count(*) from control.answer where table_name = 'monte_carlo'"


@pytest.fixture
def firm(start_firm: Callable[..., Firm]) -> Firm:
    return start_firm(VENDOR, now=datetime.now(UTC), households=20, pace=1000)


@pytest.fixture
def celery(tmp_path: Path, firm: Firm) -> Iterator[Celery]:
    """An Airflow with the vendor's DAG and one that rests, and a worker for loads."""
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "rest.py").write_text(DAG)
    (dags / "vendor_day.py").symlink_to(ROOT / "dags" / "vendor_day.py")
    variables = {"tributary_speed": "40"}  # about two simulations a second
    no_schedule = {"TRIBUTARY_GO_LIVE": datetime.now(UTC).isoformat()}
    with run_celery(tmp_path, dags, connections(firm, tmp_path / "alerts"), variables, **no_schedule) as celery:
        celery.api.ensure_pool("pulls", 4)
        celery.start_worker("loads", "loads", 2)
        for dag_id in (VENDOR.name, "rest"):
            celery.api.wait_dag(dag_id, 120)
            celery.api.unpause(dag_id)
        yield celery


def read_tries(celery: Celery, run_id: str, task_id: str) -> list[int]:
    """Return the number of tries of each instance of a task."""
    path = f"dags/{VENDOR.name}/dagRuns/{run_id}/taskInstances"
    instances: list[dict[str, Any]] = celery.api._call("GET", path)["task_instances"]
    return [instance["try_number"] for instance in instances if instance["task_id"].startswith(task_id)]


def test_a_pull_continues_on_another_worker_without_losing_a_try_or_repeating_a_request(
    celery: Celery, firm: Firm
) -> None:
    first = celery.start_worker("first", "pulls", 2)
    run_id = celery.api.trigger(VENDOR.name, {"tables": ["clients", "plans", "monte_carlo"]})
    wait_until(lambda: firm.database.value(RESPONSES) > 11)
    first.terminate()
    assert first.wait(60) == 0
    responses = firm.database.value(RESPONSES)
    assert responses > 11  # they are deleted at the end of the pull, which has not ended
    celery.start_worker("second", "pulls", 2)
    assert celery.api.wait_run(VENDOR.name, run_id, 300) == "success"

    assert max(read_tries(celery, run_id, "pull")) == 1
    calls = firm.database.rows("select path from control.api_call where table_name = 'monte_carlo' and path like '%/%'")
    paths = Counter(call["path"] for call in calls)
    assert len(paths) > responses
    assert set(paths.values()) == {1}


def test_a_task_that_is_no_pull_runs_to_its_end(celery: Celery) -> None:
    run_id = celery.api.trigger("rest")
    wait_until(lambda: celery.api.task_states("rest", run_id) == {"sleep": "running"})
    time.sleep(2)  # until the task handles signals
    worker = psutil.Process(celery.processes.pids()["loads"])
    worker.terminate()
    wait_until(lambda: "shutting down" in " ".join(worker.cmdline()), 5)
    worker.wait(60)
    assert celery.api.wait_run("rest", run_id, 30) == "success"
    assert celery.api.task_states("rest", run_id) == {"sleep": "success"}
