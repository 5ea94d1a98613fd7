"""Benchmark of the Operations pages: how long each needs to read a year of 50 vendors from the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import psycopg
import sqlalchemy as sa
from rich import box
from rich.console import Console
from rich.table import Table

from include.operations.day import read_day
from include.operations.dead_letter_group import GroupKey, read_group
from include.operations.listing import read_list
from include.operations.lists import GROUPS
from include.operations.run import read_run
from include.operations.salesforce_status import read_salesforce_status
from include.operations.vendor_history import read_vendor_history
from include.operations.vendor_status import read_vendor_status
from include.vendors import VENDORS
from include.warehouse import schema
from local.postgres import Postgres

VENDOR_COUNT = 50
LIMIT_MS = 300
LAST = date(2026, 11, 25)
NOW = datetime(2026, 11, 27, 15, tzinfo=UTC)
NAMES = [*(vendor.name for vendor in VENDORS), *(f"vendor{n}" for n in range(len(VENDORS), VENDOR_COUNT))]

# Eight tables a vendor and trading day in four steps, three checks, a call every twelve seconds, 20,000 dead letters of which 10,000 are one
# group, 10,000 breaks of one day, half a million entries.
_FILL = """
alter table control.ledger disable trigger user;
insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at, recorded_at,
                            fetched, staged, produced, inserted, notes)
select nextval('control.ledger_id'), v || ' ' || d::date, v, 'table' || t, case when s in ('stage', 'validate') then '' else 'entity' end, d, s,
       v || d || t, 'current', d + interval '30 h', d + interval '31 h', case s when 'stage' then 100 else 0 end,
       case s when 'load' then 0 else 100 end, case s when 'stage' then 0 else 100 end, case s when 'load' then 100 else 0 end, '{"money": "1.5"}'
from unnest(%(names)s::text[]) v, generate_series(timestamp '2025-11-26', '2026-11-25', '1 day') d, generate_series(1, 8) t,
     unnest(array['stage', 'validate', 'transform', 'load']) s
where extract(isodow from d) < 6;
insert into control.reconciliation (run_id, vendor, business_date, check_name, expected, actual, tolerance, is_passed)
select distinct run_id, vendor, business_date, c, 1, 1, 0, true from control.ledger, unnest(array['control total', 'roll-forward', 'shares']) c;
insert into control.api_call (called_at, vendor, table_name, path, status, latency_ms, bytes, correlation_id, run_id)
select timestamptz '2026-11-27 15:00Z' - n * interval '12 s', (%(names)s::text[])[1 + n %% 50], 'table1', 'path' || n %% 20,
       case n %% 97 when 0 then 503 else 200 end, n %% 1000, 100, n, 'run' from generate_series(1, 2600000) n;
insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number, money_usd)
select 'run', (%(names)s::text[])[1 + n %% 50], 'table1', date '2026-11-25' - n %% 200, 'stage', n, array['reason ' || n %% 7], n, 'part', 0, 5
from generate_series(1, 10000) n;
insert into warehouse.account (account_id, vendor, account_key, name, valid_from, recorded_from, source_run_id, is_past_only)
select n, v, 'account ' || n, 'Account ' || n, '2026-01-01', '2026-01-01', 1, false from unnest((%(names)s::text[])[1:1]) v, generate_series(1, 100000) n;
insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number, money_usd, describes)
select 'run', (%(names)s::text[])[1], 'table2', date '2026-11-25', 'stage', n, array['price: not a number'], 'one group', 'part', n, 5,
       jsonb_build_array(jsonb_build_object('entity', 'position', 'key', n::text, 'parent', 'account ' || n))
from generate_series(1, 10000) n;
insert into control.dead_letter_content (dead_letter_id, cells, run_id)
select dead_letter_id, (select jsonb_agg(jsonb_build_object('name', 'column ' || c, 'text', '123.45', 'is_bad', c = 1)) from generate_series(1, 30) c), 'run'
from control.dead_letter where partition = 'one group';
insert into control.day_decision (vendor, business_date, decision, note, fingerprint, decided_by)
select distinct vendor, business_date, 'signed off', 'note', control.fingerprint_day(vendor, business_date), 'ann' from control.reconciliation;
insert into control.crm_total (vendor, business_date, check_name, due, accepted, run_id)
select distinct vendor, business_date, c, 1, 1, 'run' from control.reconciliation, unnest(array['control total', 'roll-forward']) c;
insert into control.control_total_break (run_id, vendor, business_date, account_id, expected, actual, difference, is_explained)
select distinct on (r.vendor, r.business_date, n) r.run_id, r.vendor, r.business_date, n, 1, 2, 1, true
from control.reconciliation r, generate_series(1, 10000) n where r.vendor = (%(names)s::text[])[1] and r.business_date = '2026-11-25';
insert into control.audit (happened_at, database_user, actor, action, subject, details)
select timestamptz '2026-11-27' - n * interval '1 min', 'load', 'run ' || n, 'data.loaded', 'a day', '{}' from generate_series(1, 500000) n;
"""


def bench_operations() -> None:
    """Generate the history, and print the time of each page: the second of two reads, and the limit that it should keep."""
    console = Console()
    with Postgres.temporary() as server:
        server.create_database("bench")
        url = server.url("bench")
        schema.create_roles(url, dict.fromkeys(schema.ROLES, "bench"))
        schema.migrate(url)
        console.print(f"Generating a year of {VENDOR_COUNT} vendors ...")
        with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in _FILL.split(";\n")[:-1]:
                cursor.execute(statement, {"names": NAMES})
            cursor.execute("vacuum analyze")
        _print(console, _measure(schema.engine(url)))


def _list_pages() -> Iterator[tuple[str, Callable[[sa.Connection], Any]]]:
    vendors = [*VENDORS, *(replace(VENDORS[0], name=name) for name in NAMES[len(VENDORS) :])]
    yield "today", lambda db: (read_vendor_status(db, vendors, NOW), read_salesforce_status(db, NOW))
    yield "vendor", lambda db: read_vendor_history(db, NAMES[0], LAST, 30, NOW)
    yield "run", lambda db: read_run(db, f"{NAMES[0]} {LAST}")
    group = GroupKey(NAMES[0], "table2", LAST, "stage", "price: not a number")
    yield "dead letter group", lambda db: read_group(db, group, 0, 50)
    yield "dead letter group, last page", lambda db: read_group(db, group, 9950, 50)
    yield "day", lambda db: read_day(db, NAMES[0], LAST, 0, 50)
    for listings in GROUPS.values():
        for listing in listings:
            yield listing.name, partial(read_list, listing=listing, selected={}, offset=0, limit=50)


def _measure(engine: sa.Engine) -> Iterator[tuple[str, float]]:
    for name, read in _list_pages():
        with engine.connect() as db:
            read(db)
            started = time.perf_counter()
            read(db)
            yield name, 1000 * (time.perf_counter() - started)


def _print(console: Console, measured: Iterator[tuple[str, float]]) -> None:
    table = Table("page", "ms", f"within {LIMIT_MS} ms", box=box.SIMPLE)
    for name, milliseconds in measured:
        table.add_row(name, f"{milliseconds:,.0f}", "yes" if milliseconds <= LIMIT_MS else "NO")
    console.print(table)
