"""A Celery worker that is killed, as by a host that dies: only its own pull runs again, and continues from its stored responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.business_dates import latest_closed
from include.vendors import named
from local.celery_airflow import Celery, run_celery
from local.postgres import Postgres
from local.production_packages import ROOT
from local.warehouse_rows import Contents, connect, find_differences, read_keys, read_warehouse
from tests.conftest import Database, Firm, new_database
from tests.dags.airflow_home import connections
from tests.workers.waiting import wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(900)]

VENDOR = named("moneyguidepro")
WORKERS = 4
RESPONSES = "select table_name, count(*) as responses from control.answer group by 1"
CALLS = "select table_name, path from control.api_call where path <> '(login)'"


@pytest.fixture
def firm(start_firm: Callable[..., Firm]) -> Firm:
    return start_firm(VENDOR, now=datetime.now(UTC), households=60, pace=1000)


@pytest.fixture
def undisturbed(firm: Firm, postgres: Postgres, tmp_path: Path) -> Iterator[Database]:
    """The database of another firm, which has loaded the same day from the same vendor in one process."""
    with new_database(postgres) as database:
        other = Firm(VENDOR, firm.sandbox, database, tmp_path / "undisturbed", firm.now)
        other.day(latest_closed(firm.now))
        other.engine.dispose()
        yield database


@pytest.fixture
def celery(tmp_path: Path, firm: Firm) -> Iterator[Celery]:
    """An Airflow with the vendor's DAG, a worker for loads, and workers for pulls."""
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "vendor_day.py").symlink_to(ROOT / "dags" / "vendor_day.py")
    no_schedule = {"TRIBUTARY_GO_LIVE": datetime.now(UTC).isoformat()}
    variables = {"tributary_speed": "0.3"}  # about one call a second
    with run_celery(tmp_path, dags, connections(firm, tmp_path / "alerts"), variables, **no_schedule) as celery:
        celery.api.ensure_pool("pulls", WORKERS)
        names = [f"pulls_{n}" for n in range(WORKERS)]
        for name in names:
            celery.start_worker(name, "pulls", 1)
        celery.start_worker("loads", "loads", 2)
        celery.wait_workers([*names, "loads"])
        celery.api.wait_dag(VENDOR.name, 120)
        celery.api.unpause(VENDOR.name)
        yield celery


def kill(worker: psutil.Process) -> None:
    """Kill a worker with all its processes."""
    for process in [*worker.children(recursive=True), worker]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def read_tries(celery: Celery, run_id: str) -> dict[str, int]:
    """Return the number of tries of each pull, by table."""
    path = f"dags/{VENDOR.name}/dagRuns/{run_id}/taskInstances"
    instances: list[dict[str, Any]] = celery.api._call("GET", path)["task_instances"]
    return {each["rendered_map_index"]: each["try_number"] for each in instances if each["pool"] == "pulls"}


def count_calls(database: Database) -> dict[str, Counter[str]]:
    """Count the calls of each table by path."""
    calls = database.rows(CALLS)
    return {name: Counter(call["path"] for call in calls if call["table_name"] == name) for name in VENDOR.stages[1]}


def read_contents(database: Database) -> Contents:
    with connect(database.admin_url) as db:
        return read_warehouse(db, read_keys(db))


def test_a_killed_worker_costs_only_its_own_pull(celery: Celery, firm: Firm, undisturbed: Database) -> None:
    def count_responses() -> dict[str, int]:
        return {row["table_name"]: row["responses"] for row in firm.database.rows(RESPONSES)}

    run_id = celery.api.trigger(VENDOR.name)
    wait_until(lambda: len(counts := count_responses()) == WORKERS and min(counts.values()) > 2)
    before = count_responses()
    kill(psutil.Process(celery.processes.pids()["pulls_0"]))
    assert celery.api.wait_run(VENDOR.name, run_id, 400) == "success"

    tries = read_tries(celery, run_id)
    [killed] = [name for name, number in tries.items() if number > 1]
    assert tries[killed] == 2
    calls, expected = count_calls(firm.database), count_calls(undisturbed)
    again = calls.pop(killed)
    assert again.total() <= expected.pop(killed).total() - before[killed]
    assert calls == expected
    sides = {"killed": read_contents(firm.database), "undisturbed": read_contents(undisturbed)}
    assert find_differences(sides) == []
