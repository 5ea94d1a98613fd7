"""Salesforce Tasks for advisors: one per finding that needs action, completed when the finding closes.

Salesforce has no upsert for Tasks, so each has our key in a queryable field. A call that creates Tasks is recorded before
it is sent; after a kill, the next run queries Salesforce for the Tasks that exist. Tasks that a user has completed or deleted
are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlencode

import sqlalchemy as sa

from include.control import writer
from include.control.calls import CallLog
from include.control.ledger import Counts
from include.crm.composite import COLLECTION_ROWS
from include.crm.database import open_session
from include.crm.objects.mapping import CrmObject, defuse
from include.crm.objects.portfolio import list_mappings
from include.crm.objects.rows import CONTACT
from include.crm.own_org import open_own_org
from include.crm.run import Org, SyncRun
from include.crm.salesforce import VENDOR, SalesforceSession
from include.crm.settings import Settings
from include.crm.sync import rounds
from include.crm.sync.bulk import Bulk
from include.crm.sync.collections import Batch, read_outcome
from include.crm.sync.jobs import Jobs
from include.crm.sync.results import Outcome
from include.errors import ConfigurationError, RowsFailed, TargetUnavailable
from include.recovery.restore import require_read_back

SOBJECT = "Task"
DONE = "Completed"
_KEYS_PER_QUERY = 100
_ADDED = ("sent", "created", "updated", "failed", "unprocessed", "dead")

Payload = dict[str, str | None]
T = TypeVar("T")

# Open findings that have no Task yet and whose rule creates one, with the Salesforce record that the Task refers to: the one that represents
# the subject, perhaps another vendor's. Findings whose record Salesforce no longer has are left out. A deal is Salesforce's own record; if its
# finding has no representative, its owner gets the Task. While the Alerts of findings wait for an approval, the Tasks wait with them.
_MISSING = sa.text(f"""
select f.rule, f.severity, {defuse("f.details")} as details, f.business_date_opened, lower(r.email) as email,
       case f.subject_entity when 'deal' then k.source_key else s.salesforce_id end as subject_id, s.sobject, d.fields ->> 'OwnerId' as owner_id,
       :firm || ':' || f.vendor || ':finding:' || f.finding_id as task_key
from control.finding f
left join warehouse.identity i on i.entity = f.subject_entity and i.id = f.subject_id and i.recorded_to is null
join warehouse.source_key k on k.id = coalesce(i.identity_id, f.subject_id)
left join control.crm_state s on s.sobject = cast(:sobjects as jsonb) ->> f.subject_entity
                        and s.external_key = :firm || ':' || k.vendor || ':' || k.entity || ':' || control.first_key(k.source_key)
                        and s.missing is null
left join warehouse.representative r on r.representative_id = f.representative_id
     and r.valid_to is null and r.recorded_to is null
left join lateral (select r.fields from warehouse.crm_record r
                   where f.subject_entity = 'deal' and r.object = 'Opportunity' and r.salesforce_id = k.source_key) d on true
where f.closed_at is null and f.rule = any(:rules) and (s.salesforce_id is not null or f.subject_entity = 'deal')
  and not exists (select from control.crm_state t where t.sobject = 'Task'
                  and t.external_key = :firm || ':' || f.vendor || ':finding:' || f.finding_id)
  and not exists (select from control.crm_job j join control.crm_sent r using (job_id)  -- rejected recently
                  where j.sobject = 'Task' and j.state = 'closed' and j.changed_at > now() - interval '20 hours'
                    and r.external_key = :firm || ':' || f.vendor || ':finding:' || f.finding_id)
  and not exists (select from control.crm_held where entity = 'finding' and cause = 'approval')
order by f.finding_id
""")  # noqa: S608

_TO_COMPLETE = sa.text("""
select t.external_key, t.salesforce_id from control.finding f
join control.crm_state t on t.sobject = 'Task' and t.external_key = :firm || ':' || f.vendor || ':finding:' || f.finding_id
where f.closed_at is not null and t.payload ->> 'Status' <> :done and t.missing is null order by f.finding_id
""")

_UNFINISHED = sa.text("""
select j.job_id, s.external_key, s.payload from control.crm_job j join control.crm_sent s using (job_id)
where j.sobject = 'Task' and j.state = 'open' and s.payload ? 'Subject' order by j.created_at, j.job_id, s.row_number
""")

# A user has completed or deleted the Task, so we leave it alone from now on.
_MARK_DONE = sa.text("""
update control.crm_state set payload = payload || jsonb_build_object('Status', cast(:done as text))
where sobject = 'Task' and external_key = any(:keys)
""")


_SUPERSEDE_REJECTED = sa.text("""
update control.dead_letter l set status = 'superseded', replayed_by = :run_id, closed_at = clock_timestamp()
from control.finding f
where l.vendor = 'salesforce' and l.table_name = 'Task' and l.stage = 'crm' and l.status = 'open' and f.closed_at is not null
  and l.row_key = :firm || ':' || f.vendor || ':finding:' || f.finding_id
""")


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """The Task that a rule creates: its subject, and the number of calendar days from the finding's first day to the due date."""

    subject: str
    due_days: int


def sync(org: Org, run: SyncRun, specs: Mapping[str, TaskSpec], *, patience_s: float = 120.0) -> Counts:
    """Create a Task for each open finding that has none, unless its Alert waits for approval, and complete the Tasks of closed findings.

    Args:
        org: The org, and the database.
        run: The run.
        specs: The Tasks by rule; other rules create no Task.
        patience_s: How long a call is retried, in seconds.

    Returns:
        Counts of Tasks: sent, created, updated, failed, unprocessed, dead.

    Raises:
        RowsFailed: Salesforce rejected Tasks; each of them is a dead letter.
        TargetUnavailable: Records are locked, or Salesforce is unavailable.
        RateLimited: The org's daily calls are used up to the reserve.
        AuthenticationError: Salesforce rejected the login or denied a permission.
        ConfigurationError: Salesforce rejected a whole call or a query. Or the database was restored from a backup, and no read-back of
            Salesforce has succeeded since, or it has the state of another org.
        BalanceError: The results of a call do not account for its Tasks.
        WriterSuperseded: Another writer of Tasks has taken over.
    """
    require_read_back(org.engine)
    calls = CallLog(org.engine, VENDOR, SOBJECT, run.run_id)
    with open_session(org.engine) as db, open_own_org(org, calls, patience_s=patience_s) as session:
        total = _Tasks(db, session, run, org.settings, specs).run()
    if total.dead:
        raise RowsFailed("Salesforce rejected Tasks; see the dead letters", run_id=run.run_id, rows=total.dead)
    if total.failed or total.unprocessed:
        raise TargetUnavailable(
            "Task records are locked in Salesforce; the retry sends them again",
            run_id=run.run_id,
            rows=total.failed,
        )
    return total


class _Tasks:
    def __init__(
        self,
        db: sa.Connection,
        session: SalesforceSession,
        run: SyncRun,
        settings: Settings,
        specs: Mapping[str, TaskSpec],
    ) -> None:
        self._db, self._session, self._settings, self._specs = db, session, settings, specs
        self._run_id = run.run_id
        self._key_field = settings.key_of(SOBJECT)
        self._mapping = CrmObject("task", SOBJECT, self._key_field, "", (), "")
        fence = writer.take(db, f"crm:{SOBJECT}")
        self._jobs = Jobs(db, Bulk(session), self._mapping, fence, run, lambda _: None)
        self._total = Counts()

    def run(self) -> Counts:
        self._adopt()
        with self._db.begin():
            values = {
                "firm": self._settings.firm, "done": DONE, "rules": list(self._specs),
                "sobjects": json.dumps({each.entity: each.sobject for each in list_mappings(self._settings)}), "run_id": self._run_id,
            }  # fmt: skip
            missing = self._db.execute(_MISSING, values).mappings().all()
            to_complete = self._db.execute(_TO_COMPLETE, values).mappings().all()
            self._db.execute(_SUPERSEDE_REJECTED, values)
        if missing or to_complete:
            self._session.keep_reserve(self._settings.reserved_ratio)
        owners = self._find_owners({row["email"] for row in missing if row["email"]})
        for part in _split(missing, COLLECTION_ROWS):
            self._send([(row["task_key"], self._build(row, owners)) for row in part], self._create)
        for part in _split(to_complete, COLLECTION_ROWS):
            ids = self._find_still_open({row["external_key"]: row["salesforce_id"] for row in part})
            done: Payload = {"Status": DONE}
            self._send([(key, done) for key in ids], lambda batch, ids=ids: self._complete(batch, ids))  # type: ignore[misc]
        return self._total

    def _adopt(self) -> None:
        """Settle the calls that a killed run recorded but did not settle.

        Query Salesforce for the Tasks of each call that created Tasks: only the Tasks that exist were created. Calls that completed Tasks
        are abandoned, because they are safe to repeat.
        """
        with self._db.begin():
            rows = self._db.execute(_UNFINISHED).mappings().all()
        for job_id in dict.fromkeys(row["job_id"] for row in rows):
            job_rows = [(row["external_key"], row["payload"]) for row in rows if row["job_id"] == job_id]
            ids = self._find([key for key, _ in job_rows])
            batch = Batch(self._mapping, job_rows, job_id)
            batch.outcomes = [
                Outcome(key, "created", ids[key]) if key in ids else Outcome(key, "unprocessed") for key, _ in job_rows
            ]
            self._add(replace(self._jobs.settle(batch).counts, unprocessed=0))
        for _ in self._jobs.adopt():
            pass

    def _send(self, rows: list[tuple[str, Payload]], call: Callable[[Batch], list[dict[str, Any]]]) -> None:
        """Record some Tasks as a job, make one call, and settle its response."""
        if not rows:
            return
        with self._db.begin():
            sending = rounds.create_part(self._db, rows)
        batch = self._jobs.collect(sending)
        self._session.check_reserve()
        self._jobs.check_fence()
        results = call(batch)
        batch.outcomes = [read_outcome(key, each) for (key, _), each in zip(batch.rows, results, strict=True)]
        self._add(self._jobs.settle(batch).counts)

    def _create(self, batch: Batch) -> list[dict[str, Any]]:
        # No automatic retry: if the response is lost, the next attempt queries Salesforce for the Tasks by key.
        records = [{"attributes": {"type": SOBJECT}, self._key_field: key, **payload} for key, payload in batch.rows]
        return self._collect("POST", records, is_once=True)

    def _complete(self, batch: Batch, ids: Mapping[str, str]) -> list[dict[str, Any]]:
        records = [{"attributes": {"type": SOBJECT}, "id": ids[key], **payload} for key, payload in batch.rows]
        return [result | {"created": False} for result in self._collect("PATCH", records, is_once=False)]

    def _collect(self, method: str, records: list[dict[str, Any]], *, is_once: bool) -> list[dict[str, Any]]:
        call = self._session.call_once if is_once else self._session.call
        answer = call(method, "/composite/sobjects", {"allOrNone": False, "records": records})
        if not answer.is_ok or not isinstance(answer.body, list) or len(answer.body) != len(records):
            raise ConfigurationError("Salesforce rejected a call with Tasks", status=answer.status, code=answer.code)
        return answer.body

    def _build(self, row: sa.RowMapping, owners: Mapping[str, str]) -> Payload:
        task = self._specs[row["rule"]]
        owner_id = owners.get(row["email"] or "") or row["owner_id"]
        owner: Payload = {"OwnerId": owner_id} if owner_id else {}
        return owner | {
            "Subject": task.subject,
            "Description": row["details"],
            "Status": "Not Started",
            "Priority": "High" if row["severity"] == "critical" else "Normal",
            "ActivityDate": (row["business_date_opened"] + timedelta(days=task.due_days)).isoformat(),
            "WhoId" if row["sobject"] == CONTACT else "WhatId": row["subject_id"],
        }

    def _find_still_open(self, ids: Mapping[str, str]) -> dict[str, str]:
        """Return the ids, by key, of the Tasks that no user has completed or deleted; mark the other Tasks as done in our records."""
        live: set[str] = set()
        for part in _split(ids.values(), _KEYS_PER_QUERY):
            # An org may have several statuses of closed Tasks.
            query = f"SELECT Id FROM {SOBJECT} WHERE Id IN ({_quote(part)}) AND IsClosed = false"  # noqa: S608
            live |= {record["Id"] for record in self._query(query)}
        with self._db.begin():
            self._db.execute(_MARK_DONE, {"done": DONE, "keys": [key for key, id_ in ids.items() if id_ not in live]})
        return {key: id_ for key, id_ in ids.items() if id_ in live}

    def _find(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the Salesforce ids, by our key, of the Tasks that exist."""
        ids: dict[str, str] = {}
        for part in _split(keys, _KEYS_PER_QUERY):
            query = f"SELECT Id, {self._key_field} FROM {SOBJECT} WHERE {self._key_field} IN ({_quote(part)})"  # noqa: S608
            ids |= {record[self._key_field]: record["Id"] for record in self._query(query)}
        return ids

    def _find_owners(self, emails: set[str]) -> dict[str, str]:
        """Return the ids of active users by e-mail address in lower case. A Task without an owner belongs to the integration user."""
        ids: dict[str, str] = {}
        for part in _split(sorted(emails), _KEYS_PER_QUERY):
            query = f"SELECT Id, Email FROM User WHERE IsActive = true AND Email IN ({_quote(part)})"  # noqa: S608
            ids |= {record["Email"].lower(): record["Id"] for record in self._query(query)}
        return ids

    def _query(self, query: str) -> list[dict[str, Any]]:
        answer = self._session.call("GET", f"/query?{urlencode({'q': query})}")
        if not answer.is_ok:
            raise ConfigurationError("Salesforce rejected a query", status=answer.status, code=answer.code)
        return list(answer.body["records"])

    def _add(self, more: Counts) -> None:
        total = self._total
        self._total = replace(total, **{name: getattr(total, name) + getattr(more, name) for name in _ADDED})


def _quote(values: Iterable[str]) -> str:
    """Return values as a SOQL list, escaped, because SOQL has no parameters."""
    escaped = (value.replace("\\", "\\\\").replace("'", "\\'") for value in values)
    return ", ".join(f"'{value}'" for value in escaped)


def _split(rows: Iterable[T], most: int) -> Iterator[list[T]]:
    remaining = iter(rows)
    while part := list(islice(remaining, most)):
        yield part
