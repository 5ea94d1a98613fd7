"""The supervisor restarts dead processes, ends their orphaned children, and waits between restarts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from local import supervisor
from local.postgres import Postgres
from local.processes import Processes
from tests.local.test_processes import SLEEP, wait_until

BUSY = """
import os, time
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)  # as Airflow does with a task
time.sleep(300)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres.temporary() as server:
        yield server


@pytest.fixture
def processes(server: Postgres, tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path / "state")
    supervisor.start(processes, server)
    yield processes
    supervisor.stop(processes)
    processes.stop_all()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_died_is_restarted_with_its_command_and_environment(processes: Processes) -> None:
    first = processes.start("speaker", ["sh", "-c", "echo $WORD; sleep 300"], environment={"WORD": "hello"})
    wait_until(lambda: processes.log("speaker").read_text() == "hello\n")
    kill(first)
    wait_until(lambda: processes.log("speaker").read_text() == "hello\nhello\n")
    wait_until(lambda: processes.pids().get("speaker") not in (None, first))
    assert processes.restarts("speaker") == 1
    wait_until(lambda: "speaker died and was restarted" in processes.log(supervisor.NAME).read_text())


def test_what_a_dead_process_left_is_ended_before_its_restart(processes: Processes) -> None:
    parent = psutil.Process(processes.start("parent", [sys.executable, "-c", BUSY]))
    wait_until(lambda: bool(parent.children()) and os.getpgid(parent.children()[0].pid) != parent.pid)
    [orphan] = parent.children()
    kill(parent.pid)
    wait_until(lambda: processes.restarts("parent") == 1)
    assert is_gone(orphan)


def test_one_that_keeps_dying_is_started_at_growing_intervals(processes: Processes) -> None:
    processes.start("brief", ["sh", "-c", "date +%s.%N"])
    wait_until(lambda: processes.log("brief").read_text().count("\n") > 3)
    starts = [float(line) for line in processes.log("brief").read_text().splitlines()]
    assert starts[2] - starts[1] >= 1
    assert starts[3] - starts[2] >= 2


def test_intervals_are_bounded_and_end_after_a_calm_life() -> None:
    pace = supervisor.Pace()
    for _ in range(20):
        pace.record_start()
    assert pace.pause == supervisor.LONGEST_PAUSE_SECONDS
    assert not pace.is_due()
    pace.started -= supervisor.CALM_SECONDS + 1
    assert pace.is_due()
    pace.record_start()
    assert pace.pause == 1


def test_a_command_that_is_missing_does_not_end_the_supervisor(processes: Processes, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nsleep 300\n")
    program.chmod(0o755)
    pid = processes.start("program", [program])
    sleeper = processes.start("sleeper", SLEEP)
    program.unlink()
    kill(pid)
    wait_until(lambda: "program died and could not be restarted" in processes.log(supervisor.NAME).read_text())
    kill(sleeper)
    wait_until(lambda: processes.restarts("sleeper") == 1)


def test_nothing_is_restarted_after_a_stop(processes: Processes) -> None:
    processes.start("sleeper", SLEEP)
    assert supervisor.stop(processes)
    assert processes.stop_all() == ["sleeper"]
    assert processes.pids() == {}


def test_what_it_restarted_lives_on_after_it(processes: Processes) -> None:
    kill(processes.start("sleeper", SLEEP))
    wait_until(lambda: processes.restarts("sleeper") == 1)
    restarted = processes.pids()["sleeper"]
    supervisor.stop(processes)
    assert processes.pids() == {"sleeper": restarted}


def test_a_second_start_leaves_the_first_supervisor_alone(processes: Processes, server: Postgres) -> None:
    assert supervisor.start(processes, server) == processes.pids()[supervisor.NAME]


def test_a_killed_postmaster_comes_back_at_its_port_although_a_session_was_busy(
    processes: Processes, server: Postgres
) -> None:
    busy = psycopg.connect(server.url("postgres"), autocommit=True)
    backend, first = psutil.Process(busy.info.backend_pid), server.pid
    assert first is not None
    busy.pgconn.send_query(
        b"select count(*) from generate_series(1, 1000000000)"
    )  # the supervisor checks nothing else until it ends
    kill(first)
    wait_until(lambda: server.pid not in (None, first), 30)
    assert is_gone(backend)
    busy.pgconn.finish()
    wait_until(lambda: can_connect(server), 30)


def can_connect(server: Postgres) -> bool:
    try:
        psycopg.connect(server.url("postgres"), connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
