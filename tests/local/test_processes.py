"""Child processes: recorded, found by another command, and ended with their children only."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local import processes as processes_module
from local.processes import Processes, find_free_port

SLEEP = ["sleep", "300"]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path / "state")
    yield processes
    processes.stop_all()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that was never recorded."""
    with subprocess.Popen(SLEEP, start_new_session=True) as process:
        yield process
        process.kill()


def wait_until(is_so: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def rewrite_record(processes: Processes, **changes: object) -> None:
    path = processes.state_dir / "processes.json"
    path.write_text(json.dumps([{**process, **changes} for process in json.loads(path.read_text())]))


def test_a_process_runs_until_it_is_stopped(processes: Processes) -> None:
    pid = processes.start("sleeper", SLEEP)
    assert processes.is_running("sleeper")
    assert processes.stop_all() == ["sleeper"]
    assert not processes.is_running("sleeper")
    assert not psutil.pid_exists(pid)


def test_no_other_user_can_read_what_a_process_writes(processes: Processes, tmp_path: Path) -> None:
    written, folder = tmp_path / "written", tmp_path / "folder"
    processes.start("writer", ["sh", "-c", f"mkdir {folder}; echo names > {written}; sleep 300"])
    wait_until(written.exists)
    assert [path.stat().st_mode & 0o777 for path in (written, folder)] == [0o600, 0o700]


def test_a_second_start_of_the_same_name_leaves_the_first_alone(processes: Processes) -> None:
    assert processes.start("sleeper", SLEEP) == processes.start("sleeper", SLEEP)


def test_a_process_that_ended_is_not_running_and_may_start_again(processes: Processes) -> None:
    first = processes.start("brief", ["true"])
    wait_until(lambda: not processes.is_running("brief"))
    assert processes.start("brief", SLEEP) != first
    assert processes.is_running("brief")


def test_another_command_finds_and_stops_what_an_earlier_one_started(processes: Processes) -> None:
    script = "import sys; from pathlib import Path; from local.processes import Processes; "
    script += "Processes(Path(sys.argv[1])).start('sleeper', ['sleep', '300'])"
    subprocess.run([sys.executable, "-c", script, processes.state_dir], check=True, timeout=30)
    assert processes.is_running("sleeper")
    assert processes.stop_all() == ["sleeper"]


def test_the_last_one_started_is_stopped_first(processes: Processes) -> None:
    for name in ("database", "server", "worker"):
        processes.start(name, SLEEP)
    assert processes.stop_all() == ["worker", "server", "database"]


def test_children_end_with_their_parent_even_in_another_session(processes: Processes) -> None:
    pid = processes.start("parent", ["sh", "-c", "sleep 300 & setsid sleep 300 & wait"])
    parent = psutil.Process(pid)
    wait_until(lambda: [child.name() for child in parent.children()] == ["sleep", "sleep"])
    children = parent.children()
    processes.stop_all()
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_children_whose_parent_died_are_still_ended(processes: Processes) -> None:
    parent = psutil.Process(processes.start("parent", ["sh", "-c", "sleep 300 & wait"]))
    wait_until(lambda: len(parent.children()) == 1)
    (child,) = parent.children()
    parent.kill()
    parent.wait(timeout=10)
    processes.stop_all()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_one_that_ignores_the_request_to_end_is_killed(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes_module, "GRACE_SECONDS", 0.3)
    pid = processes.start("deaf", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"])
    wait_until(lambda: processes.log("deaf").read_text() == "ready\n")
    processes.stop_all()
    assert not psutil.pid_exists(pid)


def test_a_stranger_with_a_recorded_pid_is_left_alone(processes: Processes, stranger: subprocess.Popen[bytes]) -> None:
    ours = psutil.Process(processes.start("sleeper", SLEEP))
    rewrite_record(processes, pid=stranger.pid, born_at=psutil.Process(stranger.pid).create_time() - 60)
    assert not processes.is_running("sleeper")
    assert processes.stop_all() == []
    assert stranger.poll() is None
    ours.kill()
    ours.wait(timeout=10)


def test_what_was_not_started_here_is_left_alone(processes: Processes, stranger: subprocess.Popen[bytes]) -> None:
    processes.start("sleeper", SLEEP)
    processes.stop_all()
    assert stranger.poll() is None


def test_a_process_gets_its_environment_and_its_output_goes_to_its_log(processes: Processes) -> None:
    command = ["sh", "-c", "echo $WORD; echo oops >&2"]
    processes.start("speaker", command, environment={"WORD": "hello"})
    wait_until(lambda: processes.log("speaker").read_text() == "hello\noops\n")


def test_the_state_is_closed_to_others(processes: Processes) -> None:
    processes.start("sleeper", SLEEP)
    assert processes.state_dir.stat().st_mode & 0o077 == 0


def test_a_command_that_is_not_there_is_an_error_and_leaves_no_record(processes: Processes) -> None:
    with pytest.raises(FileNotFoundError):
        processes.start("nothing", ["/no/such/program"])
    assert processes.stop_all() == []


def test_a_process_leads_a_session_of_its_own(processes: Processes) -> None:
    pid = processes.start("sleeper", SLEEP)
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGKILL)


def test_the_preferred_port_is_given_if_it_is_free(free_port: int) -> None:
    assert find_free_port(free_port) == free_port


def test_another_port_is_given_if_the_preferred_one_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        assert find_free_port(port) != port
