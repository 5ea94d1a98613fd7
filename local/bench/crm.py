"""Benchmark of the sync of changed holdings to Salesforce: time and memory, compared with simple-salesforce and polars.

The generated firm has twenty holdings per account, two accounts per household, and five thousand securities. A first sync fills an empty org, a
second one finds no changes. Then every holding, but no account, gets a new price and value. Each step runs in its own process:

    unchanged           a sync that finds nothing to send
    file                writing the changed holdings to files, compared with polars writing the same rows from memory
    sync                syncing the changed holdings, from the comparison until the result of every row is recorded
    simple-salesforce   upserting the same files into the same org with its bulk API client, and fetching the results

simple-salesforce does not compare rows, write files or store results. So our sync's time is shown in total, and for the steps that both have. The
org is the sandbox, in another process on the same machine, so its own work is part of each measured wait.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import requests
import sqlalchemy as sa
from psycopg import sql
from rich import box
from rich.console import Console
from rich.table import Table

from include.connection import Connection
from include.crm import readiness
from include.crm.objects.managed_package import HOLDING
from include.crm.objects.mapping import CrmObject
from include.crm.objects.portfolio import list_mappings
from include.crm.run import Org, SyncRun
from include.crm.settings import Settings
from include.crm.sync import delta, file, load, removed, results, rounds, sender, totals
from include.crm.sync.bulk import Bulk
from include.crm.temporary import TempTable
from include.errors import BalanceError, TargetUnavailable
from include.warehouse import schema
from local.bench.memory import read_peak
from local.postgres import Postgres

if TYPE_CHECKING:
    import polars as pl

ROOT = Path(__file__).parents[2]
BEFORE, DAY = date(2026, 11, 19), date(2026, 11, 20)
APP = {"client_id": "bench", "client_secret": "bench-only", "username": "load@sample-wealth.example"}
SETTINGS = Settings("sample", few=10_000_000, most_collected=0)  # no approvals; bulk jobs only
TIMES = 3  # files are written so often; the median time is reported
SHARED = ("upload", "wait for Salesforce", "results")

# Ids: households from 1, persons from 50 million, securities from 100 million, accounts from 200 million.
_FIRM = """
select warehouse.ensure_month('{before}');
insert into warehouse.household (household_id, vendor, household_key, name, street, city, state_code, postal_code, country,
                                 is_active, valid_from, recorded_from, source_run_id)
select n, 'sample', n, 'Sample Household ' || n, n || ' Example Street', 'Springfield', 'IL', '62701', 'United States',
       true, '2026-01-02', now(), 1
from generate_series(1, {households}) n;
insert into warehouse.person (person_id, vendor, person_key, household_id, name, first_name, last_name, birth_date, valid_from,
                              recorded_from, source_run_id)
select 50000000 + n, 'sample', n, n, 'Sample Person ' || n, 'Sample', 'Person ' || n, date '1950-01-01' + n % 15000,
       '2026-01-02', now(), 1
from generate_series(1, {households}) n;
insert into warehouse.security (security_id, vendor, security_key, name, ticker, cusip, asset_class, valid_from, recorded_from,
                                source_run_id)
select 100000000 + n, 'sample', n, 'Sample Security, Series ' || n, 'S' || n, 'S' || lpad(n::text, 8, '0'),
       case when n % 2 = 0 then 'Equity' else 'Fixed Income' end, '2026-01-02', now(), 1
from generate_series(0, 4999) n;
insert into warehouse.account (account_id, vendor, account_key, household_id, name, account_number_last4, account_type, open_date,
                               is_active, is_counted, is_managed, is_discretionary, valid_from, recorded_from, source_run_id)
select 200000000 + n, 'sample', n, 1 + n / 2, 'Sample Account ' || n, lpad((n % 10000)::text, 4, '0'), 'Brokerage',
       '2020-01-02', true, true, true, true, '2026-01-02', now(), 1
from generate_series(0, {accounts} - 1) n;
insert into warehouse.source_key (entity, vendor, source_key, id) overriding system value
select 'household', vendor, household_key, household_id from warehouse.household
union all select 'person', vendor, person_key, person_id from warehouse.person
union all select 'security', vendor, security_key, security_id from warehouse.security
union all select 'account', vendor, account_key, account_id from warehouse.account;
insert into warehouse.account_owner (account_owner_id, vendor, account_owner_key, account_id, household_id, person_id, share_ratio,
                                     valid_from, recorded_from, source_run_id)
select n, 'sample', n, 200000000 + n, 1 + n / 2, 50000001 + n / 2, 1, '2026-01-02', now(), 1
from generate_series(0, {accounts} - 1) n;
insert into warehouse.position (business_date, vendor, position_key, account_id, security_id, quantity, price_usd,
                                market_value_usd, cost_basis_usd, is_cash, recorded_from, source_run_id)
select '{before}', 'sample', n, 200000000 + n / 20, 100000000 + (n * 7919::bigint) % 5000, quantity, price,
       quantity * price, quantity * 20, false, now(), 1
from generate_series(0, {positions} - 1) n,
     lateral (select 10 + n % 90 + 0.125 as quantity, 5 + (n * 7919::bigint) % 5000 * 0.0371 as price) made;
insert into warehouse.account_value (business_date, vendor, account_value_key, account_id, market_value_usd, cash_usd,
                                     recorded_from, source_run_id)
select '{before}', 'sample', account_id, account_id, sum(market_value_usd), 100, now(), 1 from warehouse.position group by account_id;
"""

_NEXT_DAY = """
insert into warehouse.position (business_date, vendor, position_key, account_id, security_id, quantity, price_usd,
                                market_value_usd, cost_basis_usd, is_cash, recorded_from, source_run_id)
select '{day}', vendor, position_key, account_id, security_id, quantity, price_usd + 0.37, quantity * (price_usd + 0.37),
       cost_basis_usd, is_cash, now(), 1
from warehouse.position;
insert into warehouse.account_value (business_date, vendor, account_value_key, account_id, market_value_usd, cash_usd,
                                     recorded_from, source_run_id)
select '{day}', vendor, account_value_key, account_id, market_value_usd, cash_usd, now(), 1 from warehouse.account_value;
"""

_LOADED = """
insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at)
values (nextval('control.ledger_id'), 'load {day}', 'sample', 'position', 'position', '{day}', 'load', 'pull {day}', 'current', now());
insert into control.reconciliation (run_id, vendor, business_date, check_name, expected, actual, tolerance, is_passed)
values ('load {day}', 'sample', '{day}', 'control total', 0, 0, 0, true);
"""


def bench_crm(positions: int) -> None:
    """Measure a day on which this many holdings change, in a new database and a new org, and print the tables."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        work = Path(folder)
        work.chmod(0o711)
        with _sandbox(work / "org") as org_url, Postgres.start(work / "postgres", durable=True) as server:
            server.create_database("tributary")
            schema.create_roles(server.url("tributary"), dict.fromkeys(schema.ROLES, "bench-only"))
            place = f"127.0.0.1:{server.port}/tributary"
            schema.migrate(f"postgresql://tributary_migrate:bench-only@{place}")
            url = f"postgresql://tributary_load:bench-only@{place}"
            accounts = positions // 20
            _fill(server, _FIRM, BEFORE, positions=positions, accounts=accounts, households=accounts // 2)
            first = _measure("sync", url, org_url, work, BEFORE, "first")
            unchanged = _measure("sync", url, org_url, work, BEFORE, "unchanged")
            _fill(server, _NEXT_DAY, DAY)
            written = _measure("write", url, work)
            ours = _measure("sync", url, org_url, work, DAY, "changed")
            theirs = _measure("upsert", org_url, work)
    sent = [first["sent"]["position"], sum(unchanged["sent"].values()), written["rows"], sum(ours["sent"].values())]
    if sent != [positions, 0, positions, positions] or theirs["rows"] != positions or first["failed"] or ours["failed"]:
        raise BalanceError("Not every holding was accepted once", sent=sent, ours=ours, theirs=theirs["rows"])
    _show(positions, unchanged, ours, theirs)
    _show_file(positions, written)


def sync(load_url: str, org_url: str, work: str, day: str, run_id: str) -> dict[str, Any]:
    """Sync in this process; return seconds by step, rows sent by entity, and peak memory in MB."""
    engine = schema.engine(load_url)
    connection = Connection(org_url, APP["client_id"], APP["client_secret"], {"grant": "client_credentials"})
    laps = Laps()
    for module, name in ((readiness, "find_present_days"), (delta, "compare"), (delta, "forget_refused")):
        laps.follow(module, name, "compare")
    laps.follow(removed, "note_removed", "find deleted records")
    laps.follow(totals, "record", "control totals")
    laps.follow(rounds, "cut", "cut into jobs")
    laps.follow(file, "write", "file")
    laps.follow(Bulk, "create", "upload")
    laps.follow(Bulk, "upload", "upload", before="book the job and its rows")
    laps.follow(Bulk, "start", "upload")
    laps.follow(results, "read", "results", before="wait for Salesforce")
    laps.follow(results, "settle", "settle")
    org, run = Org(engine, connection, SETTINGS), SyncRun(run_id, date.fromisoformat(day))
    done = load.sync(org, run, Path(work), report_line=_ignore)
    laps.mark("rest")
    engine.dispose()
    return {
        "seconds": laps.seconds,
        "sent": {name: counts.sent for name, counts in done.items()},
        "failed": sum(counts.failed for counts in done.values()),
        "peak_mb": read_peak(),
    }


def write(load_url: str, work: str) -> dict[str, Any]:
    """Write the changed holdings to CSV files, then let polars write the same rows from memory.

    Returns:
        `ours`: our seconds to write all files. `reading`: of these, to fetch the cells. `polars`: its seconds, by type of the numbers.
        `rows`, `mb` and `files`: size of the output.
    """
    import polars as pl

    [mapping] = [each for each in list_mappings(SETTINGS) if each.entity == "position"]
    engine, ours, reading, rows = schema.engine(load_url), list[float](), list[float](), 0
    theirs = dict[str, float]()
    copy = Path(work) / "polars.csv"
    with engine.connect() as db:
        delta.compare(db, mapping, SETTINGS, readiness.find_present_days(db))
        sending, numbers = rounds.cut(db, mapping, sender.MOST_ROWS)
        parts = {part: _part(Path(work), part) for part in numbers}
        for _ in range(TIMES):
            started = time.perf_counter()
            rows = sum(file.write(db, sending, mapping, part, path).rows for part, path in parts.items())
            ours.append(time.perf_counter() - started)
            reading.append(_time_read(db, sending, mapping, parts))
        db.rollback()
    engine.dispose()
    for path in parts.values():
        text = pl.read_csv(path, infer_schema=False)
        for name, table in (("text", text), ("decimals", _with_decimals(text, mapping))):
            theirs[name] = theirs.get(name, 0.0) + statistics.median(_times_written(table, copy))
            if not pl.read_csv(copy, infer_schema=False).equals(text):
                raise BalanceError("polars wrote different rows", file=path.name)
    size = sum(path.stat().st_size for path in parts.values()) / 1e6
    whole, read = statistics.median(ours), statistics.median(reading)
    return {"ours": whole, "reading": read, "polars": theirs, "rows": rows, "mb": size, "files": len(parts)}


def _time_read(db: sa.Connection, sending: TempTable, mapping: CrmObject, parts: Iterable[int]) -> float:
    """Return the seconds to fetch the cells of the files from the database in binary form, without writing them."""
    driver = db.connection.driver_connection
    assert driver is not None
    started = time.perf_counter()
    for part in parts:
        query = sql.SQL("copy ({}) to stdout (format binary)").format(file.lines(sending, mapping, part))
        with driver.cursor() as cursor, cursor.copy(query) as copy:
            for _ in copy:
                pass
    return time.perf_counter() - started


def _with_decimals(text: pl.DataFrame, mapping: CrmObject) -> pl.DataFrame:
    """Return the same rows with numbers as decimals instead of text, the type that a program would calculate with."""
    import polars as pl

    numbers = [each.name for each in mapping.fields if each.kind == "number"]
    scales = {name: int(text[name].str.extract(r"\.(\d+)$").str.len_chars().max() or 0) for name in numbers}  # type: ignore[arg-type]
    return text.with_columns(pl.col(name).cast(pl.Decimal(28, scale)) for name, scale in scales.items())


def _times_written(table: pl.DataFrame, path: Path) -> Iterator[float]:
    for _ in range(TIMES):
        started = time.perf_counter()
        table.write_csv(path)
        yield time.perf_counter() - started


def upsert(org_url: str, work: str) -> dict[str, Any]:
    """Upsert the CSV files of changed holdings in `work` with simple-salesforce; return seconds by step, rows and peak memory in MB."""
    from simple_salesforce.api import Salesforce

    with requests.Session() as session:
        session.mount("https://", _ToOrg(org_url))
        client = Salesforce(
            session=session, domain="sample-wealth.my", version="66.0", consumer_key=APP["client_id"],
            consumer_secret=APP["client_secret"],
        )  # fmt: skip
        bulk, rows, laps = getattr(client.bulk2, HOLDING), 0, Laps()
        for path in sorted(Path(work).glob("holdings-*.csv")):
            jobs = bulk.upsert(csv_file=str(path), external_id_field=SETTINGS.key_of(HOLDING), wait=0.1)
            laps.mark("upsert")
            for job in jobs:
                rows += bulk.get_successful_records(job["job_id"]).count("\n") - 1
                bulk.get_failed_records(job["job_id"])
                bulk.get_unprocessed_records(job["job_id"])
            laps.mark("results")
    return {"seconds": laps.seconds, "rows": rows, "peak_mb": read_peak()}


class Laps:
    """A stopwatch that divides the time of one thread into steps (`seconds`); every moment belongs to one step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def mark(self, step: str) -> None:
        """Add the time since the last mark to a step."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now

    def follow(self, owner: object, name: str, step: str, *, before: str = "rest") -> None:
        """Replace the function `name` of `owner`: count the time of its calls as `step`, and the time before each call as `before`."""
        work: Callable[..., Any] = getattr(owner, name)

        def marked(*args: Any, **kwargs: Any) -> Any:
            self.mark(before)
            try:
                return work(*args, **kwargs)
            finally:
                self.mark(step)

        setattr(owner, name, marked)


class _ToOrg(requests.adapters.HTTPAdapter):
    """Adapter that sends simple-salesforce's requests to the sandbox, whatever their host."""

    def __init__(self, org_url: str) -> None:
        super().__init__()
        self._org_url = org_url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        _, _, path = str(request.url).partition("/services/")
        request.url = f"{self._org_url}/services/{path}"
        return super().send(request, *args, **kwargs)


def _part(work: Path, part: int) -> Path:
    return work / f"holdings-{part:03}.csv"


def _ignore(_: str) -> None:
    """Print no progress."""


def _fill(server: Postgres, statements: str, day: date, **sizes: int) -> None:
    with psycopg.connect(server.url("tributary"), autocommit=True) as connection:
        connection.execute((statements + _LOADED).format(day=day, before=BEFORE, **sizes).encode())
        connection.execute("vacuum analyze")  # the state before a morning's sync, not in the middle of a load
        connection.execute("checkpoint")


def _measure(what: str, *arguments: object) -> dict[str, Any]:
    sys.stdout.write(f"{what}: {arguments[-1]} ...\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "local.bench.crm", what, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@contextlib.contextmanager
def _sandbox(state: Path) -> Iterator[str]:
    """Run the sandbox; yield the URL of an empty org in which our app is registered."""
    command = [sys.executable, "-m", "sandbox.app", "--port", "0", "--households", "20", "--state", str(state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "ready" not in line:
                raise TargetUnavailable("The sandbox did not start", output=line.strip())
            url = line.split()[-1]
            requests.post(f"{url}/salesforce/_admin/consumers", json=APP, timeout=30).raise_for_status()
            known: dict[str, Any] = requests.get(f"{url}/_sandbox/connections", timeout=30).json()
            yield known["salesforce"]["host"]
        finally:
            process.terminate()


def _show(positions: int, unchanged: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    table = _table(f"{positions:,} changed holdings into Salesforce", "ours", "simple-salesforce", "ratio")
    for step, seconds in ours["seconds"].items():
        table.add_row(f"{step}, s", f"{seconds:.2f}")
    for step, seconds in theirs["seconds"].items():
        table.add_row(f"{step}, s", "", f"{seconds:.2f}")
    theirs_s, whole_s = sum(theirs["seconds"].values()), sum(ours["seconds"].values())
    shared_s = sum(ours["seconds"][step] for step in SHARED)
    for name, seconds in ((f"{', '.join(SHARED)}: rows a second", shared_s), ("the whole: rows a second", whole_s)):
        table.add_row(name, f"{positions / seconds:,.0f}", f"{positions / theirs_s:,.0f}", f"{theirs_s / seconds:.2f}")
    memory = ours["peak_mb"], theirs["peak_mb"]
    table.add_row("peak memory, MB", *(f"{mb:.0f}" for mb in memory), f"{memory[0] / memory[1]:.2f}")
    table.add_row("nothing changed: compare, s", f"{unchanged['seconds']['compare']:.2f}")
    table.add_row("nothing changed: the whole, s", f"{sum(unchanged['seconds'].values()):.2f}")
    Console(width=110).print(table)


def _show_file(positions: int, written: dict[str, Any]) -> None:
    title = f"The file of {positions:,} holdings ({written['mb']:.0f} MB in {written['files']} parts)"
    table = _table(title, "seconds", "times polars, text", "times polars, decimals")
    polars = written["polars"]
    whole, reading = written["ours"], written["reading"]
    for name, seconds in (
        ("ours, from the database to the disk", whole),
        ("of it, fetching the same cells in binary", reading),
        ("of it, the rest: writing them as CSV", whole - reading),
    ):
        table.add_row(name, f"{seconds:.2f}", *(f"{seconds / theirs:.2f}" for theirs in polars.values()))
    for name, seconds in polars.items():
        table.add_row(f"polars, from memory, numbers as {name}", f"{seconds:.2f}")
    Console(width=110).print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table("", *columns, box=box.SIMPLE, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


if __name__ == "__main__":
    works: dict[str, Callable[..., dict[str, Any]]] = {"sync": sync, "write": write, "upsert": upsert}
    sys.stdout.write(json.dumps(works[sys.argv[1]](*sys.argv[2:])) + "\n")
