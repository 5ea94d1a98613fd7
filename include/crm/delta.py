"""What must go out: the warehouse's present state against what Salesforce accepted last, as sets, in the database.

A record's payload is a JSON object: field -> text as sent, null to clear it; a field that is not in it is left alone.

Temporary tables of one session, which must be a connection of its own:
    present_day          vendor, business_date: the latest day that was loaded as the present
    unsettled            vendor, since: whose rows may not be sent
    unsettled_record     external_key (without the firm), vendor: records of households and persons of whom such a vendor has a record
    held_parent          sobject, external_key: records that would change in an object which is held back
    outgoing_<entity>    records that are new or changed
    sending              those of one round, cut into parts: one part is one job
    waiting              keys that Salesforce did not take this time, and may take the next
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from include import canonical
from include.crm.mapping import CrmObject
from include.crm.settings import Settings

MOST_BYTES = 90_000_000
"""Of a file. Salesforce advises 100 MB; a parent's children are not parted, so that one may be a little larger."""

_RECENT_DAYS = 40
"""How far back a record's last known row is looked for."""

_PRESENT_DAY = """
create temporary table present_day as
select distinct on (vendor) vendor, business_date, run_id from control.ledger
where stage = 'load' and entity = 'position' and pulled = 'present'
order by vendor, business_date desc, ledger_id desc
"""

# Vendors of whom anything of the newest day was loaded that is not whole yet, or does not add up: nothing of it may reach
# an advisor. Descriptions come before positions, so that the newest load of any entity counts.
_UNSETTLED = """
select d.vendor, (select min(recorded_at) from control.ledger l
                  where l.vendor = d.vendor and l.run_id = d.run_id and l.stage = 'load') as since
from (
    select distinct on (vendor) vendor, business_date, run_id from control.ledger
    where stage = 'load' and pulled = 'present'
    order by vendor, business_date desc, ledger_id desc
) d
where not exists (select from control.reconciliation r
                  where r.run_id = d.run_id and r.vendor = d.vendor and r.business_date = d.business_date)
   or exists (select from control.reconciliation r
              where r.run_id = d.run_id and r.vendor = d.vendor and r.business_date = d.business_date
                and not r.is_passed)
"""

# A household or person is shown as all vendors together describe it: one of them that is not settled holds the record. A
# household shows the risk of its people, whichever vendor states it.
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

# Gone from the vendor's snapshot, but not from Salesforce. What an open dead letter may describe is not gone: by its key, else by
# what it belongs to, else anything of its entity.
_GONE = """
insert into desired
with absent as materialized (  -- few: the planner takes `starts_with` for choosy, and would look up each of the many
    select external_key from control.crm_state s
    where s.sobject = :sobject and not exists (select from desired n where n.external_key = s.external_key)
), keyed as (
    select s.external_key, d.vendor, d.business_date, substr(s.external_key, length(d.prefix) + 1) as source_key
    from absent s
    join (select *, :firm || ':' || vendor || ':{entity}:' as prefix from present_day) d on starts_with(s.external_key, d.prefix)
)
select s.external_key, {payload} from keyed s
where not exists (
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

# A lookup to what somebody deleted or merged in Salesforce is left as it is there: a merge has moved it already.
_WITHOUT_MISSING = """
update desired d set payload = d.payload - array(
    select l.name from unnest(cast(:links as text[]), cast(:parents as text[])) l(name, sobject)
    join control.crm_state p on p.sobject = l.sobject and p.external_key = d.payload ->> l.name and p.missing is not null)
"""

# What Salesforce refused, as it was sent. It goes out again if it changes, if a record that it names was accepted since,
# after a day (the org may have been mended), or when somebody asks.
_REFUSED = """
create temporary table refused as
select s.external_key, s.payload from control.crm_job j join control.crm_sent s using (job_id)
where j.sobject = :sobject and j.entity = :entity and j.state = 'closed' and not :resends
  and j.changed_at > now() - interval '20 hours'
  and not exists (select from unnest(cast(:links as text[]), cast(:parents as text[])) l(name, sobject)
                  join control.crm_state p on p.sobject = l.sobject and p.external_key = s.payload ->> l.name
                  where p.accepted_at > j.changed_at)
"""

_OUTGOING = """
create temporary table outgoing_{entity} as
with compared as (
    select d.external_key, case when s.external_key is null then d.payload else d.payload - cast(:once as text[]) end as payload,
           s.payload as accepted, s.external_key is null as is_new, s.missing
    from desired d left join control.crm_state s on s.sobject = :sobject and s.external_key = d.external_key
)
select c.external_key, c.payload, c.is_new,
       coalesce(c.payload ->> :parent, c.accepted ->> :parent, c.external_key) collate "C" as family,
       r.external_key is not null as is_refused,
       c.is_new or not c.accepted @> (c.payload - cast(:daily as text[])) as is_notable,
       coalesce(v.vendor, u.vendor) as held_by, null::text as waits_for
from compared c left join refused r on r.external_key = c.external_key and r.payload = c.payload
left join unsettled v on v.vendor = split_part(c.external_key, ':', 2)
left join unsettled_record u on :firm || ':' || u.external_key = c.external_key
where c.missing is null and (c.is_new or not c.accepted @> c.payload)
"""

# A record waits for one that it names: until Salesforce has accepted that, and while that would change in an object that is
# held back.
_UNMET = """
create temporary table unmet as
select n.name, n.parent_key, n.sobject from (
    select distinct l.name, l.sobject, o.payload ->> l.name as parent_key
    from outgoing_{entity} o, unnest(cast(:links as text[]), cast(:parents as text[])) l(name, sobject)
    where not o.is_refused and o.held_by is null and o.payload ->> l.name is not null
) n
where not exists (select from control.crm_state p where p.sobject = n.sobject and p.external_key = n.parent_key)
   or exists (select from held_parent h where h.sobject = n.sobject and h.external_key = n.parent_key)
"""
_WAIT_FOR_PARENTS = """
update outgoing_{entity} o set waits_for = u.sobject from unmet u
where not o.is_refused and o.held_by is null and o.payload ->> u.name = u.parent_key
"""

# A refusal of what nobody wants to send any more.
_FORGET_REFUSED = """
update control.dead_letter l set status = 'superseded', replayed_by = :run_id, closed_at = clock_timestamp()
where l.vendor = 'salesforce' and l.table_name = :sobject and l.stage = 'crm' and l.status = 'open'
  and l.row_key like :keys and not exists (select from outgoing_{entity} o where o.external_key = l.row_key)
"""

# A part ends where a family begins. The size of a row's JSON, without the names that it always holds, bounds that of its
# line of CSV.
_SENDING = """
create temporary table sending as
with sized as (
    select o.external_key, o.payload, family,
           octet_length(payload::text) - :names_bytes + octet_length(external_key) as size
    from outgoing_{entity} o where not is_refused and held_by is null and waits_for is null {only_waiting}
), placed as (
    select *, sum(size) over before as bytes_before, count(*) over before as rows_before from sized
    window before as (order by family, external_key rows between unbounded preceding and 1 preceding)
), parted as (
    select external_key, payload, family,
           (coalesce(min(bytes_before) over (partition by family), 0) / :most_bytes)::int
           + (min(rows_before) over (partition by family) / :most_rows)::int as part
    from placed
)
select part, external_key, payload,
       row_number() over (partition by part order by family, external_key) - 1 as row_number
from parted
"""


@dataclass(frozen=True, slots=True)
class Delta:
    """How many records are new to Salesforce, changed, and as it holds them already.

    Attributes:
        refused: New or changed, but refused as they are, and not sent again yet.
        withheld: New or changed, but of a vendor that is not settled: they stay as Salesforce accepted them last.
        difference: Identifies what would change, but for what changes every day by its nature.
        held: Records of the object that Salesforce holds of us.
        notable: New, or changed in more than what changes every day by its nature.
        closing: Of the changed ones, those that close.
        worth_usd: What the records are worth together, as Salesforce holds them; 0 for objects that are worth nothing.
        moved_usd: By how much that would change.
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
    difference: str = ""

    @property
    def going_out(self) -> int:
        """Records that would be sent."""
        return self.new + self.changed


@dataclass(frozen=True, slots=True)
class Change:
    """One field that a sync would change. `old` is None for null, and for a record that Salesforce does not hold."""

    external_key: str
    field: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        return f"{self.external_key}  {self.field}: {self.old} -> {self.new}"


def find_unsettled(db: sa.Connection) -> dict[str, datetime]:
    """Returns the vendors whose rows may not be sent, and since when: their newest day is not reconciled, or does not add up."""
    return dict(db.execute(sa.text(_UNSETTLED)).tuples().all())


def find_present_days(db: sa.Connection, *, must_be_settled: bool = True) -> dict[str, datetime]:
    """Makes `present_day`, and the tables of what is not settled. What a backfill or a replay loaded does not count.

    Args:
        db: In a transaction.
        must_be_settled: Whether the rows of a vendor that is not settled are held back.

    Returns:
        The vendors whose rows are held back, and since when.
    """
    db.execute(sa.text("drop table if exists pg_temp.present_day, pg_temp.unsettled, pg_temp.unsettled_record"))
    db.execute(sa.text(_PRESENT_DAY))
    unsettled = find_unsettled(db) if must_be_settled else {}
    db.execute(sa.text("create temporary table unsettled (vendor text primary key)"))
    if unsettled:
        db.execute(sa.text("insert into unsettled values (:vendor)"), [{"vendor": vendor} for vendor in unsettled])
    db.execute(sa.text(_UNSETTLED_RECORD))
    db.execute(
        sa.text('create temporary table if not exists held_parent (sobject text, external_key text collate "C")')
    )
    db.execute(sa.text("analyze present_day, unsettled, unsettled_record"))
    return unsettled


def compare(db: sa.Connection, wanted: CrmObject, settings: Settings, *, resends: bool = False) -> Delta:
    """Makes `outgoing_<entity>` of one object, from `present_day`.

    Args:
        db: After `find_present_days`, in a transaction.
        wanted: The object.
        settings: The firm's.
        resends: Whether what was refused goes out again although nothing changed.
    """
    values = {
        "firm": settings.firm, "documents_url": settings.documents_url.rstrip("/"), "sobject": wanted.sobject, "entity": wanted.entity, "parent": wanted.parent,
        "once": wanted.once, "daily": wanted.daily, "resends": resends,
        "links": [field.name for field in wanted.fields if field.links_to],
        "parents": [field.links_to for field in wanted.fields if field.links_to],
    }  # fmt: skip
    db.execute(sa.text("set local work_mem = '128MB'"))  # or a join of half a million payloads spills to disk
    db.execute(sa.text(f"drop table if exists pg_temp.desired, pg_temp.refused, pg_temp.outgoing_{wanted.entity}"))
    # All rows of some tables at once: for days and views of who is who the planner expects one, and would loop.
    db.execute(sa.text("set local enable_nestloop = off"))
    total = db.execute(sa.text(_desired(wanted)), values).rowcount
    db.execute(sa.text("set local enable_nestloop = on"))
    db.execute(sa.text("create unique index on desired (external_key)"))
    if wanted.is_written_when_gone:
        total += db.execute(sa.text(_gone(wanted)), values).rowcount
    db.execute(sa.text("analyze desired"))
    if db.scalar(sa.text("select exists (select from control.crm_state where missing is not null)")):
        db.execute(sa.text(_WITHOUT_MISSING), values)
    db.execute(sa.text(_REFUSED), values)
    db.execute(sa.text(_OUTGOING.format(entity=wanted.entity)), values)
    db.execute(sa.text("drop table desired, refused"))
    return _count(db, wanted, settings, total)


def _count(db: sa.Connection, wanted: CrmObject, settings: Settings, total: int) -> Delta:
    found = db.execute(
        sa.text(f"""
        select count(*) filter (where is_new and is_free) as new,
               count(*) filter (where not is_new and is_free) as changed,
               count(*) filter (where is_refused and held_by is null) as refused,
               count(*) filter (where held_by is not null) as withheld,
               count(*) filter (where is_notable and is_free) as notable,
               sum(hashtextextended(external_key || (payload - cast(:daily as text[]))::text, 0)::numeric)
                   filter (where is_notable and is_free) as difference,
               count(*) filter (where held_by is null and not is_new and payload ->> :field = :closed
                                and (select s.payload ->> :field from control.crm_state s
                                     where s.sobject = :sobject and s.external_key = o.external_key)
                                    is distinct from :closed) as closing,
               sum((payload ->> :worth)::numeric
                   - coalesce((select (s.payload ->> :worth)::numeric from control.crm_state s
                               where s.sobject = :sobject and s.external_key = o.external_key), 0))
                   filter (where not is_new and is_free and :worth <> '') as moved,
               (select sum((payload ->> :worth)::numeric) from control.crm_state
                where :worth <> '' and sobject = :sobject and external_key like :keys) as worth,
               (select count(*) from control.crm_state where sobject = :sobject and external_key like :keys) as held
        from (select *, not is_refused and held_by is null as is_free from outgoing_{wanted.entity}) o
        """),  # noqa: S608
        {
            "daily": wanted.daily,
            "sobject": wanted.sobject,
            "keys": keys_like(wanted, settings),
            "field": wanted.closed_by[0],
            "closed": wanted.closed_by[1],
            "worth": wanted.worth,
        },
    ).one()
    unchanged = total - found.new - found.changed - found.refused - found.withheld
    return Delta(
        found.new,
        found.changed,
        unchanged,
        found.refused,
        found.held,
        found.notable,
        found.closing,
        found.worth or Decimal(0),
        found.moved or Decimal(0),
        found.withheld,
        str(found.difference or ""),
    )


def keys_like(wanted: CrmObject, settings: Settings) -> str:
    """A pattern of the keys of an object's records, of every vendor."""
    entity = "person" if wanted.entity == "contact" else wanted.entity
    return f"{settings.firm}:%:{entity}:%".replace("_", r"\_")


def forget_refused(db: sa.Connection, wanted: CrmObject, settings: Settings, run_id: str) -> None:
    """Ends the letters of refused records that are as Salesforce holds them by now, or that nobody wants any more."""
    db.execute(
        sa.text(_FORGET_REFUSED.format(entity=wanted.entity)),
        {"sobject": wanted.sobject, "keys": keys_like(wanted, settings), "run_id": run_id},
    )


def count_withheld(db: sa.Connection, wanted: CrmObject) -> dict[str, int]:
    """Returns how many records of `outgoing_<entity>` are held back, by the vendor that is not settled."""
    query = f"select held_by, count(*) from outgoing_{wanted.entity} where held_by is not null group by 1"  # noqa: S608
    return dict(db.execute(sa.text(query)).tuples().all())


def wait_for_parents(db: sa.Connection, wanted: CrmObject) -> int:
    """Takes out of what `cut` sends the records that name one which Salesforce has not accepted, or which is held back.

    Args:
        db: After `compare`, in a transaction.
        wanted: The object; the objects above it were sent.

    Returns:
        How many records wait.
    """
    links = [field for field in wanted.fields if field.links_to]
    values = {"links": [field.name for field in links], "parents": [field.links_to for field in links]}
    db.execute(sa.text("drop table if exists pg_temp.unmet"))
    db.execute(sa.text(f"update outgoing_{wanted.entity} set waits_for = null where waits_for is not null"))  # noqa: S608
    if not db.execute(sa.text(_UNMET.format(entity=wanted.entity)), values).rowcount:
        return 0
    db.execute(sa.text(_WAIT_FOR_PARENTS.format(entity=wanted.entity)))
    query = f"select count(*) from outgoing_{wanted.entity} where waits_for is not null"  # noqa: S608
    return db.scalar(sa.text(query)) or 0


def hold_children(db: sa.Connection, wanted: CrmObject) -> None:
    """Has the records wait that name one of `outgoing_<entity>` which would change in more than what changes every day."""
    db.execute(
        sa.text(f"""
        insert into held_parent
        select :sobject, external_key from outgoing_{wanted.entity} where is_notable and not is_refused
        """),  # noqa: S608
        {"sobject": wanted.sobject},
    )


def cut(db: sa.Connection, wanted: CrmObject, most_rows: int, *, only_waiting: bool = False) -> list[int]:
    """Makes `sending` from `outgoing_<entity>`, and empties `waiting`; returns the numbers of the parts.

    Args:
        db: After `compare`.
        wanted: The object.
        most_rows: Of a part, but for the rest of a family.
        only_waiting: Take only the keys in `waiting`.
    """
    db.execute(sa.text("drop table if exists pg_temp.sending"))
    only = "and external_key in (select external_key from waiting)" if only_waiting else ""
    names_bytes = sum(len(f.name.encode()) for f in wanted.fields if not f.is_once and not f.unknown)
    values = {"names_bytes": names_bytes, "most_bytes": MOST_BYTES, "most_rows": most_rows}
    db.execute(sa.text(_SENDING.format(entity=wanted.entity, only_waiting=only)), values)
    db.execute(sa.text("create index on sending (part)"))
    db.execute(sa.text("analyze sending"))
    db.execute(sa.text("drop table if exists pg_temp.waiting"))
    db.execute(sa.text("create temporary table waiting (external_key text)"))
    return list(db.scalars(sa.text("select distinct part from sending order by part")))


def sample(db: sa.Connection, wanted: CrmObject, keys: int) -> list[Change]:
    """Returns what would change in the first records of `outgoing_<entity>`, field by field."""
    rows = db.execute(
        sa.text(f"""
        with few as (
            select external_key, payload from outgoing_{wanted.entity} where not is_refused and held_by is null
            order by (payload ->> :field = :closed) desc nulls last, is_notable desc, is_new, external_key limit :keys
        )
        select f.external_key, n.key as field, s.payload ->> n.key as old, n.value as new
        from few f
        left join control.crm_state s on s.sobject = :sobject and s.external_key = f.external_key
        cross join lateral jsonb_each_text(f.payload) n
        where s.payload ->> n.key is distinct from n.value
        order by f.external_key, n.key
        """),  # noqa: S608
        {"keys": keys, "sobject": wanted.sobject, "field": wanted.closed_by[0], "closed": wanted.closed_by[1]},
    )
    return [Change(*row) for row in rows]


def _desired(wanted: CrmObject) -> str:
    payload = _object((field.name, field.sql) for field in wanted.fields)
    unknown = [f"case when {f.unknown} then '{f.name}' end" for f in wanted.fields if f.unknown]
    if unknown:
        payload += f" - array_remove(array[{', '.join(unknown)}], null)"
    return f"""
        create temporary table desired as
        select {wanted.key} collate "C" as external_key, {payload} as payload from {wanted.source}
    """  # noqa: S608


def _gone(wanted: CrmObject) -> str:
    payload = _object((f.name, f"'{f.when_gone}'") for f in wanted.fields if f.when_gone is not None)
    died_as = canonical.named(wanted.died_as or wanted.entity)
    is_daily = died_as.kind == "snapshot"
    return _GONE.format(
        payload=payload,
        entity=wanted.entity,
        died_as=died_as.name,
        parent=died_as.parent,
        of_day="and l.business_date = s.business_date" if is_daily else "",
        recent=f"and w.business_date between s.business_date - {_RECENT_DAYS} and s.business_date" if is_daily else "",
    )


def _object(pairs: Iterable[tuple[str, str]]) -> str:
    inside = ", ".join(f"'{name}', {sql}" for name, sql in pairs)
    return f"jsonb_build_object({inside})"
