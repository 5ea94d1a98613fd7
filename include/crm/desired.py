"""Build the desired state of one Salesforce object from the warehouse's current state.

The payload of a record is a JSON object of fields. The value of a field is the text to send, or null to clear the field. A field that
the payload lacks stays unchanged in Salesforce.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from include import canonical
from include.crm.objects.mapping import CLEARED, MISSING_SINCE, CrmObject, literal
from include.crm.settings import Settings
from include.crm.temporary import DESIRED, TempTable
from include.database.statistics import without_nested_loops

_MOST_PAIRS = 40
"""Fields in one call of `jsonb_build_object`; PostgreSQL allows a function 100 arguments."""
_RECENT_DAYS = 40
"""Number of days before the vendor's latest day whose rows are read to find the parent of a record that is missing from the snapshot."""

# The latest day on which each vendor listed an entity: also a vendor without positions, which has no row in `PRESENT_DAY`.
_LISTED_DAY = """
    (select vendor, max(business_date) as business_date from control.ledger
     where stage = 'load' and entity = '{entity}' and pulled = 'current' group by 1)
"""

# Records that are missing from the vendor's snapshot but still in Salesforce. A record that an open dead letter may describe does not
# count as missing. A dead letter describes the record with its key; without a key, all records of its parent; without a parent, all
# records of its entity.
_GONE = """
insert into desired
with absent as materialized (  -- few rows: otherwise the planner takes `starts_with` for selective, and looks up each of the many
    select external_key from control.crm_state s
    where s.sobject = :sobject and not exists (select from desired n where n.external_key = s.external_key)
), keyed as (
    select s.external_key, d.vendor, d.business_date, control.current_key(substr(s.external_key, length(d.prefix) + 1)) as source_key
    from absent s
    join (select *, :firm || ':' || vendor || ':{entity}:' as prefix from {day}) d on starts_with(s.external_key, d.prefix)
)
select s.external_key, {payload} from keyed s
where not ({stays_if}) and not exists (
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

# Leave a lookup unchanged if its record was deleted or merged in Salesforce: a merge has already moved the lookup. A new record, and one
# that moves to the missing record, keep the lookup: they wait for an operator's decision.
_WITHOUT_MISSING = """
update desired d set payload = d.payload - array(
    select l.name from unnest(cast(:links as text[]), cast(:parents as text[])) l(name, sobject)
    join control.crm_state p on p.sobject = l.sobject and p.external_key = d.payload ->> l.name and p.missing is not null
    where coalesce(s.payload ->> l.name, p.external_key) = p.external_key)
from control.crm_state s where s.sobject = :sobject and s.external_key = d.external_key
"""


def build(db: sa.Connection, mapping: CrmObject, settings: Settings, present_day: TempTable) -> tuple[TempTable, int]:
    """Create the table of one object's desired records; the caller drops the table.

    Args:
        db: The sync's connection, in a transaction.
        mapping: The object.
        settings: The firm's settings.
        present_day: The table of each vendor's latest day, from `readiness.find_present_days`. `mapping.source` may also read it.

    Returns:
        The table, and the number of its records.
    """
    values = {
        "firm": settings.firm,
        "documents_url": settings.documents_url.rstrip("/"),
        "sobject": mapping.sobject,
        "entity": mapping.entity,
        **mapping.lookups,
    }
    with without_nested_loops(db):
        total = DESIRED.fill(db, _select_present(mapping), values)
    db.execute(sa.text("create unique index on desired (external_key)"))
    if mapping.is_written_when_gone:
        total += db.execute(sa.text(_insert_gone(mapping, present_day)), values).rowcount
    db.execute(sa.text("analyze desired"))
    if db.scalar(sa.text("select exists (select from control.crm_state where missing is not null)")):
        db.execute(sa.text(_WITHOUT_MISSING), values)
    return DESIRED, total


def _select_present(mapping: CrmObject) -> str:
    payload = _object((field.name, field.sql) for field in mapping.fields)
    unknown = [f"case when {f.unknown} then '{f.name}' end" for f in mapping.fields if f.unknown]
    if unknown:
        payload += f" - array_remove(array[{', '.join(unknown)}], null)"
    return f'select {mapping.key} collate "C" as external_key, {payload} as payload from {mapping.selection}'  # noqa: S608


def _insert_gone(mapping: CrmObject, present_day: TempTable) -> str:
    payload = _object((f.name, _leave(f.name, f.when_gone)) for f in mapping.fields if f.when_gone is not None)
    died_as = canonical.named(mapping.died_as or mapping.entity)
    is_daily = died_as.kind == "snapshot"
    return _GONE.format(
        day=present_day if is_daily else _LISTED_DAY.format(entity=died_as.name),
        payload=payload,
        entity=mapping.entity,
        died_as=died_as.name,
        parent=died_as.parent,
        stays_if=mapping.stays_if or "false",
        of_day="and l.business_date = s.business_date" if is_daily else "",
        recent=f"and w.business_date between s.business_date - {_RECENT_DAYS} and s.business_date" if is_daily else "",
    )


def _leave(name: str, value: str) -> str:
    """Return SQL of a field's value in a record `s` that is missing."""
    if value == CLEARED:
        return "null::text"
    if value != MISSING_SINCE:
        return literal(value)
    sent = f"select c.payload ->> '{name}' from control.crm_state c where c.sobject = :sobject and c.external_key = s.external_key"  # noqa: S608
    return f"coalesce(({sent}), s.business_date::text)"


def _object(pairs: Iterable[tuple[str, str]]) -> str:
    inside = [f"'{name}', {sql}" for name, sql in pairs]
    parts = [inside[n : n + _MOST_PAIRS] for n in range(0, len(inside), _MOST_PAIRS)] or [[]]
    return "(" + " || ".join(f"jsonb_build_object({', '.join(part)})" for part in parts) + ")"
