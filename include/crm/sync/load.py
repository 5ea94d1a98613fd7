"""Sync the warehouse's current state to Salesforce: parents before children, and only changes since the last accepted state.

Everything is compared before anything is sent (`include.crm.sync.delta`). Records that may not be sent are held back
(`include.crm.sync.holdback`), and the rest is sent (`include.crm.sync.sender`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from include.control import ledger, writer
from include.control.calls import CallLog
from include.control.ledger import Counts, Pull
from include.crm import readiness
from include.crm.adoption.keys import write_keys
from include.crm.database import open_session, take_turn, translate_errors
from include.crm.objects.mapping import CrmObject
from include.crm.objects.portfolio import list_mappings
from include.crm.own_org import open_own_org
from include.crm.run import Org, ReportLine, SyncRun
from include.crm.salesforce import VENDOR, SalesforceSession
from include.crm.sync import delta, file, holding, marks, readback, removed, totals
from include.crm.sync.bulk import Bulk
from include.crm.sync.delta import Delta
from include.crm.sync.guard import Concern
from include.crm.sync.holdback import Holdback
from include.crm.sync.holding import Held
from include.crm.sync.jobs import Jobs
from include.crm.sync.sender import Sender
from include.errors import ApprovalNeeded, HeldBack, RetriableError, RowsFailed
from include.recovery.restore import require_read_back

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a sync: the changes and entities that it may send.

    Attributes:
        approved: The approved concerns; their changes may be sent.
        resends: The error whose rejected records are sent again although they have not changed; see `delta.EVERY_ERROR`.
        only: The entities of a small sync, such as envelopes; empty for a full sync. Vendors report these entities by events, not in
            a daily snapshot. So a small sync does not wait until a vendor's day is reconciled. It does not start while another sync
            runs. A full sync also sends these entities.
    """

    approved: Sequence[Concern] = ()
    resends: str = ""
    only: Collection[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether this is a full sync."""
        return not self.only


def sync(
    org: Org,
    run: SyncRun,
    work_dir: Path,
    scope: Scope = Scope(),
    *,
    patience_s: float = 120.0,
    report_line: ReportLine = log.info,
) -> dict[str, Counts]:
    """Bring Salesforce in step with the warehouse. Safe to run again after a kill at any point.

    A full sync also records the records that it held back in `control.crm_held`; see `include.crm.sync.holding`.

    Args:
        org: The org, and the database.
        run: The run.
        work_dir: Folder for the CSV files, which are deleted once Salesforce has processed them.
        scope: The scope of the sync.
        patience_s: How long a call is retried, in seconds.
        report_line: Receives progress, a line at a time.

    Returns:
        Counts by entity: sent, created, updated, failed, unprocessed, dead (will fail again), unchanged.

    Raises:
        SyncUnderWay: This is a small sync, and another sync is running.
        ApprovalNeeded: Nothing was sent, because the changes need approval.
        HeldBack: Nothing was sent, because every change is held back.
        RowsFailed: Salesforce rejected rows; each of them is a dead letter. All other rows that were sent were accepted.
        TargetUnavailable: Salesforce is unavailable.
        ObjectUnavailable: The job of one object does not end, or some of its rows are still locked or unprocessed; other objects were
            sent.
        RateLimited: The org's daily calls are used up to the reserve.
        WriterSuperseded: Another writer has taken over.
        BalanceError: The results of a job do not account for its rows; other objects were sent.
        AuthenticationError: Salesforce rejected the login or denied a permission.
        ConfigurationError: Salesforce rejected a field of the mapping; other objects were sent. Or the database was restored from a
            backup, and Salesforce was not read back since, or it has the state of another org; nothing was sent.
    """
    require_read_back(org.engine)
    calls = CallLog(org.engine, VENDOR, "", run.run_id)
    with (
        open_session(org.engine) as db,
        open_own_org(org, calls, patience_s=patience_s) as session,
        file.fresh_folder(work_dir / "crm") as folder,
    ):
        take_turn(db, is_whole=scope.is_whole)
        this = _Sync(db, session, folder, org, run, scope, report_line)
        this.prepare()
        if scope.is_whole:
            _recover(org, db, session, run.run_id, report_line)
        counts = this.run()
        if scope.is_whole:
            marks.store(db, session, this.written)
    if this.holdback.failures:  # report a failure that needs a person before one that a retry may fix
        raise min(this.holdback.failures, key=lambda error: isinstance(error, RetriableError))
    _refuse_dead_letters(org.engine, run.run_id)
    if not _has_sent(org.engine, run.run_id):
        _refuse_standstill(this.holdback.held)
    return counts


def _has_sent(engine: sa.Engine, run_id: str) -> bool:
    """Return whether any attempt of the run has sent anything."""
    query = sa.text("select exists (select from control.ledger where run_id = :run_id and stage = 'crm' and sent > 0)")
    with engine.connect() as db:
        return bool(db.scalar(query, {"run_id": run_id}))


def _recover(org: Org, db: sa.Connection, session: SalesforceSession, run_id: str, report_line: ReportLine) -> None:
    """If the org seems to be restored from a backup, read all our records back, so that the sync sends the lost changes again.

    Records that are missing are sent again only if marks have an earlier time (`older`). If marks are only missing (`absent`), users may
    have deleted the records, so an operator decides (`readback.recreate`).
    """
    state = marks.compare(db, session)
    if state == "same":
        return
    report_line(f"Salesforce was restored to an earlier state ({state} records): everything is read back first")
    readback.read_back(org, run_id, report_line, is_restored=state == "older")


def _refuse_standstill(held: Sequence[Held]) -> None:
    """Raise if a run that sent nothing has held back changes. A run without changes succeeds.

    Raises:
        ApprovalNeeded: Changes need approval.
        HeldBack: The newest day of a vendor is not reconciled.
    """
    if unapproved := [each.reason for each in held if each.cause == "approval"]:
        raise ApprovalNeeded("Nothing was sent to Salesforce; approval required: " + "; ".join(unapproved))
    if vendors := sorted({each.subject for each in held if each.cause == "vendor"}):
        records = sum(each.records for each in held if each.cause == "vendor")
        raise HeldBack(
            "Nothing was sent to Salesforce: the vendors' newest day is not reconciled", vendors=",".join(vendors),
            records=records,
        )  # fmt: skip


def _refuse_dead_letters(engine: sa.Engine, run_id: str) -> None:
    """Raise `RowsFailed` if the run has open dead letters, from any of its attempts or from a job that it adopted.

    Dead letters of Tasks do not count.
    """
    with engine.connect() as db:
        rows = db.execute(
            sa.text("""
            select table_name, count(*) from control.dead_letter
            where vendor = :vendor and stage = 'crm' and status = 'open' and run_id = :run_id and table_name <> 'Task' group by 1
            """),
            {"vendor": VENDOR, "run_id": run_id},
        )
        dead: dict[str, int] = dict(rows.tuples().all())
    if dead:
        raise RowsFailed("Salesforce rejected rows; see the dead letters", run_id=run_id, rows=dead)


class _Sync:
    """One run: compares all objects, then sends them."""

    def __init__(
        self,
        db: sa.Connection,
        session: SalesforceSession,
        folder: Path,
        org: Org,
        run: SyncRun,
        scope: Scope,
        report_line: ReportLine,
    ) -> None:
        settings = org.settings
        self._db, self._session, self._org, self._settings, self._report_line = db, session, org, settings, report_line
        self._run, self._scope = run, scope
        self._objects = tuple(each for each in list_mappings(settings) if scope.is_whole or each.entity in scope.only)
        names = list(dict.fromkeys(mapping.sobject for mapping in self._objects))
        fences = dict(zip(names, writer.take_all(db, [f"crm:{name}" for name in names]), strict=True))
        self._fences = list(fences.values())
        jobs = {
            mapping: Jobs(db, Bulk(session), mapping, fences[mapping.sobject], run, report_line)
            for mapping in self._objects
        }
        self.holdback = Holdback(db, self._objects, settings, report_line)
        self._sender = Sender(
            db, session, folder, jobs, self._fences, settings.most_collected, self.holdback, report_line
        )
        self._unsettled: Mapping[str, datetime] = {}

    def prepare(self) -> None:
        """Finish the jobs of earlier runs, and find the records that users removed."""
        with translate_errors(self._db, self._fences):
            self._sender.adopt()
            removed.note_removed(
                self._db, self._session, self._objects, self._settings, self._run.run_id, self._report_line
            )

    def run(self) -> dict[str, Counts]:
        with translate_errors(self._db, self._fences):
            first = deltas = self._compare(self._objects, resends=self._scope.resends)
            if self._looks_for_existing(first):
                first = deltas = self._compare(self._objects, resends=self._scope.resends)
            self.holdback.decide(first, list(self._scope.approved), self._unsettled)
            while any(each.going_out for each in deltas.values()):
                self._session.keep_reserve(self._settings.reserved_ratio)
                if not self._sender.send({e: d for e, d in deltas.items() if not self.holdback.is_stopped(e)}):
                    break
                # Records rejected for lack of a parent are compared again, in case the parent was just accepted.
                deltas = self._compare([w for w in self._objects if w.entity in deltas and deltas[w.entity].refused])
            self._record_idle(first)
            self._record_held()
        return {name: replace(counts, unchanged=first[name].unchanged) for name, counts in self._sender.total.items()}

    def _looks_for_existing(self, deltas: Mapping[str, Delta]) -> bool:
        """Before records are created, look for them in the org, and write our key onto those that are approved.

        Return whether the org was compared: then some new records may be held back, and others are no longer new.
        """
        adopted = [each for each in self._objects if each.is_adopted]
        found = [deltas[each.entity] for each in adopted]
        if not self._scope.is_whole or not any(each.new or each.existing for each in found):
            return False
        from include.crm.adoption.findings import replace_findings  # imports the matcher of identities, 100 MB

        replace_findings(
            self._db, self._session, self._org, self._run.run_id, self._run.business_date, self._report_line
        )
        write_keys(self._db, self._session, adopted, self._settings, self._run.run_id, self._sender.check_fences)
        return True

    @property
    def written(self) -> list[str]:
        """The Salesforce objects of which this run has sent rows."""
        return sorted({mapping.sobject for mapping in self._objects if self._sender.total[mapping.entity].sent})

    def _compare(self, chosen: Sequence[CrmObject], *, resends: str = "") -> dict[str, Delta]:
        deltas = {}
        with self._db.begin():
            ready = readiness.find_present_days(self._db, must_be_settled=self._scope.is_whole)
        self._unsettled = ready.since
        for mapping in chosen:
            with self._db.begin():
                delta.forget_untracked(self._db, mapping, self._settings)
                counts = delta.compare(self._db, mapping, self._settings, ready, resends=resends)
                delta.forget_refused(self._db, mapping, self._settings, self._run.run_id)
            self._report_line(
                f"{mapping.sobject} ({mapping.entity}): {counts.new:,} new, {counts.changed:,} changed, "
                f"{counts.unchanged:,} unchanged, {counts.refused:,} rejected before and not sent again"
            )
            deltas[mapping.entity] = counts
        self.holdback.note_compared(deltas)
        return deltas

    def _record_held(self) -> None:
        for each in self.holdback.held:
            self._report_line(str(each))
        if self._scope.is_whole:
            with self._db.begin():
                holding.store(self._db, self.holdback.held, self._run.run_id)
                totals.record(self._db, self._objects, self._settings, self._run.run_id)

    def _record_idle(self, deltas: Mapping[str, Delta]) -> None:
        """Write a ledger row for each object of which no rows were sent."""
        with self._db.begin():
            for mapping in self._objects:
                if not self._sender.total[mapping.entity].sent:
                    name, counts = mapping.sobject, Counts(unchanged=deltas[mapping.entity].unchanged)
                    run = self._run
                    pull = Pull(run.run_id, VENDOR, name, run.business_date, run.run_id, "current", datetime.now(UTC))
                    ledger.record(self._db, pull, "crm", counts, mapping.entity)
