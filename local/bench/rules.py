"""Benchmark of the business rules on a day of positions: time and memory.

The rows are generated in the database: twenty positions per account, two accounts per household, five thousand securities,
and account values of the previous day that differ. The rules run in a separate process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from include.control import findings
from include.control.findings import Look
from include.rules import RULES
from include.rules.evaluation import evaluate
from include.rules.policy import Policy
from include.rules.snapshot import find_present_days, read_snapshot
from include.warehouse import schema
from local.bench.memory import read_peak
from local.postgres import Postgres

ROOT = Path(__file__).parents[2]

# Ids: households from 1, securities from 100 million, accounts from 200 million.
_FILL = """
select warehouse.ensure_month('2026-11-20');
insert into warehouse.household (household_id, vendor, household_key, representative_id, valid_from, recorded_from, source_run_id)
select n, 'sample', n, 1 + n % 50, '2026-01-02', now(), 1 from generate_series(1, {households}) n;
insert into warehouse.security (security_id, vendor, security_key, ticker, security_type, valid_from, recorded_from, source_run_id)
select 100000000 + n, 'sample', n, 'S' || n, case when n % 2 = 0 then 'ETF' else 'Common Stock' end, '2026-01-02', now(), 1
from generate_series(0, 4999) n;
insert into warehouse.account (account_id, vendor, account_key, household_id, open_date, is_active, is_counted, valid_from,
                               recorded_from, source_run_id)
select 200000000 + n, 'sample', n, 1 + n / 2, '2020-01-02', true, true, '2026-01-02', now(), 1
from generate_series(0, {accounts} - 1) n;
insert into warehouse.account_owner (account_owner_id, vendor, account_owner_key, account_id, household_id, share_ratio, valid_from,
                                     recorded_from, source_run_id)
select n, 'sample', n, 200000000 + n, 1 + n / 2, 1, '2026-01-02', now(), 1 from generate_series(0, {accounts} - 1) n;
insert into warehouse.position (business_date, vendor, position_key, account_id, security_id, quantity, market_value_usd, is_cash,
                                recorded_from, source_run_id)
select '2026-11-20', 'sample', n, 200000000 + n / 20, 100000000 + (n * 7919::bigint) % 5000, 10,
       (n * 7919::bigint) % 10000 * case when n % 331 = 0 then 50 else 1 end + 0.37, n % 20 = 0, now(), 1
from generate_series(0, {positions} - 1) n;
insert into warehouse.account_value (business_date, vendor, account_value_key, account_id, market_value_usd, cash_usd, recorded_from,
                                     source_run_id)
select '2026-11-20', 'sample', account_id, account_id, sum(market_value_usd),
       sum(market_value_usd) filter (where is_cash) - case when account_id % 997 = 0 then 12000 else 0 end, now(), 1
from warehouse.position group by account_id;
insert into warehouse.account_value (business_date, vendor, account_value_key, account_id, market_value_usd, cash_usd, recorded_from,
                                     source_run_id)
select '2026-11-19', vendor, account_value_key, account_id,
       round(market_value_usd * case when account_id / 2 % 101 = 0 then 0.8 else 0.99 end, 2), cash_usd, now(), 1
from warehouse.account_value;
insert into warehouse.transaction (vendor, transaction_key, account_id, security_id, trade_date, flow, status, amount_usd,
                                   recorded_from, source_run_id)
select 'sample', n, 200000000 + n % {accounts}, 100000000, date '2026-11-20' - n % 60,
       case n % 2 when 0 then 'contribution' else 'distribution' end, 'posted', (n * 31) % 90000 * (1 - n % 2 * 2), now(), 1
from generate_series(0, {accounts} - 1) n;
insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at)
select row_number() over (order by day, entity), 'run ' || day, 'sample', entity, entity, day, 'load', 'pull ' || day, 'current', now()
from unnest(array['position', 'account_value', 'transaction']) entity, unnest(array[date '2026-11-19', '2026-11-20']) day;
insert into control.reconciliation (run_id, vendor, business_date, check_name, expected, actual, tolerance, is_passed)
select 'run 2026-11-20', 'sample', '2026-11-20', name, 0, 0, 0, true from unnest(array['control total', 'roll-forward']) name;
"""


def bench_rules(positions: int) -> None:
    """Measure the rules on a day with this many positions, in a new database, and print the table."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        Path(folder).chmod(0o711)
        with Postgres.start(Path(folder) / "postgres", durable=True) as server:
            server.create_database("tributary")
            schema.create_roles(server.url("tributary"), dict.fromkeys(schema.ROLES, "bench-only"))
            place = f"127.0.0.1:{server.port}/tributary"
            schema.migrate(f"postgresql://tributary_migrate:bench-only@{place}")
            with psycopg.connect(server.url("tributary"), autocommit=True) as connection:
                fill(connection, positions)
                connection.execute("vacuum analyze")  # the state before a morning's run, not in the middle of a load
                connection.execute("checkpoint")
            url = f"postgresql://tributary_load:bench-only@{place}"
            command = [sys.executable, "-m", "local.bench.rules", url]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    _show(positions, json.loads(done.stdout.splitlines()[-1]))


def fill(connection: psycopg.Connection, positions: int) -> None:
    """Insert a day with this many positions into a migrated, empty database."""
    accounts = positions // 20
    connection.execute(_FILL.format(positions=positions, accounts=accounts, households=accounts // 2).encode())


def work_a_day(load_url: str) -> dict[str, Any]:
    """Evaluate the rules in this process; return the seconds by step and rule, the findings by rule, and the peak memory in MB."""
    engine, failed, clock = schema.engine(load_url), dict[str, Exception](), time.perf_counter
    started = clock()
    with engine.connect() as connection:
        [day] = find_present_days(connection)
        snapshot = read_snapshot(connection, day)
    seconds = {"read": clock() - started}
    for rule in RULES:
        at = clock()
        evaluate(snapshot, Policy(), [rule], failed)
        seconds[rule.name] = clock() - at
    found, evaluated = evaluate(snapshot, Policy(), RULES, failed)
    for error in failed.values():
        raise error
    for step in ("settle, all new", "settle again"):
        at = clock()
        with engine.begin() as connection:
            findings.settle(
                connection, Look(day.vendor, day.business_date, day.read_at, step), evaluated, found, snapshot.silent
            )
        seconds[step] = clock() - at
    engine.dispose()
    counts = {rule.name: 0 for rule in RULES} | {
        pair["values"]: pair["counts"] for pair in found["rule"].value_counts().to_pylist()
    }
    peak = read_peak()
    return {"seconds": seconds, "found": counts, "peak_mb": peak}


def _show(positions: int, result: dict[str, Any]) -> None:
    table = Table("", "seconds", "findings", box=box.SIMPLE, title=f"Business rules over {positions:,} positions")
    for column in table.columns[1:]:
        column.justify = "right"
    for step, seconds in result["seconds"].items():
        table.add_row(step, f"{seconds:.2f}", f"{result['found'].get(step, ''):,}" if step in result["found"] else "")
    whole = sum(seconds for step, seconds in result["seconds"].items() if step != "settle again")
    table.add_row("read, evaluate and settle", f"{whole:.2f}", f"{sum(result['found'].values()):,}")
    table.add_row("peak memory, MB", f"{result['peak_mb']:.0f}", "")
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(work_a_day(sys.argv[1])) + "\n")
