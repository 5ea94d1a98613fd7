"""Find the records that users deleted, merged or undeleted in Salesforce since the last sync.

A deleted record has no key any more, so a sync that changes it would create a second one, and undo a merge.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from include.crm.objects.mapping import CrmObject
from include.crm.query import read_pages
from include.crm.run import ReportLine
from include.crm.salesforce import SalesforceSession
from include.crm.settings import Settings
from include.crm.sync import delta, readback, results
from include.crm.temporary import DIFFERING

_IDS_PER_QUERY = 200

# A day more, for what was deleted while the newest mark was written.
_SINCE = "select max(modified_at) - interval '1 day' from control.crm_mark where sobject = :sobject"

_FIND = """
select s.external_key, s.salesforce_id, r.master_id, null as theirs, case when r.master_id is null then 'deleted' else 'merged' end as kind,
       '{}' as fields
from unnest(cast(:ids as text[]), cast(:masters as text[])) r(salesforce_id, master_id)
join control.crm_state s on s.sobject = :sobject and s.salesforce_id = r.salesforce_id
where s.external_key like :keys and s.missing is null
"""

_MISSING = "select salesforce_id from control.crm_state where sobject = :sobject and missing is not null order by 1"

_MARK_PRESENT = """
update control.crm_state s set missing = null
from unnest(cast(:ids as text[]), cast(:keys as text[])) r(salesforce_id, external_key)
where s.sobject = :sobject and (s.salesforce_id, s.external_key) = (r.salesforce_id, r.external_key)
"""


def note_removed(
    db: sa.Connection,
    session: SalesforceSession,
    mappings: Sequence[CrmObject],
    settings: Settings,
    run_id: str,
    report_line: ReportLine,
) -> None:
    """Mark the records that users deleted or merged since the last sync, so that it does not send them; unmark those that are there again.

    Args:
        db: The sync's connection, outside a transaction.
        session: The session.
        mappings: The objects of the sync.
        settings: The firm's settings.
        run_id: The run; the differences have the run id `results.name_removal(run_id)`.
        report_line: Receives a line for each object with such records.

    Raises:
        ConfigurationError: Salesforce rejected a query.
        TargetUnavailable: Salesforce is unavailable.
    """
    for sobject in dict.fromkeys(mapping.sobject for mapping in mappings):
        same = [mapping for mapping in mappings if mapping.sobject == sobject]
        _note_undeleted(db, session, same[0])
        removed = _read_removed(db, session, sobject)
        for mapping in same if removed else ():
            values = {
                "run_id": results.name_removal(run_id), "sobject": sobject, "entity": mapping.entity, "started": "infinity",
                "keys": delta.keys_like(mapping, settings), "shared": [], "ids": list(removed), "masters": list(removed.values()),
            }  # fmt: skip
            with db.begin():
                if found := DIFFERING.fill(db, _FIND, values):
                    for statement in (readback.FORGET_SUPERSEDED, readback.RECORD, readback.MARK_MISSING):
                        db.execute(sa.text(statement), values)
                    results.forget_links(db, DIFFERING)
                    report_line(f"{sobject} ({mapping.entity}): {found:,} records were deleted or merged in Salesforce")
                DIFFERING.drop(db)


def _read_removed(db: sa.Connection, session: SalesforceSession, sobject: str) -> dict[str, str | None]:
    """Return the ids of the records deleted since the last sync, each with the id of the record that it was merged into."""
    with db.begin():
        since: datetime | None = db.scalar(sa.text(_SINCE), {"sobject": sobject})
    if since is None:
        return {}
    master = ", MasterRecordId" if sobject in readback.MERGES else ""
    query = f"SELECT Id{master} FROM {sobject} WHERE IsDeleted = true AND SystemModstamp >= {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"  # noqa: S608
    pages = read_pages(session, sobject, query, has_deleted=True)
    return {record["Id"]: record.get("MasterRecordId") for page in pages for record in page}


def _note_undeleted(db: sa.Connection, session: SalesforceSession, mapping: CrmObject) -> None:
    """Let the sync send the missing records that Salesforce has again, with our key."""
    with db.begin():
        missing = list(db.scalars(sa.text(_MISSING), {"sobject": mapping.sobject}))
    for start in range(0, len(missing), _IDS_PER_QUERY):
        listed = ", ".join(f"'{id_}'" for id_ in missing[start : start + _IDS_PER_QUERY])
        query = f"SELECT Id, {mapping.key_field} FROM {mapping.sobject} WHERE Id IN ({listed})"  # noqa: S608
        live = [record for page in read_pages(session, mapping.sobject, query) for record in page]
        values = {
            "sobject": mapping.sobject,
            "ids": [r["Id"] for r in live],
            "keys": [r[mapping.key_field] for r in live],
        }
        with db.begin():
            db.execute(sa.text(_MARK_PRESENT), values)
