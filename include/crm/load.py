"""The warehouse's present state into Salesforce: parents before children, only what changed since it was accepted."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import sqlalchemy as sa

from include.connection import Connection
from include.control import ledger, writer
from include.control.calls import CallLog
from include.control.ledger import Counts, Pull
from include.control.writer import Fence
from include.crm import delta, file
from include.crm.bulk import Bulk
from include.crm.delta import Change, Delta
from include.crm.jobs import Jobs
from include.crm.mapping import OBJECTS, CrmObject
from include.crm.salesforce import VENDOR, SalesforceSession
from include.errors import DayNotClosed, RowsFailed, TargetUnavailable

log = logging.getLogger(__name__)

MOST_ROWS = 1_000_000
SMALL_JOB_ROWS = 5_000
"""Of a job that sends again what was locked: one batch at Salesforce, so that no two batches meet at a parent."""

_TRIES_AGAIN = 2
_ADDED = ("sent", "created", "updated", "failed", "unprocessed", "dead")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a sync would send of one object, with the first changed records field by field."""

    delta: Delta
    sample: list[Change]


def sync(
    engine: sa.Engine,
    connection: Connection,
    work_dir: Path,
    run_id: str,
    business_date: date,
    firm: str,
    on_progress: Say | None = None,
) -> dict[str, Counts]:
    """Brings Salesforce in step with the warehouse; killed at any point, it can be run again.

    Args:
        engine: As the loading role.
        connection: The org; see `SalesforceSession`.
        work_dir: Where files lie until Salesforce has taken them.
        run_id: Names the run.
        business_date: The day the run is about; for ledger and dead letters. What is sent is the present.
        firm: Short name of the firm, first part of every key.
        on_progress: Told how it goes, a line at a time.

    Returns:
        Counts by entity: sent, created, updated, failed, unprocessed, dead (will fail again), unchanged.

    Raises:
        RowsFailed: Salesforce refused rows; each of them is a dead letter, everything else is in.
        TargetUnavailable: Rows of an object are still locked or unprocessed, or Salesforce is not there.
        RateLimited: The org's calls of the day are used up.
        WriterSuperseded: Another writer has taken over.
        BalanceError: The results of a job do not account for its rows.
        AuthenticationError, ConfigurationError: Login, permissions or a field of the mapping are refused.
    """
    calls = CallLog(engine, VENDOR, "", run_id)
    done: dict[str, Counts] = {}
    with (
        _own_connection(engine) as db,
        SalesforceSession(connection, calls) as session,
        _fresh_folder(work_dir / "crm") as folder,
    ):
        for wanted in OBJECTS:
            one = _Sync(db, Bulk(session), wanted, folder, run_id, business_date, on_progress or log.info)
            done[wanted.entity] = one.run(firm)
            calls.flush()
    if dead := {entity: counts.dead for entity, counts in done.items() if counts.dead}:
        raise RowsFailed("Salesforce refuses rows; see the dead letters", run_id=run_id, rows=dead)
    return done


def is_settled(engine: sa.Engine) -> bool:
    """Whether every vendor's newest day is reconciled, so that a sync may send it."""
    with _own_connection(engine) as db:
        try:
            delta.find_present_days(db)
        except DayNotClosed:
            return False
        finally:
            db.rollback()
    return True


def preview(engine: sa.Engine, firm: str, keys: int = 20) -> dict[str, Preview]:
    """Says what a sync would send, by entity; changes nothing, and asks Salesforce nothing.

    Args:
        engine: As the loading role.
        firm: As for `sync`.
        keys: How many records of each object are shown field by field.
    """
    found = {}
    with _own_connection(engine) as db:
        delta.find_present_days(db)
        for wanted in OBJECTS:
            found[wanted.entity] = Preview(delta.compare(db, wanted, firm), delta.sample(db, wanted, keys))
        db.rollback()
    return found


class _Sync:
    """One object of one run."""

    def __init__(
        self, db: sa.Connection, bulk: Bulk, wanted: CrmObject, folder: Path, run_id: str, day: date, say: Say
    ) -> None:
        self._db, self._wanted, self._folder, self._run_id, self._day, self._say = db, wanted, folder, run_id, day, say
        self._fence = writer.take(db, f"crm:{wanted.sobject}")
        self._jobs = Jobs(db, bulk, wanted, self._fence, run_id, day, say)

    def run(self, firm: str) -> Counts:
        with _classed(self._db, self._fence):
            self._forget_waiting()
            total = Counts()
            for counts in self._jobs.adopt():
                total = _add(total, replace(counts, dead=0))
            with self._db.begin():
                delta.find_present_days(self._db)
                found = delta.compare(self._db, self._wanted, firm)
            self._say(f"{self._wanted.sobject}: {found.new} new, {found.changed} changed, {found.unchanged} unchanged")
            for counts in self._send_all():
                total = _add(total, counts)
            if not total.sent:
                self._record_nothing(found)
            left = self._waiting()
        if left:
            raise TargetUnavailable(
                "Rows are still locked or unprocessed at Salesforce; they go out again",
                sobject=self._wanted.sobject, rows=left, dead=total.dead or None,
            )  # fmt: skip
        return replace(total, unchanged=found.unchanged)

    def _send_all(self) -> Iterator[Counts]:
        for attempt in range(1 + _TRIES_AGAIN):
            with self._db.begin():
                most = SMALL_JOB_ROWS if attempt else MOST_ROWS
                parts = delta.cut(self._db, self._wanted, most, only_waiting=attempt > 0)
            for part in parts:
                path = self._folder / f"{self._wanted.entity}-{attempt}-{part}.csv"
                with self._db.begin():
                    written = file.write(self._db, self._wanted, part, path)
                yield self._jobs.send(part, written)
                path.unlink()
            if not self._waiting():
                return

    def _forget_waiting(self) -> None:
        with self._db.begin():
            self._db.execute(sa.text("drop table if exists pg_temp.waiting"))
            self._db.execute(sa.text("create temporary table waiting (external_key text)"))

    def _waiting(self) -> int:
        with self._db.begin():
            return int(self._db.scalar(sa.text("select count(*) from waiting")) or 0)

    def _record_nothing(self, found: Delta) -> None:
        pull = Pull(self._run_id, VENDOR, self._wanted.sobject, self._day, self._run_id, "present", datetime.now(UTC))
        with self._db.begin():
            ledger.record(self._db, pull, "crm", Counts(unchanged=found.unchanged), self._wanted.entity)


@contextmanager
def _own_connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that the pool does not get back: its temporary tables end with it."""
    with engine.connect() as db:
        try:
            yield db
        finally:
            db.invalidate()


@contextmanager
def _fresh_folder(folder: Path) -> Iterator[Path]:
    """An empty folder for nobody else's eyes; what a killed run left in it is gone, and so is it at the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _classed(db: sa.Connection, fence: Fence) -> Iterator[None]:
    """The database's errors as ours: taken over by a newer writer, or worth another try."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InternalError, psycopg.OperationalError) as error:
        with db.engine.connect() as other, other.begin():
            fence.check(other)
        raise TargetUnavailable(
            "The database went away or was busy", subject=fence.subject, cause=type(error).__name__
        ) from error


def _add(total: Counts, more: Counts) -> Counts:
    return replace(total, **{name: getattr(total, name) + getattr(more, name) for name in _ADDED})
