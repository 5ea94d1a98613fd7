"""Read the values that a sync would send to restricted picklists today, from the warehouse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from include.crm import desired, readiness
from include.crm.database import open_connection
from include.crm.objects.mapping import CrmObject
from include.crm.run import Org
from include.crm.temporary import DESIRED, PRESENT_DAY

_VALUES = sa.text(f"select distinct payload ->> :name from {DESIRED} where payload ->> :name is not null")  # noqa: S608


def read_sent_values(
    org: Org, mappings: Sequence[CrmObject], restricted: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], set[str]]:
    """Return the values of restricted picklists in the records that a sync would send, by object and field; change nothing.

    Before the first load there are none; then only the declared values are known (`Field.values`).

    Args:
        org: The database and the settings.
        mappings: The mapping in force.
        restricted: The restricted picklists, by object and field.
    """
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    concerned = [
        (mapping, names)
        for mapping in mappings
        if (names := [field.name for field in mapping.fields if (mapping.sobject, field.name) in restricted])
    ]
    if not concerned:
        return values
    with open_connection(org.engine) as db:
        readiness.find_present_days(db)
        for mapping, names in concerned:
            table, _ = desired.build(db, mapping, org.settings, PRESENT_DAY)
            for name in names:
                values[mapping.sobject, name] |= set(db.scalars(_VALUES, {"name": name}))
            table.drop(db)
        db.rollback()
    return values
