"""Adopt records of the org: compare, approve or decide, write our keys, remove them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

import sqlalchemy as sa

from include.control import writer
from include.control.calls import CallLog
from include.crm.adoption import keys
from include.crm.adoption.findings import has_new, replace_findings
from include.crm.database import open_connection, open_session, take_turn, translate_errors
from include.crm.objects.mapping import ADOPTABLE, CrmObject
from include.crm.objects.portfolio import list_mappings
from include.crm.own_org import open_own_org
from include.crm.run import Org, ReportLine
from include.crm.salesforce import VENDOR, SalesforceSession
from include.crm.settings import Settings
from include.errors import InputRejected

_RECORDS = sa.text("""
select count(*) from control.adoption_finding where entity = :entity and outcome = 'matched' and salesforce_id <> ''
""")
_APPROVE = sa.text("""
insert into control.adoption_approval (entity, is_approved, records, approved_by) values (:entity, :is_approved, :records, :by)
""")
_DECIDE = sa.text("""
insert into control.adoption_decision (sobject, salesforce_id, external_key, is_same, reason, decided_by)
select sobject, salesforce_id, :external_key, :is_same, :reason, :by from control.org_record where salesforce_id = :salesforce_id
""")


def list_adopted(settings: Settings) -> list[CrmObject]:
    """Return the mappings whose records can be adopted, parents first."""
    return [each for each in list_mappings(settings) if each.is_adopted]


def has_new_records(org: Org) -> bool:
    """Return whether a sync would create records that the org may have already."""
    with open_connection(org.engine) as db:
        return has_new(db, list_mappings(org.settings), org.settings.firm)


def compare(org: Org, run_id: str, on: date, report_line: ReportLine) -> dict[str, int]:
    """Compare the org's records with ours and replace the adoption findings, without writing to Salesforce.

    Returns:
        The number of findings by outcome.
    """
    calls = CallLog(org.engine, VENDOR, "", run_id)
    with open_session(org.engine) as db, open_own_org(org, calls, is_writing=False) as session:
        return replace_findings(db, session, org, run_id, on, report_line)


def adopt(org: Org, run_id: str, on: date, report_line: ReportLine) -> dict[str, int]:
    """Compare the org's records with ours, and write our key to the matched records of approved entities.

    Returns:
        The number of keys by state: `written` and `failed` (rejected by Salesforce; `control.adopted` has the errors).
    """
    mappings = list_adopted(org.settings)
    with _write(org, run_id, mappings) as (db, session, check):
        replace_findings(db, session, org, run_id, on, report_line)
        counts = keys.write_keys(db, session, mappings, org.settings, run_id, check)
        report_line(f"Keys: {counts}")
        return counts


def undo(org: Org, run_id: str, by: str, report_line: ReportLine) -> dict[str, int]:
    """Remove every key that adoption wrote, and withdraw the approvals. Values that later syncs sent stay in Salesforce."""
    mappings = list_adopted(org.settings)
    with _write(org, run_id, mappings) as (db, session, check):
        counts = keys.remove_keys(db, session, mappings, by, check)
        report_line(f"Keys: {counts}")
        return counts


def approve(engine: sa.Engine, entities: Sequence[str], by: str, *, is_approved: bool = True) -> int:
    """Approve writing our key to the matched records of some entities, or withdraw the approval. Return the number of matched records.

    An approval also applies to later syncs.

    Args:
        engine: The database, as the loading role.
        entities: Entities of `ADOPTABLE`; `person` includes `contact`.
        by: The user.
        is_approved: False to withdraw the approval. Keys that are written stay.

    Raises:
        InputRejected: An entity is unknown.
    """
    chosen = [*entities, *(["contact"] if "person" in entities and "contact" not in entities else [])]
    if unknown := sorted(set(chosen) - set(ADOPTABLE)):
        raise InputRejected(f"Unknown: {', '.join(unknown)}; choose among {', '.join(ADOPTABLE)}")
    with engine.begin() as db:
        counts = [db.scalar(_RECORDS, {"entity": entity}) or 0 for entity in chosen]
        rows = [
            {"entity": entity, "is_approved": is_approved, "records": count, "by": by}
            for entity, count in zip(chosen, counts, strict=True)
        ]
        db.execute(_APPROVE, rows)
    return sum(counts)


def decide(
    engine: sa.Engine, salesforce_id: str, external_key: str, is_same: bool | None, by: str, reason: str = ""
) -> None:
    """Record a reviewer's decision whether an org record and one of our records are the same; None removes the decision.

    It takes effect at the next comparison.

    Raises:
        InputRejected: The org has no such record.
    """
    values = {"salesforce_id": salesforce_id, "external_key": external_key, "is_same": is_same, "by": by}
    with engine.begin() as db:
        if not db.execute(_DECIDE, values | {"reason": reason.strip()[:500]}).rowcount:
            raise InputRejected("The org has no such record, or it was not read yet; compare again")


@contextmanager
def _write(
    org: Org, run_id: str, mappings: Sequence[CrmObject]
) -> Iterator[tuple[sa.Connection, SalesforceSession, keys.Check]]:
    """Open a connection and a session as the only writer of the objects; a running sync loses the right to write."""
    with (
        open_session(org.engine) as db,
        open_own_org(org, CallLog(org.engine, VENDOR, "", run_id)) as session,
    ):
        take_turn(db, is_whole=True)
        fences = writer.take_all(db, [f"crm:{name}" for name in dict.fromkeys(each.sobject for each in mappings)])

        def check() -> None:
            with db.begin():
                for fence in fences:
                    fence.check(db)

        with translate_errors(db, fences):
            session.keep_reserve(org.settings.reserved_ratio)
            yield db, session, check
