"""Benchmark of the Operations pages and of the metrics: how long each needs to read a year of 50 vendors and 50,000 clients from the database."""

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

from include.audit.as_of import Record
from include.identity import pairs
from include.identity.preview import preview
from include.operations.backfill import plan_backfill
from include.operations.client_search import search_clients
from include.operations.day import read_day
from include.operations.dead_letter_group import GroupKey, read_group
from include.operations.lineage import read_lineage, read_loads, read_loads_of_run, read_row, read_written, search
from include.operations.listing import read_list
from include.operations.lists import GROUPS
from include.operations.metrics import read_samples, render
from include.operations.quality import read_matrix, read_partition, read_run_checks
from include.operations.run import read_run
from include.operations.salesforce_status import read_salesforce_status
from include.operations.signals import evaluate
from include.operations.vendor_calls import read_vendor_calls
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
TABLES = [table.name for table in VENDORS[0].tables]

# Each vendor has 100 accounts with households and owners. Each account has a value and a position per day; twenty of these are corrected once.
# Each vendor and trading day has eight tables with four ledger steps, eight expectations per table, and three checks of the reconciliation.
# The rest: a call every twelve seconds, 20,000 dead letters (10,000 of them in one group), 10,000 breaks of one day, half a million audit entries.
_FILL = """
alter table control.ledger disable trigger user;
insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at, recorded_at,
                            fetched, staged, produced, inserted, notes)
select nextval('control.ledger_id'), v || ' ' || d::date, v, (%(tables)s::text[])[t], case when s in ('stage', 'validate') then '' else 'entity' end, d, s,
       v || d || t, 'current', d + interval '30 h', d + interval '31 h', case s when 'stage' then 100 else 0 end,
       case s when 'load' then 0 else 100 end, case s when 'stage' then 0 else 100 end, case s when 'load' then 100 else 0 end, '{"money": "1.5"}'
from unnest(%(names)s::text[]) v, generate_series(timestamp '2025-11-26', '2026-11-25', '1 day') d, generate_series(1, cardinality(%(tables)s::text[])) t,
     unnest(array['stage', 'validate', 'transform', 'load']) s
where extract(isodow from d) < 6;
insert into control.reconciliation (run_id, vendor, business_date, check_name, expected, actual, tolerance, is_passed)
select distinct run_id, vendor, business_date, c, 1, 1, 0, true from control.ledger, unnest(array['control total', 'roll-forward', 'shares']) c;
insert into control.api_call (called_at, vendor, table_name, path, status, latency_ms, bytes, correlation_id, run_id)
select timestamptz '2026-11-27 15:00Z' - n * interval '12 s', (%(names)s::text[])[1 + n %% 50], (%(tables)s::text[])[1], 'path' || n %% 20,
       case n %% 97 when 0 then 503 else 200 end, n %% 1000, 100, n, 'run' from generate_series(1, 2600000) n;
insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number, money_usd)
select 'run', (%(names)s::text[])[1 + n %% 50], (%(tables)s::text[])[1], date '2026-11-25' - n %% 200, 'stage', n, array['reason ' || n %% 7], n, 'part', 0, 5
from generate_series(1, 10000) n;
insert into warehouse.household (household_id, vendor, household_key, name, valid_from, recorded_from, source_run_id)
select 10000000 + n, (%(names)s::text[])[1 + n %% 7], n, 'Family ' || n, '2026-11-25', '2026-11-25', 1 from generate_series(1, 60000) n;
insert into warehouse.person (person_id, vendor, person_key, household_id, name, valid_from, recorded_from, source_run_id)
select 30000000 + n, (%(names)s::text[])[1 + n %% 60000 %% 7], n, 10000001 + n %% 60000, 'Person ' || n, '2026-11-25', '2026-11-25', 1
from generate_series(1, 150000) n;
insert into control.crm_difference (run_id, sobject, entity, external_key, salesforce_id, kind, fields)
select 'run', 'Account', 'household', n, n, 'edited', array['Name'] from generate_series(1, 20000) n;
insert into control.crm_job (job_id, sobject, entity, run_id, business_date, sent_by, file_sha256, rows, state)
select n, 'Account', 'household', 'run', '2026-11-25', 'bulk', '', 100, 'closed' from generate_series(1, 20000) n;
insert into control.validation (vendor, table_name, business_date, pull_id, pulled, run_id, expectation, check_name, level, notes, is_passed,
                                is_accepted, rows_checked, rows_missing, rows_failed, measure)
select vendor, table_name, business_date, pull_id, pulled, run_id, 'check ' || n, 'check ' || n, case when n < 6 then 'row' else 'batch' end, '',
       ledger_id %% 50 > 0, false, 100, 0, case when ledger_id %% 50 > 0 then 0 else 5 end, n
from control.ledger, generate_series(1, 8) n where stage = 'validate';
select setval(pg_get_serial_sequence('warehouse.source_key', 'id'), 20000000);
insert into warehouse.source_key (entity, vendor, source_key)
select e, v, e || n from unnest(array['household', 'person', 'account', 'security']) e, unnest(%(names)s::text[]) v, generate_series(1, 100) n;
insert into warehouse.household (household_id, vendor, household_key, name, valid_from, recorded_from, source_run_id)
select id, vendor, source_key, 'Household of ' || source_key || ' at ' || vendor, '2025-11-26', '2025-11-27', 1 from warehouse.source_key
where entity = 'household';
insert into warehouse.person (person_id, vendor, person_key, name, valid_from, recorded_from, source_run_id)
select id, vendor, source_key, 'Person ' || source_key || ' at ' || vendor, '2025-11-26', '2025-11-27', 1 from warehouse.source_key where entity = 'person';
insert into warehouse.account (account_id, vendor, account_key, name, is_counted, valid_from, recorded_from, source_run_id)
select id, vendor, source_key, 'Account ' || source_key, true, '2025-11-26', '2025-11-27', 1 from warehouse.source_key where entity = 'account';
insert into warehouse.account_owner (account_owner_id, vendor, account_owner_key, account_id, household_id, role, share_ratio, valid_from,
                                     recorded_from, source_run_id)
select a.id, a.vendor, a.source_key, a.id, h.id, 'primary', 1, '2025-11-26', '2025-11-27', 1
from warehouse.source_key a join warehouse.source_key h on h.entity = 'household' and h.vendor = a.vendor
     and h.source_key = 'household' || (1 + substr(a.source_key, 8)::int %% 20)
where a.entity = 'account';
create temporary table written as
select l.vendor, l.business_date, l.ledger_id, a.id as account_id, a.source_key, l.recorded_at, a.id %% 5 = 0 and c = 1 as is_corrected, s.id as security_id
from control.ledger l join warehouse.source_key a on a.vendor = l.vendor and a.entity = 'account', generate_series(1, 2) c,
     (select min(id) as id from warehouse.source_key where entity = 'security') s
where l.stage = 'load' and l.table_name = (%(tables)s::text[])[1] and (c = 2 or a.id %% 5 = 0) order by l.ledger_id;
select warehouse.ensure_month(m::date) from generate_series(timestamp '2025-11-01', '2026-11-01', '1 month') m;
insert into warehouse.account_value (business_date, vendor, account_value_key, account_id, market_value_usd, recorded_from, recorded_to, source_run_id)
select business_date, vendor, source_key, account_id, 100, recorded_at - is_corrected::int * interval '1 h', case when is_corrected then recorded_at end,
       ledger_id from written;
insert into warehouse.position (business_date, vendor, position_key, account_id, security_id, quantity, market_value_usd, recorded_from, recorded_to,
                                source_run_id)
select business_date, vendor, source_key, account_id, security_id, 1, 100, recorded_at - is_corrected::int * interval '1 h',
       case when is_corrected then recorded_at end, ledger_id from written;
insert into warehouse.transaction (vendor, transaction_key, account_id, security_id, trade_date, amount_usd, recorded_from, source_run_id)
select vendor, source_key || business_date, account_id, security_id, business_date, 5, recorded_at, ledger_id from written where not is_corrected;
insert into warehouse.identity (entity, id, identity_id, how, recorded_from, source_run_id)
select 'household', h.id, o.id, 'same name', '2025-11-27', 'run' from warehouse.source_key h join warehouse.source_key o
     on o.entity = 'household' and o.source_key = h.source_key and o.vendor = (%(names)s::text[])[1]
where h.entity = 'household' and h.vendor = any((%(names)s::text[])[2:5]);
insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id)
select 'Account', 'demo:' || vendor || ':' || entity || ':' || source_key, '{"Name": "x", "Balance__c": "1.50"}', lpad(id::text, 15, '0') || 'AAA', 'job'
from warehouse.source_key;
insert into control.finding (vendor, rule, subject_entity, subject_id, household_id, severity, measure, details, business_date_opened,
                             opened_run_id, business_date_seen, seen_run_id)
select vendor, 'rule', 'household', id, id, 'warning', 1, 'details', '2026-11-25', 'run', '2026-11-25', 'run'
from warehouse.source_key where entity = 'household';
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
insert into control.audit_seal (position, entry_id, key_id, mac, sealed_at)
select row_number() over (order by entry_id), entry_id, 'key', repeat('m', 32)::bytea, now() from control.audit where entry_id %% 500000 > 200;
"""

# 50,000 people at each of two vendors in 25,000 households, linked, with an account and its copy held away; 500 pairs to review.
_FILL_PEOPLE = """
insert into warehouse.source_key (entity, vendor, source_key, id) overriding system value
select 'person', v, 'p' || n, case v when (%(names)s::text[])[1] then 0 else 1000000 end + n from generate_series(1, 50000) n, unnest((%(names)s::text[])[1:2]) v
union all
select 'household', v, 'h' || n, case v when (%(names)s::text[])[1] then 2000000 else 3000000 end + n from generate_series(1, 25000) n, unnest((%(names)s::text[])[1:2]) v
union all select 'account', (%(names)s::text[])[1], 'a' || n, 4000000 + n from generate_series(1, 50000) n
union all select 'outside_account', (%(names)s::text[])[2], 'x' || n, 6000000 + n from generate_series(1, 50000) n;
insert into warehouse.household (household_id, vendor, household_key, name, postal_code, valid_from, recorded_from, source_run_id)
select case v when (%(names)s::text[])[1] then 2000000 else 3000000 end + n, v, 'h' || n, 'Home ' || n, '68102', date '2026-01-01', now(), 1
from generate_series(1, 25000) n, unnest((%(names)s::text[])[1:2]) v;
insert into warehouse.person (person_id, vendor, person_key, household_id, name, first_name, last_name, birth_date, valid_from, recorded_from, source_run_id)
select case v when (%(names)s::text[])[1] then 0 else 1000000 end + n, v, 'p' || n, case v when (%(names)s::text[])[1] then 2000000 else 3000000 end + (n + 1) / 2,
       'First' || n || ' Last' || n / 2, 'First' || n, 'Last' || n / 2, date '1950-01-01' + n %% 15000, date '2026-01-01', now(), 1
from generate_series(1, 50000) n, unnest((%(names)s::text[])[1:2]) v;
insert into warehouse.account (account_id, vendor, account_key, household_id, name, account_number_last4, custodian, is_counted, valid_from, recorded_from, source_run_id)
select 4000000 + n, (%(names)s::text[])[1], 'a' || n, 2000000 + (n + 1) / 2, 'Account ' || n, lpad((n %% 10000)::text, 4, '0'), 'Pershing', true, date '2026-01-01', now(), 1
from generate_series(1, 50000) n;
insert into warehouse.account_owner (account_owner_id, vendor, account_owner_key, account_id, household_id, person_id, role, share_ratio, valid_from, recorded_from, source_run_id)
select 5000000 + n, (%(names)s::text[])[1], 'o' || n, 4000000 + n, 2000000 + (n + 1) / 2, n, 'primary', 1, date '2026-01-01', now(), 1 from generate_series(1, 50000) n;
insert into warehouse.account_value (business_date, vendor, account_value_key, account_id, market_value_usd, recorded_from, source_run_id)
select '2026-11-25', (%(names)s::text[])[1], 'a' || n, 4000000 + n, 1000 + n, now(), 1 from generate_series(1, 50000) n;
insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at)
values (nextval('control.ledger_id'), 'r', (%(names)s::text[])[1], 'accounts', 'account_value', '2026-11-25', 'load', 'p', 'current', now());
insert into warehouse.outside_account (outside_account_id, vendor, outside_account_key, household_id, name, account_number_last4, institution, valid_from, recorded_from, source_run_id)
select 6000000 + n, (%(names)s::text[])[2], 'x' || n, 3000000 + (n + 1) / 2, 'Held ' || n, lpad((n %% 10000)::text, 4, '0'), 'Pershing', date '2026-01-01', now(), 1
from generate_series(1, 50000) n;
insert into warehouse.outside_value (vendor, outside_value_key, outside_account_id, market_value_usd, requested_on, recorded_from, source_run_id)
select (%(names)s::text[])[2], 'x' || n, 6000000 + n, 1000 + n, '2026-11-25', now(), 1 from generate_series(1, 50000) n;
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
                cursor.execute(statement, {"names": NAMES, "tables": TABLES})
            cursor.execute("vacuum analyze")
        _print(console, _measure(schema.engine(url)))


def _list_pages() -> Iterator[tuple[str, Callable[[sa.Connection], Any]]]:
    vendors = [replace(VENDORS[0], name=name) for name in NAMES]
    yield "today", lambda db: (read_vendor_status(db, vendors, NOW), read_salesforce_status(db, NOW))
    yield (
        "vendor",
        lambda db: (read_vendor_history(db, NAMES[0], LAST, 30, NOW), read_vendor_calls(db, VENDORS[0], NOW)),
    )
    yield "backfill of a year", lambda db: plan_backfill(db, VENDORS[0], "2025-11-26", "2026-11-25", NOW)
    yield "find client", lambda db: search_clients(db, VENDORS, "family 77")
    yield "health", lambda db: evaluate(read_samples(db, vendors, NOW), NOW)
    yield "metrics", lambda db: render(read_samples(db, vendors, NOW))
    yield "run", lambda db: read_run(db, f"{NAMES[0]} {LAST}")
    yield "who is who", partial(_read_queue, at=250)
    yield "who is who: links", pairs.list_links
    yield "who is who: decisions", pairs.list_decided
    yield from _list_quality_pages()
    yield from _list_lineage_pages()
    group = GroupKey(NAMES[0], "table2", LAST, "stage", "price: not a number")
    yield "dead letter group", lambda db: read_group(db, group, 0, 50)
    yield "dead letter group, last page", lambda db: read_group(db, group, 9950, 50)
    yield "day", lambda db: read_day(db, NAMES[0], LAST, 0, 50)
    for listings in GROUPS.values():
        for listing in listings:
            yield listing.name, partial(read_list, listing=listing, selected={}, offset=0, limit=50)


def _read_queue(db: sa.Connection, at: int) -> None:
    _, [pair] = pairs.list_open(db, 1, at)
    pairs.read_kinds(db)
    pairs.read_households(db, pair)
    shown = preview(db, pair.entity, pair.left.id, pair.right.id, LAST)
    assert shown.problem == "", shown.problem


def _list_quality_pages() -> Iterator[tuple[str, Callable[[sa.Connection], Any]]]:
    yield "quality, all vendors", lambda db: read_matrix(db, "", LAST, 10)
    yield "quality, one vendor", lambda db: read_matrix(db, NAMES[0], LAST, 25)
    yield "quality of a table", lambda db: read_partition(db, NAMES[0], TABLES[0], LAST)
    yield "quality of a run", lambda db: read_run_checks(db, f"{NAMES[0]} {LAST}")


def _list_lineage_pages() -> Iterator[tuple[str, Callable[[sa.Connection], Any]]]:
    earlier = datetime(2026, 3, 2, tzinfo=UTC)
    for entity, key in (
        ("household", "household6"),
        ("account", "account5"),
        ("position", "account5"),
        ("transaction", f"account5{LAST}"),
    ):
        record = Record(entity, NAMES[0], key)
        yield f"lineage, {entity}", partial(read_lineage, record=record, day=LAST, at=NOW)
        yield f"lineage, {entity}, earlier", partial(read_lineage, record=record, day=date(2026, 2, 27), at=earlier)
    copies = Record("household", NAMES[0], "h777")
    yield "lineage, household with copies", lambda db: read_lineage(db, copies, LAST, datetime.now(UTC))
    yield "lineage, search by name", lambda db: search(db, "household of household7")
    yield "lineage, search by key", lambda db: search(db, "account7")
    yield "lineage, search by Salesforce id", lambda db: search(db, "000000000000007")
    yield "lineage, run", lambda db: read_loads_of_run(db, f"{NAMES[0]} {LAST}")
    yield "lineage, load", _read_newest_load
    yield "lineage, row", lambda db: read_row(db, NAMES[0], TABLES[0], LAST, "account5", NOW)


def _read_newest_load(db: sa.Connection) -> Any:
    [ledger_id] = db.scalars(
        sa.text("select max(ledger_id) from control.ledger where stage = 'load' and table_name = :name"),
        {"name": TABLES[0]},
    ).all()
    return read_loads(db, [ledger_id]), read_written(db, ledger_id, 50, 51)


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
