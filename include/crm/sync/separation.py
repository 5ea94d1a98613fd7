"""Find records that a sync would separate from existing Salesforce records.

- A registration may be read as a person in one version and as a trust in the next.
- The records of two people may have been one person until a decision or a better match separated them.

Salesforce then gets a new record for one of them, and keeps its record for the other. So an operator approves the list before the sync
sends it.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from include.crm.objects.mapping import CrmObject
from include.crm.settings import Settings
from include.crm.temporary import declare_outgoing

# The Salesforce record with the same vendor key: that of the other entity, or the one that last represented the record.
_SEPARATED = """
select o.external_key, s.external_key as old_key, o.payload ->> 'Name', s.salesforce_id
from {outgoing} o
join warehouse.source_key k on k.entity = :separated_from and k.vendor = split_part(o.external_key, ':', 2)
     and k.source_key = control.current_key(regexp_replace(o.external_key, '^([^:]*:){{3}}', ''))
left join lateral (select identity_id from warehouse.identity i where i.entity = k.entity and i.id = k.id
                   order by i.recorded_to desc nulls first limit 1) i on true
join warehouse.source_key a on a.id = coalesce(i.identity_id, k.id)
join control.crm_state s on s.sobject = :sobject
     and s.external_key = concat_ws(':', cast(:firm as text), a.vendor, k.entity, control.first_key(a.source_key))
where o.is_new and not o.is_refused and o.held_by is null
order by 1
"""


class Separated(NamedTuple):
    """A new record, and the Salesforce record that has represented it so far: its old key and its Salesforce id."""

    external_key: str
    old_key: str
    name: str
    salesforce_id: str


def list_separated(db: sa.Connection, mapping: CrmObject, settings: Settings) -> list[Separated]:
    """Return the new records that another Salesforce record has represented so far, in the order of their keys.

    They are read from the table `declare_outgoing(mapping.entity)`.
    """
    if not mapping.separated_from:
        return []
    sobject = mapping.separated_in or mapping.sobject
    values = {"separated_from": mapping.separated_from, "sobject": sobject, "firm": settings.firm}
    rows = db.execute(sa.text(_SEPARATED.format(outgoing=declare_outgoing(mapping.entity))), values)
    return [Separated(*(value or "" for value in row)) for row in rows]
