"""Compare the desired state of an object with the state that Salesforce accepted last, in SQL.

The result is the temporary table `declare_outgoing(entity)` of the sync's connection: the records that are new or changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

import sqlalchemy as sa

from include.crm import desired
from include.crm.objects.mapping import CrmObject
from include.crm.readiness import Readiness
from include.crm.salesforce import VENDOR
from include.crm.settings import Settings
from include.crm.sync import separation
from include.crm.temporary import REFUSED, declare_outgoing

EVERY_ERROR = "*"
"""Value of `resends` that sends all rejected records again. One error is `<object>: <error code>`; an empty text names none."""

# Records that Salesforce rejected, as they were sent. Such a record is sent again if it has changed, if one of its parents was accepted
# since, after 20 hours (the org may have been fixed), or if `resends` names its error as `control.salesforce_rejection` groups it.
_REFUSED = """
select s.external_key, s.payload from control.crm_job j join control.crm_sent s using (job_id)
where j.sobject = :sobject and j.entity = :entity and j.state = 'closed' and :resends <> :every_error
  and j.changed_at > now() - interval '20 hours'
  and not exists (select from unnest(cast(:links as text[]), cast(:parents as text[])) l(name, sobject)
                  join control.crm_state p on p.sobject = l.sobject and p.external_key = s.payload ->> l.name
                  where p.accepted_at > j.changed_at)
  and not exists (select from control.dead_letter l
                  where l.vendor = 'salesforce' and l.table_name = :sobject and l.stage = 'crm' and l.status = 'open'
                    and l.row_key = s.external_key and l.table_name || ': ' || array_to_string(l.public_reasons, '; ') = :resends)
"""

# Rows in doubt: Salesforce may have written them, but their results were lost (`include.crm.sync.jobs`). Such a record is sent even if the
# desired values are again the accepted ones.
_OUTGOING = """
with in_doubt as materialized (
    select distinct on (s.external_key) s.external_key, s.payload from control.crm_job j join control.crm_sent s using (job_id)
    where j.sobject = :sobject and j.entity = :entity and j.state in ('abandoned', 'unbalanced')
    order by s.external_key, j.created_at desc
), compared as (
    select d.external_key, case when s.external_key is null then d.payload
                                else d.payload - cast(:once as text[]) - s.left_fields {minus_typed} end as payload,
           s.payload as accepted, s.external_key is null as is_new, s.missing, t.external_key is not null as is_in_doubt
    from {desired} d left join control.crm_state s on s.sobject = :sobject and s.external_key = d.external_key
    left join in_doubt t on t.external_key = d.external_key
)
select c.external_key, c.payload, c.is_new,
       coalesce(c.payload ->> :parent, c.accepted ->> :parent, c.external_key) collate "C" as family,
       r.external_key is not null as is_refused,
       c.is_new or not c.accepted @> (c.payload - cast(:daily as text[])) as is_notable,
       (not c.is_new and c.payload ->> :field = :closed and c.accepted ->> :field is distinct from :closed) is true as is_closing,
       case when not c.is_new and :worth <> '' then (c.payload ->> :worth)::numeric - coalesce((c.accepted ->> :worth)::numeric, 0) end as moved_usd,
       coalesce(v.vendor, u.vendor, {adoption}) as held_by, null::text as waits_for
from compared c left join {refused} r on r.external_key = c.external_key and r.payload = c.payload
left join {ready.unsettled} v on v.vendor = split_part(c.external_key, ':', 2)
left join {ready.unsettled_record} u on :firm || ':' || u.external_key = c.external_key
{may_be_there}
where c.missing is null and (c.is_new or c.is_in_doubt or not c.accepted @> c.payload)
"""

# A shared field keeps the users' value until the vendor's value changes. A complete account number stays while its last four digits agree.
# Neither applies to a field in doubt, whose value may be ours.
_MINUS_TYPED = """
- array(select name from unnest(cast(:shared as text[])) name
        where s.shared_values ? name and s.shared_values ->> name is not distinct from d.payload ->> name and s.payload ->> name is not null
          and t.payload ? name is not true
        union all select name from unnest(cast(:masked as text[])) name
        where s.payload ->> name is not distinct from d.payload ->> name and t.payload ? name is not true)
"""

# New records that the org may have already. None is created until our key is written to the org's record, or a reviewer decides.
_MAY_BE_THERE = """
left join (
    select distinct key from control.adoption_finding f cross join lateral (
        select f.external_key union select candidate ->> 'external_key' from jsonb_array_elements(f.candidates) candidate) k(key)
    where f.outcome in ('matched', 'doubtful', 'duplicate', 'shared') and key is not null
) a on a.key = c.external_key and c.is_new
"""

_COUNTS = """
select count(*) filter (where is_new and is_free) as new,
       count(*) filter (where not is_new and is_free) as changed,
       count(*) filter (where is_refused and held_by is null) as refused,
       count(*) filter (where held_by is not null) as withheld,
       count(*) filter (where held_by = :existing) as existing,
       count(*) filter (where is_notable and is_free) as notable,
       sum(hashtextextended(external_key || (payload - cast(:daily as text[]))::text, 0)::numeric)
           filter (where is_notable and is_free) as difference,
       count(*) filter (where is_closing and held_by is null) as closing,
       sum(moved_usd) filter (where is_free) as moved, max(held.worth) as worth, max(held.records) as held
from (select sum((payload ->> :worth)::numeric) filter (where :worth <> '') as worth, count(*) as records from control.crm_state
      where sobject = :sobject and external_key like :keys) held
left join (select *, not is_refused and held_by is null as is_free from {outgoing}) o on true
"""

# The name of a record: as it will be, else as Salesforce has it.
_NAME = """
coalesce(f.payload ->> 'Name', s.payload ->> 'Name', f.payload ->> 'Subject',
         concat_ws(' ', coalesce(f.payload ->> 'FirstName', s.payload ->> 'FirstName'), coalesce(f.payload ->> 'LastName', s.payload ->> 'LastName')))
"""

# Accepted values of fields that the mapping does not write, or no longer. Users may change them unnoticed, so once the mapping writes such a
# field again, its value is sent whatever it was.
_FORGET_UNTRACKED = """
update control.crm_state
set payload = payload - array(select jsonb_object_keys(payload) except select unnest(cast(:tracked as text[])))
where sobject = :sobject and external_key like :keys and payload - cast(:tracked as text[]) <> '{}'
"""

# Dead letters of rejected records that are no longer outgoing.
_FORGET_REFUSED = """
update control.dead_letter l set status = 'superseded', replayed_by = :run_id, closed_at = clock_timestamp()
where l.vendor = 'salesforce' and l.table_name = :sobject and l.stage = 'crm' and l.status = 'open'
  and l.row_key like :keys and not exists (select from {outgoing} o where o.external_key = l.row_key)
"""


@dataclass(frozen=True, slots=True)
class Delta:
    """Counts of an object's records, as a comparison found them.

    Attributes:
        new: Records to send that Salesforce does not have.
        changed: Records to send that Salesforce has with other values.
        unchanged: Records that Salesforce has with the desired values.
        refused: New or changed records that Salesforce rejected before with the same content; they are not sent again yet.
        withheld: New or changed records that are not sent, because a vendor's newest day is not reconciled, or because Salesforce may have
            them already; see `include.crm.adoption`.
        held: Our records of this object in Salesforce.
        notable: Records to send that are new, or changed in more than daily fields.
        closing: Changed records that the change closes, such as accounts.
        worth_usd: Total worth of the records in Salesforce; 0 for objects without a worth.
        moved_usd: The change of the total worth.
        existing: Number of the withheld records that Salesforce may have already.
        separated: New records that another Salesforce record has represented so far; see `include.crm.sync.separation`.
        difference: A text that identifies the notable changes, without daily fields; empty if there are none.
    """

    new: int
    changed: int
    unchanged: int
    refused: int = 0
    held: int = 0
    notable: int = 0
    closing: int = 0
    worth_usd: Decimal = Decimal(0)
    moved_usd: Decimal = Decimal(0)
    withheld: int = 0
    separated: int = 0
    existing: int = 0
    difference: str = ""

    @property
    def going_out(self) -> int:
        """Number of records that would be sent."""
        return self.new + self.changed

    @property
    def has_changes(self) -> bool:
        """Whether any record is new or changed, even if it is not sent now."""
        return bool(self.going_out or self.refused or self.withheld)

    def __str__(self) -> str:
        counts = {"new": self.new, "changed": self.changed, "rejected before": self.refused, "held back": self.withheld}
        return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "no change"


@dataclass(frozen=True, slots=True)
class Change:
    """One field that a sync would change.

    Attributes:
        external_key: Our key of the record.
        field: Name of the field.
        old: Salesforce's value; None if it is null or Salesforce does not have the record.
        new: The value that the sync would send.
        name: Name of the record; empty if it has none.
        salesforce_id: Salesforce's id of the record; empty if Salesforce does not have it.
    """

    external_key: str
    field: str
    old: str | None
    new: str | None
    name: str = ""
    salesforce_id: str = ""

    def __str__(self) -> str:
        return f"{self.external_key}  {self.field}: {self.old} -> {self.new}"


def compare(db: sa.Connection, mapping: CrmObject, settings: Settings, ready: Readiness, *, resends: str = "") -> Delta:
    """Create the table of one object's new and changed records, `declare_outgoing(mapping.entity)`; return their numbers.

    Args:
        db: The sync's connection, in a transaction.
        mapping: The object.
        settings: The firm's settings.
        ready: The days and vendors that may be sent, from `readiness.find_present_days`.
        resends: The error whose rejected records are sent again although they have not changed; see `EVERY_ERROR`.
    """
    masked = [field.name for field in mapping.fields if field.is_masked]
    values = {
        "firm": settings.firm,
        "sobject": mapping.sobject,
        "entity": mapping.entity,
        "parent": mapping.parent,
        "once": mapping.once,
        "daily": mapping.daily,
        "shared": mapping.shared,
        "masked": masked,
        "field": mapping.closed_by[0],
        "closed": mapping.closed_by[1],
        "worth": mapping.worth,
        "resends": resends,
        "every_error": EVERY_ERROR,
        **mapping.lookups,
    }
    db.execute(sa.text("set local work_mem = '128MB'"))  # otherwise a join of half a million payloads spills to disk
    records, total = desired.build(db, mapping, settings, ready.present_day)
    REFUSED.fill(db, _REFUSED, values)
    parts = {
        "minus_typed": _MINUS_TYPED if mapping.shared or masked else "",
        "may_be_there": _MAY_BE_THERE if mapping.is_adopted else "",
        "adoption": f"case when a.key is not null then '{VENDOR}' end" if mapping.is_adopted else "null",
    }
    query = _OUTGOING.format(desired=records, refused=REFUSED, ready=ready, **parts)
    declare_outgoing(mapping.entity).fill(db, query, values)
    for table in (records, REFUSED):
        table.drop(db)
    separated = len(separation.list_separated(db, mapping, settings))
    return replace(_count(db, mapping, settings, total), separated=separated)


def _count(db: sa.Connection, mapping: CrmObject, settings: Settings, total: int) -> Delta:
    counts = db.execute(
        sa.text(_COUNTS.format(outgoing=declare_outgoing(mapping.entity))),
        {
            "daily": mapping.daily,
            "sobject": mapping.sobject,
            "keys": keys_like(mapping, settings),
            "worth": mapping.worth,
            "existing": VENDOR,
        },
    ).one()
    return Delta(
        new=counts.new,
        changed=counts.changed,
        unchanged=total - counts.new - counts.changed - counts.refused - counts.withheld,
        refused=counts.refused,
        held=counts.held,
        notable=counts.notable,
        closing=counts.closing,
        worth_usd=counts.worth or Decimal(0),
        moved_usd=counts.moved or Decimal(0),
        withheld=counts.withheld,
        existing=counts.existing,
        difference=str(counts.difference or ""),
    )


def keys_like(mapping: CrmObject, settings: Settings) -> str:
    """Return a LIKE pattern that matches the keys of an object's records, of all vendors."""
    entity = "person" if mapping.entity == "contact" else mapping.entity
    return f"{settings.firm}:%:{entity}:%".replace("_", r"\_")


def forget_untracked(db: sa.Connection, mapping: CrmObject, settings: Settings) -> None:
    """Forget the accepted values of an object's fields that are not `CrmObject.tracked`. Call it before `compare`.

    An object whose fields are all tracked, and that the firm has not changed, has no such values: it is not read.
    """
    if len(mapping.tracked) == len(mapping.fields) and mapping.entity not in settings.changes:
        return
    values = {"sobject": mapping.sobject, "keys": keys_like(mapping, settings), "tracked": mapping.tracked}
    db.execute(sa.text(_FORGET_UNTRACKED), values)


def forget_refused(db: sa.Connection, mapping: CrmObject, settings: Settings, run_id: str) -> None:
    """Close the dead letters of rejected records that no longer have to be sent.

    These are the records that are not in `declare_outgoing(mapping.entity)`: Salesforce already has their current values, or the desired
    state no longer contains them.
    """
    db.execute(
        sa.text(_FORGET_REFUSED.format(outgoing=declare_outgoing(mapping.entity))),
        {"sobject": mapping.sobject, "keys": keys_like(mapping, settings), "run_id": run_id},
    )


def count_withheld(db: sa.Connection, mapping: CrmObject) -> dict[str, int]:
    """Count the records of `declare_outgoing(mapping.entity)` that are held back.

    Returns:
        The vendor whose newest day is not reconciled -> number of records. Those that Salesforce may have already count for `salesforce`.
    """
    query = f"select held_by, count(*) from {declare_outgoing(mapping.entity)} where held_by is not null group by 1"  # noqa: S608
    return dict(db.execute(sa.text(query)).tuples().all())


def sample(db: sa.Connection, mapping: CrmObject, keys: int) -> list[Change]:
    """Return the changes of up to `keys` changed and `keys` new records of `declare_outgoing(mapping.entity)`, field by field.

    Records that close are selected first, then those with notable changes. Changed records are listed before new ones.
    """
    rows = db.execute(
        sa.text(f"""
        with numbered as (
            select external_key, payload, is_new, row_number() over (
                partition by is_new order by (payload ->> :field = :closed) desc nulls last, is_notable desc, external_key) as place
            from {declare_outgoing(mapping.entity)} where not is_refused and held_by is null
        )
        select f.external_key, n.key as field, s.payload ->> n.key as old, n.value as new, {_NAME} as name, coalesce(s.salesforce_id, '')
        from numbered f
        left join control.crm_state s on s.sobject = :sobject and s.external_key = f.external_key
        cross join lateral jsonb_each_text(f.payload) n
        where f.place <= :keys and s.payload ->> n.key is distinct from n.value
        order by f.is_new, f.external_key, n.key
        """),  # noqa: S608
        {"keys": keys, "sobject": mapping.sobject, "field": mapping.closed_by[0], "closed": mapping.closed_by[1]},
    )
    return [Change(*row) for row in rows]
