"""Errors that are retried in every task of every DAG: a database, a network or Airflow briefly unavailable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.dags.airflow_home import ROOT, environment, run, said

pytestmark = pytest.mark.airflow

_DECIDE = """
import json
from types import SimpleNamespace as Thing

import httpx, psycopg, psycopg2, sqlalchemy
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.api.client import ServerResponseError
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from include.warehouse import schema


def airflow_error(kind, **detail):
    return AirflowRuntimeError(ErrorResponse(error=ErrorType[kind], detail=detail))


def server_error(status):
    request = httpx.Request("GET", "http://airflow.example")
    return ServerResponseError("no", request=request, response=httpx.Response(status, json={}, request=request))


def raised(do):
    try:
        do()
    except Exception as error:
        return error


def kill(pid):
    with psycopg.connect(URL, autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s)", [pid])


def lose_statement():
    with schema.engine(URL).begin() as connection:
        kill(connection.execute(sqlalchemy.text("select pg_backend_pid()")).scalar())
        connection.execute(sqlalchemy.text("select 1"))


def lose_copy():
    with psycopg.connect(URL) as connection, connection.cursor() as cursor:
        cursor.execute("create temporary table t (a text)")
        with cursor.copy("copy t from stdin") as copy:
            kill(connection.info.backend_pid)
            for _ in range(100_000):
                copy.write("x" * 1000 + "\\n")


def use_after():
    connection = psycopg.connect(URL)
    connection.close()
    connection.execute("select 1")


def pool_is_empty():
    engine = sqlalchemy.create_engine(URL.replace("postgresql", "postgresql+psycopg"), pool_size=1, max_overflow=0, pool_timeout=0.1)
    with engine.connect():
        engine.connect()


passing = {
    "api server failed": airflow_error("API_SERVER_ERROR", status_code=500, message="Database error"),
    "api server restarts": airflow_error("API_SERVER_ERROR", status_code=503),
    "api server away": airflow_error("API_SERVER_ERROR", status_code=None, exception_type="ConnectError"),
    "execution api 502": server_error(502),
    "connect": httpx.ConnectError("refused"),
    "read": httpx.ReadTimeout("late"),
    "killed in a statement": raised(lose_statement),
    "killed in a copy": raised(lose_copy),
    "closed": raised(use_after),
    "pool": raised(pool_is_empty),
    "admin shutdown": psycopg.errors.AdminShutdown("terminating connection"),
    "crash shutdown": psycopg.errors.CrashShutdown("terminating connection because of crash"),
    "starting": psycopg.errors.CannotConnectNow("the database system is starting up"),
    "airflow's driver": psycopg2.OperationalError("server closed the connection unexpectedly"),
}
lasting = {
    "refused": airflow_error("API_SERVER_ERROR", status_code=422),
    "no variable": airflow_error("VARIABLE_NOT_FOUND"),
    "denied": airflow_error("PERMISSION_DENIED"),
    "no task": server_error(404),
    "no connection": AirflowNotFoundException("The conn_id isn't defined"),
    "sql": psycopg.errors.UndefinedTable("no such table"),
    "code": ValueError("ours"),
}
assert all(passing.values()), passing
tasks = {f"{d.dag_id}.{t.task_id}": t for d in DagBag().dags.values() for t in d.tasks}


def decided(errors, wanted):
    return [f"{task_id}: {name} ({type(error).__name__})" for task_id, task in tasks.items() for name, error in errors.items()
            if task.retry_policy.evaluate(error, 1, 4).action.value != wanted]


print("DECIDED", json.dumps({
    "tasks": len(tasks), "not again": decided(passing, "retry"), "again": decided(lasting, "fail"),
    "no retries": [task_id for task_id, task in tasks.items() if task.retries < 2],
}))
"""


def test_a_loss_that_passes_is_tried_again_by_every_task_and_what_lasts_by_none(
    tmp_path: Path, database: Database
) -> None:
    environ = environment(tmp_path / "airflow", {})
    decided = json.loads(said(run(environ, f"URL = {database.url()!r}\n{_DECIDE}"), "DECIDED"))
    assert decided.pop("tasks") > 100
    assert decided == {"not again": [], "again": [], "no retries": []}


_AWAY = """
import json
from tributary import connections as firm
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, GetVariableKeys, VariableKeysResult


class Supervisor:
    is_away = True

    def send(self, message):
        if self.is_away:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 503}))
        if isinstance(message, GetVariableKeys):
            return VariableKeysResult(keys=[], total_entries=0)
        return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)


def seen():
    found = []
    for read in (firm.is_crm_paused, lambda: firm.is_connected("orion")):
        try:
            found.append(read())
        except AirflowRuntimeError as error:
            found.append(error.error.error.value)
    return found


task_runner.SUPERVISOR_COMMS = Supervisor()
away = seen()
Supervisor.is_away = False
print("SEEN", json.dumps([away, seen()]))
"""


def test_a_setting_that_cannot_be_read_is_not_taken_for_one_that_is_missing(tmp_path: Path) -> None:
    environ = environment(tmp_path, {}) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    away, there = json.loads(said(run(environ, _AWAY), "SEEN"))
    assert away == ["API_SERVER_ERROR", "API_SERVER_ERROR"]
    assert there == [False, False]
