"""Celery workers: what they import before they fork tasks, and which tasks they take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.celery_airflow import COMPOSE, Celery, run_celery
from tests.firm_keys import write_keyring
from tests.workers.waiting import wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(600)]

LOGGING = "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS"
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
        print("a line of the log")
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
    staging = {"conn_type": "generic", "extra": {"root": str(folder / "staging")}}
    keys = {"conn_type": "generic", "password": write_keyring()}
    connections = {"tributary_staging": json.dumps(staging), "tributary_keys": json.dumps(keys)}
    with run_celery(folder, folder / "dags", connections, **{LOGGING: COMPOSE[LOGGING]}) as celery:
        for queue in ("pulls", "loads"):
            celery.start_worker(queue, queue, 1, NAME=f"worker of {queue}")
        results = run_once(celery, "look", "list_modules", "name_worker_of_pulls", "name_worker_of_others")
        staged = folder / "staging" / "logs"
        wait_until(lambda: len(list(staged.rglob("attempt=*.log"))) == 3)  # a log moves after the end of its task
        logs = "dags/look/dagRuns/~/taskInstances/name_worker_of_pulls/logs/1"
        path = logs.replace("~", celery.api.runs("look")[0]["dag_run_id"])
        yield results | {
            "log": json.dumps(celery.api._call("GET", path)),
            "on_host": [str(path) for path in (folder / "home" / "logs").rglob("attempt=*")],
            "staged": [path.read_bytes() for path in staged.rglob("attempt=*.log")],
        }


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


def test_the_log_of_a_task_is_read_from_staging_and_left_on_no_host(results: dict[str, Any]) -> None:
    assert "a line of the log" in results["log"]
    assert results["on_host"] == []


def test_the_log_of_a_task_is_encrypted(results: dict[str, Any]) -> None:
    assert not [content for content in results["staged"] if b"a line of the log" in content]
