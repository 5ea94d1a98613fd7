"""Benchmark of Celery workers: the pulls of all vendors on one worker and on four, at vendors that respond slowly.

Airflow, its workers and the simulated vendors are separate processes, as in docker-compose.yaml. Each round starts with an empty warehouse and
a new copy of the same vendors. The warehouse must have the same rows after four workers as after one, and no call may exceed a vendor's rate limit.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import requests
from rich import box
from rich.console import Console
from rich.table import Table

from include.errors import BalanceError, TargetUnavailable
from include.keys.keyring import generate
from include.vendors import VENDORS
from include.warehouse import schema
from local.celery_airflow import Celery, run_celery
from local.demo import DATABASE, list_connections
from local.follow import Follower
from local.postgres import Postgres
from local.processes import Processes, find_free_port
from local.sandbox_process import PACE, ROOT, Served, start_sandbox
from local.warehouse_rows import Contents, connect, find_differences, read_keys, read_rows, read_warehouse

WORKERS = (1, 4)
PULLS, LOADS = "pulls", "loads"
LOAD_SLOTS = 2
KEY = "bench-only"
_CALLS = """
select vendor, table_name, count(*) as calls from control.api_call where path <> '(login)' group by 1, 2
"""


@dataclass(frozen=True, slots=True)
class Vendors:
    """The running sandbox."""

    url: str
    connections: Mapping[str, dict[str, Any]]

    def slow_down(self, seconds: float) -> None:
        """Let every call take this much longer."""
        fault = {"route": "*", "kind": "latency", "seconds": seconds}
        requests.post(f"{self.url}/_sandbox/faults", json=fault, timeout=30).raise_for_status()

    def report_calls(self) -> dict[str, Any]:
        """Return the sandbox's counts of calls and of calls beyond a rate limit."""
        response = requests.get(f"{self.url}/_sandbox/calls", timeout=30)
        response.raise_for_status()
        report: dict[str, Any] = response.json()
        return report


@dataclass(frozen=True)
class Round:
    """The result of a round.

    Attributes:
        latency_s: Seconds that a vendor takes longer for each call.
        workers: Number of workers for pulls.
        slots: Slots of each of them.
        pulls: Airflow's task instances of the pulls.
        answered: Number of calls that the vendors counted.
        violations: Number of calls beyond a rate limit, by limit, that the vendors counted.
        calls: Number of calls without logins by vendor and table, as the tasks recorded them.
        warehouse: The loaded rows.
        busy_ratio: Share (0-1) of the machine's cores that was busy.
    """

    latency_s: float
    workers: int
    slots: int
    pulls: Sequence[Mapping[str, Any]]
    answered: int
    violations: Mapping[str, int]
    calls: Mapping[tuple[str, str], int]
    warehouse: Contents
    busy_ratio: float

    @property
    def seconds(self) -> float:
        """Seconds from the start of the first pull to the end of the last one."""
        return _measure(self.pulls)

    @property
    def pulling_s(self) -> float:
        """Sum of the seconds of all pulls."""
        return sum(_measure([pull]) for pull in self.pulls)


def bench_workers(households: int, slots: int, latencies: Sequence[float]) -> None:
    """Run a day of all vendors with one worker and with four, for each latency in seconds, and print the table.

    Raises:
        BalanceError: A call exceeded a rate limit, or the rounds of a latency differ in their calls or rows.
    """
    keys, rounds = generate("bench"), []
    for latency in latencies:
        for workers in WORKERS:
            print(f"Vendors that take {latency:g} s for each call, {workers} workers ...", flush=True)
            with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
                rounds.append(_run(Path(folder), keys, households, latency, workers, slots))
    _show(households, rounds)
    _check(rounds)


def _run(folder: Path, keys: str, households: int, latency: float, workers: int, slots: int) -> Round:
    folder.chmod(0o711)
    dags = folder / "dags"
    dags.mkdir()
    (dags / "vendor_day.py").symlink_to(ROOT / "dags" / "vendor_day.py")
    settings = {
        "TRIBUTARY_GO_LIVE": datetime.now(UTC).isoformat(),  # no run of a schedule
        "TRIBUTARY_PULL_SLOTS": str(workers * slots),
    }
    variables = {"tributary_speed": str(PACE)}
    with _run_sandbox(folder, households) as vendors, Postgres.start(folder / "postgres", durable=True) as server:
        connections = list_connections(folder, _create_warehouse(server), keys, vendors.connections)
        with run_celery(folder, dags, connections, variables, **settings) as celery:
            _start_workers(celery, workers, slots)
            vendors.slow_down(latency)
            began = datetime.now(UTC)
            psutil.cpu_percent()
            outcomes = Follower(celery.api, _report_line, folder / "alerts.jsonl").run(
                [vendor.name for vendor in VENDORS]
            )
            busy_ratio = psutil.cpu_percent() / 100
            pulls = [task for task in celery.api.find_changed_tasks(began) if task["pool"] == PULLS]
        if failed := {name: each.reasons for name, each in outcomes.items() if each.state != "success"}:
            raise TargetUnavailable("A vendor's day failed", reasons=failed)
        report = vendors.report_calls()
        with connect(server.url(DATABASE)) as db:
            calls = {(row["vendor"], row["table_name"]): row["calls"] for row in read_rows(db, _CALLS)}
            warehouse = read_warehouse(db, read_keys(db))
    return Round(latency, workers, slots, pulls, report["total"], report["violations"], calls, warehouse, busy_ratio)


def _start_workers(celery: Celery, workers: int, slots: int) -> None:
    """Start one worker for loads and some for pulls, with a pool of as many slots as they have, and wait until they are ready."""
    celery.api.ensure_pool(PULLS, workers * slots)
    names = [f"{PULLS}_{number + 1}" for number in range(workers)]
    for name in names:
        celery.start_worker(name, PULLS, slots)
    celery.start_worker(LOADS, LOADS, LOAD_SLOTS)
    celery.wait_workers([LOADS, *names])


@contextmanager
def _run_sandbox(folder: Path, households: int) -> Iterator[Vendors]:
    processes, url = Processes(folder / "processes"), f"http://127.0.0.1:{find_free_port()}"
    try:
        started = start_sandbox(processes, folder / "sandbox", url, find_free_port(), Served(households))
        yield Vendors(url, started.connections)
    finally:
        processes.stop_all()


def _create_warehouse(server: Postgres) -> dict[str, str]:
    """Create the warehouse; return its URL for each role."""
    server.create_database(DATABASE)
    schema.create_roles(server.url(DATABASE), dict.fromkeys(schema.ROLES, KEY))
    urls = {role: f"postgresql://{role}:{KEY}@127.0.0.1:{server.port}/{DATABASE}" for role in schema.ROLES}
    schema.migrate(urls["tributary_migrate"])
    return urls


def _report_line(line: str) -> None:
    print(line, flush=True)


def _measure(pulls: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds from the start of the first pull to the end of the last one."""
    starts, ends = ([datetime.fromisoformat(pull[at]) for pull in pulls] for at in ("start_date", "end_date"))
    return (max(ends) - min(starts)).total_seconds()


def _show(households: int, rounds: Sequence[Round]) -> None:
    names = (f"{each.latency_s:g} s, {each.workers} {'worker' if each.workers == 1 else 'workers'}" for each in rounds)
    table = Table("seconds of a call, workers for pulls", *names, box=box.SIMPLE)
    table.title = f"{len(VENDORS)} vendors, {households} households; slots a worker: {rounds[0].slots}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    for column in table.columns[1:]:
        column.justify = "right"
    rows: dict[str, Callable[[Round], str]] = {
        "pulls": lambda each: str(len(each.pulls)),
        "from the first start to the last end, s": lambda each: f"{each.seconds:.0f}",
        "times as fast as one worker": lambda each: f"{_find_first(rounds, each).seconds / each.seconds:.2f}",
        "sum of the pulls, s": lambda each: f"{each.pulling_s:.0f}",
        "slots in use": lambda each: f"{each.pulling_s / (each.workers * each.slots * each.seconds):.0%}",
        "cores in use, until the last load": lambda each: f"{each.busy_ratio:.0%}",
        "calls": lambda each: f"{each.answered:,}",
        "calls without logins": lambda each: f"{sum(each.calls.values()):,}",
        "calls beyond a rate limit": lambda each: str(sum(each.violations.values())),
        "rows in the warehouse": lambda each: f"{sum(rows.total() for rows in each.warehouse.values()):,}",
    }
    for name, show in rows.items():
        table.add_row(name, *map(show, rounds))
    Console(width=150).print(table)


def _check(rounds: Sequence[Round]) -> None:
    for each in rounds:
        first = _find_first(rounds, each)
        if each.violations:
            raise BalanceError("Calls exceeded a vendor's rate limit", workers=each.workers, limits=each.violations)
        if each.calls != first.calls:
            differing = sorted({table for table, _ in each.calls.items() ^ first.calls.items()})
            raise BalanceError("The rounds made different calls", workers=each.workers, tables=differing)
        if differences := find_differences({"once": first.warehouse, "again": each.warehouse}, most=1):
            raise BalanceError("The rounds loaded different rows", workers=each.workers, differences=differences)


def _find_first(rounds: Sequence[Round], each: Round) -> Round:
    """Return the first round with the same latency."""
    return next(first for first in rounds if first.latency_s == each.latency_s)
