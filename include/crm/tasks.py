"""Tasks for advisors: one a finding that asks for somebody's action, closed when its cause is gone.

Salesforce takes no upsert of a Task, so each carries our key in a field that can be asked for: whoever comes after a
killed run finds the Task that it made, and makes no second one. A Task that a person has completed or deleted is left
alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlencode

import sqlalchemy as sa

from include.connection import Connection
from include.control import dead_letters, ledger, writer
from include.control.calls import CallLog
from include.control.dead_letters import DeadLetter
from include.control.ledger import Counts, Pull
from include.crm.collections import COLLECTION_ROWS
from include.crm.objects import ACCOUNT, FINANCIAL_ACCOUNT
from include.crm.salesforce import VENDOR, SalesforceSession
from include.crm.settings import Settings
from include.errors import ConfigurationError, RowsFailed

log = logging.getLogger(__name__)
T = TypeVar("T")

SOBJECT = "Task"
DONE = "Completed"
_KEYS_ASKED = 100

# Findings whose rule raises a Task, and what the Task is about: the account's or the household's record.
_WANTED = sa.text("""
select f.finding_id, f.rule, f.severity, f.details, f.business_date_opened, r.email,
       :firm || ':' || f.vendor || ':finding:' || f.finding_id as task_key, s.salesforce_id as what_id
from control.finding f
join warehouse.source_key k on k.entity = f.subject_entity and k.vendor = f.vendor and k.id = f.subject_id
join control.crm_state s on s.sobject = case f.subject_entity when 'account' then :account else :household end
                        and s.external_key = :firm || ':' || f.vendor || ':' || f.subject_entity || ':' || k.source_key
left join warehouse.representative r on r.representative_id = f.representative_id
     and r.valid_to is null and r.recorded_to is null
where f.closed_at is null and f.rule = any(:rules)
  and not exists (select from control.crm_task t where t.finding_id = f.finding_id)
order by f.finding_id
""")

_OVER = sa.text("""
select t.finding_id, t.salesforce_id from control.crm_task t join control.finding f using (finding_id)
where t.is_open and f.closed_at is not null order by t.finding_id
""")

_KNOWN = sa.text("""
insert into control.crm_task (finding_id, salesforce_id) values (:finding_id, :salesforce_id)
on conflict (finding_id) do nothing
""")

_CLOSED = sa.text(
    "update control.crm_task set is_open = false, closed_at = clock_timestamp() where finding_id = any(:ids)"
)


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
) -> Counts:
    """Raises a Task for each open finding that has none, and completes those whose finding is closed.

    Args:
        engine: As the loading role.
        connection: The org.
        run_id: Names the run.
        business_date: For ledger and dead letters.
        settings: The firm's.
        asked: Rule -> its Task.

    Returns:
        sent, created, updated, failed.

    Raises:
        RowsFailed: Salesforce refused Tasks; each of them is a dead letter.
        TributaryError: As `SalesforceSession.call` raises.
    """
    calls = CallLog(engine, VENDOR, SOBJECT, run_id)
    with engine.connect() as db, SalesforceSession(connection, calls) as session:
        fence = writer.take(db, f"crm:{SOBJECT}")
        session.keep_reserve(settings.reserved_ratio)
        with db.begin():
            wanted = (
                db.execute(
                    _WANTED,
                    {"firm": settings.firm, "rules": list(asked), "account": FINANCIAL_ACCOUNT, "household": ACCOUNT},
                )
                .mappings()
                .all()
            )
            over = db.execute(_OVER).mappings().all()
        answers = _Answers()
        for some in _parts(_without_known(db, session, settings, wanted), COLLECTION_ROWS):
            owners = _find_owners(session, {row["email"] for row in some if row["email"]})
            with db.begin():
                fence.check(db)
            _create(db, session, settings, some, owners, asked, answers)
        for some in _parts(over, COLLECTION_ROWS):
            with db.begin():
                fence.check(db)
            _complete(db, session, some, answers)
        counts = answers.counts()
        pull = Pull(run_id, VENDOR, SOBJECT, business_date, run_id, "present", datetime.now(UTC))
        with db.begin():
            ledger.record(db, pull, "crm", counts, "task")
            letters = (DeadLetter(key, [why], "answers", n) for n, (key, why) in enumerate(answers.refused))
            dead_letters.bury(db, pull, "crm", f"salesforce/task/{run_id}", letters, own_day=False)
    if answers.refused:
        raise RowsFailed("Salesforce refuses Tasks; see the dead letters", run_id=run_id, rows=len(answers.refused))
    return counts


@dataclass
class _Answers:
    created: int = 0
    updated: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)

    def counts(self) -> Counts:
        failed = len(self.refused)
        sent = self.created + self.updated + failed
        return Counts(sent=sent, created=self.created, updated=self.updated, failed=failed, dead=failed)


def _without_known(
    db: sa.Connection, session: SalesforceSession, settings: Settings, wanted: Sequence[sa.RowMapping]
) -> Iterator[sa.RowMapping]:
    """Leaves out findings whose Task is in Salesforce already: a run made it, and died before it could note it."""
    key_field = settings.key_of(SOBJECT)
    for some in _parts(wanted, _KEYS_ASKED):
        by_key = {row["task_key"]: row for row in some}
        found = _query(session, f"SELECT Id, {key_field} FROM {SOBJECT} WHERE {key_field} IN ({_listed(by_key)})")  # noqa: S608
        for record in found:
            known = by_key.pop(record[key_field], None)
            if known is not None:
                _note(db, known["finding_id"], record["Id"])
        yield from by_key.values()


def _create(
    db: sa.Connection,
    session: SalesforceSession,
    settings: Settings,
    rows: Sequence[sa.RowMapping],
    owners: Mapping[str, str],
    asked: Mapping[str, Asked],
    answers: _Answers,
) -> None:
    records = []
    for row in rows:
        task = asked[row["rule"]]
        record = {
            "attributes": {"type": SOBJECT},
            settings.key_of(SOBJECT): row["task_key"],
            "Subject": task.subject,
            "Description": row["details"],
            "Status": "Not Started",
            "Priority": "High" if row["severity"] == "critical" else "Normal",
            "ActivityDate": (row["business_date_opened"] + timedelta(days=task.due_days)).isoformat(),
            "WhatId": row["what_id"],
        }
        if owner := owners.get((row["email"] or "").lower()):
            record["OwnerId"] = owner
        records.append(record)
    for row, said in zip(rows, _collect(session, "POST", records), strict=True):
        if said["success"]:
            _note(db, row["finding_id"], said["id"])
            answers.created += 1
        else:
            answers.refused.append((row["task_key"], _reason(said)))


def _complete(db: sa.Connection, session: SalesforceSession, rows: Sequence[sa.RowMapping], answers: _Answers) -> None:
    """Completes Tasks, but for those that somebody completed or deleted before us."""
    live: set[str] = set()
    for some in _parts(rows, _KEYS_ASKED):
        ids = _listed(row["salesforce_id"] for row in some)
        asked = f"SELECT Id FROM {SOBJECT} WHERE Id IN ({ids}) AND Status != '{DONE}'"  # noqa: S608
        live |= {record["Id"] for record in _query(session, asked)}
    ours = [row for row in rows if row["salesforce_id"] in live]
    records = [{"attributes": {"type": SOBJECT}, "id": row["salesforce_id"], "Status": DONE} for row in ours]
    over = [row["finding_id"] for row in rows if row["salesforce_id"] not in live]
    for row, said in zip(ours, _collect(session, "PATCH", records) if records else [], strict=True):
        if said["success"]:
            over.append(row["finding_id"])
            answers.updated += 1
        else:
            answers.refused.append((str(row["finding_id"]), _reason(said)))
    with db.begin():
        db.execute(_CLOSED, {"ids": over})


def _collect(session: SalesforceSession, method: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    session.check_reserve()
    # Not tried again: a Task whose answer was lost is found by its key, by the next attempt.
    answer = session.call_once(method, "/composite/sobjects", {"allOrNone": False, "records": records})
    if not answer.is_ok or not isinstance(answer.body, list) or len(answer.body) != len(records):
        raise ConfigurationError("Salesforce refuses Tasks", status=answer.status, code=answer.code)
    return answer.body


def _find_owners(session: SalesforceSession, emails: set[str]) -> dict[str, str]:
    """Users by e-mail, in lower case; who has none of it gets no Task of his own, the load's user does."""
    found: dict[str, str] = {}
    for some in _parts(sorted(emails), _KEYS_ASKED):
        asked = f"SELECT Id, Email FROM User WHERE IsActive = true AND Email IN ({_listed(some)})"  # noqa: S608
        found |= {record["Email"].lower(): record["Id"] for record in _query(session, asked)}
    return found


def _query(session: SalesforceSession, asked: str) -> list[dict[str, Any]]:
    answer = session.call("GET", f"/query?{urlencode({'q': asked})}")
    if not answer.is_ok:
        raise ConfigurationError("Salesforce refuses a query", status=answer.status, code=answer.code)
    return list(answer.body["records"])


def _listed(values: Iterable[str]) -> str:
    """Values of a SOQL list, quoted as SOQL wants it: it knows no parameters."""
    escaped = (value.replace("\\", "\\\\").replace("'", "\\'") for value in values)
    return ", ".join(f"'{value}'" for value in escaped)


def _parts(rows: Iterable[T], most: int) -> Iterator[list[T]]:
    left = iter(rows)
    while some := list(islice(left, most)):
        yield some


def _note(db: sa.Connection, finding_id: int, salesforce_id: str) -> None:
    with db.begin():
        db.execute(_KNOWN, {"finding_id": finding_id, "salesforce_id": salesforce_id})


def _reason(said: Mapping[str, Any]) -> str:
    first = said["errors"][0]
    return f"{first['statusCode']}: {', '.join(first.get('fields') or ())}"
