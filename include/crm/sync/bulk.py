"""Bulk API 2.0 calls: create a job, upload its file, start it, read its state, abort it, read its results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from include.crm.salesforce import Answer, SalesforceSession
from include.errors import ConfigurationError

Result = Literal["successfulResults", "failedResults", "unprocessedrecords"]
RESULTS: tuple[Result, ...] = ("successfulResults", "failedResults", "unprocessedrecords")
"""The three result files. Together they contain every row of a job once, in any order."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job's state in Salesforce.

    Attributes:
        state: Open, UploadComplete, InProgress, JobComplete, Failed or Aborted.
        processed: Rows processed so far, including failed ones.
        error: The job's error; empty if it did not fail.
    """

    state: str
    processed: int
    error: str

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended, so that no more rows are processed."""
        return self.state in ("JobComplete", "Failed", "Aborted")


class Bulk:
    """The ingest jobs of one org.

    Every method raises the errors of `SalesforceSession.call`. All except `abort` also raise `ConfigurationError` if Salesforce
    rejects the request.
    """

    def __init__(self, session: SalesforceSession) -> None:
        self.session = session

    def create(self, sobject: str, key_field: str) -> str:
        """Create a job that upserts records by our key; return its id. The job has no effect before `upload` and `start`."""
        body = {"object": sobject, "operation": "upsert", "externalIdFieldName": key_field}
        body |= {"contentType": "CSV", "lineEnding": "LF", "columnDelimiter": "COMMA"}
        return str(_check(self.session.call("POST", "/jobs/ingest", body), sobject).body["id"])

    def upload(self, job_id: str, file: Path) -> None:
        """Upload a job's file, without retries: a job accepts only one upload."""
        _check(self.session.upload(f"/jobs/ingest/{job_id}/batches", file), job_id)

    def start(self, job_id: str) -> bool:
        """Start a job. Return True if this call or an earlier one has started it; False if it can't be started."""
        if self.session.call("PATCH", f"/jobs/ingest/{job_id}", {"state": "UploadComplete"}).is_ok:
            return True
        # The response to an earlier try may have been lost, so check the job's state.
        info = self.read_info(job_id)
        return info is not None and info.state in ("UploadComplete", "InProgress", "JobComplete", "Failed")

    def abort(self, job_id: str) -> None:
        """Abort a job. Do nothing if it has ended or no longer exists."""
        self.session.call("PATCH", f"/jobs/ingest/{job_id}", {"state": "Aborted"})

    def read_info(self, job_id: str) -> JobInfo | None:
        """Return a job's state; None if Salesforce has no such job. Salesforce deletes a job after seven days."""
        answer = self.session.call("GET", f"/jobs/ingest/{job_id}")
        if answer.status == 404:
            return None
        body = _check(answer, job_id).body
        return JobInfo(body["state"], int(body.get("numberRecordsProcessed") or 0), str(body.get("errorMessage") or ""))

    def open_results(
        self, job_id: str, which: Result
    ) -> AbstractContextManager[tuple[Iterator[bytes], Mapping[str, str]]]:
        """Open one of the three result files; yield its content (CSV in UTF-8) in pieces, and the response headers."""
        return self.session.stream(f"/jobs/ingest/{job_id}/{which}/")


def _check(answer: Answer, job: str) -> Answer:
    if not answer.is_ok:
        raise ConfigurationError(
            f"Salesforce rejected a bulk job: {answer.message}", job=job, status=answer.status, code=answer.code
        )
    return answer
