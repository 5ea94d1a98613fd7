"""Benchmark of the adoption of a full org: how well it matches, with what the sandbox knows as the truth, and time and memory of each step.

The generated firm's portfolio and planning vendors are loaded, and the org is filled with what its users typed in over years. Each step then runs in a process of its
own. The org is the sandbox, in another process on the same machine, so its own work is part of each measured time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import requests
import sqlalchemy as sa
from rich import box
from rich.console import Console
from rich.table import Table

from include import business_dates
from include.connection import Connection
from include.contract import Vendor
from include.crm.adoption import adopt
from include.crm.run import Org
from include.crm.settings import Settings
from include.errors import TargetUnavailable
from include.identity.resolve import resolve
from include.keys.keyring import Keyring, generate
from include.pipeline import vendor_day
from include.pipeline.run import Run, Site, VendorRun
from include.staging.partitions import Staging
from include.vendors import VENDORS, named
from include.warehouse import schema
from local.bench.memory import read_peak
from local.full_org_truth import Score, Truth
from local.postgres import Postgres
from local.processes import find_free_port

ROOT = Path(__file__).parents[2]
NOW = datetime.fromisoformat("2026-11-21T15:00:00+00:00")
"""The morning after the last day: some vendors close a day in the night."""
DAY, FIRST = date(2026, 11, 20), date(2026, 11, 9)
PACE = 240
"""Factor by which the windows of rate limits and the deadlines of reports are shortened."""
APP = {"client_id": "bench", "client_secret": "bench-only", "username": "load@sample-wealth.example"}
SETTINGS = Settings("sample", most_moved_ratio=Decimal(1))
ENTITIES = ("household", "person", "legal_entity", "account")
NEEDED = (*ENTITIES, "account_owner", "registration", "registration_party", "representative")
"""The entities that adoption reads; the vendors' other tables are not loaded."""
STEPS = ("resolve", "compare", "adopt")


def bench_adoption(households: int) -> None:
    """Load a firm, fill the org, adopt it, and print what was found, and time and memory by step."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        work = Path(folder)
        work.chmod(0o711)
        keyring = work / "keyring"
        keyring.write_text(generate("bench"))
        with Postgres.temporary() as server, _run_sandbox(work / "state", households) as (url, org_url):
            load_url = _create_database(server)
            for vendor in filter(_has_households, VENDORS):
                _measure("load_vendor", load_url, url, work, vendor.name)
            _report_line("fill the org")
            requests.post(f"{url}/_sandbox/salesforce/full_org", timeout=3600).raise_for_status()
            requests.post(f"{url}/salesforce/_admin/consumers", json=APP, timeout=60).raise_for_status()
            engine = sa.create_engine(server.url("tributary").replace("postgresql:", "postgresql+psycopg:"))
            with engine.begin() as db:
                db.execute(sa.text("analyze"))
            results = {}
            for step in STEPS:
                results[step] = _measure(step, load_url, org_url, work)
                if step == "compare":
                    score = _score(engine, url)
            engine.dispose()
    _show(households, results, score)


def load_vendor(load_url: str, url: str, work: str, name: str) -> None:
    """Load the tables of a vendor's last day that adoption needs, in this process."""
    vendor = named(name)
    keyring = Keyring.parse((Path(work) / "keyring").read_text())
    staging = Staging(f"{work}/staging", keyring.staging, redactor=keyring.redactor)
    site = Site(schema.engine(load_url), staging, keyring, lambda: NOW, PACE)
    known = requests.get(f"{url}/_sandbox/connections", timeout=60).json()[name]
    connection = Connection(known["host"], known["login"], known["password"], known["extra"])
    vendor_run = VendorRun(site, vendor, connection, Run(f"bench-{name}", DAY, business_dates.previous(DAY)))
    needed = {each.table for each in vendor.maps if each.entity in NEEDED}
    needed |= {table for each in vendor.maps if each.table in needed for table in each.beside}
    tables = [table for stage in vendor.stages for table in stage if table in needed]
    partitions = [vendor_day.stage(vendor_run, table) for table in tables]
    vendor_day.validate(vendor_run, partitions)
    for partition in partitions:
        vendor_day.transform(vendor_run, partition)
    vendor_day.publish(vendor_run, partitions)
    site.engine.dispose()


def work_step(step: str, load_url: str, org_url: str, work: str) -> None:
    """Do one step of the adoption in this process: `resolve`, `compare` or `adopt`."""
    keyring = Keyring.parse((Path(work) / "keyring").read_text())
    engine = schema.engine(load_url)
    connection = Connection(org_url, APP["client_id"], APP["client_secret"], {"grant": "client_credentials"})
    org = Org(engine, connection, SETTINGS, keyring.redactor)
    if step == "resolve":
        resolve(engine, VENDORS, "bench-identity", DAY)
    elif step == "compare":
        adopt.compare(org, "bench-compare", DAY, _ignore)
    else:
        adopt.approve(engine, ENTITIES, "ada@sample.example")
        adopt.adopt(org, "bench-adopt", DAY, _ignore)
    engine.dispose()


def _has_households(vendor: Vendor) -> bool:
    return any(each.entity == "household" for each in vendor.maps)


def _create_database(server: Postgres) -> str:
    server.create_database("tributary")
    schema.create_roles(server.url("tributary"), dict.fromkeys(schema.ROLES, "bench-only"))
    place = f"127.0.0.1:{server.port}/tributary"
    schema.migrate(f"postgresql://tributary_migrate:bench-only@{place}")
    return f"postgresql://tributary_load:bench-only@{place}"


@contextmanager
def _run_sandbox(state: Path, households: int) -> Iterator[tuple[str, str]]:
    """Yield the URLs of the sandbox and of its org."""
    org_port = find_free_port()
    command = [sys.executable, "-m", "sandbox.app", "--households", str(households), "--state", str(state)]
    command += ["--now", NOW.isoformat(), "--first", FIRST.isoformat(), "--pace", str(PACE)]
    command += ["--org-port", str(org_port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "ready" not in line:
                raise TargetUnavailable("The sandbox did not start", output=line.strip())
            yield line.split()[-1], f"http://127.0.0.1:{org_port}"
        finally:
            process.terminate()


def _score(engine: sa.Engine, url: str) -> Score:
    with engine.begin() as db:
        return Truth(url).evaluate(db)


def _measure(step: str, *arguments: object) -> dict[str, float]:
    _report_line(f"{step} {arguments[-1]}" if step == "load_vendor" else step)
    command = [sys.executable, "-m", "local.bench.adoption", step, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _show(households: int, results: dict[str, dict[str, float]], score: Score) -> None:
    console = Console(width=110)
    table = Table("step", "seconds", "peak memory, MB", box=box.SIMPLE, title=f"Adoption: {households:,} households")
    for step, result in results.items():
        table.add_row(step, f"{result['seconds']:.1f}", f"{result['peak_mb']:,.0f}")
    console.print(table)
    found = Table("entity", "matched", "true matches left to a person", box=box.SIMPLE, title="What was found")
    for entity in sorted({*score.right, *score.left}):
        found.add_row(entity, f"{score.right[entity]:,}", f"{score.left[entity]:,}")
    console.print(found)
    console.print(
        f"Found without a person: {score.found_ratio:.4f}. Wrong keys: {len(score.wrong)}. "
        f"Second records: {len(set(score.created))}. Records unaccounted for: {len(score.unaccounted)}."
    )
    for kind, records in (("wrong key", score.wrong), ("second record", sorted(set(score.created)))):
        for each in records[:10]:
            console.print(f"{kind}: {each}")


def _report_line(text: str) -> None:
    sys.stdout.write(f"{text} ...\n")
    sys.stdout.flush()


def _ignore(_: str) -> None:
    """Print no progress."""


def main(arguments: list[str]) -> None:
    """Do one step in this process, and print its seconds and peak memory as JSON."""
    started = time.perf_counter()
    step, *rest = arguments
    if step == "load_vendor":
        load_vendor(*rest)
    else:
        work_step(step, *rest)
    peak_mb = read_peak()
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - started, "peak_mb": peak_mb}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
