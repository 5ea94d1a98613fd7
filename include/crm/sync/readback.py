"""What Salesforce really holds against what we believe that it holds: people edit, merge and delete there.

A field that we write and somebody edited is written over by the next sync. A field that we write once is the firm's. A
record that is deleted or merged is left alone until a person decides; one that was deleted because another record replaces it is
forgotten. A record with our key that we don't know of is ours again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from include.connection import Connection
from include.control.calls import CallLog
from include.crm.objects.mapping import CrmObject, Field
from include.crm.objects.portfolio import objects
from include.crm.salesforce import VENDOR, SalesforceSession
from include.crm.settings import Settings
from include.crm.sync import delta
from include.errors import ConfigurationError, TargetUnavailable

PAGE_ROWS = 50_000
"""Of one answer; a query of millions comes in as many answers as it takes."""

_LONGEST_QUERY_S = 3600.0
_FASTEST_POLL_S, _SLOWEST_POLL_S = 0.1, 10.0
_MERGES = ("Account", "Contact")
"""The objects that can be merged, and say into what."""

# A record that was sent while it was read is left to the next read-back.
_FIND = """
create temporary table differing as
with believed as (
    select external_key, salesforce_id, payload, missing from control.crm_state
    where sobject = :sobject and external_key like :keys and accepted_at < :started
), live as (
    select distinct on (external_key) * from held order by external_key, is_deleted
)
select coalesce(b.external_key, h.external_key) as external_key, coalesce(h.salesforce_id, b.salesforce_id) as salesforce_id,
       h.master_id, h.payload as theirs,
       case when b.external_key is null then 'unknown'
            when h.master_id is not null then 'merged'
            when h.external_key is null or h.is_deleted then 'deleted'
            when h.salesforce_id <> b.salesforce_id then 'other id'
            else 'edited' end as kind,
       {edited} as fields
from believed b full join live h using (external_key)
where case when b.external_key is null then not h.is_deleted and not exists (
                    select from control.crm_state s where s.sobject = :sobject and s.external_key = h.external_key)
           when b.missing is not null then h.external_key is not null and not h.is_deleted
           else h.external_key is null or h.is_deleted or h.salesforce_id <> b.salesforce_id or {edited} <> '{{}}' end
"""

_BELIEVED = "select count(*) from control.crm_state where sobject = :sobject and external_key like :keys"

_NOTE = """
insert into control.crm_difference (run_id, sobject, entity, external_key, salesforce_id, kind, fields, master_id)
select :run_id, :sobject, :entity, external_key, salesforce_id, kind, case kind when 'edited' then fields else '{}' end, master_id
from differing
"""

# What they hold now is what we believe; the next sync sends what differs from that.
_BELIEVE = """
insert into control.crm_state as s (sobject, external_key, payload, salesforce_id, job_id, accepted_at)
select :sobject, external_key, theirs, salesforce_id, 'read back', :started from differing
where kind in ('edited', 'unknown', 'other id')
on conflict (sobject, external_key) do update
set payload = s.payload || excluded.payload, salesforce_id = excluded.salesforce_id, missing = null
where s.accepted_at < :started
"""

_MISS = """
update control.crm_state s set missing = d.kind from differing d
where s.sobject = :sobject and s.external_key = d.external_key and d.kind in ('deleted', 'merged') and s.accepted_at < :started
"""


# Deleted there because another record replaces it: not a difference.
_FORGET_SUPERSEDED = """
with superseded as (
    delete from differing d where d.kind = 'deleted'
      and exists (select from control.crm_superseded s where s.sobject = :sobject and s.external_key = d.external_key)
    returning external_key
)
delete from control.crm_state s using superseded d
where s.sobject = :sobject and s.external_key = d.external_key and s.accepted_at < :started
"""

_FORGET_ABSENT = """
delete from control.crm_state s using differing d
where s.sobject = :sobject and s.external_key = d.external_key and d.kind = 'deleted' and s.accepted_at < :started
  and not exists (select from held h where h.external_key = s.external_key)
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What a read-back found of one object.

    Attributes:
        read: Records with our key, deleted ones too.
        edited: Somebody changed a field that we write; the next sync writes it over.
        deleted: Gone, and not sent again until somebody says so.
        merged: Gone into another record; the same.
        unknown: With our key, and unknown to us; known from now on.
        other_id: Made anew by somebody under our key.
    """

    read: int
    edited: int = 0
    deleted: int = 0
    merged: int = 0
    unknown: int = 0
    other_id: int = 0

    @property
    def is_as_believed(self) -> bool:
        """Whether nothing differed."""
        return not (self.edited or self.deleted or self.merged or self.unknown or self.other_id)


def read_back(
    engine: sa.Engine,
    connection: Connection,
    run_id: str,
    settings: Settings,
    say: Callable[[str], None] = print,
    *,
    is_restored: bool = False,
) -> dict[str, Found]:
    """Reads every record of ours, notes what differs and repairs what we believe.

    Args:
        engine: As the loading role.
        connection: The org.
        run_id: Names the run in `control.crm_difference`.
        settings: The firm's.
        say: Told how it goes.
        is_restored: Whether the org is known to be an earlier state of itself: then what it has never seen, not even as
            deleted, was not deleted by a person, and is sent again.

    Returns:
        What was found, by entity.

    Raises:
        TargetUnavailable: Salesforce does not answer, or does not end a query.
        ConfigurationError: It does not take a query, or so many records are missing that we may lack the right to see them.
    """
    found = {}
    calls = CallLog(engine, VENDOR, "", run_id)
    with engine.connect() as db, SalesforceSession(connection, calls) as session:
        try:
            session.keep_reserve(settings.reserved_ratio)
            for wanted in objects(settings):
                found[wanted.entity] = _read_object(db, session, wanted, settings, run_id, is_restored)
                say(f"{wanted.sobject} ({wanted.entity}): {found[wanted.entity]}")
                calls.flush()
        finally:
            db.invalidate()  # its temporary tables end with it
    return found


def count_differing(engine: sa.Engine, run_id: str) -> dict[str, int]:
    """Returns how many records a run found that are not as they were accepted, by object."""
    query = sa.text("""
        select sobject, count(*) from control.crm_difference where run_id = :run_id and kind <> 'remade' group by 1 order by 1
    """)
    with engine.connect() as db:
        return dict(db.execute(query, {"run_id": run_id}).tuples().all())


def recreate(engine: sa.Engine, settings: Settings) -> int:
    """Lets the next sync make again what was deleted or merged in Salesforce; returns how many records."""
    with engine.begin() as db:
        return db.execute(
            sa.text(
                "delete from control.crm_state where missing is not null and starts_with(external_key, :firm || ':')"
            ),
            {"firm": settings.firm},
        ).rowcount


def _read_object(
    db: sa.Connection,
    session: SalesforceSession,
    wanted: CrmObject,
    settings: Settings,
    run_id: str,
    is_restored: bool,
) -> Found:
    with db.begin():
        started: datetime = db.execute(sa.text("select clock_timestamp()")).scalar_one()
        db.execute(sa.text("drop table if exists pg_temp.answered, pg_temp.held, pg_temp.differing"))
    _ask(db, session, wanted, settings)
    values = {
        "run_id": run_id, "sobject": wanted.sobject, "entity": wanted.entity, "started": started,
        "keys": delta.keys_like(wanted, settings),
    }  # fmt: skip
    with db.begin():
        read = db.execute(sa.text(_held(wanted))).rowcount
        db.execute(sa.text("create index on held (external_key)"))
        db.execute(sa.text("analyze held"))
        db.execute(sa.text(_FIND.format(edited=_edited(wanted))), values)
        db.execute(sa.text(_FORGET_SUPERSEDED), values)
        believed = db.scalar(sa.text(_BELIEVED), values) or 0
        kinds: dict[str, int] = dict(
            db.execute(sa.text("select kind, count(*) from differing group by 1")).tuples().all()
        )
        gone = kinds.get("deleted", 0) + kinds.get("merged", 0)
        if not is_restored and gone > settings.few and gone > believed * settings.most_changed_ratio:
            raise ConfigurationError(
                "Salesforce shows us so few of our records that a sharing rule may hide them; nothing was noted",
                sobject=wanted.sobject, entity=wanted.entity, missing=gone, believed=believed,
            )  # fmt: skip
        for statement in (_NOTE, _BELIEVE, *([_FORGET_ABSENT] if is_restored else []), _MISS):
            db.execute(sa.text(statement), values)
    return Found(read, **{kind.replace(" ", "_"): count for kind, count in kinds.items()})


def _ask(db: sa.Connection, session: SalesforceSession, wanted: CrmObject, settings: Settings) -> None:
    """Reads the answer of a bulk query into the temporary table `answered`: all texts, named as Salesforce does."""
    names = _columns(wanted)
    keys = delta.keys_like(wanted, settings).replace("'", r"\'")
    asked = f"SELECT {', '.join(names)} FROM {wanted.sobject} WHERE {wanted.key_field} LIKE '{keys}'"  # noqa: S608
    answer = session.call("POST", "/jobs/query", {"operation": "queryAll", "query": asked})
    if not answer.is_ok:
        raise ConfigurationError(
            "Salesforce refuses a query", sobject=wanted.sobject, status=answer.status, code=answer.code
        )
    job = str(answer.body["id"])
    expected = _wait(session, job, wanted)
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in names)
    with db.begin():
        _cursor(db).execute(sql.SQL("create temporary table answered ({})").format(columns))
    locator = ""
    while locator != "null":
        path = f"/jobs/query/{job}/results?maxRecords={PAGE_ROWS}" + (f"&locator={locator}" if locator else "")
        locator = session.persist(lambda path=path: _take_page(db, session, path))  # type: ignore[misc]
    with db.begin():
        read = db.scalar(sa.text("select count(*) from answered"))
    if read != expected:
        raise TargetUnavailable(
            "A query's answer is not whole", sobject=wanted.sobject, job=job, rows=expected, read=read
        )


def _take_page(db: sa.Connection, session: SalesforceSession, path: str) -> str:
    """Copies one page; returns where the next one is: `null` behind the last."""
    with db.begin(), session.stream(path) as (pieces, headers):
        with _cursor(db).copy("copy answered from stdin (format csv, header match, encoding 'UTF8')") as copy:
            for piece in pieces:
                copy.write(piece)
        return headers.get("Sforce-Locator", "null")


def _wait(session: SalesforceSession, job: str, wanted: CrmObject) -> int:
    """Waits for a query; returns how many rows it has."""
    pause, until = _FASTEST_POLL_S, time.monotonic() + _LONGEST_QUERY_S
    while time.monotonic() < until:
        said = session.call("GET", f"/jobs/query/{job}").body
        if said["state"] == "JobComplete":
            return int(said["numberRecordsProcessed"])
        if said["state"] in ("Failed", "Aborted"):
            raise ConfigurationError(f"A query failed: {said.get('errorMessage')}", sobject=wanted.sobject, job=job)
        time.sleep(pause)
        pause = min(pause * 1.5, _SLOWEST_POLL_S)
    raise TargetUnavailable("Salesforce does not end a query", sobject=wanted.sobject, job=job)


def _columns(wanted: CrmObject) -> list[str]:
    also = ["MasterRecordId"] if wanted.sobject in _MERGES else []
    return ["Id", wanted.key_field, "IsDeleted", *also, *(field.name for field in wanted.fields)]


def _held(wanted: CrmObject) -> str:
    master = "nullif(\"MasterRecordId\", '')" if wanted.sobject in _MERGES else "null::text"
    pairs = ", ".join(f"'{field.name}', {_theirs(field)}" for field in wanted.fields)
    return f"""
        create temporary table held as
        select "{wanted.key_field}" collate "C" as external_key, "Id" as salesforce_id, lower("IsDeleted") = 'true' as is_deleted,
               {master} as master_id, jsonb_build_object({pairs}) as payload
        from answered
    """  # noqa: S608


def _theirs(field: Field) -> str:
    value = f"nullif(\"{field.name}\", '')"
    return f"coalesce(lower({value}), 'false')" if field.kind == "flag" else value


def _edited(wanted: CrmObject) -> str:
    """The fields that we write and that are not as we wrote them."""
    casts = {"number": "::numeric", "time": "::timestamptz", "flag": "", "text": ""}
    cases = ", ".join(
        f"case when b.payload ? '{f.name}' and (h.payload ->> '{f.name}'){casts[f.kind]}"
        f" is distinct from (b.payload ->> '{f.name}'){casts[f.kind]} then '{f.name}' end"
        for f in wanted.fields
        if not f.is_once
    )
    return f"array_remove(array[{cases}]::text[], null)"


def _cursor(db: sa.Connection) -> psycopg.Cursor[Any]:
    driver = db.connection.driver_connection
    assert driver is not None
    cursor: psycopg.Cursor[Any] = driver.cursor()
    return cursor
