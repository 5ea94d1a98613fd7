"""The supervisor restarts components of Airflow that hang, and leaves the others alone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from local import supervisor
from local.postgres import Postgres
from local.processes import Processes
from tests.local.test_processes import SLEEP, wait_until
from tests.test_watchdog import TABLES


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres.temporary() as server:
        yield server


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits of the watchdog."""
    for name, seconds in {"HANG_SECONDS": 0.5, "START_SECONDS": 0.0, "POLL_SECONDS": 0.1}.items():
        monkeypatch.setattr(supervisor.watchdog, name, seconds)


@pytest.fixture
def watched(server: Postgres, tmp_path: Path) -> Iterator[Processes]:
    """Processes that this process supervises, with its own constants."""
    processes, end = Processes(tmp_path / "state"), threading.Event()
    thread = threading.Thread(target=supervisor.watch, args=(processes, server, end))
    thread.start()
    yield processes
    end.set()
    thread.join()
    processes.stop_all()


def make_settings(server: Postgres, database: str) -> dict[str, str]:
    """Return the settings of a component that has never sent a heartbeat."""
    server.create_database(database)
    with psycopg.connect(server.url(database)) as connection:
        connection.execute(TABLES)
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.url(database)}


@pytest.mark.usefixtures("hurried")
def test_a_component_of_airflow_that_hangs_is_restarted(server: Postgres, watched: Processes) -> None:
    settings = make_settings(server, "hangs")
    sleeper = watched.start("sleeper", SLEEP)
    watched.start("triggerer", ["/bin/sleep", "300"], environment=settings)
    wait_until(lambda: watched.restarts("triggerer") == 1, 20)
    assert watched.pids()["sleeper"] == sleeper


@pytest.mark.usefixtures("hurried")
def test_a_component_of_airflow_that_works_or_can_not_be_checked_is_left_alone(
    server: Postgres, watched: Processes
) -> None:
    settings = make_settings(server, "works")
    with psycopg.connect(server.url("works")) as connection:
        connection.execute(
            "insert into job (job_type, hostname, latest_heartbeat) values ('TriggererJob', %s, now())",
            (socket.gethostname(),),
        )
    missing = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.url("missing")}
    watched.start("triggerer", ["/bin/sleep", "300"], environment=settings)
    watched.start("scheduler", ["/bin/sleep", "300"], environment=missing)
    watched.start("dag-processor", ["/bin/sleep", "300"], environment=settings)
    wait_until(lambda: watched.restarts("dag-processor") == 1, 20)
    assert watched.restarts("triggerer") == watched.restarts("scheduler") == 0


def test_a_component_that_starts_after_a_crash_gets_time_although_the_last_heartbeat_is_recent(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor.watchdog, "POLL_SECONDS", 0.0)
    processes, settings = Processes(tmp_path / "state"), make_settings(server, "starts")
    hangs = supervisor.Hangs(processes)
    pid = processes.start("triggerer", ["/bin/sleep", "300"], environment=settings)
    with psycopg.connect(server.url("starts"), autocommit=True) as connection:
        connection.execute(
            "insert into job (job_type, hostname, latest_heartbeat) values ('TriggererJob', %s, now())",
            (socket.gethostname(),),
        )
        hangs.kill(processes.pids())
        connection.execute("delete from job")
        monkeypatch.setattr(supervisor.watchdog, "HANG_SECONDS", 0.0)
        hangs.kill(processes.pids())
    ended, _ = psutil.wait_procs([psutil.Process(pid)], timeout=0.5)
    assert ended == []
    processes.stop_all()
