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
    sql = _Statements(entity, connection.scalar(_COLUMNS, {"table": f"warehouse.{entity.name}"}) or "")
    records = connection.execute(sa.text(sql.find), values).rowcount
    connection.execute(sa.text(sql.close), values)
    restored = connection.execute(sa.text(sql.restore), values).rowcount
    connection.execute(sa.text(f"drop table withdrawn_{entity.name}"))
    return records, restored


class _Statements:
    """The SQL for one entity, generated from its declaration; every value is a bound parameter.

    Args:
        entity: The entity.
        columns: The columns of its table, without `recorded_from` and `recorded_to`.
    """

    def __init__(self, entity: Entity, columns: str) -> None:
        table, key, found = f"warehouse.{entity.name}", entity.key, f"withdrawn_{entity.name}"
        is_described = entity.kind == "description"
        on_day = " and {0}.business_date = :day" if entity.kind == "snapshot" else ""
        newest = " and {0}.valid_to is null" if is_described else ""

        def of(alias: str, condition: str = "") -> str:
            return f"{alias}.vendor = :vendor{(on_day + condition).format(alias)}"

        # A full pull that does not list a record removes it from a snapshot; for a description, it records that the record is absent.
        is_absent = f"exists (select from control.absence b where {of('b')} and b.entity = '{entity.name}' and b.source_key = f.{key})"
        unconfirmed = {
            "description": f"and (not :is_confirmed or {is_absent})",
            "snapshot": "and not :is_confirmed",
            "event": "",
        }
        # affected: records whose current version a withdrawn load wrote, and members of a set that a withdrawn load ended.
        # earlier: the newest version of each affected record that no withdrawn load wrote.
        # replaced: the earlier versions since which each version was followed by another, so the vendor never removed the record.
        self.find = f"""
            create temporary table {found} on commit drop as
            with affected as (
                select distinct f.{key} from {table} f
                where {of("f")} and f.recorded_to is null and f.source_run_id = any(:withdrawn)
                  {unconfirmed[entity.kind]}
                  and not exists (select from {table} c where {of("c", newest)} and c.{key} = f.{key} and c.recorded_to is null
                                                          and c.source_run_id <> all(:withdrawn))
            ), earlier as (
                select distinct on (v.{key}) v.* from {table} v join affected a on a.{key} = v.{key}
                where {of("v", newest)} and v.recorded_to is not null and v.source_run_id <> all(:withdrawn)
                order by v.{key}, v.recorded_from desc
            ), replaced as (
                select * from earlier e
                where not exists (select from {table} w where {of("w")} and w.{key} = e.{key} and w.recorded_to >= e.recorded_to
                                                          and not exists (select from {table} n where {of("n")} and n.{key} = w.{key}
                                                                                                  and n.recorded_from = w.recorded_to))
            )
            select a.{key} as record, r.* from affected a left join replaced r on r.{key} = a.{key}
        """  # noqa: S608
        since = "and (r.valid_from is null or f.valid_from >= r.valid_from)" if is_described else ""
        self.close = f"""
            update {table} f set recorded_to = now() from {found} r
            where {of("f")} and f.{key} = r.record and f.recorded_to is null and f.source_run_id = any(:withdrawn) {since}
        """  # noqa: S608
        self.restore = f"""
            insert into {table} ({columns}, recorded_from)
            select {columns}, now() from {found} where {key} is not null
        """  # noqa: S608
