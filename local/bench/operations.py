"""Benchmark of the Operations pages: how long each needs to read a year of 50 vendors and 50,000 clients from the database."""

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

from include.identity import pairs
from include.identity.preview import preview
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

# Eight tables a vendor and trading day in four steps, three checks, a call every twelve seconds, 10,000 dead letters, half a million entries.
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
insert into control.audit (happened_at, database_user, actor, action, subject, details)
select timestamptz '2026-11-27' - n * interval '1 min', 'load', 'run ' || n, 'data.loaded', 'a day', '{}' from generate_series(1, 500000) n;
"""

# 50,000 people at each of two vendors in 25,000 households, linked, with an account and its copy held away; 500 pairs to review.
_FILL_PEOPLE = """
insert into warehouse.source_key (entity, vendor, source_key, id) overriding system value
select 'person', v, 'p' || n, case v when 'vendor48' then 0 else 1000000 end + n from generate_series(1, 50000) n, unnest(array['vendor48', 'vendor49']) v;
insert into warehouse.household (household_id, vendor, household_key, name, postal_code, valid_from, recorded_from, source_run_id)
select case v when 'vendor48' then 2000000 else 3000000 end + n, v, 'h' || n, 'Home ' || n, '68102', date '2026-01-01', now(), 1
from generate_series(1, 25000) n, unnest(array['vendor48', 'vendor49']) v;
insert into warehouse.person (person_id, vendor, person_key, household_id, name, first_name, last_name, birth_date, valid_from, recorded_from, source_run_id)
select case v when 'vendor48' then 0 else 1000000 end + n, v, 'p' || n, case v when 'vendor48' then 2000000 else 3000000 end + (n + 1) / 2,
       'First' || n || ' Last' || n / 2, 'First' || n, 'Last' || n / 2, date '1950-01-01' + n %% 15000, date '2026-01-01', now(), 1
from generate_series(1, 50000) n, unnest(array['vendor48', 'vendor49']) v;
insert into warehouse.account (account_id, vendor, account_key, household_id, name, account_number_last4, custodian, is_counted, valid_from, recorded_from, source_run_id)
select 4000000 + n, 'vendor48', 'a' || n, 2000000 + (n + 1) / 2, 'Account ' || n, lpad((n %% 10000)::text, 4, '0'), 'Pershing', true, date '2026-01-01', now(), 1
from generate_series(1, 50000) n;
insert into warehouse.account_owner (account_owner_id, vendor, account_owner_key, account_id, household_id, person_id, role, share_ratio, valid_from, recorded_from, source_run_id)
select 5000000 + n, 'vendor48', 'o' || n, 4000000 + n, 2000000 + (n + 1) / 2, n, 'primary', 1, date '2026-01-01', now(), 1 from generate_series(1, 50000) n;
insert into warehouse.account_value (business_date, vendor, account_value_key, account_id, market_value_usd, recorded_from, source_run_id)
select '2026-11-25', 'vendor48', 'a' || n, 4000000 + n, 1000 + n, now(), 1 from generate_series(1, 50000) n;
insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at)
values (nextval('control.ledger_id'), 'r', 'vendor48', 'accounts', 'account_value', '2026-11-25', 'load', 'p', 'current', now());
insert into warehouse.outside_account (outside_account_id, vendor, outside_account_key, household_id, name, account_number_last4, institution, valid_from, recorded_from, source_run_id)
select 6000000 + n, 'vendor49', 'x' || n, 3000000 + (n + 1) / 2, 'Held ' || n, lpad((n %% 10000)::text, 4, '0'), 'Pershing', date '2026-01-01', now(), 1
from generate_series(1, 50000) n;
insert into warehouse.outside_value (vendor, outside_value_key, outside_account_id, market_value_usd, requested_on, recorded_from, source_run_id)
select 'vendor49', 'x' || n, 6000000 + n, 1000 + n, '2026-11-25', now(), 1 from generate_series(1, 50000) n;
insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) select 'person', 1000000 + n, n, now(), 'r' from generate_series(1001, 50000) n;
insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) select 'household', 3000000 + n, 2000000 + n, now(), 'r' from generate_series(501, 25000) n;
insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) select 'account', 6000000 + n, 4000000 + n, now(), 'r' from generate_series(1001, 50000) n;
insert into control.identity_link (entity, left_id, right_id, score, agreed, differed, how, run_id)
select 'person', n, 1000000 + n, 8, '{name,birth date}', '{}', 'model', 'r' from generate_series(1001, 50000) n;
insert into control.identity_review (entity, left_id, right_id, score, agreed, differed, how, run_id)
select 'person', n, 1000000 + n, 3 - n / 500.0, '{name}', '{birth date}', 'model', 'r' from generate_series(1, 999, 2) n;
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
            for statement in (_FILL + _FILL_PEOPLE).split(";\n")[:-1]:
                cursor.execute(statement, {"names": NAMES})
            cursor.execute("vacuum analyze")
        _print(console, _measure(schema.engine(url)))


def _list_pages() -> Iterator[tuple[str, Callable[[sa.Connection], Any]]]:
    vendors = [*VENDORS, *(replace(VENDORS[0], name=name) for name in NAMES[len(VENDORS) :])]
    yield "today", lambda db: (read_vendor_status(db, vendors, NOW), read_salesforce_status(db, NOW))
    yield "vendor", lambda db: read_vendor_history(db, NAMES[0], LAST, 30, NOW)
    yield "run", lambda db: read_run(db, f"{NAMES[0]} {LAST}")
    yield "who is who", partial(_read_queue, at=250)
    yield "who is who: links", pairs.list_links
    yield "who is who: decisions", pairs.list_decided
    for listings in GROUPS.values():
        for listing in listings:
            yield listing.name, partial(read_list, listing=listing, selected={}, offset=0, limit=50)


def _read_queue(db: sa.Connection, at: int) -> None:
    _, [pair] = pairs.list_open(db, 1, at)
    pairs.read_kinds(db)
    pairs.read_households(db, pair)
    shown = preview(db, pair.entity, pair.left.id, pair.right.id, LAST)
    assert shown.problem == "", shown.problem


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
