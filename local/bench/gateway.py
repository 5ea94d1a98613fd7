"""Benchmark of the gateway's response time, at a steady rate and in a storm, compared with a bare route that inserts the same body.

The gateway runs in a separate process, with a durable database, on the same machine as the callers. Each delivery is signed and new, and
has about 4 KB, as a small event with its data. At the steady rate, the time of a request counts from the moment it was due, so that it
includes the wait for an earlier request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import orjson
import psycopg
import requests
from rich import box
from rich.console import Console
from rich.table import Table

from include.contract.webhook import SignedBody
from include.errors import TargetUnavailable
from include.gateway.webhooks.senders import SENDERS
from include.keys import register
from include.keys.keyring import Keyring, generate
from include.warehouse import schema
from local.postgres import Postgres
from local.processes import find_free_port

ROOT = Path(__file__).parents[2]
KEY = "bench-only"
KEYS = Keyring.parse(generate("bench"))
BYTES = 4000
CALLERS = 16  # threads
MEDIAN_MS, STORM_P99_MS = 50.0, 5000.0
"""Limits for the gateway in milliseconds: median at twenty deliveries a second, and 99th percentile in a storm."""

BARE_RATIO = 0.5
"""Share (0-1) of the bare route's deliveries a second that the gateway must reach."""

_session = threading.local()


def bench_gateway(seconds: int, storm: int) -> None:
    """Measure twenty deliveries a second for `seconds`, then `storm` deliveries as fast as possible by `CALLERS` threads; print the table."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        Path(folder).chmod(0o711)
        with Postgres.start(Path(folder) / "postgres", durable=True) as server:
            server.create_database("tributary")
            schema.create_roles(server.url("tributary"), dict.fromkeys(schema.ROLES, KEY))
            place = f"127.0.0.1:{server.port}/tributary"
            schema.migrate(f"postgresql://tributary_migrate:{KEY}@{place}")
            register.check(schema.engine(f"postgresql://tributary_load:{KEY}@{place}"), KEYS)
            with _run_gateway(f"postgresql://tributary_gateway:{KEY}@{place}") as url:
                _call(url, [(-1 - n, 0.0) for n in range(20)], 4)  # open connections, warm up
                started = time.perf_counter()
                steady = _call(url, [(n, started + n / 20) for n in range(seconds * 20)], CALLERS)
                began = time.perf_counter()
                stormy = _call(url, [(1_000_000 + n, 0.0) for n in range(storm)], CALLERS)
                took = time.perf_counter() - began
            with _run_bare(server.url("tributary")) as url:
                _call(url, [(-1 - n, 0.0) for n in range(20)], 4)
                began = time.perf_counter()
                bare = _call(url, [(2_000_000 + n, 0.0) for n in range(storm)], CALLERS)
                bare_took = time.perf_counter() - began
            with psycopg.connect(server.url("tributary")) as connection:
                [rows] = connection.execute("select count(*) from control.inbox").fetchone() or (0,)
    _show(steady, (stormy, took), (bare, bare_took), rows - 20)


@contextmanager
def _run_gateway(database: str) -> Iterator[str]:
    """Run the gateway in a separate process; yield the webhook URL of the first sender that signs its bodies."""
    sender = next(each for each in SENDERS if isinstance(each.proof, SignedBody))
    port = find_free_port()
    settings = {
        "TRIBUTARY_GATEWAY_DATABASE": database,
        "TRIBUTARY_RECEIVING_KEY": KEYS.receiving_key.text,
        f"{sender.connection.upper()}_SECRETS": KEY,
    }
    command = [sys.executable, "-m", "include.gateway", "--port", str(port)]
    with _running(command, settings):
        url = f"http://127.0.0.1:{port}/webhooks/{sender.path}"
        _wait(url)
        yield url


@contextmanager
def _run_bare(database: str) -> Iterator[str]:
    """Run the bare route in a separate process; yield its URL."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "create table bare (body bytea not null, received_at timestamptz not null default clock_timestamp())"
        )
    port = find_free_port()
    command = [sys.executable, "-m", "local.bench.bare_route", "--port", str(port)]
    with _running(command, {"TRIBUTARY_BARE_DATABASE": database}):
        url = f"http://127.0.0.1:{port}/"
        _wait(url)
        yield url


@contextmanager
def _running(command: Sequence[str], settings: Mapping[str, str]) -> Iterator[None]:
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def _wait(url: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            requests.get(url, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise TargetUnavailable("The gateway did not start")


def _call(url: str, due: Sequence[tuple[int, float]], callers: int) -> list[float]:
    """Send the deliveries from `callers` threads; return the milliseconds of each until its response.

    Args:
        url: The webhook's URL.
        due: The number of each delivery, and the time at which it is due. Its milliseconds count from then; with 0, it is sent at once and
            counts from its start.
        callers: Number of threads.
    """
    with ThreadPoolExecutor(callers) as threads:
        return list(threads.map(lambda each: _send(url, *each), due))


def _send(url: str, number: int, due: float) -> float:
    body = orjson.dumps({"event": "bench", "number": number, "data": "x" * BYTES})
    header = next(each.proof.header for each in SENDERS if isinstance(each.proof, SignedBody))
    signature = base64.b64encode(hmac.digest(KEY.encode(), body, hashlib.sha256)).decode()
    time.sleep(max(0.0, due - time.perf_counter()))
    started = due or time.perf_counter()
    if not hasattr(_session, "http"):
        _session.http = requests.Session()
    response = _session.http.post(url, data=body, headers={f"{header}-1": signature}, timeout=60)
    response.raise_for_status()
    return (time.perf_counter() - started) * 1000


Storm = tuple[list[float], float]
"""Milliseconds of each request, and seconds of the whole storm."""


def _show(steady: list[float], storm: Storm, bare: Storm, rows: int) -> None:
    table = Table("", "deliveries", "median, ms", "99th percentile, ms", "must be", box=box.SIMPLE, title="Webhooks")
    for column in table.columns[1:]:
        column.justify = "right"
    rate, bare_rate = (len(times) / took for times, took in (storm, bare))
    for name, times, limit in (
        ("20 a second", steady, f"median < {MEDIAN_MS:.0f} ms"),
        (f"storm, {rate:,.0f} a second", storm[0], f"99th percentile < {STORM_P99_MS:.0f} ms"),
        (f"bare route, {bare_rate:,.0f} a second", bare[0], ""),
    ):
        last = statistics.quantiles(times, n=100)[-1]
        table.add_row(name, f"{len(times):,}", f"{statistics.median(times):.1f}", f"{last:.1f}", limit)
    table.add_row("in the inbox", f"{rows:,}", "", "", f"{len(steady) + len(storm[0]):,}")
    table.add_row("gateway / bare route", "", "", f"{rate / bare_rate:.2f}", f"> {BARE_RATIO}")
    Console(width=110).print(table)
