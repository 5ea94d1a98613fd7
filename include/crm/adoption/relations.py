"""Match records that only connect two others: an org record and ours are the same if they connect the same two records."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from include.crm import desired, readiness
from include.crm.objects.mapping import CrmObject
from include.crm.settings import Settings
from include.crm.temporary import KEYED

# The key of each record that a lookup may refer to. The contact half of a person account has no record of its own.
_ENDS = """
select sobject, salesforce_id, external_key from control.org_record where external_key is not null
union select sobject, links ->> 'PrimaryContact', external_key from control.org_record where external_key is not null and links ? 'PrimaryContact'
"""
_SAME_END = """
join {ends} e{n} on e{n}.sobject = '{parent}' and e{n}.salesforce_id = r.links ->> '{relationship}' and e{n}.external_key = d.payload ->> '{name}'
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


def match(db: sa.Connection, mappings: Sequence[CrmObject], settings: Settings, run_id: str) -> None:
    """Find the org records that connect the same two records as ours, and add them to the adoption findings.

    Both ends must have our key already, so such records are found after their ends were adopted.

    Args:
        db: The connection, in a transaction.
        mappings: The mappings; those without `same_if` are skipped.
        settings: The firm's settings.
        run_id: The run.
    """
    ready = readiness.find_present_days(db)
    KEYED.fill(db, _ENDS)
    db.execute(sa.text(f"create index on {KEYED} (salesforce_id)"))
    db.execute(sa.text(f"analyze {KEYED}"))
    for mapping in mappings:
        if not mapping.same_if:
            continue
        table, _ = desired.build(db, mapping, settings, ready.present_day)
        links = [field for field in mapping.fields if field.name in mapping.same_if and field.links_to]
        ends = [
            _SAME_END.format(
                ends=KEYED, n=n, parent=each.links_to, name=each.name, relationship=each.name.partition(".")[0]
            )
            for n, each in enumerate(links)
        ]
        plain = [name for name in mapping.same_if if name not in {each.name for each in links}]
        fields = [f"and r.payload ->> '{name}' is not distinct from d.payload ->> '{name}'" for name in plain]
        query = _MATCH.format(desired=table, ends=" ".join(ends), fields=" ".join(fields))
        db.execute(sa.text(query), {"entity": mapping.entity, "sobject": mapping.sobject, "run_id": run_id})
        table.drop(db)
    KEYED.drop(db)
