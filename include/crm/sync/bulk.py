"""Bulk API 2.0 as calls: open a job, give it its file, start it, ask how it is, stop it, read its results."""

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
"""The three sets; together they hold every row of a job once, in no order."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """How Salesforce says that a job is.

    Attributes:
        state: Open, UploadComplete, InProgress, JobComplete, Failed or Aborted.
        processed: Rows done so far, failed ones too.
        error: Why a job failed; empty where it did not.
    """

    state: str
    processed: int
    error: str

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to its rows."""
        return self.state in ("JobComplete", "Failed", "Aborted")


class Bulk:
    """The ingest jobs of one org. Every method raises as `SalesforceSession.call` does."""

    def __init__(self, session: SalesforceSession) -> None:
        self.session = session

    def create(self, sobject: str, key_field: str) -> str:
        """Opens an upsert by our key; returns the job's id. A job that gets no data does nothing."""
        asked = {"object": sobject, "operation": "upsert", "externalIdFieldName": key_field}
        asked |= {"contentType": "CSV", "lineEnding": "LF", "columnDelimiter": "COMMA"}
        return str(_granted(self.session.call("POST", "/jobs/ingest", asked), sobject).body["id"])

    def upload(self, job_id: str, file: Path) -> None:
        """Gives a job its file; once."""
        _granted(self.session.upload(f"/jobs/ingest/{job_id}/batches", file), job_id)

    def start(self, job_id: str) -> bool:
        """Tells Salesforce to begin; returns whether the job has begun, now or before."""
        if self.session.call("PATCH", f"/jobs/ingest/{job_id}", {"state": "UploadComplete"}).is_ok:
            return True
        # The answer to an earlier try may have got lost: what the job says of itself is the truth.
        info = self.ask(job_id)
        return info is not None and info.state in ("UploadComplete", "InProgress", "JobComplete", "Failed")

    def abort(self, job_id: str) -> None:
        """Stops a job; one that has ended, or is gone, stays as it is."""
        self.session.call("PATCH", f"/jobs/ingest/{job_id}", {"state": "Aborted"})

    def ask(self, job_id: str) -> JobInfo | None:
        """Returns how a job is; None where Salesforce does not know it (any more: it forgets after seven days)."""
        answer = self.session.call("GET", f"/jobs/ingest/{job_id}")
        if answer.status == 404:
            return None
        said = _granted(answer, job_id).body
        return JobInfo(said["state"], int(said.get("numberRecordsProcessed") or 0), str(said.get("errorMessage") or ""))

    def results(self, job_id: str, which: Result) -> AbstractContextManager[tuple[Iterator[bytes], Mapping[str, str]]]:
        """Opens one of the three result files: CSV in UTF-8, and its headers."""
        return self.session.stream(f"/jobs/ingest/{job_id}/{which}/")


def _granted(answer: Answer, what: str) -> Answer:
    if not answer.is_ok:
        message = answer.body[0].get("message", "") if isinstance(answer.body, list) and answer.body else ""
        raise ConfigurationError(
            f"Salesforce refuses a bulk job: {message}", job=what, status=answer.status, code=answer.code
        )
    return answer
