"""Records that only connect two others: the org's record is the same if it connects the same two.

Also the records that have a key of adoption already, but are not in the accepted state: a run was killed after Salesforce took the key.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from include.crm import desired, readiness
from include.crm.objects.mapping import CrmObject
from include.crm.settings import Settings

# The accepted state begins with the values that the org has. In a shared field that has a value, the vendor's value of today counts as known.
TAKE = """
insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id, shared_values)
select r.sobject, r.external_key, (select coalesce(jsonb_object_agg(key, value), '{{}}') from jsonb_each(r.payload) where key = any(:names)),
       r.salesforce_id, 'adopted',
       (select coalesce(jsonb_object_agg(key, value), '{{}}') from jsonb_each(d.payload)
        where key = any(:shared) and r.payload ->> key is not null)
from {desired} d join control.org_record r on r.sobject = :sobject and r.external_key = d.external_key
join control.adopted a on (a.sobject, a.salesforce_id, a.external_key) = (r.sobject, r.salesforce_id, r.external_key) and a.state <> 'removed'
on conflict (sobject, external_key) do nothing
"""
_SETTLED = sa.text("""
update control.adopted a set state = 'written', error = '', changed_at = clock_timestamp()
from control.org_record r
where a.state in ('planned', 'failed') and (r.sobject, r.salesforce_id, r.external_key) = (a.sobject, a.salesforce_id, a.external_key)
""")
# The ends of a lookup by our key. The contact half of a person account has no record of its own.
_SAME_END = """
join control.org_record p{n} on p{n}.sobject = '{parent}' and p{n}.external_key = d.payload ->> '{name}'
     and r.links ->> '{relationship}' in (p{n}.salesforce_id, p{n}.links ->> 'PrimaryContact')
"""
# What the first sync would change in matched records: neither what the firm owns, nor shared fields that have a value, nor links.
_CHANGES = """
update control.adoption_finding f set changes = c.changes
from (select d.external_key, r.salesforce_id, (
          select jsonb_object_agg(n.key, jsonb_build_array(r.payload -> n.key, n.value)) from jsonb_each(d.payload) n
          where n.key = any(:compared) and not (n.key = any(:shared) and r.payload ->> n.key is not null)
            and case when n.key = any(:numbers) then (r.payload ->> n.key)::numeric is distinct from (n.value #>> '{{}}')::numeric
                     when n.key = any(:times) then (r.payload ->> n.key)::timestamptz is distinct from (n.value #>> '{{}}')::timestamptz
                     else r.payload ->> n.key is distinct from n.value #>> '{{}}' end) as changes
      from control.adoption_finding o
      join {desired} d using (external_key) join control.org_record r using (sobject, salesforce_id)
      where o.outcome = 'matched' and o.sobject = :sobject and o.entity = :entity) c
where f.sobject = :sobject and f.salesforce_id = c.salesforce_id and c.changes is not null
"""
_MATCH = """
insert into control.adoption_finding (entity, sobject, salesforce_id, external_key, outcome, run_id)
select distinct on (salesforce_id) * from (
select distinct on (d.external_key) :entity, :sobject, r.salesforce_id, d.external_key, 'matched', :run_id
from {desired} d join control.org_record r on r.sobject = :sobject and r.external_key is null
{ends} {fields}
where not exists (select from control.crm_state s where s.sobject = :sobject and s.external_key = d.external_key)
order by d.external_key, r.salesforce_id) m order by salesforce_id, external_key
on conflict do nothing
"""


def take_keyed(db: sa.Connection, mappings: Sequence[CrmObject], settings: Settings) -> None:
    """Add to the accepted state the org's records that have a key of adoption, with the values that they have there.

    A sync then sends only what differs, and neither what the firm owns nor what users typed into shared fields.

    Args:
        db: The connection, in a transaction, after the org was read.
        mappings: The mappings whose records are adopted.
        settings: The firm's settings.
    """
    ready = readiness.find_present_days(db)
    for mapping in mappings:
        if not db.scalar(_HAS_UNKNOWN, {"sobject": mapping.sobject}):
            continue
        table, _ = desired.build(db, mapping, settings, ready.present_day)
        names = [field.name for field in mapping.fields]
        db.execute(
            sa.text(TAKE.format(desired=table)), {"sobject": mapping.sobject, "names": names, "shared": mapping.shared}
        )
        table.drop(db)
    db.execute(_SETTLED)


_HAS_UNKNOWN = sa.text("""
select exists (select from control.org_record r join control.adopted a using (sobject, salesforce_id, external_key)
               where r.sobject = :sobject and a.state <> 'removed' and not exists (
    select from control.crm_state s where s.sobject = r.sobject and s.external_key = r.external_key))
""")


def note_changes(db: sa.Connection, mappings: Sequence[CrmObject], settings: Settings) -> None:
    """Add to each matched record what the first sync would change in it, field by field.

    Args:
        db: The connection, in a transaction, after the findings were stored.
        mappings: The mappings whose records are adopted.
        settings: The firm's settings.
    """
    ready = readiness.find_present_days(db)
    for mapping in mappings:
        if not db.scalar(_HAS_MATCHED, {"sobject": mapping.sobject, "entity": mapping.entity}):
            continue
        table, _ = desired.build(db, mapping, settings, ready.present_day)
        compared = [each for each in mapping.fields if each.owner != "firm" and not each.links_to]
        values = {
            "sobject": mapping.sobject, "entity": mapping.entity, "compared": [each.name for each in compared], "shared": mapping.shared,
            "numbers": [each.name for each in compared if each.kind == "number"],
            "times": [each.name for each in compared if each.kind == "time"],
        }  # fmt: skip
        db.execute(sa.text(_CHANGES.format(desired=table)), values)
        table.drop(db)


_HAS_MATCHED = sa.text("""
select exists (select from control.adoption_finding where outcome = 'matched' and sobject = :sobject and entity = :entity)
""")


def match(db: sa.Connection, mappings: Sequence[CrmObject], settings: Settings, run_id: str) -> None:
    """Find the org's records that connect the same two records as ours, and add them to the findings.

    Both ends must have our key already, so such records are found after their ends were adopted.

    Args:
        db: The connection, in a transaction.
        mappings: The mappings; those without `same_if` are skipped.
        settings: The firm's settings.
        run_id: The run.
    """
    ready = readiness.find_present_days(db)
    for mapping in mappings:
        if not mapping.same_if:
            continue
        table, _ = desired.build(db, mapping, settings, ready.present_day)
        links = [field for field in mapping.fields if field.name in mapping.same_if and field.links_to]
        ends = [
            _SAME_END.format(n=n, parent=each.links_to, name=each.name, relationship=each.name.partition(".")[0])
            for n, each in enumerate(links)
        ]
        plain = [name for name in mapping.same_if if name not in {each.name for each in links}]
        fields = [f"and r.payload ->> '{name}' is not distinct from d.payload ->> '{name}'" for name in plain]
        query = _MATCH.format(desired=table, ends=" ".join(ends), fields=" ".join(fields))
        db.execute(sa.text(query), {"entity": mapping.entity, "sobject": mapping.sobject, "run_id": run_id})
        table.drop(db)
