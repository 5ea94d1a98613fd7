"""Record what the first sync would change in matched records, field by field."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from include.crm import desired, readiness
from include.crm.objects.mapping import CrmObject
from include.crm.settings import Settings

# What the first sync would change in matched records: all fields except those that the firm owns, shared fields with a value, and links.
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
_HAS_MATCHED = sa.text("""
select exists (select from control.adoption_finding where outcome = 'matched' and sobject = :sobject and entity = :entity)
""")


def note_changes(db: sa.Connection, mappings: Sequence[CrmObject], settings: Settings) -> None:
    """Add the changes that the first sync would make to each matched record's finding, field by field.

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
