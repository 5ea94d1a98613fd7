"""Celery workers: what they import before they fork tasks, and which tasks they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.workers.running_celery import Celery, run_celery

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(600)]

DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def look():
    @task
    def list_modules():
        import sys
        return sorted(sys.modules)

    @task(queue="pulls")
    def name_worker_of_pulls():
        import os
        return os.environ["NAME"]

    @task
    def name_worker_of_others():
        import os
        return os.environ["NAME"]

    list_modules(), name_worker_of_pulls(), name_worker_of_others()

look()
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the tasks of a run returned, with one worker for each queue."""
    folder = tmp_path_factory.mktemp("celery")
    (folder / "dags").mkdir()
    (folder / "dags" / "look.py").write_text(DAG)
    with run_celery(folder, folder / "dags") as celery:
        for queue in ("pulls", "loads"):
            celery.start_worker(queue, "--queues", queue, "--concurrency", "1", NAME=f"worker of {queue}")
        yield run_once(celery, "look", "list_modules", "name_worker_of_pulls", "name_worker_of_others")


def run_once(celery: Celery, dag_id: str, *task_ids: str) -> dict[str, Any]:
    """Run a DAG to its end; return what the tasks returned."""
    celery.api.wait_dag(dag_id, 120)
    celery.api.unpause(dag_id)
    run_id = celery.api.trigger(dag_id)
    assert celery.api.wait_run(dag_id, run_id, 120) == "success"
    return {task_id: celery.api.result(dag_id, run_id, task_id) for task_id in task_ids}


def test_a_task_starts_with_the_libraries_of_tasks_and_without_the_pages_of_plugins(results: dict[str, Any]) -> None:
    modules = set(results["list_modules"])
    assert {"great_expectations", "pyarrow.parquet", "airflow.sdk.execution_time.task_runner"} <= modules
    assert not {"tributary.operations", "operations", "include.gateway.api.app"} & modules


def test_a_worker_takes_only_the_tasks_of_its_queue(results: dict[str, Any]) -> None:
    assert results["name_worker_of_pulls"] == "worker of pulls"
    assert results["name_worker_of_others"] == "worker of loads"
