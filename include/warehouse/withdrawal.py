"""Withdraw the records that a push loaded into the warehouse. No row is deleted: versions are closed, and earlier ones added again.

A withdrawal has one of these outcomes for each record:

- restored: the record gets back its newest version that no withdrawn push wrote, with the `source_run_id` of the load that wrote it.
- ended: there is no such version, or the vendor had removed the record before the push.
- superseded: the record stays as it is, because another load has changed it since, or a newer full pull of the vendor confirms it.

Exception: if the push removed a member of a set (such as an owner of an account) on the first day of the member's validity, the withdrawal
does not restore the member; the next pull does.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from include import canonical
from include.canonical import Entity
from include.control import ledger, writer
from include.control.ledger import LATEST_START, Counts, Pull
from include.keys import register
from include.warehouse.withdrawal_statement import WithdrawalStatement

DISCARDED = "The push was withdrawn"

# The loads of a push, found by the push's id at the end of the pull's id. There are several if a task was killed after a load and repeated.
_LOADS = sa.text("""
select table_name, entity, business_date, sum(inserted + updated)::bigint as written, max(extracted_at) as extracted_at
from control.ledger where vendor = :vendor and stage = 'load' and pulled = 'pushed' and pull_id like '%-push' || :push
group by table_name, entity, business_date order by min(ledger_id)
""")
# Of this push, and of those that were withdrawn before. The inbox does not show these: its rows are disposed of.
_WITHDRAWN_LOADS = sa.text("""
select array_agg(ledger_id) from control.ledger
where vendor = :vendor and stage = 'load' and pulled = 'pushed' and 'withdrawal-' || substring(pull_id from '-push([0-9]+)$') in (
    select :pull_id union all
    select pull_id from control.ledger where vendor = :vendor and stage = 'load' and pull_id like 'withdrawal-%')
""")
_DAYS = sa.text("""
select array_agg(distinct day) from control.ledger l cross join jsonb_array_elements_text(l.notes -> 'days') as day
where l.ledger_id = any(:withdrawn) and l.entity = :entity
""")
_IS_CONFIRMED = sa.text(f"""
select exists (select from control.ledger
               where vendor = :vendor and table_name = :table_name and entity = :entity and stage = 'load' and pulled = 'current'
                 and extracted_at > :extracted_at and extracted_at <= {LATEST_START} and (not :own_day or business_date = :business_date))
""")  # noqa: S608
_COLUMNS = sa.text("""
select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
where attrelid = cast(:table as regclass) and attnum > 0 and not attisdropped and attname not in ('recorded_from', 'recorded_to')
""")
_DISCARD = sa.text("""
update control.dead_letter set status = 'discarded', discard_reason = :reason, discarded_by = :caller, closed_at = clock_timestamp()
where vendor = :vendor and status = 'open' and partition like '%-push' || :push
""")


def withdraw(engine: sa.Engine, vendor: str, table: str, push: int, run_id: str, caller: str) -> dict[str, int]:
    """Withdraw a push, in one transaction with the ledger's rows. A repeated call changes nothing and returns the same numbers.

    Args:
        engine: The database, as the loading role.
        vendor: The vendor's name.
        table: The table that was pushed.
        push: Id of the push in the inbox.
        run_id: The run that withdraws.
        caller: The caller that pushed; the dead letters of the push are discarded in its name.

    Returns:
        Numbers of records, all 0 if the push was not loaded:

            - `withdrawn`: records whose version of the push was closed.
            - `restored`: records among these that got their earlier version back.
            - `superseded`: records that stay as they are (see above).

    Raises:
        WriterSuperseded: Another writer took over.
        TargetUnavailable: The database is unavailable or busy.
    """
    values = {"vendor": vendor, "push": str(push), "caller": caller, "reason": DISCARDED}
    counts = {"withdrawn": 0, "restored": 0, "superseded": 0}
    with engine.connect() as connection:
        tables = {table, *(each.table_name for each in connection.execute(_LOADS, values))}
        connection.rollback()
        fences = writer.take_all(connection, sorted(f"load:{vendor}:{each}:pushed" for each in tables))
        connection.rollback()
        with connection.begin():
            register.hold_hash_keys(connection, 0)
            for load in connection.execute(_LOADS, values).all():
                pull = Pull(
                    run_id,
                    vendor,
                    load.table_name,
                    load.business_date,
                    f"withdrawal-{push}",
                    "pushed",
                    load.extracted_at,
                )
                ended, restored = _withdraw_load(connection, canonical.named(load.entity), pull)
                counts["withdrawn"] += ended
                counts["restored"] += restored
                counts["superseded"] += max(0, load.written - ended)
            connection.execute(_DISCARD, values)
            for fence in fences:
                fence.check(connection)
    return counts


def _withdraw_load(connection: sa.Connection, entity: Entity, pull: Pull) -> tuple[int, int]:
    """Withdraw the records of one entity that a push wrote, and record this in the ledger; return (withdrawn, restored) records."""
    if before := ledger.find(connection, pull, "load", entity.name):
        return before["withdrawn"], before["inserted"]
    withdrawn = connection.scalar(_WITHDRAWN_LOADS, {"vendor": pull.vendor, "pull_id": pull.pull_id}) or []
    ended, restored = _undo(connection, entity, pull, withdrawn)
    days = connection.scalar(_DAYS, {"withdrawn": withdrawn, "entity": entity.name})
    counts = Counts(produced=restored, inserted=restored, withdrawn=ended, notes={"days": days} if days else {})
    ledger.record(connection, pull, "load", counts, entity.name)
    return ended, restored


def _undo(connection: sa.Connection, entity: Entity, pull: Pull, withdrawn: list[int]) -> tuple[int, int]:
    """Close the current versions that withdrawn loads wrote, and restore the versions before them; return (withdrawn, restored) records."""
    own = {"entity": entity.name, "own_day": entity.kind == "snapshot"}
    values: dict[str, Any] = {
        "vendor": pull.vendor,
        "day": pull.business_date,
        "withdrawn": withdrawn,
        "is_confirmed": connection.scalar(_IS_CONFIRMED, asdict(pull) | own),
    }
    columns = connection.scalar(_COLUMNS, {"table": f"warehouse.{entity.name}"}) or ""
    statement = WithdrawalStatement(entity, columns)
    records = connection.execute(statement.find, values).rowcount
    connection.execute(statement.close, values)
    restored = connection.execute(statement.restore, values).rowcount
    connection.execute(sa.text(f"drop table withdrawn_{entity.name}"))
    return records, restored
