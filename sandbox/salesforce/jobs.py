"""Bulk API 2.0 jobs: stored on disk, processed in threads, and resumed after a restart.

A batch of rows and the job's row count commit in one transaction; the results of the batch are written just before. So a job
that stops between two batches continues with the next batch, and a job that stops inside a batch repeats that batch.
"""

import csv
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.ingest import DELIMITERS, Ingest
from sandbox.salesforce.org import Org
from sandbox.salesforce.pubsub_bus import client
from sandbox.salesforce.soql import parse_soql
from sandbox.salesforce.store import take_numbers
from sandbox.salesforce.values import complete_id, make_id
from sandbox.salesforce.writes import find_key
from sandbox.server.faults import Fault

Job = dict[str, Any]
ENDED = ("JobComplete", "Failed", "Aborted")
_LINE_ENDINGS = ("LF", "CRLF")
_OPERATIONS = ("insert", "update", "upsert", "delete")
_HIDDEN = "_"


class Jobs:
    """The bulk jobs of an org. Creating this object resumes unfinished jobs.

    To inject a fault into the processing of a job, add the fault with the job's URL path as its route.
    """

    def __init__(self, org: Org) -> None:
        self._org = org
        self._threads: dict[str, threading.Thread] = {}
        self._is_closing = threading.Event()
        for job in self.list_jobs():
            if job["state"] in {"UploadComplete", "InProgress"}:
                self._start(job["id"])

    def close(self) -> None:
        """End the threads after their current batch; the jobs continue at the next start."""
        self._is_closing.set()
        for thread in list(self._threads.values()):
            thread.join()

    def create(self, kind: str, body: Job, version: str, user_id: str, path: str) -> Job:
        """Open an ingest job, or start a query job; return the job.

        Args:
            kind: `ingest` or `query`.
            body: The body of the request.
            version: The API version, such as `v66.0`.
            user_id: Id of the user who creates the job.
            path: URL path of the request. The path of the job is this path with the job's id.

        Raises:
            ApiError: Salesforce would reject the job.
        """
        if body.get("columnDelimiter", "COMMA") not in DELIMITERS or body.get("lineEnding", "LF") not in _LINE_ENDINGS:
            raise ApiError(400, "INVALIDJOB", "Unknown columnDelimiter or lineEnding")
        common: Job = {"state": "Open", "apiVersion": float(version[1:]), "concurrencyMode": "Parallel", "_path": path}
        common["_client"] = client.get()
        job = common | (self._check_ingest(body) if kind == "ingest" else self._check_query(body))
        now = self._org.stamp()
        with self._org.store.write() as connection:
            job["id"] = make_id("750", take_numbers(connection, "750", 1))
            job |= {"createdById": user_id, "createdDate": now, "systemModstamp": now}
            if kind == "ingest":
                job["contentUrl"] = f"services/data/{version}/jobs/ingest/{job['id']}/batches"
            connection.execute("insert into job values (?, ?)", (job["id"], orjson.dumps(job).decode()))
        if kind == "ingest":
            self.folder(job["id"]).mkdir(parents=True, exist_ok=True)
        else:
            self._start(job["id"])
        return job

    def list_jobs(self) -> list[Job]:
        """Return all jobs, oldest first."""
        with self._org.store.read() as connection:
            return [orjson.loads(body) for (body,) in connection.execute("select body from job order by id")]

    def find(self, kind: str, job_id: str) -> Job:
        """Return a job by its id of 15 or 18 characters.

        Raises:
            ApiError: 404 NOT_FOUND, there is no such job of this kind.
        """
        with self._org.store.read() as connection:
            row = connection.execute("select body from job where id = ?", (complete_id(job_id),)).fetchone()
        job: Job | None = orjson.loads(row[0]) if row else None
        if job is None or (job["jobType"] == "V2Query") != (kind == "query"):
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        return job

    def change(self, job_id: str, **values: object) -> Job:
        """Set fields of a job, in a transaction of its own; return the changed job."""
        with self._org.store.write() as connection:
            job = self.load(connection, job_id) | values
            self.save(connection, job)
            return job

    def end_upload(self, job: Job) -> Job:
        """Start the processing of an open job whose file was uploaded; return the changed job.

        Raises:
            ApiError: INVALIDJOB, a file was uploaded more than once; INVALIDJOBSTATE, the job is not open or has no file.
        """
        if job["_uploads"] > 1:
            message = (
                f"Found multipe contents for job: <{job['id']}>, please 'Close' / 'Abort' / 'Delete' the current Job "
                "then create a new Job and make sure you only do 'PUT' once on a given Job."
            )
            raise ApiError(400, "INVALIDJOB", message)
        if job["state"] != "Open" or job["_uploads"] == 0:
            raise ApiError(
                400, "INVALIDJOBSTATE", f"Closing a job in state {job['state']} without new data is not allowed"
            )
        changed = self.change(job["id"], state="UploadComplete")
        self._start(job["id"])
        return changed

    def abort(self, job: Job) -> Job:
        """Stop a job; return the changed job. Rows that are already processed are not rolled back.

        Raises:
            ApiError: INVALIDJOBSTATE, the job has ended.
        """
        if job["state"] in ENDED:
            raise ApiError(400, "INVALIDJOBSTATE", f"Aborting already {job['state']} Job not allowed")
        return self.change(job["id"], state="Aborted")

    def delete(self, job: Job) -> None:
        """Delete an ended job and its files.

        Raises:
            ApiError: INVALIDJOBSTATE, the job has not ended.
        """
        if job["state"] not in ENDED:
            raise ApiError(400, "INVALIDJOBSTATE", f"Deleting a job in state {job['state']} is not allowed")
        with self._org.store.write() as connection:
            connection.execute("delete from job where id = ?", (job["id"],))
            connection.execute("delete from cursor_row where cursor = ?", (job["id"],))
            connection.execute("delete from cursor where id = ?", (job["id"],))
        for path in self.folder(job["id"]).glob("*"):
            path.unlink()

    def folder(self, job_id: str) -> Path:
        """Return the folder of a job's file and results."""
        return self._org.folder / "jobs" / job_id

    def _check_ingest(self, body: Job) -> Job:
        operation, name = body.get("operation"), body.get("object")
        if operation == "hardDelete":
            raise ApiError(400, "FEATURENOTENABLED", "hardDelete needs the permission Bulk API Hard Delete")
        if operation not in _OPERATIONS or not isinstance(name, str):
            raise ApiError(
                400, "INVALIDJOB", f"An ingest job needs an object and an operation of {', '.join(_OPERATIONS)}"
            )
        if body.get("contentType", "CSV") != "CSV":
            raise ApiError(400, "INVALIDJOB", "contentType must be CSV")
        job = {
            "object": self._org.find_object(name).name,
            "operation": operation,
            "contentType": "CSV",
            "lineEnding": body.get("lineEnding", "LF"),
            "columnDelimiter": body.get("columnDelimiter", "COMMA"),
            "jobType": "V2Ingest",
            "numberRecordsProcessed": 0,
            "numberRecordsFailed": 0,
            "retries": 0,
            "totalProcessingTime": 0,
            "apiActiveProcessingTime": 0,
            "apexProcessingTime": 0,
            "_uploads": 0,
            "_batches": 0,
            "_done": 0,
        }
        if operation == "upsert":
            key = body.get("externalIdFieldName")
            if not key:
                raise ApiError(400, "INVALIDJOB", "externalIdFieldName is required for upsert")
            job["externalIdFieldName"] = find_key(self._org.find_object(name), key).name
        return job

    def _check_query(self, body: Job) -> Job:
        operation, soql = body.get("operation"), str(body.get("query", ""))
        if operation not in {"query", "queryAll"}:
            raise ApiError(400, "INVALIDJOB", "operation must be query or queryAll")
        query = parse_soql(soql)
        if query.is_aggregate or query.children:
            kind = "Aggregate" if query.is_aggregate else "Nested"
            raise ApiError(400, "API_ERROR", f"{kind} queries are not supported in bulk queries")
        plan = self._org.queries.plan(soql)
        return {
            "object": plan.sobject.name,
            "operation": operation,
            "state": "UploadComplete",
            "contentType": "CSV",
            "lineEnding": body.get("lineEnding", "LF"),
            "columnDelimiter": body.get("columnDelimiter", "COMMA"),
            "jobType": "V2Query",
            "numberRecordsProcessed": 0,
            "retries": 0,
            "totalProcessingTime": 0,
            "_query": soql,
        }

    def load(self, connection: sqlite3.Connection, job_id: str) -> Job:
        """Return a job, read in the caller's transaction."""
        job: Job = orjson.loads(connection.execute("select body from job where id = ?", (job_id,)).fetchone()[0])
        return job

    def save(self, connection: sqlite3.Connection, job: Job) -> None:
        """Store a changed job in the caller's transaction."""
        job |= {"systemModstamp": self._org.stamp()}
        connection.execute("update job set body = ? where id = ?", (orjson.dumps(job).decode(), job["id"]))

    def end(self, job_id: str, state: str, message: str | None = None) -> None:
        """Set the final state of a job, and its error message if there is one, unless the job has ended meanwhile."""
        with self._org.store.write() as connection:
            job = self.load(connection, job_id)
            if job["state"] not in ENDED:
                job |= {"state": state} | ({"errorMessage": message} if message else {})
                self.save(connection, job)

    def _start(self, job_id: str) -> None:
        thread = threading.Thread(target=self._run, args=(job_id,), name=f"job {job_id}", daemon=True)
        self._threads[job_id] = thread
        thread.start()

    def _run(self, job_id: str) -> None:
        try:
            job = self._claim(job_id)
            slow = self._fault(job, "job_slow")
            if slow and self._is_closing.wait(float(slow.options.get("seconds", 1))):
                return
            started = time.monotonic()
            if job["jobType"] == "V2Query":
                self._run_query(job)
            else:
                self._run_ingest(job)
            self._note_time(job_id, time.monotonic() - started)
        finally:
            self._threads.pop(job_id, None)

    def _claim(self, job_id: str) -> Job:
        with self._org.store.write() as connection:
            job = self.load(connection, job_id)
            if job["state"] == "UploadComplete":
                job["state"] = "InProgress"
                self.save(connection, job)
        return job

    def _run_ingest(self, job: Job) -> None:
        failing, locked = self._fault(job, "job_failed"), self._fault(job, "row_lock")
        try:
            ingest = Ingest(self._org, self, job, locked, self._fault(job, "row_parent_lock"))
            ingest.run(failing, self._is_closing)
        except ApiError as error:
            code = error.code if error.code in {"ClientInputError", "ExceededQuota"} else "InvalidBatch"
            self.end(job["id"], "Failed", f"{code} : {error.message}")
        except (csv.Error, UnicodeDecodeError) as error:
            self.end(job["id"], "Failed", f"InvalidBatch : the file is not CSV in UTF-8: {error}")

    def _run_query(self, job: Job) -> None:
        plan = self._org.queries.plan(job["_query"], is_all=job["operation"] == "queryAll")
        with self._org.store.write() as connection:
            connection.execute("delete from cursor_row where cursor = ?", (job["id"],))
            connection.execute("delete from cursor where id = ?", (job["id"],))
            total = plan.save_cursor(connection, job["id"], job["_query"])
            self.save(
                connection, self.load(connection, job["id"]) | {"state": "JobComplete", "numberRecordsProcessed": total}
            )

    def _note_time(self, job_id: str, seconds: float) -> None:
        milliseconds = round(seconds * 1000)
        with self._org.store.write() as connection:  # the job may be deleted by now
            connection.execute(
                "update job set body = json_set(body, '$.totalProcessingTime', ?) where id = ?", (milliseconds, job_id)
            )

    def _fault(self, job: Job, kind: str) -> Fault | None:
        return self._org.faults.take(f"{job['_path']}/{job['id']}", kind)


def show(job: Job) -> Job:
    """Return a job as responses of the API show it, without our own fields."""
    return {name: value for name, value in job.items() if not name.startswith(_HIDDEN)}
