"""Print the summary of a demo run, as tables on the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from rich import box
from rich.console import Console
from rich.table import Table

from include.warehouse.schema import engine
from local.demo import Place
from local.follow import Outcome
from local.one_envelope import Step
from local.one_envelope import show as show_steps
from local.one_household import show_one

_TABLES = sa.text("""
with newest as (
    select distinct on (vendor, table_name) vendor, table_name, business_date, pull_id
    from control.ledger where stage = 'stage' and pulled = 'current'
    order by vendor, table_name, recorded_at desc
), pulled as (
    select vendor, table_name, business_date, pull_id, min(ledger_id) as place,
           sum(fetched) as fetched, sum(duplicate) filter (where stage = 'stage') as duplicate,
           sum(dead) filter (where stage in ('stage', 'validate')) as dead,
           sum(seconds) filter (where stage in ('stage', 'validate')) as seconds
    from newest join control.ledger using (vendor, table_name, business_date, pull_id) group by 1, 2, 3, 4
)
select p.vendor || ' ' || p.table_name as table_name, p.business_date, l.entity, p.fetched, l.inserted, l.updated,
       l.unchanged, p.duplicate, p.dead, l.money_out, p.seconds + l.seconds as seconds
from pulled p left join control.ledger l using (vendor, table_name, business_date, pull_id)
where l.stage = 'load' or l.stage is null
order by p.place, l.ledger_id
""")

# Sums over all syncs since the start: the first sync waits for approval, a second one sends the first load, and hourly syncs follow.
_OBJECTS = sa.text("""
select table_name, entity, sum(sent), sum(created), sum(updated), sum(failed), sum(unprocessed), sum(seconds) from control.ledger
where stage = 'crm' and recorded_at >= :began group by table_name, entity order by min(ledger_id)
""")

_VERDICT = sa.text("""
with newest as (
    select distinct on (vendor) vendor, run_id, business_date from control.reconciliation
    order by vendor, checked_at desc
)
select vendor, check_name, result, actual, breaks from newest join control.reconciliation_day using (vendor, run_id, business_date)
order by vendor, check_name
""")


def show(place: Place, outcomes: Mapping[str, Outcome], began: datetime, steps: Sequence[Step] = ()) -> None:
    """Print the loaded tables, the results of the ledger and of reconciliation, and the addresses of the demo.

    Args:
        place: The demo.
        outcomes: The outcome of the last run of each DAG.
        began: Aware time at which the command began; only Salesforce syncs since then are shown.
        steps: The steps of the demo's envelope.
    """
    console = Console(width=max(Console().width, 128))
    reading = engine(place.read_url)
    with reading.connect() as connection:
        tables = connection.execute(_TABLES).all()
        sent = connection.execute(_OBJECTS, {"began": began}).all()
        verdict = connection.execute(_VERDICT).mappings().all()
        balanced = connection.scalar(sa.text("select count(*) from control.ledger"))
        dead = connection.scalar(sa.text("select count(*) from control.dead_letter where status = 'open'"))
    one = show_one(reading)
    reading.dispose()
    day = tables[0].business_date if tables else "-"
    headings = ["table", "entity", "fetched", "inserted", "updated", "unchanged", "duplicate", "dead", "money USD", "s"]
    rows = [(row[0], *row[2:]) for row in tables]
    console.print(_table(f"From the vendors into the warehouse, business date {day}", headings, rows))
    headings = ["object", "entity", "sent", "created", "updated", "failed", "unprocessed", "seconds"]
    console.print(_table("Into Salesforce", headings, sent))
    console.print(
        f"Ledger: {balanced} rows, all balanced (the database rejects a row that does not balance). Open dead letters: {dead}."
    )
    for vendor, checks in groupby(verdict, key=itemgetter("vendor")):
        results = [
            f"{c['check_name']} {c['result']}"
            + ("" if c["result"] == "not compared" else f" ({c['breaks']} breaks, {c['actual']:,})")
            for c in checks
        ]
        console.print(f"Reconciliation of {vendor}: {'; '.join(results)}.")
    if one is not None:
        console.print(one)
    if steps:
        console.print(show_steps(steps))
    for name, outcome in outcomes.items():
        console.print("\n".join([f"DAG {name}: {outcome.state}", *outcome.reasons]), soft_wrap=True, markup=False)
    console.print(f"\nAirflow       {place.airflow_url}   user admin, password {place.password}", soft_wrap=True)
    console.print(f"Data Docs     {place.airflow_url}/plugin/data-quality", soft_wrap=True)
    console.print(f"Warehouse     psql {place.read_url}", soft_wrap=True)
    console.print("              select * from mart.aum_by_household order by aum_usd desc limit 10;")
    console.print(f"Alerts        {place.alerts}", soft_wrap=True)
    seconds = (datetime.now(UTC) - began).total_seconds()
    console.print(f"\n{seconds:.0f} s. Everything keeps running; stop it with `make stop`.")


def _table(title: str, headings: list[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(*headings, title=title, box=box.SIMPLE, title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*(_text(value) for value in row))
    return table


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, (int, Decimal)) else str(value)
