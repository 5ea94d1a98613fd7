"""The watchdog ends a component that hangs, and no other."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from include import watchdog
from local.postgres import Postgres
from local.processes import find_free_port

# Those columns of Airflow's tables that the watchdog reads.
TABLES = """
create table job (id int generated always as identity, job_type text, hostname text, latest_heartbeat timestamptz);
create table task_instance (state text, queued_dttm timestamptz, queued_by_job_id int, start_date timestamptz)
"""
PARENT = ["bash", "-c", '(exec -a "$0" sleep 300) & echo started; wait']
"""A process with one child, whose name is the argument."""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres.temporary() as server:
        server.create_database("airflow")
        with psycopg.connect(server.url("airflow")) as connection:
            connection.execute(TABLES)
        yield server


@pytest.fixture
def environment(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    with psycopg.connect(server.url("airflow")) as connection:
        connection.execute("truncate job, task_instance")
    url = server.url("airflow").replace("postgresql://", "postgresql+psycopg2://")
    environment = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "AIRFLOW__API__PORT": str(find_free_port())}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all waits of the watchdog."""
    for name, seconds in {"HANG_SECONDS": 0.3, "START_SECONDS": 0.0, "POLL_SECONDS": 0.1}.items():
        monkeypatch.setattr(watchdog, name, seconds)


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    """A process with one child, which stands for the component."""
    yield from start_parent("component")


@pytest.fixture
def stopping_parent() -> Iterator[subprocess.Popen[str]]:
    """A process with one child, which stands for a worker that shuts down."""
    yield from start_parent(watchdog.SHUTTING_DOWN)


def start_parent(child: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([*PARENT, child], stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def beat(server: Postgres, job_type: str, age_s: float, hostname: str | None = None) -> None:
    row = (job_type, hostname or socket.gethostname(), datetime.now(UTC) - timedelta(seconds=age_s))
    with psycopg.connect(server.url("airflow")) as connection:
        connection.execute("insert into job (job_type, hostname, latest_heartbeat) values (%s, %s, %s)", row)


def queue(server: Postgres, state: str, age_s: float, job: str = "max") -> None:
    """Insert a task that the newest (`max`) or the oldest (`min`) job queued."""
    with psycopg.connect(server.url("airflow")) as connection:
        insert = f"insert into task_instance (state, queued_dttm, queued_by_job_id) select %s, now() - make_interval(secs => %s), {job}(id) from job"
        connection.execute(insert.encode(), (state, age_s))


@pytest.mark.parametrize("component", watchdog.JOBS)
def test_a_component_works_while_it_sends_heartbeats(
    component: str, server: Postgres, environment: dict[str, str]
) -> None:
    job_type = watchdog.JOBS[component]
    assert watchdog.is_working(component, environment) is False
    beat(server, job_type, age_s=3600)
    assert watchdog.is_working(component, environment) is False
    beat(server, job_type, age_s=1, hostname="another")
    beat(server, next(each for each in watchdog.JOBS.values() if each != job_type), age_s=1)
    assert watchdog.is_working(component, environment) is False
    beat(server, job_type, age_s=1)
    assert watchdog.is_working(component, environment) is True


@pytest.mark.parametrize(
    ("state", "age_s", "job", "executor", "works"),
    [
        ("queued", 200, "max", "LocalExecutor", False),
        ("queued", 100, "max", "LocalExecutor", True),
        ("running", 200, "max", "LocalExecutor", True),
        ("queued", 200, "min", "LocalExecutor", True),
        ("queued", 200, "max", "CeleryExecutor", True),  # its queue may be longer than its workers are many
    ],
)
def test_a_scheduler_whose_local_workers_start_no_task_does_not_work(
    server: Postgres, environment: dict[str, str], state: str, age_s: float, job: str, executor: str, works: bool
) -> None:
    beat(server, "SchedulerJob", age_s=60)
    beat(server, "SchedulerJob", age_s=1)
    queue(server, state, age_s, job)
    beat(server, "TriggererJob", age_s=1)
    settings = environment | {"AIRFLOW__CORE__EXECUTOR": executor}
    assert watchdog.is_working("scheduler", settings) is works
    assert watchdog.is_working("triggerer", settings) is True


def test_a_scheduler_that_started_another_task_meanwhile_works(server: Postgres, environment: dict[str, str]) -> None:
    beat(server, "SchedulerJob", age_s=1)
    queue(server, "queued", 200)
    queue(server, "running", 100)
    with psycopg.connect(server.url("airflow")) as connection:
        connection.execute(
            "update task_instance set start_date = now() - interval '95 seconds' where state = 'running'"
        )
    assert watchdog.is_working("scheduler", environment | {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor"}) is True


@pytest.mark.parametrize("component", watchdog.COMPONENTS)
def test_without_the_metadata_database_nothing_is_known(component: str, environment: dict[str, str]) -> None:
    url = f"postgresql+psycopg2://u:p@127.0.0.1:{find_free_port()}/airflow"
    assert watchdog.is_working(component, {**environment, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}) is None


def test_an_api_server_works_while_it_answers_at_all(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "TIMEOUT_SECONDS", 1)
    port = int(environment["AIRFLOW__API__PORT"])
    with http.server.HTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler) as server:
        assert watchdog.is_working("api-server", environment) is False  # it accepts the connection, but never answers
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        assert watchdog.is_working("api-server", environment) is True  # its answer is 501
        server.shutdown()
    assert watchdog.is_working("api-server", environment) is False


@pytest.mark.usefixtures("hurried")
def test_a_component_that_hangs_is_ended(environment: dict[str, str], parent: subprocess.Popen[str]) -> None:
    assert environment
    assert watchdog.main(["scheduler", "--end-children-of", str(parent.pid)]) == 1
    assert parent.wait(10) == 0  # its child has ended


@pytest.mark.usefixtures("hurried")
def test_a_component_that_recovers_in_time_lives(
    server: Postgres, environment: dict[str, str], parent: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 30.0)
    recovery = threading.Timer(0.5, beat, (server, "SchedulerJob", 0))
    recovery.start()
    assert watchdog.main(["scheduler", "--end-children-of", str(parent.pid)]) == 0
    recovery.join()
    assert parent.poll() is None


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("reason", ["it is still starting", "the database is away"])
def test_a_component_that_fails_its_checks_lives_if(
    reason: str, environment: dict[str, str], parent: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == "it is still starting":
        monkeypatch.setattr(watchdog, "START_SECONDS", 120.0)
    else:
        url = f"postgresql+psycopg2://u:p@127.0.0.1:{find_free_port()}/airflow"
        monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
    assert environment
    assert watchdog.main(["scheduler", "--end-children-of", str(parent.pid)]) == 1
    assert parent.poll() is None


@pytest.mark.usefixtures("hurried", "environment")
def test_a_worker_that_waits_for_its_last_tasks_lives(stopping_parent: subprocess.Popen[str]) -> None:
    assert watchdog.main(["scheduler", "--end-children-of", str(stopping_parent.pid)]) == 1
    assert stopping_parent.poll() is None


@pytest.fixture
def broker() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.mark.parametrize(("status", "works"), [(0, True), (1, False)], ids=["answers", "does not answer"])
def test_a_worker_works_while_it_answers_a_ping(
    environment: dict[str, str],
    broker: socket.socket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    works: bool,
) -> None:
    install_celery(tmp_path, monkeypatch, status)
    url = f"rediss://:secret@127.0.0.1:{broker.getsockname()[1]}/0?ssl_cert_reqs=CERT_REQUIRED"
    assert watchdog.is_working("worker", environment | {"AIRFLOW__CELERY__BROKER_URL": url}) is works


def test_a_worker_is_not_ended_while_the_broker_is_down(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_celery(tmp_path, monkeypatch, 1)
    url = f"redis://127.0.0.1:{find_free_port()}/0"
    assert watchdog.is_working("worker", environment | {"AIRFLOW__CELERY__BROKER_URL": url}) is None


def install_celery(folder: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Install a command `celery` that ends with a status, because Celery is only in the production image."""
    command = folder / "celery"
    command.write_text(f"#!/bin/sh\nexit {status}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
