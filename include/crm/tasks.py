"""Tasks for advisors: one a finding that asks for somebody's action, completed when its cause is gone.

Salesforce takes no upsert of a Task, so each carries our key in a field that can be asked for. A call that makes Tasks is
booked before it is made; whoever comes after a killed one asks Salesforce which of them are there. A Task that a person
has completed or deleted is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlencode

import sqlalchemy as sa

from include.connection import Connection
from include.control import writer
from include.control.calls import CallLog
from include.control.ledger import Counts
from include.crm.objects.mapping import CrmObject
from include.crm.objects.portfolio import ACCOUNT, FINANCIAL_ACCOUNT
from include.crm.salesforce import VENDOR, SalesforceSession
from include.crm.settings import Settings
from include.crm.sync.bulk import Bulk
from include.crm.sync.collections import COLLECTION_ROWS, Batch, outcome_of
from include.crm.sync.jobs import Jobs
from include.crm.sync.results import Outcome
from include.errors import ConfigurationError, RowsFailed, TargetUnavailable

SOBJECT = "Task"
DONE = "Completed"
_KEYS_ASKED = 100
_ADDED = ("sent", "created", "updated", "failed", "unprocessed", "dead")

Payload = dict[str, str | None]
T = TypeVar("T")

# Findings whose rule raises a Task and that have none, and what the Task is about: a record that Salesforce still has. A deal is
# Salesforce's own record, and where no representative of ours stands for it, its owner acts.
_WANTED = sa.text("""
select f.rule, f.severity, f.details, f.business_date_opened, lower(r.email) as email,
       case f.subject_entity when 'deal' then k.source_key else s.salesforce_id end as what_id, d.fields ->> 'OwnerId' as owner_id,
       :firm || ':' || f.vendor || ':finding:' || f.finding_id as task_key
from control.finding f
join warehouse.source_key k on k.entity = f.subject_entity and k.vendor = f.vendor and k.id = f.subject_id
left join control.crm_state s on s.sobject = case f.subject_entity when 'account' then :account else :household end
                        and s.external_key = :firm || ':' || f.vendor || ':' || f.subject_entity || ':' || k.source_key
                        and s.missing is null
left join warehouse.representative r on r.representative_id = f.representative_id
     and r.valid_to is null and r.recorded_to is null
left join lateral (select r.fields from warehouse.crm_record r
                   where f.subject_entity = 'deal' and r.object = 'Opportunity' and r.salesforce_id = k.source_key) d on true
where f.closed_at is null and f.rule = any(:rules) and (s.salesforce_id is not null or f.subject_entity = 'deal')
  and not exists (select from control.crm_state t where t.sobject = 'Task'
                  and t.external_key = :firm || ':' || f.vendor || ':finding:' || f.finding_id)
  and not exists (select from control.crm_job j join control.crm_sent r using (job_id)  -- refused not long ago
                  where j.sobject = 'Task' and j.state = 'closed' and j.changed_at > now() - interval '20 hours'
                    and r.external_key = :firm || ':' || f.vendor || ':finding:' || f.finding_id)
order by f.finding_id
""")

_OVER = sa.text("""
select t.external_key, t.salesforce_id from control.finding f
join control.crm_state t on t.sobject = 'Task' and t.external_key = :firm || ':' || f.vendor || ':finding:' || f.finding_id
where f.closed_at is not null and t.payload ->> 'Status' <> :done and t.missing is null order by f.finding_id
""")

_UNFINISHED = sa.text("""
select j.job_id, s.external_key, s.payload from control.crm_job j join control.crm_sent s using (job_id)
where j.sobject = 'Task' and j.state = 'open' and s.payload ? 'Subject' order by j.created_at, j.job_id, s.row_number
""")

# Completed or deleted by a person: nothing of it is ours any more.
_LEFT_ALONE = sa.text("""
update control.crm_state set payload = payload || jsonb_build_object('Status', cast(:done as text))
where sobject = 'Task' and external_key = any(:keys)
""")


_FORGET_REFUSED = sa.text("""
update control.dead_letter l set status = 'superseded', closed_at = clock_timestamp()
from control.finding f
where l.vendor = 'salesforce' and l.table_name = 'Task' and l.stage = 'crm' and l.status = 'open' and f.closed_at is not null
  and l.row_key = :firm || ':' || f.vendor || ':finding:' || f.finding_id
""")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule asks for: the Task's subject, and calendar days from the finding until it is due."""

    subject: str
    due_days: int


def sync(
    engine: sa.Engine,
    connection: Connection,
    run_id: str,
    business_date: date,
    settings: Settings,
    asked: Mapping[str, Asked],
    *,
    patience_s: float = 120.0,
) -> Counts:
    """Raises a Task for each open finding that has none, and completes those whose finding is closed.

    Args:
        engine: As the loading role.
        connection: The org.
        run_id: Names the run.
        business_date: For ledger and dead letters.
        settings: The firm's.
        asked: Rule -> its Task.
        patience_s: How long one call is tried again, in seconds.

    Returns:
        sent, created, updated, failed, unprocessed, dead.

    Raises:
        RowsFailed: Salesforce refused Tasks; each of them is a dead letter.
        TargetUnavailable: Records are locked, or Salesforce is not there.
        TributaryError: As `SalesforceSession.call` raises.
    """
    calls = CallLog(engine, VENDOR, SOBJECT, run_id)
    with engine.connect() as db, SalesforceSession(connection, calls, patience_s=patience_s) as session:
        try:
            one = _Tasks(db, session, run_id, business_date, settings, asked)
            total = one.run()
        finally:
            db.invalidate()  # its temporary tables end with it
    if total.dead:
        raise RowsFailed("Salesforce refuses Tasks; see the dead letters", run_id=run_id, rows=total.dead)
    if total.failed or total.unprocessed:
        raise TargetUnavailable("Records of Tasks are locked; they go out again", run_id=run_id, rows=total.failed)
    return total


class _Tasks:
    def __init__(
        self,
        db: sa.Connection,
        session: SalesforceSession,
        run_id: str,
        day: date,
        settings: Settings,
        asked: Mapping[str, Asked],
    ) -> None:
        self._db, self._session, self._settings, self._asked = db, session, settings, asked
        self._key_field = settings.key_of(SOBJECT)
        self._wanted = CrmObject("task", SOBJECT, self._key_field, "", (), "")
        fence = writer.take(db, f"crm:{SOBJECT}")
        self._jobs = Jobs(db, Bulk(session), self._wanted, fence, run_id, day, lambda _: None)
        self._total = Counts()

    def run(self) -> Counts:
        self._adopt()
        with self._db.begin():
            values = {
                "firm": self._settings.firm, "done": DONE, "rules": list(self._asked),
                "account": FINANCIAL_ACCOUNT, "household": ACCOUNT,
            }  # fmt: skip
            wanted = self._db.execute(_WANTED, values).mappings().all()
            over = self._db.execute(_OVER, values).mappings().all()
            self._db.execute(_FORGET_REFUSED, values)
        if wanted or over:
            self._session.keep_reserve(self._settings.reserved_ratio)
        owners = self._find_owners({row["email"] for row in wanted if row["email"]})
        for some in _parts(wanted, COLLECTION_ROWS):
            self._send([(row["task_key"], self._new(row, owners)) for row in some], self._create)
        for some in _parts(over, COLLECTION_ROWS):
            ids = self._still_open({row["external_key"]: row["salesforce_id"] for row in some})
            done: Payload = {"Status": DONE}
            self._send([(key, done) for key in ids], lambda batch, ids=ids: self._complete(batch, ids))  # type: ignore[misc]
        return self._total

    def _adopt(self) -> None:
        """Settles what a killed run booked: what Salesforce has was made, the rest was not.

        What was to be completed is not settled: it may be done twice.
        """
        with self._db.begin():
            rows = self._db.execute(_UNFINISHED).mappings().all()
        for job_id in dict.fromkeys(row["job_id"] for row in rows):
            mine = [(row["external_key"], row["payload"]) for row in rows if row["job_id"] == job_id]
            made = self._find([key for key, _ in mine])
            batch = Batch(self._wanted, mine, job_id)
            batch.outcomes = [
                Outcome(key, "created", made[key]) if key in made else Outcome(key, "unprocessed") for key, _ in mine
            ]
            self._add(replace(self._settle(batch), unprocessed=0))
        for _ in self._jobs.adopt():
            pass

    def _send(self, rows: list[tuple[str, Payload]], call: Callable[[Batch], list[dict[str, Any]]]) -> None:
        """Books some Tasks, makes one call and settles what it answered."""
        if not rows:
            return
        with self._db.begin():
            self._db.execute(sa.text("drop table if exists pg_temp.sending"))
            self._db.execute(
                sa.text(
                    "create temporary table sending (part int, external_key text, payload jsonb, row_number bigint)"
                )
            )
            self._db.execute(
                sa.text("insert into sending values (0, :key, :payload, :number)"),
                [{"key": key, "payload": json.dumps(told), "number": n} for n, (key, told) in enumerate(rows)],
            )
        batch = self._jobs.collect()
        self._session.check_reserve()
        self._jobs.check_fence()
        said = call(batch)
        batch.outcomes = [outcome_of(key, each) for (key, _), each in zip(batch.rows, said, strict=True)]
        self._add(self._settle(batch))

    def _create(self, batch: Batch) -> list[dict[str, Any]]:
        # Not tried again by itself: a Task whose answer was lost is asked for by its key, by the next attempt.
        records = [{"attributes": {"type": SOBJECT}, self._key_field: key, **payload} for key, payload in batch.rows]
        return self._collect("POST", records, is_once=True)

    def _complete(self, batch: Batch, ids: Mapping[str, str]) -> list[dict[str, Any]]:
        records = [{"attributes": {"type": SOBJECT}, "id": ids[key], **payload} for key, payload in batch.rows]
        return [said | {"created": False} for said in self._collect("PATCH", records, is_once=False)]

    def _collect(self, method: str, records: list[dict[str, Any]], *, is_once: bool) -> list[dict[str, Any]]:
        call = self._session.call_once if is_once else self._session.call
        answer = call(method, "/composite/sobjects", {"allOrNone": False, "records": records})
        if not answer.is_ok or not isinstance(answer.body, list) or len(answer.body) != len(records):
            raise ConfigurationError("Salesforce refuses Tasks", status=answer.status, code=answer.code)
        return answer.body

    def _settle(self, batch: Batch) -> Counts:
        with self._db.begin():
            self._db.execute(sa.text("drop table if exists pg_temp.waiting"))
            self._db.execute(sa.text("create temporary table waiting (external_key text)"))
        return self._jobs.settle(batch)

    def _new(self, row: sa.RowMapping, owners: Mapping[str, str]) -> Payload:
        task = self._asked[row["rule"]]
        found = owners.get(row["email"] or "") or row["owner_id"]
        owner: Payload = {"OwnerId": found} if found else {}
        return owner | {
            "Subject": task.subject,
            "Description": row["details"],
            "Status": "Not Started",
            "Priority": "High" if row["severity"] == "critical" else "Normal",
            "ActivityDate": (row["business_date_opened"] + timedelta(days=task.due_days)).isoformat(),
            "WhatId": row["what_id"],
        }

    def _still_open(self, ids: Mapping[str, str]) -> dict[str, str]:
        """Keys and ids of Tasks that nobody completed or deleted; the others are left alone from now on."""
        live: set[str] = set()
        for some in _parts(ids.values(), _KEYS_ASKED):
            asked = f"SELECT Id FROM {SOBJECT} WHERE Id IN ({_listed(some)}) AND Status != '{DONE}'"  # noqa: S608
            live |= {record["Id"] for record in self._query(asked)}
        with self._db.begin():
            self._db.execute(_LEFT_ALONE, {"done": DONE, "keys": [key for key, id_ in ids.items() if id_ not in live]})
        return {key: id_ for key, id_ in ids.items() if id_ in live}

    def _find(self, keys: Sequence[str]) -> dict[str, str]:
        """Tasks by our key, with their ids."""
        found: dict[str, str] = {}
        for some in _parts(keys, _KEYS_ASKED):
            asked = f"SELECT Id, {self._key_field} FROM {SOBJECT} WHERE {self._key_field} IN ({_listed(some)})"  # noqa: S608
            found |= {record[self._key_field]: record["Id"] for record in self._query(asked)}
        return found

    def _find_owners(self, emails: set[str]) -> dict[str, str]:
        """Users by e-mail, in lower case; where there is none, the Task is the load's user's."""
        found: dict[str, str] = {}
        for some in _parts(sorted(emails), _KEYS_ASKED):
            asked = f"SELECT Id, Email FROM User WHERE IsActive = true AND Email IN ({_listed(some)})"  # noqa: S608
            found |= {record["Email"].lower(): record["Id"] for record in self._query(asked)}
        return found

    def _query(self, asked: str) -> list[dict[str, Any]]:
        answer = self._session.call("GET", f"/query?{urlencode({'q': asked})}")
        if not answer.is_ok:
            raise ConfigurationError("Salesforce refuses a query", status=answer.status, code=answer.code)
        return list(answer.body["records"])

    def _add(self, more: Counts) -> None:
        total = self._total
        self._total = replace(total, **{name: getattr(total, name) + getattr(more, name) for name in _ADDED})


def _listed(values: Iterable[str]) -> str:
    """Values of a SOQL list, quoted as SOQL wants it: it knows no parameters."""
    escaped = (value.replace("\\", "\\\\").replace("'", "\\'") for value in values)
    return ", ".join(f"'{value}'" for value in escaped)


def _parts(rows: Iterable[T], most: int) -> Iterator[list[T]]:
    left = iter(rows)
    while some := list(islice(left, most)):
        yield some
