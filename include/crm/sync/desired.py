"""What Salesforce should hold of one object, by the warehouse's present state.

A record's payload is a JSON object: field -> text as sent, null to clear it; a field that is not in it is left alone.

Temporary table, of the session whose `present_day` it is built from (see `include.crm.sync.readiness`):
    desired              external_key, payload
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from include import canonical
from include.crm.objects.mapping import CrmObject
from include.crm.settings import Settings

_RECENT_DAYS = 40
"""How far back a record's last known row is looked for."""

# Gone from the vendor's snapshot, but not from Salesforce. What an open dead letter may describe is not gone: by its key, else by
# what it belongs to, else anything of its entity.
_GONE = """
insert into desired
with absent as materialized (  -- few: the planner takes `starts_with` for choosy, and would look up each of the many
    select external_key from control.crm_state s
    where s.sobject = :sobject and not exists (select from desired n where n.external_key = s.external_key)
), keyed as (
    select s.external_key, d.vendor, d.business_date, substr(s.external_key, length(d.prefix) + 1) as source_key
    from absent s
    join (select *, :firm || ':' || vendor || ':{entity}:' as prefix from present_day) d on starts_with(s.external_key, d.prefix)
)
select s.external_key, {payload} from keyed s
where not exists (
    select from control.dead_letter l
    cross join jsonb_to_recordset(l.describes) as m(entity text, key text, parent text)
    where l.vendor = s.vendor and l.status = 'open' {of_day}
      and (m.entity = '{died_as}' or m.entity = '*' and l.table_name in (
               select table_name from control.ledger where vendor = s.vendor and entity = '{died_as}' and stage = 'load'))
      and case when m.key is not null then starts_with(s.source_key || ':', m.key || ':')
               else m.parent is null or exists (
                   select from warehouse.{died_as} w join warehouse.source_key k on k.id = w.{parent}_id
                   where w.vendor = s.vendor and w.{died_as}_key = s.source_key and k.source_key = m.parent {recent}) end)
"""

# A lookup to what somebody deleted or merged in Salesforce is left as it is there: a merge has moved it already.
_WITHOUT_MISSING = """
update desired d set payload = d.payload - array(
    select l.name from unnest(cast(:links as text[]), cast(:parents as text[])) l(name, sobject)
    join control.crm_state p on p.sobject = l.sobject and p.external_key = d.payload ->> l.name and p.missing is not null)
"""


def build(db: sa.Connection, wanted: CrmObject, settings: Settings) -> int:
    """Create `desired` of one object; return how many records it has.

    Args:
        db: After `readiness.find_present_days`, in a transaction.
        wanted: The object.
        settings: The firm's.
    """
    values = {
        "firm": settings.firm,
        "documents_url": settings.documents_url.rstrip("/"),
        "sobject": wanted.sobject,
        "entity": wanted.entity,
        **wanted.lookups,
    }
    db.execute(sa.text("drop table if exists pg_temp.desired"))
    # All rows of some tables at once: for days and views of who is who the planner expects one, and would loop.
    db.execute(sa.text("set local enable_nestloop = off"))
    total = db.execute(sa.text(_select_present(wanted)), values).rowcount
    db.execute(sa.text("set local enable_nestloop = on"))
    db.execute(sa.text("create unique index on desired (external_key)"))
    if wanted.is_written_when_gone:
        total += db.execute(sa.text(_insert_gone(wanted)), values).rowcount
    db.execute(sa.text("analyze desired"))
    if db.scalar(sa.text("select exists (select from control.crm_state where missing is not null)")):
        db.execute(sa.text(_WITHOUT_MISSING), values)
    return total


def _select_present(wanted: CrmObject) -> str:
    payload = _object((field.name, field.sql) for field in wanted.fields)
    unknown = [f"case when {f.unknown} then '{f.name}' end" for f in wanted.fields if f.unknown]
    if unknown:
        payload += f" - array_remove(array[{', '.join(unknown)}], null)"
    return f"""
        create temporary table desired as
        select {wanted.key} collate "C" as external_key, {payload} as payload from {wanted.source}
    """  # noqa: S608


def _insert_gone(wanted: CrmObject) -> str:
    payload = _object((f.name, f"'{f.when_gone}'") for f in wanted.fields if f.when_gone is not None)
    died_as = canonical.named(wanted.died_as or wanted.entity)
    is_daily = died_as.kind == "snapshot"
    return _GONE.format(
        payload=payload,
        entity=wanted.entity,
        died_as=died_as.name,
        parent=died_as.parent,
        of_day="and l.business_date = s.business_date" if is_daily else "",
        recent=f"and w.business_date between s.business_date - {_RECENT_DAYS} and s.business_date" if is_daily else "",
    )


def _object(pairs: Iterable[tuple[str, str]]) -> str:
    inside = ", ".join(f"'{name}', {sql}" for name, sql in pairs)
    return f"jsonb_build_object({inside})"
