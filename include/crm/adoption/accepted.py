"""Add adopted records to the state that Salesforce accepted, so that a sync sends only what differs from the org's values."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from include.crm import desired, readiness
from include.crm.objects.mapping import CrmObject
from include.crm.settings import Settings
from include.crm.temporary import PARENT_KEYS

# The accepted state starts with the org's values. For a shared field that has a value, the vendor's current value counts as already sent.
_TAKE = """
insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id, shared_values)
select r.sobject, r.external_key, (select coalesce(jsonb_object_agg(key, value), '{{}}') from jsonb_each(r.payload) where key = any(:names)),
       r.salesforce_id, 'adopted',
       (select coalesce(jsonb_object_agg(key, value), '{{}}') from jsonb_each(d.payload)
        where key = any(:shared) and r.payload ->> key is not null)
from {desired} d join control.org_record r on r.sobject = :sobject and r.external_key = d.external_key
join control.adopted a on (a.sobject, a.salesforce_id, a.external_key) = (r.sobject, r.salesforce_id, r.external_key) and a.state <> 'removed'
on conflict (sobject, external_key) do nothing
"""
# A record that refers to another keeps its reference when that one gets our key, so only the reading of the other shows it.
_PARENTS = """
select r.external_key, jsonb_object_agg(l.name, p.external_key) as keys
from control.org_record r cross join unnest(cast(:links as text[]), cast(:parents as text[])) l (name, parent)
join control.org_record p on p.sobject = l.parent and p.salesforce_id = r.links ->> split_part(l.name, '.', 1)
where r.sobject = :sobject and r.external_key is not null and p.external_key is not null group by 1
"""
_REFER = sa.text(f"""
update control.crm_state s set payload = s.payload || k.keys from {PARENT_KEYS} k
where s.sobject = :sobject and s.job_id = 'adopted' and s.external_key = k.external_key and not s.payload @> k.keys
""")  # noqa: S608
_SETTLED = sa.text("""
update control.adopted a set state = 'written', error = '', changed_at = clock_timestamp()
from control.org_record r
where a.state in ('planned', 'failed') and (r.sobject, r.salesforce_id, r.external_key) = (a.sobject, a.salesforce_id, a.external_key)
""")
_HAS_UNKNOWN = sa.text("""
select exists (select from control.org_record r join control.adopted a using (sobject, salesforce_id, external_key)
               where r.sobject = :sobject and a.state <> 'removed' and not exists (
    select from control.crm_state s where s.sobject = r.sobject and s.external_key = r.external_key))
""")


def take_keyed(db: sa.Connection, mappings: Sequence[CrmObject], settings: Settings) -> None:
    """Add the adopted org records to the accepted state, with their values in the org, and the keys of the records to which they refer.

    The next sync then sends only fields that differ. It sends no field that the firm owns, and no shared field that has a value.

    Args:
        db: The connection, in a transaction, after the org was read or keys were written, and `control.org_record` was analyzed.
        mappings: The mappings whose records are adopted.
        settings: The firm's settings.
    """
    ready = readiness.find_present_days(db)
    for mapping in mappings:
        if db.scalar(_HAS_UNKNOWN, {"sobject": mapping.sobject}):
            table, _ = desired.build(db, mapping, settings, ready.present_day)
            names = [field.name for field in mapping.fields]
            values = {"sobject": mapping.sobject, "names": names, "shared": mapping.shared}
            db.execute(sa.text(_TAKE.format(desired=table)), values)
            table.drop(db)
        if mapping.lookups["links"]:
            PARENT_KEYS.fill(db, _PARENTS, {"sobject": mapping.sobject} | mapping.lookups)
            # Of the rows that were just added to the state, the planner knows nothing: without the index, it compares each with each.
            db.execute(sa.text(f"create unique index on {PARENT_KEYS} (external_key)"))
            db.execute(_REFER, {"sobject": mapping.sobject})
            PARENT_KEYS.drop(db)
    db.execute(_SETTLED)
