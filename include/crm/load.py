"""The warehouse's present state into Salesforce: parents before children, only what changed since it was accepted.

Everything is compared before anything is sent. What may not go is held back, and the rest is sent: rows of a vendor that is not
settled, an object that would change too much, an object that fails, and records that name one which Salesforce does not have.
A few changed rows travel by collections, several objects in one call; many travel by bulk jobs, an object at a time.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import sqlalchemy as sa

from include.connection import Connection
from include.control import ledger, writer
from include.control.calls import CallLog
from include.control.ledger import Counts, Pull
from include.control.writer import Fence
from include.crm import collections, delta, file, holding, marks, readback
from include.crm.bulk import Bulk
from include.crm.delta import Change, Delta
from include.crm.guard import Concern, find_concerns, find_unapproved
from include.crm.holding import Held
from include.crm.jobs import Jobs
from include.crm.mapping import CrmObject
from include.crm.objects import objects
from include.crm.salesforce import VENDOR, SalesforceSession
from include.crm.settings import Settings
from include.errors import (
    ApprovalNeeded,
    BalanceError,
    ConfigurationError,
    HeldBack,
    ObjectUnavailable,
    RetriableError,
    RowsFailed,
    SyncUnderWay,
    TargetUnavailable,
    TributaryError,
)
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
        unsettled: Vendors whose rows are held back, and since when.
    """

    deltas: Mapping[str, Delta]
    samples: Mapping[str, Sequence[Change]]
    concerns: list[Concern]
    unsettled: Mapping[str, datetime] = field(default_factory=dict)


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

    What was held back by a sync of everything is in `control.crm_held`; see `include.crm.holding`.

    Raises:
        ApprovalNeeded: Nothing was sent, because more would change than may.
        HeldBack: Nothing was sent, because all that changed is of vendors that are not settled.
        RowsFailed: Salesforce refused rows; each of them is a dead letter, everything else is in.
        TargetUnavailable: Salesforce is not there.
        ObjectUnavailable: A job of an object does not end, or rows of it are still locked or unprocessed; the others were sent.
        RateLimited: The org's calls of the day are used up, but for the reserve.
        WriterSuperseded: Another writer has taken over.
        BalanceError: The results of a job do not account for its rows; other objects were sent.
        AuthenticationError: The login or the permissions are refused.
        ConfigurationError: A field of the mapping is refused; other objects were sent.
    """
    calls = CallLog(engine, VENDOR, "", run_id)
    with (
        _own_connection(engine) as db,
        SalesforceSession(connection, calls, patience_s=patience_s) as session,
        _fresh_folder(work_dir / "crm") as folder,
        _turn(engine, is_whole=not only),
    ):
        one = _Sync(db, session, folder, run_id, business_date, settings, on_progress or log.info, only)
        if not only:
            _heal(engine, connection, db, session, run_id, settings, on_progress or log.info)
        done = one.run(list(approved), resends=resends)
        if not only:
            marks.keep(db, session, one.written)
    if one.failures:  # a failure that needs a person rather than one that may pass by itself
        raise min(one.failures, key=lambda error: isinstance(error, RetriableError))
    _refuse_green(engine, run_id)
    if not any(counts.sent for counts in done.values()):
        _refuse_standstill(one.held)
    return done


def _heal(
    engine: sa.Engine,
    connection: Connection,
    db: sa.Connection,
    session: SalesforceSession,
    run_id: str,
    settings: Settings,
    say: Say,
) -> None:
    """Reads everything back where the org is an earlier state of itself, so that what it lost is sent again."""
    state = marks.compare(db, session)
    if state == "same":
        return
    say(f"Salesforce holds an earlier state than it accepted ({state} records): everything is read back first")
    try:
        readback.read_back(engine, connection, run_id, settings, say, is_restored=state == "older")
    except ApprovalNeeded as error:  # no question that a person can approve
        raise ConfigurationError(str(error)) from error


def _refuse_standstill(held: Sequence[Held]) -> None:
    """A run that could send nothing does not end as one that had nothing to send."""
    if unapproved := [each.reason for each in held if each.cause == "approval"]:
        raise ApprovalNeeded("Salesforce is left as it is until a person approves: " + "; ".join(unapproved))
    if waiting := [each for each in held if each.cause == "vendor"]:
        vendors = sorted({each.subject for each in waiting})
        raise HeldBack(
            "Nothing is sent: the newest day is not reconciled",
            vendors=",".join(vendors), records=sum(each.records for each in waiting),
        )  # fmt: skip


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


def find_unsettled(engine: sa.Engine) -> dict[str, datetime]:
    """Returns the vendors whose rows a sync would hold back, and since when."""
    with engine.connect() as db:
        return delta.find_unsettled(db)


def preview(engine: sa.Engine, settings: Settings, keys: int = 20, *, resends: bool = False) -> Preview:
    """Says what a sync would send; changes nothing, and asks Salesforce nothing.

    Args:
        engine: As the loading role.
        settings: The firm's.
        keys: How many records of each object are shown field by field.
        resends: As for `sync`.
    """
    with _own_connection(engine) as db:
        shown = preview_within(db, settings, keys, resends=resends)
        db.rollback()
    return shown


def preview_within(db: sa.Connection, settings: Settings, keys: int = 20, *, resends: bool = False) -> Preview:
    """Does as `preview` within the transaction of a connection, which may hold what is not committed; the caller ends both."""
    deltas, samples = {}, {}
    unsettled = delta.find_present_days(db)
    for wanted in objects(settings):
        deltas[wanted.entity] = delta.compare(db, wanted, settings, resends=resends)
        samples[wanted.entity] = delta.sample(db, wanted, keys)
    return Preview(deltas, samples, find_concerns(deltas, settings), unsettled)


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
        self.failures: list[TributaryError] = []
        self._stopped: dict[str, Held] = {}
        self._withheld: list[Held] = []
        self._waits: dict[str, int] = {}
        self._going_out: dict[str, int] = {}
        self._unsettled: dict[str, datetime] = {}

    def run(self, approved: list[Concern], *, resends: bool) -> dict[str, Counts]:
        with _classed(self._db, list(self._fences.values())):
            self._keep_waiting([])
            for wanted in self._objects:
                self._adopt(wanted)
            first = deltas = self._compare(self._objects, resends=resends)
            self._hold_back(first, approved)
            while any(found.going_out for found in deltas.values()):
                self._session.keep_reserve(self._settings.reserved_ratio)
                before = self._count_sent()
                self._send({entity: found for entity, found in deltas.items() if entity not in self._stopped})
                if self._count_sent() == before:
                    break
                # What was refused for want of a parent goes now, if the parent just did.
                deltas = self._compare([w for w in self._objects if w.entity in deltas and deltas[w.entity].refused])
            self._record_idle(first)
            self._record_held()
        return {name: replace(counts, unchanged=first[name].unchanged) for name, counts in self._total.items()}

    @property
    def written(self) -> list[str]:
        """The Salesforce objects of which anything was sent."""
        return sorted({wanted.sobject for wanted in self._objects if self._total[wanted.entity].sent})

    def _count_sent(self) -> int:
        return sum(counts.sent for counts in self._total.values())

    def _adopt(self, wanted: CrmObject) -> None:
        with self._stopping(wanted):
            for counts in self._jobs[wanted.entity].adopt():
                self._add(wanted, replace(counts, dead=0))

    @contextmanager
    def _stopping(self, wanted: CrmObject) -> Iterator[None]:
        """Lets a failure of one object stop that object, and what has to wait for it, but no other."""
        try:
            yield
        except (ObjectUnavailable, ConfigurationError, BalanceError) as error:
            self._say(f"{wanted.sobject} ({wanted.entity}) is held back: {error}")
            self.failures.append(error)
            records = self._going_out.get(wanted.entity, 0)
            self._stopped[wanted.entity] = Held(wanted.entity, "failure", type(error).__name__, records, str(error))
            if wanted.entity in self._going_out:
                self._hold_children(wanted)

    def _hold_children(self, wanted: CrmObject) -> None:
        with self._db.begin():
            delta.hold_children(self._db, wanted)

    def _hold_back(self, deltas: Mapping[str, Delta], approved: list[Concern]) -> None:
        """Decides which objects are not sent, and notes what is held back of the others."""
        unapproved = find_unapproved(find_concerns(deltas, self._settings), approved, self._settings)
        for entity in dict.fromkeys(each.entity for each in unapproved):
            if entity not in self._stopped:
                mine = [each for each in unapproved if each.entity == entity]
                questions, reasons = ",".join(each.question for each in mine), "; ".join(each.reason for each in mine)
                self._stopped[entity] = Held(entity, "approval", questions, 0, reasons)
        for wanted in self._objects:
            found = deltas[wanted.entity]
            if (stopped := self._stopped.get(wanted.entity)) is not None:
                self._stopped[wanted.entity] = replace(stopped, records=found.going_out)
                self._hold_children(wanted)
            if found.withheld:
                self._hold_of_vendors(wanted)

    def _hold_of_vendors(self, wanted: CrmObject) -> None:
        with self._db.begin():
            counts = delta.count_withheld(self._db, wanted)
        for vendor, records in sorted(counts.items()):
            reason = f"the newest day of {vendor} is not reconciled"
            self._withheld.append(Held(wanted.entity, "vendor", vendor, records, reason, self._unsettled.get(vendor)))

    @property
    def held(self) -> list[Held]:
        """All that this run held back."""
        waiting = [
            Held(entity, "parent", "", records, "they name records that Salesforce has not accepted yet")
            for entity, records in self._waits.items()
            if records and entity not in self._stopped
        ]
        return [*self._stopped.values(), *self._withheld, *waiting]

    def _record_held(self) -> None:
        for each in self.held:
            self._say(str(each))
        if self._is_whole:
            with self._db.begin():
                holding.keep(self._db, self.held, self._run_id)

    def _send(self, deltas: Mapping[str, Delta]) -> None:
        for group in self._groups(deltas):
            if deltas[group[0].entity].going_out > self._settings.most_collected:
                with self._stopping(group[0]):
                    self._send_bulk(group[0])
            else:
                self._send_apart(group)

    def _send_apart(self, group: list[CrmObject]) -> None:
        """Sends a group; one that fails as a whole is sent object by object, so that one of them does not stop the others."""
        if len(group) > 1:
            try:
                self._send_few(group)
                return
            except (ObjectUnavailable, ConfigurationError, BalanceError) as error:
                self._say(f"Objects that travelled together failed, and go one by one: {error}")
        for wanted in group:
            with self._stopping(wanted):
                if len(group) > 1:
                    for counts in self._jobs[wanted.entity].adopt():
                        self._add(wanted, replace(counts, dead=0))
                self._send_few([wanted])

    def _compare(self, chosen: Sequence[CrmObject], *, resends: bool = False) -> dict[str, Delta]:
        deltas = {}
        with self._db.begin():
            self._unsettled = delta.find_present_days(self._db, must_be_settled=self._is_whole)
        for wanted in chosen:
            with self._db.begin():
                found = delta.compare(self._db, wanted, self._settings, resends=resends)
                delta.forget_refused(self._db, wanted, self._settings, self._run_id)
            self._say(
                f"{wanted.sobject} ({wanted.entity}): {found.new:,} new, {found.changed:,} changed, "
                f"{found.unchanged:,} unchanged, {found.refused:,} refused before and not sent again"
            )
            deltas[wanted.entity] = found
            self._going_out[wanted.entity] = found.going_out
        return deltas

    def _wait_for_parents(self, wanted: CrmObject) -> None:
        self._waits[wanted.entity] = delta.wait_for_parents(self._db, wanted)

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
        batches, sending = [], list[CrmObject]()
        for wanted in group:
            with self._db.begin():
                self._wait_for_parents(wanted)
                if delta.cut(self._db, wanted, MOST_ROWS):
                    sending.append(wanted)
                else:
                    continue
            batches.append(self._jobs[wanted.entity].collect())
        collections.send(self._session, batches, self._check_fences)
        waiting = {}
        for wanted, batch in zip(sending, batches, strict=True):
            self._keep_waiting([])
            self._add(wanted, self._jobs[wanted.entity].settle(batch))
            waiting[wanted.entity] = self._waiting()
        for wanted in sending:
            if waiting[wanted.entity]:
                self._keep_waiting(waiting[wanted.entity])
                self._send_bulk(wanted, only_waiting=True)

    def _send_bulk(self, wanted: CrmObject, *, only_waiting: bool = False) -> None:
        for attempt in range(int(only_waiting), 1 + _TRIES_AGAIN):
            with self._db.begin():
                most = SMALL_JOB_ROWS if attempt else MOST_ROWS
                if not attempt:
                    self._wait_for_parents(wanted)
                parts = delta.cut(self._db, wanted, most, only_waiting=attempt > 0)
            for part in parts:
                path = self._folder / f"{wanted.entity}-{attempt}-{part}.csv"
                with self._db.begin():
                    written = file.write(self._db, wanted, part, path)
                self._add(wanted, self._jobs[wanted.entity].send(part, written))
                path.unlink()
            if not (left := self._waiting()):
                return
        raise ObjectUnavailable(
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
