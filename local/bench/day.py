"""Benchmark of loading a day of positions, from the first request to the vendor to the commit in the warehouse: time, memory and disk.

The sandbox's pages are rendered before the measurement. All steps run one after the other in one separate process. The import of Great
Expectations is measured separately. For comparison, the same process measures a plain binary COPY of the same rows into a table
without an index. It also measures what would remain of a load if other tasks had already copied the rows into tables of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import requests
import sqlalchemy as sa
from rich import box
from rich.console import Console
from rich.table import Table

from include import business_dates
from include.canonical import named as entity_named
from include.connection import Connection
from include.contract import Budget
from include.contract.arrow import schema as arrow_schema
from include.database.copy import copy_in, copy_rows
from include.errors import TargetUnavailable
from include.extract.columns import staged_schema
from include.keys.keyring import Keyring, generate
from include.pipeline import vendor_day
from include.pipeline.run import Run, Site, VendorRun
from include.staging.files import PartWriter
from include.staging.partitions import Partition, Staging
from include.transform.entities import Canonical
from include.validation.suite import read_suite
from include.vendors import named
from include.warehouse import schema
from local.airflow import MEMORY
from local.bench.memory import read_peak
from local.postgres import Postgres

ROOT = Path(__file__).parents[2]
PAGE, OVERLAP = 5000, 10
API, USER, PASSWORD = "orion/api/v1", "tributary", "sandbox-only"
PARTNER = {"client_id": "1002", "client_secret": "00000000-0000-4000-8000-000000001002"}
# Practically no rate limit: with the vendor's real one, waiting would take most of the time.
UNBOUND = Budget(calls_per_minute=600_000, burst=1000)

# With the indexes. The tables of the months are its partitions.
_DISK = sa.text("select sum(pg_total_relation_size(relid))::bigint from pg_partition_tree('warehouse.position')")


def bench(sizes: list[int]) -> None:
    """Measure each number of positions in a new database and process, and print the table."""
    day = business_dates.latest_closed(datetime.now(UTC))
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        work = Path(folder)
        work.chmod(0o711)
        results = [_measure(size, day, work) for size in sizes]
    _show(results)


def _measure(positions: int, day: date, work: Path) -> dict[str, Any]:
    pages = work / f"pages-{positions}"
    render(positions, day, pages, OVERLAP)
    with serve(work / str(positions)) as served:
        served.show(pages)
        print(f"Running {positions:,} positions ...", flush=True)
        return served.run(day, work / f"staging-{positions}") | {"positions": positions}


def render(positions: int, day: date, pages: Path, overlap: int) -> None:
    """Write the sandbox's pages of a number of positions to a folder."""
    print(f"Rendering {positions:,} positions ...", flush=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "sandbox.orion.render", "--unmasked", "--positions", str(positions)),
            *("--as-of", str(day), "--page", str(PAGE), "--overlap", str(overlap), "--out", str(pages)),
        ],
        cwd=ROOT,
        check=True,
    )


@dataclass(frozen=True, slots=True)
class Served:
    """A running sandbox, and a migrated database on a server with its settings for durability."""

    url: str
    server: Postgres
    load_url: str

    @property
    def api(self) -> str:
        """Address of the vendor's API."""
        return f"{self.url}/{API}"

    def log_in(self) -> str:
        """Return the value of the header `Authorization` of a new login."""
        answer = requests.get(f"{self.api}/security/token", auth=(USER, PASSWORD), headers=PARTNER, timeout=30)
        answer.raise_for_status()
        return f"Session {answer.json()['access_token']}"

    def show(self, pages: Path) -> None:
        """Let the sandbox serve these pages."""
        answer = requests.post(f"{self.url}/_sandbox/orion/rendered", json={"folder": str(pages)}, timeout=30)
        answer.raise_for_status()

    def run(self, day: date, staging: Path) -> dict[str, Any]:
        """Run `work_a_day` in a process of its own."""
        arguments = [self.url, self.load_url, str(staging), day.isoformat(), str(business_dates.previous(day))]
        command = [sys.executable, "-m", "local.bench.day", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | MEMORY, check=True, capture_output=True, text=True)
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result


@contextlib.contextmanager
def serve(work: Path) -> Iterator[Served]:
    """Start the sandbox and PostgreSQL in a folder; stop them at the end."""
    work.mkdir()
    work.chmod(0o711)
    with _sandbox(work / "state") as url, Postgres.start(work / "postgres", durable=True) as server:
        server.create_database("tributary")
        passwords = dict.fromkeys(schema.ROLES, "bench-only")
        schema.create_roles(server.url("tributary"), passwords)
        urls = {role: f"postgresql://{role}:bench-only@127.0.0.1:{server.port}/tributary" for role in schema.ROLES}
        schema.migrate(urls["tributary_migrate"])
        yield Served(url, server, urls["tributary_load"])


def work_a_day(url: str, load_url: str, staging: str, day: str, before: str) -> dict[str, Any]:
    """Run all steps in this process; return the seconds by step, the loaded rows, the peak memory in MB, and the bytes on disk."""
    vendor = replace(named("orion"), budget=UNBOUND)
    keyring = Keyring.parse(generate("bench"))
    site = Site(schema.engine(load_url), Staging(staging, keyring.staging, redactor=keyring.redactor), keyring)
    run = Run("bench", date.fromisoformat(day), date.fromisoformat(before))
    connection = Connection(f"{url}/{API}", USER, PASSWORD, PARTNER)
    vendor_run = VendorRun(site, vendor, connection, run)
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def clock(step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[step] = time.perf_counter() - started

    with clock("import of Great Expectations"):
        import great_expectations  # noqa: F401
    with clock("extract and stage"):
        partition = vendor_day.stage(vendor_run, "assets")
    with clock("validate"):
        vendor_day.validate(vendor_run, [partition])
    with clock("transform"):
        vendor_day.transform(vendor_run, partition)
    with clock("load"):
        counts = vendor_day.load(vendor_run, partition)
    peak = read_peak()
    staged = sum(file.stat().st_size for file in Path(staging).rglob("*") if file.is_file())
    with site.engine.connect() as db:
        stored = db.scalar(_DISK)
    for title, every in (("load again, no row changed", 0), ("load again, 1% changed", 100)):
        again = _stage_again(vendor_run, partition, every)
        with clock(title):
            vendor_day.load(vendor_run, again)
    positions, columns = Canonical(partition.folder, "position"), arrow_schema(entity_named("position").columns)
    with clock("plain COPY"), site.engine.begin() as db:
        copy_in(db, "plain", columns, positions.rows())
    with site.engine.begin() as db:
        copy_in(db, "copied", columns, positions.rows())
        for table in ("straight", "inserted"):
            db.execute(sa.text(f"create temporary table {table} (like copied) on commit drop"))
            db.execute(sa.text(f'create unique index on {table} (position_key collate "C")'))
        with clock("COPY into a table with an index"):
            copy_rows(db, "straight", columns, positions.rows())
        with clock("insert of rows that are copied already"):
            db.execute(sa.text("insert into inserted select * from copied"))
    return {
        "seconds": seconds,
        "rows": counts["position"].inserted,
        "peak_mb": peak,
        "staged": staged,
        "stored": stored,
    }


def _stage_again(vendor_run: VendorRun, first: Partition, every: int) -> Partition:
    """Stage and transform the rows of a partition as a later pull, with another quantity in every nth row; 0 changes none."""
    later = first.manifest.extracted_at + timedelta(minutes=1 + every)
    manifest = replace(first.manifest, pull_id=f"{first.manifest.pull_id}-{every}", extracted_at=later)
    writer = PartWriter(
        vendor_run.site.staging.folder(manifest.path), staged_schema(vendor_run.vendor.table(first.table))
    )
    for _, rows in first.rows():
        if every:
            is_changed = pa.array([n % every == 0 for n in range(rows.num_rows)])
            units = rows["quantity"]
            more = pc.add(units, pa.scalar(1, units.type)).cast(units.type)
            place = rows.column_names.index("quantity")
            rows = rows.set_column(place, "quantity", pc.if_else(is_changed, more, units))
        writer.write(rows)
    writer.flush()
    writer.folder.write("dead.jsonl", b"")
    again = vendor_run.site.staging.seal(replace(manifest, parts=tuple(writer.parts)))
    vendor_day.record_staged(vendor_run, again, 0)
    again.write_faults(first.faults)
    vendor_day.transform(vendor_run, again)
    return again


@contextlib.contextmanager
def _sandbox(state: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "sandbox.app", "--port", "0", "--households", "20", "--state", str(state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "ready" not in line:
                raise TargetUnavailable("The sandbox did not start", output=line.strip())
            yield line.split()[-1]
        finally:
            process.terminate()
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(10)


def _show(results: list[dict[str, Any]]) -> None:
    table = Table(
        "", *(f"{result['positions']:,} positions" for result in results), box=box.SIMPLE, title="One day of positions"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for step in results[0]["seconds"]:
        table.add_row(f"{step}, s", *(f"{result['seconds'][step]:.2f}" for result in results))
    counted = ("extract and stage", "validate", "transform", "load")
    totals = [sum(result["seconds"][step] for step in counted) for result in results]
    levels = [expectation.level for expectation in read_suite("orion", "assets")]
    checked = f"validate, rows a second ({levels.count('row')} expectations a row, {levels.count('batch')} a day)"
    table.add_row(checked, *(f"{r['rows'] / r['seconds']['validate']:,.0f}" for r in results))
    table.add_row("first request to commit, s", *(f"{total:.2f}" for total in totals))
    table.add_row("rows a second", *(f"{r['rows'] / t:,.0f}" for r, t in zip(results, totals, strict=True)))
    ratios = (total / result["seconds"]["plain COPY"] for result, total in zip(results, totals, strict=True))
    table.add_row("times a plain COPY", *(f"{ratio:.1f}" for ratio in ratios))
    for step in ("load again, no row changed", "load again, 1% changed"):
        shares = (result["seconds"][step] / result["seconds"]["load"] for result in results)
        table.add_row(f"{step}, share of the first load", *(f"{share:.0%}" for share in shares))
    table.add_row("peak memory, MB", *(f"{result['peak_mb']:.0f}" for result in results))
    for name, key in (
        ("warehouse, bytes a position with its indexes", "stored"),
        ("staging, bytes a position", "staged"),
    ):
        table.add_row(name, *(f"{result[key] / result['rows']:.0f}" for result in results))
    Console(width=110).print(table)


if __name__ == "__main__":
    print(json.dumps(work_a_day(*sys.argv[1:])))
