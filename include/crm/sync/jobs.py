"""The life cycle of a bulk job, stored in `control.crm_job` so that the run after a killed task knows which jobs are unfinished.

The states of a job, the first three in their normal order:

    open         the job and its rows are recorded
    uploaded     Salesforce has the file and has started the job
    closed       every row has its result
    abandoned    no row was processed, or no results are available; the rows are sent again
    unbalanced   the results do not account for the rows, or the job was lost; the rows are sent again

If Salesforce may have processed rows of an abandoned or unbalanced job, they stay in `control.crm_sent`: they are in doubt, and
`include.crm.sync.delta` sends them again whatever the desired state is by then.

A job and its rows are committed before its file is uploaded. The writer checks its fence before it starts the job in Salesforce. The writer
may be suspended between the check and the start, while another writer takes over. The other writer then aborts the job, so the first
writer can't start it later.

Rows sent by collections are recorded in the same way, as a job of our own that Salesforce does not know.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict

import sqlalchemy as sa

from include.control.ledger import Counts
from include.control.writer import Fence
from include.crm.objects.mapping import CrmObject
from include.crm.run import ReportLine, SyncRun
from include.crm.sync import results
from include.crm.sync.bulk import Bulk, JobInfo
from include.crm.sync.collections import Batch, read_rows
from include.crm.sync.file import File
from include.crm.sync.results import Job, Settled
from include.crm.temporary import TempTable
from include.errors import BalanceError, ConfigurationError, ObjectUnavailable, RateLimited, TargetUnavailable

LONGEST_JOB_S = 2 * 3600.0
"""Seconds that an attempt waits for a job. After that it gives up, and the next attempt adopts the job."""

LONGEST_STALL_S = 900.0
"""Seconds that an attempt waits for a job without progress, because other objects also wait. The next attempt adopts the job."""

LONGEST_ADOPTED_STALL_S = 60.0
"""The same limit as `LONGEST_STALL_S`, for a job adopted from an earlier attempt."""

_UPLOADS = 3
_FASTEST_POLL_S, _SLOWEST_POLL_S = 0.1, 10.0
_USED_UP = "ExceededQuota"
_NEVER_TAKEN = ("InvalidBatch", "ClientInputError")


class Jobs:
    """The jobs of one object in one run.

    Args:
        db: The writer's connection, outside a transaction.
        bulk: The bulk API of the org.
        mapping: The object.
        fence: The writer's fence for the object.
        run: The run.
        report_line: Receives progress, a line at a time.
    """

    def __init__(
        self,
        db: sa.Connection,
        bulk: Bulk,
        mapping: CrmObject,
        fence: Fence,
        run: SyncRun,
        report_line: ReportLine,
    ) -> None:
        self._db, self._bulk, self._mapping, self._fence = db, bulk, mapping, fence
        self._run, self._report_line = run, report_line

    def adopt(self) -> Iterator[Counts]:
        """Finish the jobs that earlier attempts left unfinished; yield the counts of each job whose results were recorded.

        - If Salesforce has started the job, wait for its end and record its results.
        - If Salesforce has not started the job, abort it. Its rows are sent again if they still have to be.
        - If Salesforce no longer has the job, or the rows were sent by collections, mark the job as abandoned. Its rows are in doubt.
        """
        with self._db.begin():
            rows = self._db.execute(
                sa.text("""
                select job_id, sobject, entity, run_id, business_date, rows, state, sent_by from control.crm_job
                where sobject = :sobject and entity = :entity and state in ('open', 'uploaded') order by created_at
                """),
                {"sobject": self._mapping.sobject, "entity": self._mapping.entity},
            ).all()
        for row in rows:
            job = Job(*row[:-2])
            if row.sent_by == "collections":  # safe to repeat: its rows are sent again
                self._mark(job.job_id, "abandoned")
                continue
            self._report_line(f"{job.sobject}: job {job.job_id} of run {job.run_id} is unfinished")
            info = self._bulk.read_info(job.job_id)
            if info is not None and info.state == "Open":
                self._bulk.abort(job.job_id)
                info = self._bulk.read_info(job.job_id)
            is_untouched = info is not None and info.has_ended and info.processed == 0 and info.state != "JobComplete"
            if info is None or (is_untouched and row.state == "open"):
                self._mark(job.job_id, "abandoned", is_untouched=is_untouched)
                continue
            yield self._finish(job, info, LONGEST_ADOPTED_STALL_S).counts

    def collect(self, sending: TempTable) -> Batch:
        """Record all rows to send as a job of our own; return them as a batch to send by collections."""
        with self._db.begin():
            batch = Batch(self._mapping, read_rows(self._db, sending))
        self._record(self._job(batch.job_id, len(batch.rows)), sending, "collections", "", None)
        return batch

    def settle(self, batch: Batch) -> Settled:
        """Settle a batch that was sent by collections.

        Raises:
            BalanceError: The results do not account for the rows.
            WriterSuperseded: Another writer has taken over.
        """
        self.check_fence()
        results.take(self._db, batch.outcomes)
        return self._settle(self._job(batch.job_id, len(batch.rows)), JobInfo("JobComplete", len(batch.rows), ""))

    def send(self, sending: TempTable, part: int, file: File) -> Settled:
        """Send one part of the records by a bulk job, and settle it.

        Raises:
            ObjectUnavailable: Salesforce did not accept the file. Or it did not finish the job in time, and the next attempt adopts the job.
            TargetUnavailable: Salesforce is unavailable.
            ConfigurationError: Salesforce rejected the whole file.
            RateLimited: The org's daily batches are used up, or its daily calls are used up to the reserve.
            BalanceError: The results do not account for the rows, or Salesforce no longer has the job.
            WriterSuperseded: Another writer has taken over.
        """
        for _ in range(_UPLOADS):
            self._bulk.session.check_reserve()
            job = self._open(sending, part, file)
            if self._start(job, file):
                return self._finish(job, None)
            self._bulk.abort(job.job_id)
            self._mark(job.job_id, "abandoned", is_untouched=True)
        raise ObjectUnavailable("Salesforce did not accept the file", sobject=self._mapping.sobject, tries=_UPLOADS)

    def _open(self, sending: TempTable, part: int, file: File) -> Job:
        job = self._job(self._bulk.create(self._mapping.sobject, self._mapping.key_field), file.rows)
        self._record(job, sending, "bulk", file.sha256, part)
        return job

    def _job(self, job_id: str, rows: int) -> Job:
        return Job(job_id, self._mapping.sobject, self._mapping.entity, self._run.run_id, self._run.business_date, rows)

    def _record(self, job: Job, sending: TempTable, sent_by: str, sha256: str, part: int | None) -> None:
        """Commit a job with the rows of one part.

        Args:
            job: The job.
            sending: The table of rows to send.
            sent_by: How the rows are sent: `bulk` or `collections`.
            sha256: Hash of the file; empty without a file.
            part: Number of the part; None for the rows of all parts.

        Raises:
            BalanceError: The number of rows recorded differs from the job's.
            WriterSuperseded: Another writer has taken over.
        """
        with self._db.begin():
            self._db.execute(
                sa.text("""
                insert into control.crm_job (job_id, sobject, entity, run_id, business_date, rows, file_sha256, sent_by)
                values (:job_id, :sobject, :entity, :run_id, :business_date, :rows, :sha256, :sent_by)
                """),
                asdict(job) | {"sha256": sha256, "sent_by": sent_by},
            )
            carried = self._db.execute(
                sa.text(f"""
                insert into control.crm_sent (job_id, external_key, row_number, payload)
                select :job_id, external_key, row_number, payload from {sending}
                where part = coalesce(cast(:part as int), part)
                """),  # noqa: S608
                {"job_id": job.job_id, "part": part},
            ).rowcount
            if carried != job.rows:
                raise BalanceError(
                    "The rows recorded for a job are not those written to its file", sobject=job.sobject, rows=carried,
                    written=job.rows,
                )  # fmt: skip
            self._fence.check(self._db)

    def _start(self, job: Job, file: File) -> bool:
        """Upload the file and start the job; return whether it was started.

        If not, the caller must send a new job, because a job accepts only one upload.
        """
        try:
            self._bulk.upload(job.job_id, file.path)
        except TargetUnavailable as error:
            self._report_line(f"{job.sobject}: the upload to job {job.job_id} failed: {error}")
            return False
        except ConfigurationError:
            self.check_fence()  # if a newer writer has aborted the job, report that instead
            raise
        self.check_fence()
        if not self._bulk.start(job.job_id):
            return False
        self._mark(job.job_id, "uploaded")
        return True

    def check_fence(self) -> None:
        """Raise `WriterSuperseded` if another writer has taken over."""
        with self._db.begin():
            self._fence.check(self._db)

    def _finish(self, job: Job, info: JobInfo | None, longest_stall_s: float | None = None) -> Settled:
        while info is None or not info.has_ended:
            info = self._wait(job, LONGEST_STALL_S if longest_stall_s is None else longest_stall_s)
        results.read(self._db, self._bulk, self._mapping, job, info)
        settled = self._settle(job, info)
        if info.state == "Failed" and info.error.startswith(_USED_UP):
            raise RateLimited("The org's daily batches are used up", job=job.job_id, sobject=job.sobject)
        if info.state == "Failed" and info.error.startswith(_NEVER_TAKEN):
            raise ConfigurationError(f"Salesforce rejected a file: {info.error}", job=job.job_id, sobject=job.sobject)
        return settled

    def _settle(self, job: Job, info: JobInfo) -> Settled:
        try:
            settled = results.settle(self._db, job, info, self._fence, self._run.run_id, self._mapping.shared)
        except BalanceError:
            self._mark(job.job_id, "unbalanced")
            raise
        counts = settled.counts
        self._report_line(
            f"{job.sobject}: {counts.sent} sent, {counts.created} created, {counts.updated} updated, "
            f"{counts.failed} failed, {counts.unprocessed} unprocessed (job {job.job_id})"
        )
        return settled

    def _wait(self, job: Job, longest_stall_s: float) -> JobInfo:
        pause, until = _FASTEST_POLL_S, time.monotonic() + LONGEST_JOB_S
        processed, moved_at = -1, time.monotonic()
        while time.monotonic() < until:
            info = self._bulk.read_info(job.job_id)
            if info is None:
                self._mark(job.job_id, "unbalanced")
                raise BalanceError("Salesforce lost a job that it had accepted", job=job.job_id, sobject=job.sobject)
            if info.has_ended:
                return info
            if info.processed > processed:
                processed, moved_at = info.processed, time.monotonic()
            if time.monotonic() - moved_at > longest_stall_s:
                break
            self._report_line(f"{job.sobject}: {info.processed} of {job.rows} rows done (job {job.job_id})")
            time.sleep(pause)
            pause = min(pause * 1.5, _SLOWEST_POLL_S)
        raise ObjectUnavailable(
            "Salesforce does not end a job; the next run looks at it again", job=job.job_id, sobject=job.sobject,
            rows=job.rows, done=max(processed, 0),
        )  # fmt: skip

    def _mark(self, job_id: str, state: str, *, is_untouched: bool = False) -> None:
        """Set the state of a job. If Salesforce has not processed any of its rows (`is_untouched`), delete them: they are not in doubt."""
        with self._db.begin():
            values = {"job_id": job_id, "state": state}
            self._db.execute(
                sa.text("""
                update control.crm_job set state = :state, changed_at = clock_timestamp() where job_id = :job_id
                """),
                values,
            )
            if is_untouched:
                self._db.execute(sa.text("delete from control.crm_sent where job_id = :job_id"), values)
            self._fence.check(self._db)
