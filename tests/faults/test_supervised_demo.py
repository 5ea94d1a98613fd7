"""A failed day of the demo ends with its reason, and `stop` ends everything. tests.chaos covers components that die at any time."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
import requests

from local import day
from local.demo import Demo, Place
from local.processes import find_free_port

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Demo, Place]]:
    ports = {name: find_free_port() for name in ("airflow", "sandbox", "postgres")}
    demo = Demo(tmp_path_factory.mktemp("supervised") / "demo", ports)
    try:
        yield demo, demo.start(print, households=10)
    finally:
        demo.remove()


def test_a_failed_day_ends_with_the_reason_and_the_rest_continues(demo: tuple[Demo, Place]) -> None:
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


def test_event_driven_dags_are_unpaused_although_the_command_ends_early(demo: tuple[Demo, Place]) -> None:
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
