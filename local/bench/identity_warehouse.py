"""Benchmark of identity resolution in a warehouse: a full run, and a day on which all values moved and few records changed."""

from __future__ import annotations

import json
import os
import statistics
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

from include.identity.resolve import resolve
from include.warehouse import schema
from local.airflow import MEMORY
from local.bench.identity_days import ON, compare_days
from local.bench.memory import read_peak
from local.bench.people import Firm, make_firm
from local.postgres import Postgres

ROOT = Path(__file__).parents[2]
CHANGED = 0.001
"""Share of the persons that change on a normal day."""

_GIVEN = (
    "record_id", "vendor", "household", "first_name", "last_name", "name", "birth_date", "email", "phone", "street", "city", "state_code",
    "postal_code", "tax_id_hash", "tax_id_last4",
)  # fmt: skip
# Ids: persons from 1, households from 10 million, accounts from 20 million, owners from 30 million, outside accounts from 40 million. Each
# person of the two portfolio systems has an account. The planning system lists the account of every second client, by its last four digits.
_FILL = """
insert into warehouse.household (household_id, vendor, household_key, valid_from, recorded_from, source_run_id)
select 10000000 + row_number() over (order by vendor, household), vendor, household, '2026-01-02', now(), 1
from (select distinct vendor, household from given) g;
insert into warehouse.person (person_id, vendor, person_key, household_id, first_name, last_name, name, birth_date, email, phone, street,
                              city, state_code, postal_code, tax_id_hash, tax_id_last4, cross_references, valid_from, recorded_from, source_run_id)
select g.record_id, g.vendor, g.record_id, h.household_id, first_name, last_name, g.name, birth_date, g.email, g.phone, g.street, g.city,
       g.state_code, g.postal_code, tax_id_hash, tax_id_last4, strong_keys, '2026-01-02', now(), 1
from given g join warehouse.household h on h.vendor = g.vendor and h.household_key = g.household;
insert into warehouse.account (account_id, vendor, account_key, household_id, account_number_hash, account_number_last4, custodian, is_active,
                               is_counted, valid_from, recorded_from, source_run_id)
select 20000000 + person_id, vendor, person_id, household_id, encode(sha256(person_id::text::bytea), 'hex'),
       right(split_part(household_key, '-', 2), 4), 'Sample Brothers & Co', true, true, '2026-01-02', now(), 1
from warehouse.person p join warehouse.household h using (household_id, vendor) where vendor in ('portfolio', 'reporting');
insert into warehouse.account_owner (account_owner_id, vendor, account_owner_key, account_id, household_id, person_id, role, share_ratio,
                                     valid_from, recorded_from, source_run_id)
select 30000000 + person_id, vendor, person_id, 20000000 + person_id, household_id, person_id, 'primary', 1, '2026-01-02', now(), 1
from warehouse.person where vendor in ('portfolio', 'reporting');
insert into warehouse.account_value (business_date, vendor, account_value_key, account_id, market_value_usd, recorded_from, source_run_id)
select '2026-11-20', vendor, account_id, account_id, (account_id * 7919) % 1000000 + 0.37, now(), 1 from warehouse.account;
insert into warehouse.outside_account (outside_account_id, vendor, outside_account_key, household_id, account_number_last4, institution,
                                       valid_from, recorded_from, source_run_id)
select 40000000 + person_id, vendor, person_id, household_id, right(split_part(household_key, '-', 2), 4), 'Sample Brothers',
       '2026-01-02', now(), 1
from warehouse.person p join warehouse.household h using (household_id, vendor) where vendor = 'planning' and person_id % 2 = 0;
insert into warehouse.outside_value (vendor, outside_value_key, outside_account_id, market_value_usd, requested_on, recorded_from,
                                     source_run_id)
select vendor, outside_account_id, outside_account_id, (outside_account_id * 7919) % 1000000 + 0.37, '2026-11-20', now(), 1
from warehouse.outside_account;
insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at)
select row_number() over (), 'run', vendor, 'account_value', 'account_value', '2026-11-20', 'load', 'pull ' || vendor, 'current', now()
from unnest(array['portfolio', 'reporting']) vendor;
drop table given;
"""
_PASS = f"""
select setseed(0.5);
create temporary table moved as select person_id from warehouse.person where random() < {CHANGED};
update warehouse.person p set email = 'new.' || email, street = '77 New Street' from moved m where m.person_id = p.person_id;
update warehouse.account_value set market_value_usd = round(market_value_usd * 1.001, 2);
update warehouse.outside_value set market_value_usd = round(market_value_usd * 1.001, 2);
"""  # noqa: S608


def bench_identity_runs(records: int) -> None:
    """Measure a full run and a daily run in a new warehouse with about this many records of persons, and print the table."""
    console = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        Path(folder).chmod(0o711)
        with Postgres.start(Path(folder) / "postgres", durable=True) as server:
            firm = make_firm(round(records * 0.303))
            load_url = create_warehouse(server, firm)
            del firm
            results = [_run(load_url, "full run")]
            pass_a_day(server.url("tributary"))
            results.append(_run(load_url, "daily run"))
    table = Table(
        "",
        *(result["name"] for result in results),
        box=box.SIMPLE,
        title=f"Identity in a warehouse of {results[0]['records']:,} persons",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name, format_ in _SHOWN.items():
        table.add_row(name, *(format_.format(result[name]) for result in results))
    console.print(table)


def bench_days(days: int) -> None:
    """Compare daily runs with full runs over random days of a firm of 5,000 people, and print the table."""
    results = compare_days(make_firm(5_000), days, CHANGED)
    table = Table(
        "", "", box=box.SIMPLE, title=f"Daily runs over {days} random days, beside full runs", show_header=False
    )
    table.columns[1].justify = "right"
    matched, changed = ([result[name] for result in results] for name in ("matched", "changed"))
    table.add_row("days on which the results differ", str(sum(bool(result["differences"]) for result in results)))
    table.add_row("records changed since the full run, on the last day", f"{changed[-1]:,}")
    table.add_row("records matched again, on the last day", f"{matched[-1]:,}")
    for name, key in (("seconds of a daily run, median", "seconds"), ("seconds of a full run, median", "full_seconds")):
        table.add_row(name, f"{statistics.median(result[key] for result in results):.2f}")
    Console(width=110).print(table)


_SHOWN = {
    "records matched": "{:,}",
    "seconds": "{:.1f}",
    "CPU seconds of the task": "{:.1f}",
    "peak memory of the task, MB": "{:,.0f}",
    "load average at the start": "{:.1f}",
}


def create_warehouse(server: Postgres, firm: Firm) -> str:
    """Create the database `tributary` with a firm's records; return the URL of the loading role."""
    server.create_database("tributary")
    schema.create_roles(server.url("tributary"), dict.fromkeys(schema.ROLES, "bench-only"))
    place = f"127.0.0.1:{server.port}/tributary"
    schema.migrate(f"postgresql://tributary_migrate:bench-only@{place}")
    fill(server.url("tributary"), firm)
    return f"postgresql://tributary_load:bench-only@{place}"


def fill(admin_url: str, firm: Firm) -> None:
    """Fill the persons, households and accounts of a migrated, empty database."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        columns = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in (*_GIVEN, "strong_keys"))
        connection.execute(f"create unlogged table given ({columns})".encode())
        with connection.cursor() as cursor, cursor.copy("copy given from stdin") as copy:
            for batch in firm.persons.to_batches(10_000):
                for row in batch.to_pylist():
                    copy.write_row((*(row[name] for name in _GIVEN), " ".join(row["strong_keys"] or ()) or None))
        connection.execute(_FILL.encode())
        connection.execute("vacuum analyze")


_TYPES = {"record_id": "bigint", "birth_date": "date"}


def pass_a_day(admin_url: str) -> None:
    """Move all values by a tenth of a percent, and change a few persons."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(_PASS.encode())


def _run(load_url: str, name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "local.bench.identity_warehouse", load_url]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | MEMORY, check=True, capture_output=True, text=True)
    return {"name": name, **json.loads(done.stdout.splitlines()[-1])}


def resolve_once(load_url: str) -> dict[str, Any]:
    """Resolve identities in this process; return the counts, seconds and peak memory in MB."""
    others, at, worked = os.getloadavg()[0], time.perf_counter(), time.process_time()
    engine = schema.engine(load_url)
    found = resolve(engine, (), f"run {time.time()}", ON)
    assert found is not None
    engine.dispose()
    return {
        "records": found.records,
        "records matched": found.records if found.matched is None else found.matched,
        "seconds": time.perf_counter() - at,
        "CPU seconds of the task": time.process_time() - worked,
        "peak memory of the task, MB": read_peak(),
        "load average at the start": others,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(resolve_once(sys.argv[1])) + "\n")
