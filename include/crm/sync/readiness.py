"""Find the days that may be sent to Salesforce: each vendor's latest day, once it is loaded completely and reconciled.

Temporary tables of one session, which must be a connection of its own:
    present_day          vendor, business_date: the latest day loaded by a current pull
    unsettled            vendor: vendors whose rows may not be sent
    unsettled_record     external_key (without the firm), vendor: households and persons with a record of such a vendor
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

_PRESENT_DAY = """
create temporary table present_day as
select distinct on (vendor) vendor, business_date, run_id from control.ledger
where stage = 'load' and entity = 'position' and pulled = 'current'
order by vendor, business_date desc, ledger_id desc
"""

# Vendors whose newest day is not completely loaded yet, or failed to reconcile: nothing of it may reach an advisor. The newest load of
# any entity counts, because descriptions are loaded before positions.
_UNSETTLED = """
select d.vendor, (select min(recorded_at) from control.ledger l
                  where l.vendor = d.vendor and l.run_id = d.run_id and l.stage = 'load') as since
from (
    select distinct on (vendor) vendor, business_date, run_id from control.ledger
    where stage = 'load' and pulled = 'current'
    order by vendor, business_date desc, ledger_id desc
) d
where not exists (select from control.reconciliation r
                  where r.run_id = d.run_id and r.vendor = d.vendor and r.business_date = d.business_date)
   or exists (select from control.reconciliation r
              where r.run_id = d.run_id and r.vendor = d.vendor and r.business_date = d.business_date
                and not r.is_passed)
"""

# A household or person is built from the records of all vendors, so one unsettled vendor holds it back. A household also shows its
# members' risk, whichever vendor states it.
_UNSETTLED_RECORD = """
create temporary table unsettled_record as
with own as (
    select h.identity_id as id, 'household' as entity, r.vendor
    from warehouse.household r join warehouse.known_household h using (household_id)
    where r.vendor in (select vendor from unsettled)
    union
    select p.identity_id, 'person', r.vendor
    from warehouse.person r join warehouse.known_person p using (person_id)
    where r.vendor in (select vendor from unsettled)
    union
    select h.identity_id, 'household', r.vendor
    from warehouse.person r join warehouse.known_person p using (person_id)
    join warehouse.known_household h on h.household_id = p.household_id
    where r.vendor in (select vendor from unsettled)
)
select k.vendor || ':' || o.entity || ':' || k.source_key as external_key, min(o.vendor) as vendor
from own o join warehouse.source_key k on k.entity = o.entity and k.id = o.id group by 1
"""


def find_unsettled(db: sa.Connection) -> dict[str, datetime]:
    """Return vendor -> since when, of the vendors whose rows may not be sent: their newest day is not, or failed to be, reconciled."""
    return dict(db.execute(sa.text(_UNSETTLED)).tuples().all())


def find_present_days(db: sa.Connection, *, must_be_settled: bool = True) -> dict[str, datetime]:
    """Create `present_day`, `unsettled` and `unsettled_record`. Days loaded by a backfill or a replay do not count.

    Args:
        db: In a transaction.
        must_be_settled: Whether the rows of unsettled vendors are held back.

    Returns:
        Vendors whose rows are held back -> since when.
    """
    db.execute(sa.text("drop table if exists pg_temp.present_day, pg_temp.unsettled, pg_temp.unsettled_record"))
    db.execute(sa.text(_PRESENT_DAY))
    unsettled = find_unsettled(db) if must_be_settled else {}
    db.execute(sa.text("create temporary table unsettled (vendor text primary key)"))
    if unsettled:
        db.execute(sa.text("insert into unsettled values (:vendor)"), [{"vendor": vendor} for vendor in unsettled])
    db.execute(sa.text(_UNSETTLED_RECORD))
    db.execute(sa.text("analyze present_day, unsettled, unsettled_record"))
    return unsettled
