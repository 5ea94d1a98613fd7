"""Match the rows that were sent with their results, by external id and in SQL, and settle the job.

The results of a bulk job are in three files; the results of collections are in the responses. A job is settled only if each of its rows
has exactly one result.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

import psycopg
import sqlalchemy as sa
from psycopg import sql

from include.control import dead_letters, ledger
from include.control.dead_letters import DeadLetter
from include.control.ledger import Counts, Pull
from include.control.writer import Fence
from include.crm.objects.mapping import CrmObject, literal
from include.crm.salesforce import VENDOR
from include.crm.sync.bulk import RESULTS, Bulk, JobInfo, Result
from include.crm.temporary import OUTCOME, REMADE, TempTable, declare_result_file
from include.database.driver import find_driver
from include.database.statistics import without_nested_loops
from include.errors import BalanceError

PASSING = ("UNABLE_TO_LOCK_ROW", "API_TEMPORARILY_UNAVAILABLE")
"""Codes of temporary errors, which are not a fault of the row. A code may be inside the text of another error, which a package raised."""

NO_REASON = "UNKNOWN_EXCEPTION:Salesforce gave no reason"
"""The error of a rejected row whose result has none."""

_FETCH_SIZE = 1000

_SELECT_STATUS = {
    "successfulResults": "case lower(sf__created) when 'true' then 'created' else 'updated' end, sf__id, null",
    "failedResults": f"'failed', null, coalesce(nullif(sf__error, ''), {literal(NO_REASON)})",
    "unprocessedrecords": "'unprocessed', null, null",
}

_UNMATCHED = """
select count(*) from (select external_key from control.crm_sent where job_id = :job_id) s
full join (select external_key, count(*) as times from outcome group by 1) o using (external_key)
where s.external_key is null or o.external_key is null or o.times <> 1
"""

_ACCEPT = """
insert into control.crm_state as c (sobject, external_key, payload, salesforce_id, job_id, shared_values)
select :sobject, s.external_key, s.payload, o.salesforce_id, :job_id,
       case when :shared = cast('{}' as text[]) then '{}'  -- most objects: their payloads are not read field by field
            else (select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(s.payload) where key = any(:shared)) end
from outcome o join control.crm_sent s on s.job_id = :job_id and s.external_key = o.external_key
where o.status in ('created', 'updated') and o.external_key not in (select external_key from remade)
order by o.external_key  -- neighbors are in the same pages of the table and of its indexes
on conflict (sobject, external_key) do update
set missing = null, payload = c.payload || excluded.payload, salesforce_id = excluded.salesforce_id, job_id = excluded.job_id,
    accepted_at = clock_timestamp(), shared_values = c.shared_values || excluded.shared_values
"""

# The record was deleted in Salesforce and our upsert created it again, without the fields that are sent once. Record the difference,
# and forget the record, so that the next sync sends it in full.
_FIND_REMADE = """
select c.external_key, c.salesforce_id from control.crm_state c join outcome o on o.external_key = c.external_key
where c.sobject = :sobject and o.status = 'created' and c.salesforce_id <> o.salesforce_id
"""

# A shared field was not sent, because the org has it; but the org does not have the record any more. The next sync sends the field.
_SEND_SHARED = """
update control.crm_state c
set shared_values = c.shared_values - array(select name from unnest(cast(:shared as text[])) name where position(name in o.error) > 0)
from outcome o where c.sobject = :sobject and c.external_key = o.external_key and o.status = 'failed' and o.error like 'REQUIRED_FIELD_MISSING%'
"""

_NOTE_REMADE = """
insert into control.crm_difference (run_id, sobject, entity, external_key, salesforce_id, kind)
select :removal, :sobject, :entity, external_key, salesforce_id, 'remade' from remade
"""

# Salesforce has cleared the lookups to a record that was deleted, or moved them to the record that it was merged into. Once the record is
# there again, the lookups are sent again.
_FORGET_LINKS = """
update control.crm_state c set payload = c.payload - array({links}) where exists ({links})
"""
_LINKS = """
select e.key from jsonb_each_text(c.payload) e join {gone} g on g.external_key = e.value where position('.' in e.key) > 0
"""

_FORGET_REMADE = """
delete from control.crm_state c using remade r where c.sobject = :sobject and c.external_key = r.external_key
"""

# A dead letter closes when its row is accepted; a row that fails again gets a newer dead letter.
_CLOSE_DEAD_LETTERS = """
update control.dead_letter l set status = 'replayed', replayed_by = :run_id, closed_at = clock_timestamp()
from outcome o
where l.vendor = :vendor and l.table_name = :sobject and l.stage = 'crm' and l.status = 'open'
  and l.row_key = o.external_key and o.status in ('created', 'updated')
"""

_FAILED = """
select o.external_key, o.error, s.row_number, s.payload
from outcome o join control.crm_sent s on s.job_id = :job_id and s.external_key = o.external_key
where o.status = 'failed' and o.is_passing is not true order by s.row_number
"""

_AGAIN = "select external_key from outcome where is_passing or status = 'unprocessed'"
_CLOSE = "update control.crm_job set state = 'closed', changed_at = clock_timestamp() where job_id = :job_id"

# Delete the content of the rows sent, except that of dead letters from their last try, and of rows in doubt until Salesforce accepts a later try.
_FORGET_SENT = """
delete from control.crm_sent s using outcome o, control.crm_job j
where s.external_key = o.external_key and j.job_id = s.job_id and j.sobject = :sobject and j.entity = :entity
  and (s.job_id <> :job_id or o.status <> 'failed' or o.is_passing)
  and (j.state not in ('abandoned', 'unbalanced') or o.status in ('created', 'updated'))
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `control.crm_job`: a job with its object, its run and its number of rows."""

    job_id: str
    sobject: str
    entity: str
    run_id: str
    business_date: date
    rows: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of a job.

    Attributes:
        counts: sent, created, updated, failed, unprocessed; `dead` counts the failed rows whose error is not temporary.
        again: Keys of the rows to send again: unprocessed, or failed with a temporary error.
    """

    counts: Counts
    again: list[str]


def read(db: sa.Connection, bulk: Bulk, mapping: CrmObject, job: Job, info: JobInfo) -> None:
    """Read the three result files of a job into the temporary table `OUTCOME`.

    Rows of an aborted job that have no result count as unprocessed.

    Raises:
        TargetUnavailable: Salesforce did not send a file completely.
        BalanceError: A file is not a valid result file.
    """
    _open_outcome(db)
    for which in RESULTS:
        bulk.session.persist(lambda which=which: _read_one(db, bulk, mapping.key_field, job, which))  # type: ignore[misc]
    if info.state == "Aborted":
        with db.begin():
            db.execute(
                sa.text("""
                insert into outcome select external_key, 'unprocessed' from control.crm_sent s
                where job_id = :job_id and not exists (select from outcome o where o.external_key = s.external_key)
                """),
                {"job_id": job.job_id},
            )
    _close_outcome(db)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one row. `status` is created, updated, failed or unprocessed; `error` of a failed row is `CODE:message:fields`."""

    external_key: str
    status: str
    salesforce_id: str | None = None
    error: str | None = None


def take(db: sa.Connection, outcomes: Iterable[Outcome]) -> None:
    """Write the outcomes of a batch into the temporary table `OUTCOME`, in place of earlier ones."""
    _open_outcome(db)
    if rows := [asdict(each) for each in outcomes]:
        with db.begin():
            db.execute(sa.text("insert into outcome values (:external_key, :status, :salesforce_id, :error)"), rows)
    _close_outcome(db)


def _open_outcome(db: sa.Connection) -> None:
    with db.begin():
        OUTCOME.create(db)


def _close_outcome(db: sa.Connection) -> None:
    with db.begin():
        db.execute(
            sa.text("update outcome set is_passing = true where error ~ :passing"), {"passing": "|".join(PASSING)}
        )
        # Without it, a planner that expects one accepted row of the object may read all results for each accepted row.
        db.execute(sa.text("create index on outcome (external_key)"))
        db.execute(sa.text("analyze outcome"))


def settle(
    db: sa.Connection, job: Job, info: JobInfo, fence: Fence, run_id: str, shared: Sequence[str] = ()
) -> Settled:
    """Settle a job in one transaction: update the accepted state, the dead letters and the ledger, and close the job.

    Args:
        db: The sync's connection, on which `read` or `take` has filled the table `OUTCOME` for the job.
        job: The job.
        info: The job's state in Salesforce.
        fence: The writer's fence for the object.
        run_id: The run that settles the job; an earlier run may have sent it.
        shared: The object's fields in which users' values stay. A value that was sent for such a field is stored as the vendor's value.

    Raises:
        BalanceError: A sent row has no result or several, or a result belongs to no sent row.
        WriterSuperseded: Another writer has taken over this object.
    """
    started = time.perf_counter()
    values = {
        "job_id": job.job_id, "sobject": job.sobject, "entity": job.entity, "vendor": VENDOR, "run_id": run_id,
        "shared": list(shared), "removal": name_removal(run_id),
    }  # fmt: skip
    with db.begin():
        if unmatched := db.scalar(sa.text(_UNMATCHED), values):
            raise BalanceError(
                "The results of a job do not account for its rows", job=job.job_id, sobject=job.sobject, rows=unmatched
            )
        if REMADE.fill(db, _FIND_REMADE, values):
            forget_links(db, REMADE)
        for statement in (_ACCEPT, _NOTE_REMADE, _FORGET_REMADE, _SEND_SHARED):
            db.execute(sa.text(statement), values)
        with without_nested_loops(db):  # after a bad day, each row of the object may have a dead letter
            db.execute(sa.text(_CLOSE_DEAD_LETTERS), values)
        pull = _pull(job, run_id)
        dead_letters.insert(db, pull, "crm", f"salesforce/{job.job_id}", _read_failed(db, job), own_day=False)
        counts = _count(db, job, info, time.perf_counter() - started)
        ledger.record(db, pull, "crm", counts, job.entity)
        again = list(db.scalars(sa.text(_AGAIN)))
        for statement in (_FORGET_SENT, _CLOSE):
            db.execute(sa.text(statement), values)
        fence.check(db)
    return Settled(counts, again)


def name_removal(run_id: str) -> str:
    """Return the run id of the differences that a sync has found by itself, apart from those of a read-back by the same run."""
    return f"removed:{run_id}"


def forget_links(db: sa.Connection, gone: TempTable) -> None:
    """Forget the accepted lookups to the records of `gone` (column `external_key`), which were deleted or merged in Salesforce."""
    db.execute(sa.text(_FORGET_LINKS.format(links=_LINKS.format(gone=gone))))


def _pull(job: Job, run_id: str) -> Pull:
    """Return the pull under which the ledger records a job, with the job's id as pull id."""
    now = datetime.now(UTC)
    return Pull(run_id, VENDOR, job.sobject, job.business_date, job.job_id, "current", now)


def _read_one(db: sa.Connection, bulk: Bulk, key_field: str, job: Job, which: Result) -> None:
    with db.begin(), bulk.open_results(job.job_id, which) as (pieces, _):
        header, pieces = _header(pieces)
        if not header and which == "unprocessedrecords":
            return
        names = [name.lower() for name in header]
        missing = {key_field.lower(), *_list_needed(which)} - set(names)
        if missing or len(set(names)) != len(names):
            raise BalanceError("A result file lacks a column", job=job.job_id, file=which, missing=sorted(missing))
        try:
            table = _copy(db, names, pieces)
        except psycopg.DataError as error:
            raise BalanceError("A result file is not valid CSV", job=job.job_id, file=which) from error
        key = db.dialect.identifier_preparer.quote(key_field.lower())
        db.execute(sa.text(f"insert into outcome select {key}, {_SELECT_STATUS[which]} from {table}"))  # noqa: S608


def _copy(db: sa.Connection, names: list[str], pieces: Iterator[bytes]) -> TempTable:
    table = declare_result_file(names)
    table.create(db)
    statement = sql.SQL("copy {} from stdin (format csv, header, encoding 'UTF8')").format(sql.Identifier(table.name))
    with find_driver(db).cursor() as cursor, cursor.copy(statement) as copy:
        for piece in pieces:
            copy.write(piece)
    return table


def _list_needed(which: Result) -> set[str]:
    return {"successfulResults": {"sf__id", "sf__created"}, "failedResults": {"sf__error"}}.get(which, set())


def _header(pieces: Iterator[bytes]) -> tuple[list[str], Iterator[bytes]]:
    """Return the column names in a CSV file's first line, and an iterator over the whole file, including that line."""
    first = b""
    for piece in pieces:
        first += piece
        if b"\n" in first:
            break
    line = first.partition(b"\n")[0].decode()

    def whole() -> Iterator[bytes]:
        yield first
        yield from pieces

    return next(csv.reader([line]), []), whole()


def _read_failed(db: sa.Connection, job: Job) -> Iterator[DeadLetter]:
    rows = db.execute(sa.text(_FAILED), {"job_id": job.job_id}, execution_options={"yield_per": _FETCH_SIZE})
    for external_key, error, row_number, payload in rows:
        yield DeadLetter(external_key, [_remove_values(error, payload)], "failedResults", row_number)


def _remove_values(error: str, payload: dict[str, str | None]) -> str:
    """Return Salesforce's message without the row's values. Keys of other records stay: they show which record is missing."""
    for name, value in payload.items():
        if value and "." not in name:
            # Salesforce truncates long values that it quotes.
            error = error.replace(value[:255], "...") if len(value) > 2 else error
    return error.removesuffix("--").rstrip(": ")


def _count(db: sa.Connection, job: Job, info: JobInfo, seconds: float) -> Counts:
    statuses: dict[str, int] = dict(
        db.execute(sa.text("select status, count(*) from outcome group by status")).tuples().all()
    )
    dead = int(
        db.scalar(sa.text("select count(*) from outcome where status = 'failed' and is_passing is not true")) or 0
    )
    return Counts(
        sent=job.rows,
        created=statuses.get("created", 0),
        updated=statuses.get("updated", 0),
        failed=statuses.get("failed", 0),
        unprocessed=statuses.get("unprocessed", 0),
        dead=dead,
        seconds=round(seconds, 3),
        notes={"job_state": info.state, "sent_by": job.run_id} | ({"error": info.error} if info.error else {}),
    )
