"""Find the days that may be sent to Salesforce: each vendor's latest day, once it is loaded completely and reconciled.

The results are temporary tables of the sync's connection, declared in `include.crm.temporary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from include.crm.temporary import PRESENT_DAY, UNSETTLED, UNSETTLED_RECORD, TempTable

_PRESENT_DAY = """
select distinct on (vendor) vendor, business_date from control.ledger
where stage = 'load' and entity = 'position' and pulled = 'current'
order by vendor, business_date desc, ledger_id desc
"""

# A household, person or legal entity is built from the records of all vendors, so one unsettled vendor holds it back. A household also shows its
# members' risk, whichever vendor states it.
_UNSETTLED_RECORD = """
with own as (
    select h.identity_id as id, 'household' as entity, r.vendor
    from warehouse.household r join warehouse.known_household h using (household_id)
    where r.vendor in (select vendor from unsettled)
    union
    select p.identity_id, 'person', r.vendor
    from warehouse.person r join warehouse.known_person p using (person_id)
    where r.vendor in (select vendor from unsettled)
    union
    select l.identity_id, 'legal_entity', r.vendor
    from warehouse.legal_entity r join warehouse.known_legal_entity l using (legal_entity_id)
    where r.vendor in (select vendor from unsettled)
    union
    select h.identity_id, 'household', r.vendor
    from warehouse.person r join warehouse.known_person p using (person_id)
    join warehouse.known_household h on h.household_id = p.household_id
    where r.vendor in (select vendor from unsettled)
)
select k.vendor || ':' || o.entity || ':' || control.first_key(k.source_key) as external_key, min(o.vendor) as vendor
from own o join warehouse.source_key k on k.entity = o.entity and k.id = o.id group by 1
"""


def find_unsettled(db: sa.Connection) -> dict[str, datetime]:
    """Return the vendors whose rows must not be sent to Salesforce, each with the time since which this is so.

    A vendor is listed if its newest day

    - is not reconciled yet,
    - failed the reconciliation, or
    - was reconciled, and a push has changed positions or account values since.
    """
    return dict(db.execute(sa.text("select vendor, since from control.unsettled_vendor")).tuples().all())


def find_uncompared_days(engine: sa.Engine) -> dict[str, list[str]]:
    """Return the days, by vendor, whose transactions changed since they were reconciled. A sync sends them; the next daily run compares them."""
    query = "select vendor, array_agg(business_date::text order by business_date) from control.uncompared_change where entity = 'transaction' group by 1"
    with engine.connect() as db:
        return dict(db.execute(sa.text(query)).tuples().all())


@dataclass(frozen=True, slots=True)
class Readiness:
    """The days and vendors that may be sent, with the temporary tables that `find_present_days` has filled.

    Attributes:
        since: The vendors whose rows are held back, each with the time when that began.
        present_day: The table of each vendor's latest day.
        unsettled: The table of the vendors whose rows are held back.
        unsettled_record: The table of the households, persons and legal entities with a record of such a vendor.
    """

    since: Mapping[str, datetime]
    present_day: TempTable = PRESENT_DAY
    unsettled: TempTable = UNSETTLED
    unsettled_record: TempTable = UNSETTLED_RECORD


def find_present_days(db: sa.Connection, *, must_be_settled: bool = True) -> Readiness:
    """Find the days and vendors that may be sent, and write them to temporary tables. Backfills and replays do not count.

    Args:
        db: The connection of the sync or preview, in a transaction.
        must_be_settled: Whether to hold back the rows of vendors whose newest day is not reconciled.
    """
    PRESENT_DAY.fill(db, _PRESENT_DAY)
    since = find_unsettled(db) if must_be_settled else {}
    UNSETTLED.fill(db, "select unnest(cast(:vendors as text[])) as vendor", {"vendors": list(since)})
    UNSETTLED_RECORD.fill(db, _UNSETTLED_RECORD)
    db.execute(sa.text(f"analyze {PRESENT_DAY}, {UNSETTLED}, {UNSETTLED_RECORD}"))
    return Readiness(since)
