"""What must go out: the warehouse's present state against what Salesforce accepted last, as sets, in the database.

Temporary tables of one session, which must be a connection of its own:
    present_day     vendor, business_date: the latest day that was loaded as the present
    outgoing        records that are new or changed
    sending         those of one round, cut into parts: one part is one bulk job
    waiting         keys that Salesforce did not take this time, and may take the next
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from include.crm.mapping import CrmObject
from include.errors import ConfigurationError, DayNotClosed

MOST_BYTES = 90_000_000
"""Of a file. Salesforce advises 100 MB; a parent's children are not parted, so that one may be a little larger."""

_PRESENT_DAY = """
create temporary table present_day as
select distinct on (vendor) vendor, business_date, run_id from control.ledger
where stage = 'load' and entity = 'position' and pulled = 'present'
order by vendor, business_date desc, ledger_id desc
"""

# Vendors whose newest day is still being loaded, or does not add up: nothing of it may reach an advisor.
_UNSETTLED = """
select d.vendor from present_day d
where not exists (select from control.reconciliation r
                  where r.run_id = d.run_id and r.vendor = d.vendor and r.business_date = d.business_date)
   or exists (select from control.reconciliation r
              where r.run_id = d.run_id and r.vendor = d.vendor and r.business_date = d.business_date
                and not r.is_passed)
"""

# Gone from the vendor's snapshot, but not from Salesforce. A row that is a dead letter today is not gone.
_GONE = """
insert into desired
select s.external_key, {payload} from control.crm_state s
join present_day d on starts_with(s.external_key, :firm || ':' || d.vendor || ':{entity}:')
where s.sobject = :sobject and not exists (select from desired n where n.external_key = s.external_key)
  and not exists (
    select from control.dead_letter l
    where l.vendor = d.vendor and l.business_date = d.business_date and l.status = 'open'
      and l.table_name in (select table_name from control.ledger
                           where vendor = d.vendor and entity = '{entity}' and stage = 'load')
      and (l.row_key is null or s.external_key = :firm || ':' || d.vendor || ':{entity}:' || l.row_key))
"""

_OUTGOING = """
create temporary table outgoing as
select d.external_key, d.payload, s.external_key is null as is_new,
       coalesce(d.payload ->> :parent, d.external_key) collate "C" as family
from desired d left join control.crm_state s on s.sobject = :sobject and s.external_key = d.external_key
where s.payload is distinct from d.payload
"""

# A part ends where a family begins. The size of a row's JSON without its names bounds that of its line of CSV.
_SENDING = """
create temporary table sending as
with sized as (
    select o.external_key, o.payload, family,
           octet_length(payload::text) - :names_bytes + octet_length(external_key) as size
    from outgoing o {only_waiting}
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
    """How many records are new to Salesforce, changed, and as it holds them already."""

    new: int
    changed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Change:
    """One field that a sync would change. `old` is None for null, and for a record that Salesforce does not hold."""

    external_key: str
    field: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        return f"{self.external_key}  {self.field}: {self.old} -> {self.new}"


def find_present_days(db: sa.Connection) -> None:
    """Makes `present_day`. What a backfill or a replay loaded does not count.

    Raises:
        DayNotClosed: A vendor's newest day is not reconciled.
    """
    db.execute(sa.text("drop table if exists pg_temp.present_day"))
    db.execute(sa.text(_PRESENT_DAY))
    db.execute(sa.text("analyze present_day"))
    if unsettled := db.scalars(sa.text(_UNSETTLED)).all():
        raise DayNotClosed("The newest day is not reconciled; nothing is sent", vendors=",".join(unsettled))


def compare(db: sa.Connection, wanted: CrmObject, firm: str) -> Delta:
    """Makes `outgoing` for one object, from `present_day`.

    Raises:
        ConfigurationError: The firm's name can't be part of a key.
    """
    if not firm or ":" in firm:
        raise ConfigurationError("The firm's short name must not be empty, nor hold a colon", firm=firm)
    values = {"firm": firm, "sobject": wanted.sobject, "parent": wanted.parent}
    db.execute(sa.text("set local work_mem = '128MB'"))  # or a join of half a million payloads spills to disk
    db.execute(sa.text("drop table if exists pg_temp.desired, pg_temp.outgoing"))
    total = db.execute(sa.text(_desired(wanted)), values).rowcount
    db.execute(sa.text("create unique index on desired (external_key)"))
    if wanted.is_written_when_gone:
        total += db.execute(sa.text(_gone(wanted)), values).rowcount
    db.execute(sa.text("analyze desired"))
    db.execute(sa.text(_OUTGOING), values)
    db.execute(sa.text("drop table desired"))
    new, changed = db.execute(
        sa.text("select count(*) filter (where is_new), count(*) filter (where not is_new) from outgoing")
    ).one()
    return Delta(new, changed, total - new - changed)


def cut(db: sa.Connection, wanted: CrmObject, most_rows: int, *, only_waiting: bool = False) -> list[int]:
    """Makes `sending` from `outgoing`, and empties `waiting`; returns the numbers of the parts.

    Args:
        db: After `compare`.
        wanted: The object.
        most_rows: Of a part, but for the rest of a family.
        only_waiting: Take only the keys in `waiting`.
    """
    db.execute(sa.text("drop table if exists pg_temp.sending"))
    only = "where external_key in (select external_key from waiting)" if only_waiting else ""
    names_bytes = sum(len(name.encode()) for name in wanted.columns[1:])
    values = {"names_bytes": names_bytes, "most_bytes": MOST_BYTES, "most_rows": most_rows}
    db.execute(sa.text(_SENDING.format(only_waiting=only)), values)
    db.execute(sa.text("create index on sending (part)"))
    db.execute(sa.text("analyze sending"))
    db.execute(sa.text("drop table if exists pg_temp.waiting"))
    db.execute(sa.text("create temporary table waiting (external_key text)"))
    return list(db.scalars(sa.text("select distinct part from sending order by part")))


def sample(db: sa.Connection, wanted: CrmObject, keys: int) -> list[Change]:
    """Returns what would change in the first records of `outgoing`, field by field."""
    rows = db.execute(
        sa.text("""
        with few as (select external_key, payload from outgoing order by is_new, external_key limit :keys)
        select f.external_key, n.key as field, s.payload ->> n.key as old, n.value as new
        from few f
        left join control.crm_state s on s.sobject = :sobject and s.external_key = f.external_key
        cross join lateral jsonb_each_text(f.payload) n
        where s.payload ->> n.key is distinct from n.value
        order by f.external_key, n.key
        """),
        {"keys": keys, "sobject": wanted.sobject},
    )
    return [Change(*row) for row in rows]


def _desired(wanted: CrmObject) -> str:
    payload = _object((field.name, field.sql) for field in wanted.fields)
    return f"""
        create temporary table desired as
        select {wanted.key} collate "C" as external_key, {payload} as payload from {wanted.source}
    """  # noqa: S608


def _gone(wanted: CrmObject) -> str:
    payload = _object(
        (f.name, f"s.payload ->> '{f.name}'" if f.when_gone is None else f"'{f.when_gone}'") for f in wanted.fields
    )
    return _GONE.format(payload=payload, entity=wanted.entity)


def _object(pairs: Iterable[tuple[str, str]]) -> str:
    inside = ", ".join(f"'{name}', {sql}" for name, sql in pairs)
    return f"jsonb_build_object({inside})"
