"""The demo's components are killed in the middle of a day, one after the other; the day ends well without a person."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
import psycopg
import pytest
import requests

from include.local import day
from include.local.demo import Demo, Place
from include.local.follow import Follower, Outcome
from include.local.processes import find_free_port
from tests.faults.test_scheduled_kills import wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(1200)]

DAYS = ["orion", "tamarac"]
BACK_S = 120


@dataclass
class Kill:
    """Kills once, when the first pull has ended, and measures how long the victim is away."""

    demo: Demo
    victim: str
    find_pid: Callable[[], int]
    members: list[psutil.Process] = field(default_factory=list)
    back_s: float | None = None
    at: float = 0.0
    thread: threading.Thread | None = None

    def listen(self, line: str) -> None:
        print(line, flush=True)
        if self.thread is None and "pull[" in line and "success" in line:
            self.thread = threading.Thread(target=self.strike)
            self.thread.start()

    def strike(self) -> None:
        pid = self.find_pid()
        leader = psutil.Process(pid)
        self.members = [leader, *leader.children(recursive=True)]
        self.at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        before = self.demo.pids().get(self.victim)
        wait_until(
            lambda: self.demo.pids().get(self.victim) not in (None, pid, *([before] if before == pid else [])), BACK_S
        )
        self.back_s = time.monotonic() - self.at

    def finish(self) -> float:
        """Waits for the restart; returns the seconds from the kill to the end of the day."""
        passed = time.monotonic() - self.at
        assert self.thread is not None
        self.thread.join(BACK_S)
        assert self.back_s is not None
        return passed


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Demo, Place]]:
    ports = {name: find_free_port() for name in ("airflow", "sandbox", "postgres")}
    demo = Demo(tmp_path_factory.mktemp("supervised") / "demo", ports)
    try:
        yield demo, demo.start(print, households=10)
    finally:
        demo.remove()


def run_day(demo: Demo, place: Place, say: Callable[[str], None]) -> dict[str, Outcome]:
    return Follower(place.api, say, place.alerts).run(DAYS)


def check(place: Place, outcomes: dict[str, Outcome]) -> None:
    assert {dag_id: outcome.state for dag_id, outcome in outcomes.items()} == dict.fromkeys(DAYS, "success")
    with psycopg.connect(place.read_url) as connection:
        failed = connection.execute(
            "select vendor, check_name from control.reconciliation where not is_passed"
        ).fetchall()
        assert failed == []
        counts = "select count(*), count(distinct position_key) from warehouse.position where recorded_to is null"
        rows, keys = connection.execute(counts).fetchone() or (0, 0)
        assert rows == keys > 0
    assert not place.alerts.exists(), place.alerts.read_text()


@pytest.mark.parametrize("victim", ["scheduler", "api-server", "dag-processor", "triggerer", "sandbox", "postgres"])
def test_a_day_survives_the_death_of_a_component(
    demo: tuple[Demo, Place], victim: str, record_property: Callable[[str, object], None]
) -> None:
    here, place = demo
    kill = Kill(here, victim, lambda: here.pids()[victim])
    outcomes = run_day(here, place, kill.listen)
    seconds = kill.finish()
    record_property("restarted_after_s", kill.back_s)
    record_property("day_ended_after_s", seconds)
    print(f"{victim}: restarted after {kill.back_s:.1f} s, day ended {seconds:.0f} s after the kill")
    check(place, outcomes)
    assert [member for member in kill.members if member.is_running() and member.status() != psutil.STATUS_ZOMBIE] == []


def test_a_day_survives_the_death_of_a_session_of_the_server(
    demo: tuple[Demo, Place], record_property: Callable[[str, object], None]
) -> None:
    """The server then ends all sessions, and with them components that do not connect again."""
    here, place = demo

    def find_session() -> int:
        with psycopg.connect(here.postgres.url("airflow")) as connection:
            sessions = "select pid from pg_stat_activity where datname = 'airflow' and pid <> pg_backend_pid() limit 1"
            [pid] = connection.execute(sessions).fetchone() or [0]
            return int(pid)

    kill = Kill(here, "postgres", find_session)
    outcomes = run_day(here, place, kill.listen)
    seconds = kill.finish()
    record_property("day_ended_after_s", seconds)
    print(f"session: day ended {seconds:.0f} s after the kill")
    check(place, outcomes)


def test_a_failed_day_ends_with_the_reason_and_the_rest_goes_on(demo: tuple[Demo, Place]) -> None:
    _, place = demo
    lines: list[str] = []
    fault = {
        "route": "/orion/api/v1/portfolio/assets",
        "kind": "poison",
        "field": "currentShares",
        "value": "N/A",
        "share": 1.0,
    }
    requests.post(f"{place.sandbox_url}/_sandbox/faults", json=fault, timeout=20).raise_for_status()
    outcomes = day.run_day(place, lines.append)
    assert outcomes["orion"].state == "failed"
    [reason] = outcomes["orion"].reasons
    assert "Task: validate" in reason
    assert "Reason: DataQualityError" in reason
    assert outcomes["tamarac"].state == outcomes["salesforce"].state == "success"


def test_dags_that_answer_are_unpaused_although_the_command_ends_early(demo: tuple[Demo, Place]) -> None:
    _, place = demo

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    answering = ("salesforce", "serve_requests", "deliver_events", "drain_inbox", "emoney_on_demand")
    for dag_id in answering:
        place.api._call("PATCH", f"dags/{dag_id}", json={"is_paused": True})
    with pytest.raises(KeyboardInterrupt):
        day.run_day(place, interrupt)
    assert [dag_id for dag_id in answering if place.api._call("GET", f"dags/{dag_id}")["is_paused"]] == []


def test_stop_ends_everything(demo: tuple[Demo, Place]) -> None:
    here, _ = demo
    running = [psutil.Process(pid) for pid in here.pids().values()]
    running += [child for process in running for child in process.children(recursive=True)]
    here.stop()
    assert here.pids() == {}
    assert [each for each in running if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
