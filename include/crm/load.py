"""The warehouse's present state into Salesforce: parents before children, only what changed since it was accepted.

Everything is compared before anything is sent, so that a run that would change too much asks first. A few changed rows
travel by collections, several objects in one call; many travel by bulk jobs, an object at a time.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
from include.crm import collections, delta, file
from include.crm.bulk import Bulk
from include.crm.delta import Change, Delta
from include.crm.guard import Concern, find_concerns, refuse_unapproved
from include.crm.jobs import Jobs
from include.crm.mapping import CrmObject
from include.crm.objects import objects
from include.crm.salesforce import VENDOR, SalesforceSession
from include.crm.settings import Settings
from include.errors import DayNotClosed, RowsFailed, SyncUnderWay, TargetUnavailable
from include.warehouse import statistics

log = logging.getLogger(__name__)

MOST_ROWS = 1_000_000
SMALL_JOB_ROWS = 5_000
"""Of a job that sends again what was locked: one batch at Salesforce, so that no two batches meet at a parent."""

_TRIES_AGAIN = 2
_SMALL_SYNC_S = 30
# A number of our own. Whole syncs share the lock; a small one has it alone, and so begins only where there is no other.
_LOCK_SHARED = sa.text("select pg_advisory_lock_shared(7421, 1)")
_TRY_ALONE = sa.text("select pg_try_advisory_lock(7421, 1)")
_ADDED = ("sent", "created", "updated", "failed", "unprocessed", "dead")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a sync would send, changing nothing.

    Attributes:
        deltas: By entity.
        samples: By entity, the first changed records field by field.
        concerns: What a person would be asked about.
    """

    deltas: Mapping[str, Delta]
    samples: Mapping[str, Sequence[Change]]
    concerns: list[Concern]


def sync(
    engine: sa.Engine,
    connection: Connection,
    work_dir: Path,
    run_id: str,
    business_date: date,
    settings: Settings,
    *,
    approved: Sequence[Concern] = (),
    resends: bool = False,
    only: Collection[str] = (),
    patience_s: float = 120.0,
    on_progress: Say | None = None,
) -> dict[str, Counts]:
    """Brings Salesforce in step with the warehouse; killed at any point, it can be run again.

    Args:
        engine: As the loading role.
        connection: The org; see `SalesforceSession`.
        work_dir: Where files lie until Salesforce has taken them.
        run_id: Names the run.
        business_date: The day the run is about; for ledger and dead letters. What is sent is the present.
        settings: The firm's.
        approved: What a person has said yes to.
        resends: Whether what was refused is sent again although nothing changed.
        only: Entities that come by events, and no snapshot; empty for everything. They wait for no vendor's day, and give way
            to a sync of everything, which brings them, too.
        patience_s: How long one call is tried again, in seconds.
        on_progress: Told how it goes, a line at a time.

    Returns:
        Counts by entity: sent, created, updated, failed, unprocessed, dead (will fail again), unchanged.

    Raises:
        ApprovalNeeded: More would change than may; nothing was sent.
        RowsFailed: Salesforce refused rows; each of them is a dead letter, everything else is in.
        TargetUnavailable: Rows of an object are still locked or unprocessed, or Salesforce is not there.
        RateLimited: The org's calls of the day are used up, but for the reserve.
        WriterSuperseded: Another writer has taken over.
        BalanceError: The results of a job do not account for its rows.
        AuthenticationError, ConfigurationError: Login, permissions or a field of the mapping are refused.
    """
    calls = CallLog(engine, VENDOR, "", run_id)
    with (
        _own_connection(engine) as db,
        SalesforceSession(connection, calls, patience_s=patience_s) as session,
        _fresh_folder(work_dir / "crm") as folder,
        _turn(engine, is_whole=not only),
    ):
        one = _Sync(db, session, folder, run_id, business_date, settings, on_progress or log.info, only)
        done = one.run(list(approved), resends=resends)
    _refuse_green(engine, run_id)
    return done


def _refuse_green(engine: sa.Engine, run_id: str) -> None:
    """A run is not green while it has open letters, whichever of its attempts wrote them, or a job that it adopted."""
    with engine.connect() as db:
        letters = db.execute(
            sa.text("""
            select table_name, count(*) from control.dead_letter
            where vendor = :vendor and stage = 'crm' and status = 'open' and run_id = :run_id and table_name <> 'Task' group by 1
            """),
            {"vendor": VENDOR, "run_id": run_id},
        )
        dead: dict[str, int] = dict(letters.tuples().all())
    if dead:
        raise RowsFailed("Salesforce refuses rows; see the dead letters", run_id=run_id, rows=dead)


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


def preview(engine: sa.Engine, settings: Settings, keys: int = 20, *, resends: bool = False) -> Preview:
    """Says what a sync would send; changes nothing, and asks Salesforce nothing.

    Args:
        engine: As the loading role.
        settings: The firm's.
        keys: How many records of each object are shown field by field.
        resends: As for `sync`.
    """
    deltas, samples = {}, {}
    with _own_connection(engine) as db:
        delta.find_present_days(db)
        for wanted in objects(settings):
            deltas[wanted.entity] = delta.compare(db, wanted, settings, resends=resends)
            samples[wanted.entity] = delta.sample(db, wanted, keys)
        db.rollback()
    return Preview(deltas, samples, find_concerns(deltas, settings))


class _Sync:
    """One run: all objects compared, then sent."""

    def __init__(
        self,
        db: sa.Connection,
        session: SalesforceSession,
        folder: Path,
        run_id: str,
        day: date,
        settings: Settings,
        say: Say,
        only: Collection[str] = (),
    ) -> None:
        self._db, self._session, self._folder, self._settings, self._say = db, session, folder, settings, say
        self._run_id, self._day = run_id, day
        self._is_whole = not only
        self._objects = tuple(each for each in objects(settings) if not only or each.entity in only)
        names = list(dict.fromkeys(wanted.sobject for wanted in self._objects))
        self._fences = dict(zip(names, writer.take_all(db, [f"crm:{name}" for name in names]), strict=True))
        self._jobs = {
            wanted.entity: Jobs(db, Bulk(session), wanted, self._fences[wanted.sobject], run_id, day, say)
            for wanted in self._objects
        }
        self._total = {wanted.entity: Counts() for wanted in self._objects}

    def run(self, approved: list[Concern], *, resends: bool) -> dict[str, Counts]:
        with _classed(self._db, list(self._fences.values())):
            self._keep_waiting([])
            for wanted in self._objects:
                for counts in self._jobs[wanted.entity].adopt():
                    self._add(wanted, replace(counts, dead=0))
            first = deltas = self._compare(self._objects, resends=resends)
            refuse_unapproved(find_concerns(deltas, self._settings), approved, self._settings)
            while any(found.going_out for found in deltas.values()):
                self._session.keep_reserve(self._settings.reserved_ratio)
                self._send(deltas)
                # What was refused for want of a parent goes now, if the parent just did.
                deltas = self._compare([w for w in self._objects if w.entity in deltas and deltas[w.entity].refused])
            self._record_idle(first)
        return {name: replace(counts, unchanged=first[name].unchanged) for name, counts in self._total.items()}

    def _send(self, deltas: Mapping[str, Delta]) -> None:
        for group in self._groups(deltas):
            if deltas[group[0].entity].going_out > self._settings.most_collected:
                self._send_bulk(group[0])
            else:
                self._send_few(group)

    def _compare(self, chosen: Sequence[CrmObject], *, resends: bool = False) -> dict[str, Delta]:
        deltas = {}
        with self._db.begin():
            delta.find_present_days(self._db, must_be_settled=self._is_whole)
        for wanted in chosen:
            with self._db.begin():
                found = delta.compare(self._db, wanted, self._settings, resends=resends)
                delta.forget_refused(self._db, wanted, self._settings, self._run_id)
            self._say(
                f"{wanted.sobject} ({wanted.entity}): {found.new:,} new, {found.changed:,} changed, "
                f"{found.unchanged:,} unchanged, {found.refused:,} refused before and not sent again"
            )
            deltas[wanted.entity] = found
        return deltas

    def _groups(self, deltas: Mapping[str, Delta]) -> Iterator[list[CrmObject]]:
        """Objects that travel together: few rows, and none that a later one of them may need as its parent."""
        group: list[CrmObject] = []
        for wanted in (each for each in self._objects if each.entity in deltas):
            found = deltas[wanted.entity]
            is_few = found.going_out <= self._settings.most_collected
            if group and not is_few:
                yield group
                group = []
            if found.going_out:
                group.append(wanted)
            if group and (found.new or not is_few):
                yield group
                group = []
        if group:
            yield group

    def _send_few(self, group: list[CrmObject]) -> None:
        batches = []
        for wanted in group:
            with self._db.begin():
                delta.cut(self._db, wanted, MOST_ROWS)
            batches.append(self._jobs[wanted.entity].collect())
        collections.send(self._session, batches, self._check_fences)
        waiting = {}
        for wanted, batch in zip(group, batches, strict=True):
            self._keep_waiting([])
            self._add(wanted, self._jobs[wanted.entity].settle(batch))
            waiting[wanted.entity] = self._waiting()
        for wanted in group:
            if waiting[wanted.entity]:
                self._keep_waiting(waiting[wanted.entity])
                self._send_bulk(wanted, only_waiting=True)

    def _send_bulk(self, wanted: CrmObject, *, only_waiting: bool = False) -> None:
        for attempt in range(int(only_waiting), 1 + _TRIES_AGAIN):
            with self._db.begin():
                most = SMALL_JOB_ROWS if attempt else MOST_ROWS
                parts = delta.cut(self._db, wanted, most, only_waiting=attempt > 0)
            for part in parts:
                path = self._folder / f"{wanted.entity}-{attempt}-{part}.csv"
                with self._db.begin():
                    written = file.write(self._db, wanted, part, path)
                self._add(wanted, self._jobs[wanted.entity].send(part, written))
                path.unlink()
            if not (left := self._waiting()):
                return
        raise TargetUnavailable(
            "Rows are still locked or unprocessed at Salesforce; they go out again",
            sobject=wanted.sobject, rows=len(left), dead=self._total[wanted.entity].dead or None,
        )  # fmt: skip

    def _check_fences(self) -> None:
        with self._db.begin():
            for fence in self._fences.values():
                fence.check(self._db)

    def _waiting(self) -> list[str]:
        with self._db.begin():
            return list(self._db.scalars(sa.text("select external_key from waiting")))

    def _keep_waiting(self, keys: list[str]) -> None:
        with self._db.begin():
            self._db.execute(sa.text("drop table if exists pg_temp.waiting"))
            self._db.execute(
                sa.text("create temporary table waiting as select unnest(cast(:keys as text[])) as external_key"),
                {"keys": keys},
            )

    def _add(self, wanted: CrmObject, more: Counts) -> None:
        total = self._total[wanted.entity]
        self._total[wanted.entity] = replace(
            total, **{name: getattr(total, name) + getattr(more, name) for name in _ADDED}
        )

    def _record_idle(self, deltas: Mapping[str, Delta]) -> None:
        """An object of which nothing was sent has a ledger row, too."""
        with self._db.begin():
            for wanted in self._objects:
                if not self._total[wanted.entity].sent:
                    name, counts = wanted.sobject, Counts(unchanged=deltas[wanted.entity].unchanged)
                    pull = Pull(self._run_id, VENDOR, name, self._day, self._run_id, "present", datetime.now(UTC))
                    ledger.record(self._db, pull, "crm", counts, wanted.entity)


@contextmanager
def _own_connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that the pool does not get back: its temporary tables end with it."""
    statistics.refresh(engine)
    with engine.connect() as db:
        try:
            yield db
        finally:
            db.invalidate()


@contextmanager
def _turn(engine: sa.Engine, *, is_whole: bool) -> Iterator[None]:
    """Keeps a small sync and a whole one from writing the same object, of which the fences would let the newer one win.

    A small one does not begin beside another one. A whole one waits a while for a small one, which is soon over, and for no
    other whole one: that may be stopped, and is then taken over from.

    Raises:
        SyncUnderWay: Another sync is under way.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        try:
            if is_whole:
                db.execute(sa.text(f"set lock_timeout = '{_SMALL_SYNC_S}s'"))
                with suppress(sa.exc.OperationalError, TargetUnavailable):  # one that hangs is taken over from
                    db.execute(_LOCK_SHARED)
            elif not db.scalar(_TRY_ALONE):
                raise SyncUnderWay("Another sync is under way")
            yield
        finally:
            db.invalidate()  # the lock ends with the session


@contextmanager
def _fresh_folder(folder: Path) -> Iterator[Path]:
    """A folder of this run alone, for nobody else's eyes, gone at the end; so is what a killed run left a day ago."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.iterdir():
        if left.stat().st_mtime < time.time() - 86_400:
            shutil.rmtree(left, ignore_errors=True)
    own = Path(tempfile.mkdtemp(dir=folder))
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


@contextmanager
def _classed(db: sa.Connection, fences: Sequence[Fence]) -> Iterator[None]:
    """The database's errors as ours: taken over by a newer writer, or worth another try."""
    try:
        yield
    except (TargetUnavailable, psycopg.OperationalError) as error:
        with db.engine.connect() as other, other.begin():
            for fence in fences:
                fence.check(other)
        if isinstance(error, TargetUnavailable):
            raise
        raise TargetUnavailable("The database went away or was busy", cause=type(error).__name__) from error
