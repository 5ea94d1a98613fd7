"""Salesforce drift check: read our records back and compare them with the accepted state, because users edit, merge and delete.

- An edit of a field that we write: the next sync overwrites it.
- An edit of a field that we write only once: not a difference, because the field belongs to the firm.
- An edit of a shared field: not a difference; it stays until the vendor's value changes.
- A record that was deleted or merged: the sync does not send it again until an operator decides (`recreate`).
- A record that was deleted because another record replaces it: not a difference; it is removed from the accepted state.
- A record with our key that is not in the accepted state: it is added to the accepted state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from psycopg import sql

from include.control.calls import CallLog
from include.crm.bulk_query import BulkQuery
from include.crm.database import open_session
from include.crm.objects.mapping import CrmObject, Field
from include.crm.objects.portfolio import list_mappings
from include.crm.own_org import open_own_org
from include.crm.run import Org, ReportLine
from include.crm.salesforce import VENDOR, SalesforceSession
from include.crm.settings import Settings
from include.crm.sync import delta
from include.crm.temporary import DIFFERING, HELD, TempTable, declare_query_result
from include.database.driver import find_driver
from include.errors import ConfigurationError
from include.recovery.restore import note_read_back

MERGES = ("Account", "Contact")
"""The objects whose records can be merged; a merged record has a field with the id of the surviving record."""

# Records that a sync sends during the read-back are left to the next read-back.
_FIND = """
with believed as (
    select external_key, salesforce_id, payload, missing, left_fields from control.crm_state
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

RECORD = """
insert into control.crm_difference (run_id, sobject, entity, external_key, salesforce_id, kind, fields, master_id)
select :run_id, :sobject, :entity, external_key, salesforce_id, kind,
       case kind when 'edited' then array(select unnest(fields) except select unnest(cast(:shared as text[])) order by 1) else '{}' end, master_id
from differing where not (kind = 'edited' and fields <@ cast(:shared as text[]))
"""
_KINDS = """
select kind, count(*) from differing where not (kind = 'edited' and fields <@ cast(:shared as text[])) group by 1
"""

# Take Salesforce's values as the accepted state; the next sync sends the differences from the desired state.
_BELIEVE = """
insert into control.crm_state as s (sobject, external_key, payload, salesforce_id, job_id, accepted_at)
select :sobject, external_key, theirs, salesforce_id, 'read back', :started from differing
where kind in ('edited', 'unknown', 'other id')
on conflict (sobject, external_key) do update
set payload = s.payload || excluded.payload, salesforce_id = excluded.salesforce_id, missing = null,
    -- What users have typed since is newer than the vendor's value that was accepted last.
    shared_values = (select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(s.payload) where key = any(cast(:shared as text[])))
                    || s.shared_values
where s.accepted_at < :started
"""

MARK_MISSING = """
update control.crm_state s set missing = d.kind from differing d
where s.sobject = :sobject and s.external_key = d.external_key and d.kind in ('deleted', 'merged') and s.accepted_at < :started
"""


# Deleted in Salesforce because another record replaces it: not a difference.
FORGET_SUPERSEDED = """
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
class ReadBackCounts:
    """The counts of one object's read-back.

    Attributes:
        read: Records with our key, including deleted ones.
        edited: Records in which a user changed a field that we write; the next sync overwrites the change.
        deleted: Records deleted in Salesforce, which are not sent again until an operator decides (`recreate`).
        merged: Records merged into another record, which are not sent again until an operator decides.
        unknown: Records with our key that the accepted state lacked; the read-back has added them to it.
        other_id: Records that were created again in Salesforce with our key, so their Salesforce id differs.
    """

    read: int
    edited: int = 0
    deleted: int = 0
    merged: int = 0
    unknown: int = 0
    other_id: int = 0

    @property
    def is_as_expected(self) -> bool:
        """Whether no record differs from the accepted state."""
        return not (self.edited or self.deleted or self.merged or self.unknown or self.other_id)


def read_back(
    org: Org, run_id: str, report_line: ReportLine = print, *, is_restored: bool = False
) -> dict[str, ReadBackCounts]:
    """Read all our records in Salesforce, record the differences, and correct the accepted state.

    After a restore of the database, syncs refuse to write until a read-back has succeeded. This function allows them to write again.

    Args:
        org: The org, and the database.
        run_id: The run's id in `control.crm_difference`.
        report_line: Receives progress, a line at a time.
        is_restored: Whether the org was restored from a backup. If so, a record that is missing in the org, and is not among its deleted
            records either, was lost by the restore and not deleted by a user. The next sync sends it again.

    Returns:
        Counts by entity.

    Raises:
        TargetUnavailable: Salesforce is unavailable, or a query does not end.
        ConfigurationError: Salesforce rejected a query. Or, unless `is_restored`, so many records of an object are missing that our user
            may lack the permission to read them; nothing is recorded for this object. Or the database has the state of another org.
    """
    found = {}
    calls = CallLog(org.engine, VENDOR, "", run_id)
    with open_session(org.engine) as db, open_own_org(org, calls) as session:
        session.keep_reserve(org.settings.reserved_ratio)
        for mapping in list_mappings(org.settings):
            found[mapping.entity] = _read_object(db, session, mapping, org.settings, run_id, is_restored)
            report_line(f"{mapping.sobject} ({mapping.entity}): {found[mapping.entity]}")
            calls.flush()
    note_read_back(org.engine)
    return found


def count_differing(engine: sa.Engine, run_id: str) -> dict[str, int]:
    """Return the number of records that a read-back found different from the accepted state, by object.

    With `results.name_removal(run_id)`, count those that a sync found deleted or merged, or created again.
    """
    query = sa.text("select sobject, count(*) from control.crm_difference where run_id = :run_id group by 1 order by 1")
    with engine.connect() as db:
        return dict(db.execute(query, {"run_id": run_id}).tuples().all())


def recreate(engine: sa.Engine, settings: Settings) -> int:
    """Let the next sync create again all records that were deleted or merged in Salesforce; return the number of records."""
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
    mapping: CrmObject,
    settings: Settings,
    run_id: str,
    is_restored: bool,
) -> ReadBackCounts:
    with db.begin():
        started: datetime = db.execute(sa.text("select clock_timestamp()")).scalar_one()
    response = _query(db, session, mapping, settings)
    values = {
        "run_id": run_id, "sobject": mapping.sobject, "entity": mapping.entity, "started": started,
        "keys": delta.keys_like(mapping, settings), "shared": mapping.shared,
    }  # fmt: skip
    with db.begin():
        read = HELD.fill(db, _select_held(mapping, response))
        db.execute(sa.text(f"create index on {HELD} (external_key)"))
        db.execute(sa.text(f"analyze {HELD}"))
        DIFFERING.fill(db, _FIND.format(edited=_list_edited(mapping)), values)
        db.execute(sa.text(FORGET_SUPERSEDED), values)
        believed = db.scalar(sa.text(_BELIEVED), values) or 0
        kinds: dict[str, int] = dict(db.execute(sa.text(_KINDS), values).tuples().all())
        missing = kinds.get("deleted", 0) + kinds.get("merged", 0)
        if not is_restored and missing > settings.few and missing > believed * settings.most_changed_ratio:
            raise ConfigurationError(
                "Too many of our records are missing in Salesforce; check whether a sharing rule hides them (nothing was recorded)",
                sobject=mapping.sobject, entity=mapping.entity, missing=missing, believed=believed,
            )  # fmt: skip
        for statement in (RECORD, _BELIEVE, *([_FORGET_ABSENT] if is_restored else []), MARK_MISSING):
            db.execute(sa.text(statement), values)
        for table in (response, HELD, DIFFERING):
            table.drop(db)
    return ReadBackCounts(read, **{kind.replace(" ", "_"): count for kind, count in kinds.items()})


def _query(db: sa.Connection, session: SalesforceSession, mapping: CrmObject, settings: Settings) -> TempTable:
    """Copy all our records of an object, including deleted ones, into a temporary table by a bulk query; return the table.

    Its columns are text, named as in Salesforce.
    """
    names = _list_columns(mapping)
    keys = delta.keys_like(mapping, settings).replace("'", r"\'")
    where = f"{mapping.key_field} LIKE '{keys}'"
    query = BulkQuery(session, mapping.sobject, f"SELECT {', '.join(names)} FROM {mapping.sobject} WHERE {where}")  # noqa: S608
    table = declare_query_result(names)
    with db.begin():
        table.create(db)
    query.read(lambda pieces: _copy_page(db, pieces, table))
    with db.begin():
        query.require_all(db.scalar(sa.text(f"select count(*) from {table}")) or 0)  # noqa: S608
    return table


def _copy_page(db: sa.Connection, pieces: Iterator[bytes], table: TempTable) -> None:
    """Copy one page of a query's result into a table."""
    query = sql.SQL("copy {} from stdin (format csv, header match, encoding 'UTF8')").format(sql.Identifier(table.name))
    with db.begin(), find_driver(db).cursor().copy(query) as copy:
        for piece in pieces:
            copy.write(piece)


def _list_columns(mapping: CrmObject) -> list[str]:
    also = ["MasterRecordId"] if mapping.sobject in MERGES else []
    return ["Id", mapping.key_field, "IsDeleted", *also, *(field.name for field in mapping.fields)]


def _select_held(mapping: CrmObject, response: TempTable) -> str:
    master = "nullif(\"MasterRecordId\", '')" if mapping.sobject in MERGES else "null::text"
    pairs = ", ".join(f"'{field.name}', {_convert(field)}" for field in mapping.fields)
    return f"""
        select "{mapping.key_field}" collate "C" as external_key, "Id" as salesforce_id, lower("IsDeleted") = 'true' as is_deleted,
               {master} as master_id, jsonb_build_object({pairs}) as payload
        from {response}
    """  # noqa: S608


def _convert(field: Field) -> str:
    value = f"nullif(\"{field.name}\", '')"
    if (
        field.is_masked
    ):  # as `include.sensitive.Redactor.split` does: of a short number, the last four would reveal most
        plain = f"regexp_replace({value}, '\\W', '', 'g')"
        is_shown = f"length({plain}) >= 8 or {value} ~* '[*•●·…x]|[.][.]'"
        return f"case when {is_shown} then 'xxxx' || right({plain}, 4) end"
    return f"coalesce(lower({value}), 'false')" if field.kind == "flag" else value


def _list_edited(mapping: CrmObject) -> str:
    """Return SQL of an array: the names of the fields whose value in Salesforce differs from the accepted state.

    Fields that we write only once, and fields that an operator left to Salesforce, are left out.
    """
    casts = {"number": "::numeric", "time": "::timestamptz", "flag": "", "text": ""}
    cases = ", ".join(
        f"case when b.payload ? '{f.name}' and '{f.name}' <> all(b.left_fields) and (h.payload ->> '{f.name}'){casts[f.kind]}"
        f" is distinct from (b.payload ->> '{f.name}'){casts[f.kind]} then '{f.name}' end"
        for f in mapping.fields
        if f.owner != "firm"
    )
    return f"array_remove(array[{cases}]::text[], null)"
