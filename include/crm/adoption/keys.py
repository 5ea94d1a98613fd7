"""Write our key to matched org records by record id, or remove the written keys.

The key is the only field that adoption writes. Both operations can be repeated after a kill: the plan is stored before Salesforce is
called, and the next run reads from the org which records have their key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from include.crm.adoption import accepted, relations
from include.crm.composite import CALL_COLLECTIONS, COLLECTION_ROWS, send_requests
from include.crm.objects.mapping import ADOPTABLE, CrmObject
from include.crm.salesforce import DATA, SalesforceSession
from include.crm.settings import Settings
from include.database import statistics
from include.errors import ConfigurationError

_APPROVED = """
select entity from (select distinct on (entity) entity, is_approved from control.adoption_approval order by entity, approval_id desc) a
where is_approved
"""
# Records that connect two others need no approval: both ends were approved.
_PLAN = sa.text(f"""
insert into control.adopted as a (sobject, salesforce_id, external_key, state, run_id)
select f.sobject, f.salesforce_id, f.external_key, 'planned', :run_id from control.adoption_finding f
where f.outcome = 'matched' and (f.entity in ({_APPROVED}) or f.entity <> all(:asked))
on conflict (sobject, salesforce_id) do update
set external_key = excluded.external_key, state = 'planned', run_id = excluded.run_id, error = '', changed_at = clock_timestamp()
""")  # noqa: S608
# Keys that an earlier run planned and did not write: approvals and decisions may have changed since. A key that was written is in
# `org_record`.
_FORGET_PLANS = sa.text("""
delete from control.adopted a where a.state = 'planned' and not exists (
    select from control.org_record r where (r.sobject, r.salesforce_id, r.external_key) = (a.sobject, a.salesforce_id, a.external_key))
""")
_PLANNED = sa.text("""
select a.salesforce_id, a.external_key from control.adopted a where a.sobject = :sobject and a.state = 'planned' and a.run_id = :run_id
order by a.external_key
""")
_TAKEN = sa.text("""
with outcome as (select * from unnest(cast(:ids as text[]), cast(:errors as text[])) o(salesforce_id, error)), noted as (
    update control.adopted a
    set state = case when o.error is null then 'written' else 'failed' end, error = coalesce(o.error, ''), changed_at = clock_timestamp()
    from outcome o where a.sobject = :sobject and a.salesforce_id = o.salesforce_id returning a.salesforce_id, a.external_key, a.state
), keyed as (
    update control.org_record r set external_key = n.external_key from noted n
    where r.sobject = :sobject and r.salesforce_id = n.salesforce_id and n.state = 'written' returning r.salesforce_id
)
delete from control.adoption_finding f using keyed k where f.sobject = :sobject and f.salesforce_id = k.salesforce_id
""")
# A record that no longer exists; otherwise our record of the client would wait for it forever.
_GONE = sa.text("""
with gone as (
    delete from control.adopted where sobject = :sobject and error in ('ENTITY_IS_DELETED', 'NOT_FOUND', 'INVALID_CROSS_REFERENCE_KEY')
    returning salesforce_id
), forgotten as (
    delete from control.adoption_finding f using gone g where f.sobject = :sobject and f.salesforce_id = g.salesforce_id
)
delete from control.org_record r using gone g where r.sobject = :sobject and r.salesforce_id = g.salesforce_id
""")
_FORGET_STATE = sa.text("""
delete from control.crm_state s using control.adopted a
where a.state in ('planned', 'written') and (s.sobject, s.external_key, s.salesforce_id) = (a.sobject, a.external_key, a.salesforce_id)
""")
_WITHDRAW = sa.text(f"""
insert into control.adoption_approval (entity, is_approved, records, approved_by)
select entity, false, 0, :by from ({_APPROVED}) a
""")  # noqa: S608
_WRITTEN = sa.text("""
select sobject, salesforce_id from control.adopted where state in ('planned', 'written') order by sobject, external_key
""")
_REMOVED = sa.text("""
with outcome as (select * from unnest(cast(:ids as text[]), cast(:errors as text[])) o(salesforce_id, error)), noted as (
    update control.adopted a
    set state = case when o.error is null then 'removed' else a.state end, error = coalesce(o.error, ''), changed_at = clock_timestamp()
    from outcome o where a.sobject = :sobject and a.salesforce_id = o.salesforce_id returning a.salesforce_id, a.state
)
update control.org_record r set external_key = null from noted n
where r.sobject = :sobject and r.salesforce_id = n.salesforce_id and n.state = 'removed'
""")
_COUNT = sa.text("select state, count(*) from control.adopted where run_id = :run_id group by 1")

Check = Callable[[], None]
Rows = Sequence[tuple[str, str | None]]
"""Salesforce ids, each with the key to write, or None to remove it."""


def write_keys(
    db: sa.Connection,
    session: SalesforceSession,
    mappings: Sequence[CrmObject],
    settings: Settings,
    run_id: str,
    check: Check,
) -> dict[str, int]:
    """Write our key to the matched records of approved entities, then to the records that connect them.

    Args:
        db: A connection outside a transaction, after `findings.replace_findings`.
        session: The session.
        mappings: The mappings whose records are adopted, parents first.
        settings: The firm's settings.
        run_id: The run.
        check: Raises if this run may no longer write; called before each call to Salesforce.

    Returns:
        The number of keys by state: `written`, `failed`.

    Raises:
        ConfigurationError: Salesforce rejected a whole call.
        TargetUnavailable: Salesforce is unavailable.
        RateLimited: The org's daily calls are used up to the reserve.
    """
    for connects in (False, True):
        chosen = [mapping for mapping in mappings if bool(mapping.same_if) is connects]
        if connects:
            with db.begin():
                relations.match(db, chosen, settings, run_id)
        with db.begin():
            db.execute(_FORGET_PLANS)
            db.execute(_PLAN, {"run_id": run_id, "asked": list(ADOPTABLE)})
        for sobject, key_field in {each.sobject: each.key_field for each in chosen}.items():
            with db.begin():
                rows = db.execute(_PLANNED, {"sobject": sobject, "run_id": run_id}).tuples().all()
            for part, outcomes in _update(session, sobject, key_field, rows, check):
                values = {"sobject": sobject, "ids": [row[0] for row in part], "errors": outcomes}
                with db.begin():
                    db.execute(_TAKEN, values)
                    db.execute(_GONE, {"sobject": sobject})
        with db.begin():
            statistics.analyze(db, "control.org_record")  # most rows have a key now, and none had one before
        with db.begin():
            accepted.take_keyed(db, chosen, settings)
    with db.begin():
        return dict(db.execute(_COUNT, {"run_id": run_id}).tuples().all())


def remove_keys(
    db: sa.Connection, session: SalesforceSession, mappings: Sequence[CrmObject], by: str, check: Check
) -> dict[str, int]:
    """Remove the keys that adoption has written, and withdraw all approvals; return the number of keys by state.

    The accepted state of these records is deleted first. If it were deleted last and the run were killed before, a sync would upsert a key
    that no record has, and create a second record. The next sync compares the org's records with ours again, and holds these records back.

    Args:
        db: A connection outside a transaction.
        session: The session.
        mappings: The mappings whose records are adopted.
        by: The user who requested it.
        check: Raises if this run may no longer write.
    """
    key_fields = {each.sobject: each.key_field for each in mappings}
    with db.begin():
        db.execute(_WITHDRAW, {"by": by})
        db.execute(_FORGET_STATE)
        rows = db.execute(_WRITTEN).tuples().all()
    counts = {"removed": 0, "failed": 0}
    for sobject, key_field in key_fields.items():
        of = [(salesforce_id, None) for name, salesforce_id in rows if name == sobject]
        for part, outcomes in _update(session, sobject, key_field, of, check):
            values = {"sobject": sobject, "ids": [row[0] for row in part], "errors": outcomes}
            with db.begin():
                db.execute(_REMOVED, values)
            failed = sum(error is not None for error in outcomes)
            counts["failed"] += failed
            counts["removed"] += len(outcomes) - failed
    return counts


def _update(
    session: SalesforceSession,
    sobject: str,
    key_field: str,
    rows: Rows,
    check: Check,
) -> Iterator[tuple[Rows, list[str | None]]]:
    """Set the key of records by id. Yield the rows of each call with their errors; None means success."""
    for call in _split(rows, COLLECTION_ROWS * CALL_COLLECTIONS):
        session.check_reserve()
        check()
        parts = list(_split(call, COLLECTION_ROWS))
        requests = [_build_request(sobject, key_field, part, number) for number, part in enumerate(parts)]
        responses = send_requests(session, requests)
        errors = (_list_errors(part, each, sobject) for part, each in zip(parts, responses, strict=True))
        yield call, [error for of_part in errors for error in of_part]


def _split(rows: Rows, size: int) -> Iterator[Rows]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _build_request(sobject: str, key_field: str, rows: Rows, number: int) -> Mapping[str, Any]:
    records = [{"attributes": {"type": sobject}, "id": id_, key_field: key} for id_, key in rows]
    return {
        "method": "PATCH",
        "url": f"{DATA}/composite/sobjects",
        "referenceId": f"part{number}",
        "body": {"allOrNone": False, "records": records},
    }


def _list_errors(rows: Rows, response: Mapping[str, Any], sobject: str) -> list[str | None]:
    body = response["body"]
    if response["httpStatusCode"] >= 300 or len(body) != len(rows):
        first = body[0] if isinstance(body, list) and body else {}
        raise ConfigurationError(
            f"Salesforce rejected rows: {first.get('message', '')}", sobject=sobject, code=first.get("errorCode")
        )
    return [None if each["success"] else str(each["errors"][0]["statusCode"]) for each in body]
