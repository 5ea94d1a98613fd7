"""Benchmark of a day of positions beside dlt, from the same pages of the same sandbox into the same PostgreSQL.

Tributary validates the rows, keeps their history and balances them; dlt only loads them. dlt has an environment of its own,
`.tributary/dlt`, which the first run installs. `local.bench.dlt_positions` lists its three forms. Each run is a process of its own; the memory
of dlt is that of its process and its children together. The pages of dlt do not overlap, as its paginator expects.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from include import business_dates
from local.bench.day import OVERLAP, PAGE, ROOT, Served, render, serve

HOME = ROOT / ".tributary" / "dlt"
PACKAGES = ("dlt[postgres]==1.31.0", "pyarrow==26.0.1")
OURS, COPY = "Tributary", "plain COPY"
PEERS = {"dlt, defaults": "default", "dlt, tuned": "tuned", "dlt, fed with Arrow tables": "arrow"}
_STEPS = ("extract and stage", "validate", "transform", "load")

Result = dict[str, Any]


def bench_peers(positions: int, rounds: int) -> None:
    """Run every system in turn, several times, and print the medians."""
    day, python = business_dates.latest_closed(datetime.now(UTC)), _install()
    results: dict[str, list[Result]] = {name: [] for name in (OURS, COPY, *PEERS)}
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        work = Path(folder)
        work.chmod(0o711)
        for overlap in (OVERLAP, 0):
            render(positions, day, work / f"pages-{overlap}", overlap)
        for number in range(rounds):
            with serve(work / f"round-{number}") as served:
                served.show(work / f"pages-{OVERLAP}")
                ours, copy = _run_ours(served, day, work / f"staging-{number}")
                results[OURS].append(ours)
                results[COPY].append(copy)
                served.show(work / "pages-0")
                for name, how in PEERS.items():
                    results[name].append(_run_dlt(served, python, how, day, positions))
    _show(positions, rounds, results)


def _install() -> Path:
    """Install dlt, unless it is installed; return the interpreter of its environment."""
    python = HOME / "bin" / "python"
    if not python.exists():
        venv.create(HOME, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def _run_ours(served: Served, day: date, staging: Path) -> tuple[Result, Result]:
    """Return the results of Tributary, and of the plain COPY that its process measures afterwards."""
    print(f"{OURS} ...", flush=True)
    done = served.run(day, staging)
    seconds = {step: done["seconds"][step] for step in _STEPS}
    with psycopg.connect(served.server.url("tributary")) as connection:
        # The process has also loaded the day again with some changed rows, whose earlier states are closed.
        query = "select count(*), sum(market_value_usd) from warehouse.position where recorded_to is null"
        row = connection.execute(query).fetchone()
    assert row is not None
    ours = {"steps": seconds, "seconds": sum(seconds.values()), "mb": done["peak_mb"], "rows": row[0], "sum": row[1]}
    return ours, {"steps": {}, "seconds": done["seconds"][COPY], "mb": None, "rows": row[0], "sum": None}


def _run_dlt(served: Served, python: Path, how: str, day: date, positions: int) -> Result:
    print(f"dlt, {how} ...", flush=True)
    database = f"dlt_{how}"
    served.server.create_database(database)
    target = served.server.url(database)
    command = [str(python), str(Path(__file__).with_name("dlt_positions.py")), how, served.api, served.log_in()]
    command += [day.isoformat(), str(PAGE), str(positions), target]
    with tempfile.TemporaryDirectory() as home, _watch_memory() as peak:
        # dlt keeps its state in the home folder, and would continue where the last run ended.
        environment = os.environ | {"HOME": home, "DLT_DATA_DIR": home}
        done = subprocess.run(command, cwd=home, env=environment, check=True, capture_output=True, text=True)
    seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
    with psycopg.connect(target) as connection:
        row = connection.execute(f"select count(*), sum(current_value) from {database}.positions").fetchone()  # noqa: S608
    assert row is not None
    return {"steps": seconds, "seconds": seconds.pop("all"), "mb": max(peak), "rows": row[0], "sum": row[1]}


@contextmanager
def _watch_memory() -> Iterator[list[float]]:
    """Sample the memory, in MB, of the processes that are started in the block and of their children."""
    own = psutil.Process()
    before = {process.pid for process in own.children(recursive=True)}
    samples, is_over = [0.0], threading.Event()

    def sample() -> None:
        while not is_over.wait(0.1):
            total = 0
            for process in own.children(recursive=True):
                with suppress(psutil.Error):
                    if process.pid not in before and "postgres" not in process.name():
                        total += process.memory_info().rss
            samples.append(total / 2**20)

    watcher = threading.Thread(target=sample, daemon=True)
    watcher.start()
    try:
        yield samples
    finally:
        is_over.set()
        watcher.join()


def _show(positions: int, rounds: int, results: dict[str, list[Result]]) -> None:
    table = Table(
        "", "seconds", "rows a second", "times ours", "MB", "loaded", "sum of values", "steps, s", box=box.SIMPLE
    )
    table.title = (
        f"{positions:,} positions; medians of {rounds} runs on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    ours = statistics.median(each["seconds"] for each in results[OURS])
    for name, runs in results.items():
        seconds = statistics.median(each["seconds"] for each in runs)
        memory = [each["mb"] for each in runs if each["mb"]]
        steps = {step: statistics.median(each["steps"][step] for each in runs) for step in runs[0]["steps"]}
        table.add_row(
            name,
            f"{seconds:.2f}",
            f"{positions / seconds:,.0f}",
            f"{seconds / ours:.2f}",
            f"{statistics.median(memory):.0f}" if memory else "",
            f"{runs[-1]['rows']:,}",
            "" if runs[-1]["sum"] is None else str(runs[-1]["sum"]),
            ", ".join(f"{step} {value:.1f}" for step, value in steps.items()),
        )
    Console(width=170).print(table)


if __name__ == "__main__":
    bench_peers(*(int(each) for each in sys.argv[1:3]))
