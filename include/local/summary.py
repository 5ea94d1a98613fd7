"""What a demo run came to, as tables for a person."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from rich import box
from rich.console import Console
from rich.table import Table

from include.local.demo import Place
from include.warehouse.schema import engine

_TABLES = sa.text("""
with newest as (
    select distinct on (vendor, table_name) vendor, table_name, business_date, pull_id, run_id
    from control.ledger where stage = 'stage' order by vendor, table_name, recorded_at desc
)
select n.vendor, n.table_name, n.business_date,
       sum(l.fetched) filter (where l.stage = 'stage') as fetched,
       sum(l.duplicate) filter (where l.stage = 'stage') as duplicate,
       sum(l.dead) filter (where l.stage in ('stage', 'validate')) as dead,
       sum(l.seconds) as seconds
from newest n join control.ledger l using (vendor, table_name, business_date, pull_id)
group by 1, 2, 3 order by min(l.ledger_id)
""")

_ENTITIES = sa.text("""
with newest as (
    select distinct on (vendor, table_name, entity) vendor, table_name, entity, ledger_id
    from control.ledger where stage = 'load' order by vendor, table_name, entity, recorded_at desc
)
select n.vendor, n.table_name, n.entity, inserted, updated, unchanged, superseded, withdrawn, money_out, seconds
from newest n join control.ledger using (ledger_id) order by ledger_id
""")

_OBJECTS = sa.text("""
with newest as (
    select distinct on (table_name, entity) ledger_id from control.ledger
    where stage = 'crm' order by table_name, entity, recorded_at desc
)
select table_name, entity, sent, created, updated, failed, unprocessed, seconds
from newest join control.ledger using (ledger_id) order by ledger_id
""")

_VERDICT = sa.text("""
select check_name, expected, actual, breaks, explained, is_passed from control.reconciliation
where (run_id, business_date) = (select run_id, business_date from control.reconciliation order by checked_at desc limit 1)
order by check_name
""")


def show(place: Place, ended: dict[str, str], seconds: float) -> None:
    """Prints the tables, the ledger's verdict and where to look next."""
    console = Console(width=max(Console().width, 110))
    reading = engine(place.read_url)
    with reading.connect() as connection:
        pulled = connection.execute(_TABLES).all()
        loaded = connection.execute(_ENTITIES).all()
        sent = connection.execute(_OBJECTS).all()
        verdict = connection.execute(_VERDICT).mappings().all()
        balanced = connection.scalar(sa.text("select count(*) from control.ledger"))
        dead = connection.scalar(sa.text("select count(*) from control.dead_letter where status = 'open'"))
    reading.dispose()
    day = pulled[0].business_date if pulled else "-"
    headings = ["vendor", "table", "date", "fetched", "duplicate", "dead letters", "seconds"]
    console.print(_table(f"From the vendors, business date {day}", headings, pulled))
    headings = [
        "vendor",
        "table",
        "entity",
        "inserted",
        "updated",
        "unchanged",
        "superseded",
        "withdrawn",
        "money USD",
        "s",
    ]
    console.print(_table("Into the warehouse", headings, loaded))
    headings = ["object", "entity", "sent", "created", "updated", "failed", "unprocessed", "seconds"]
    console.print(_table("Into Salesforce", headings, sent))
    console.print(
        f"Ledger: {balanced} rows, every one of them balanced (the database accepts no other). Open dead letters: {dead}."
    )
    for check in verdict:
        word = "passed" if check["is_passed"] else "FAILED"
        console.print(
            f"Reconciliation, {check['check_name']}: {word}, {check['breaks']} breaks, expected {check['expected']:,}, "
            f"found {check['actual']:,}."
        )
    for name, state in ended.items():
        console.print(f"DAG {name}: {state}")
    console.print(f"\nAirflow       {place.airflow_url}   user admin, password {place.password}", soft_wrap=True)
    console.print(
        f"Data quality  {place.airflow_url}/plugin/data-quality   (or {place.docs}/index.html)", soft_wrap=True
    )
    console.print(f"Warehouse     psql {place.read_url}", soft_wrap=True)
    console.print("              select * from mart.aum_by_household order by aum_usd desc limit 10;")
    console.print(f"Alerts        {place.alerts}", soft_wrap=True)
    console.print(f"\n{seconds:.0f} s. Everything stays up; `make stop` ends it.")


def _table(title: str, headings: list[str], rows: Sequence[sa.Row[Any]]) -> Table:
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
