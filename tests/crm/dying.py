"""A loader that dies, or stops, at a named point of a job, in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from include.connection import Connection
from include.crm import tasks
from include.crm.run import Org, SyncRun
from include.crm.salesforce import SalesforceSession
from include.crm.settings import Settings
from include.crm.sync import collections, jobs, load, results
from include.crm.sync.bulk import Bulk
from include.warehouse import schema
from tests.running_sandbox import LAST

options: dict[str, Any] = {}
calls = 0


def die() -> None:
    os.kill(os.getpid(), options["signal"])


def die_after(owner: Any, name: str) -> None:
    """Die right after the call of `name` that belongs to the selected job."""
    work: Callable[..., Any] = getattr(owner, name)

    def last(*args: Any, **kwargs: Any) -> Any:
        global calls
        result = work(*args, **kwargs)
        calls += 1
        if calls == options["job"]:
            die()
        return result

    setattr(owner, name, last)


def die_inside_upload() -> None:
    whole = Bulk.upload

    def half(self: Bulk, job_id: str, file: Path) -> None:
        global calls
        calls += 1
        if calls < options["job"]:
            return whole(self, job_id, file)
        content = file.read_bytes()

        def body() -> Iterator[bytes]:
            yield content[: len(content) // 2]
            die()
            yield content[len(content) // 2 :]

        path, headers = f"/jobs/ingest/{job_id}/batches", {"Content-Type": "text/csv"}
        self.session._send_with_token(lambda: self.session._send("PUT", path, data=body(), headers=headers), path)
        return None

    Bulk.upload = half  # type: ignore[method-assign]


def die_inside_results() -> None:
    """Die when the first of a job's three files is read."""
    read = results._read_one

    def first(db: Any, bulk: Bulk, key_field: str, job: Any, which: Any) -> None:
        global calls
        read(db, bulk, key_field, job, which)
        calls += which == "successfulResults"
        if calls == options["job"]:
            die()

    results._read_one = first


def die_after_call(is_answered: bool) -> None:
    """Die once Salesforce has processed the selected call of collections, before or after its response is read."""
    collections.COLLECTION_ROWS, collections.CALL_COLLECTIONS = 10, 1
    if is_answered:
        die_after(collections, "send_requests")
        return
    whole = SalesforceSession._send

    def last(self: SalesforceSession, method: str, path: str, **content: Any) -> Any:
        global calls
        response = whole(self, method, path, **content)
        calls += path == "/composite"
        if calls == options["job"]:
            die()
        return response

    SalesforceSession._send = last  # type: ignore[method-assign]


POINTS: dict[str, Callable[[], None]] = {
    "created at Salesforce": lambda: die_after(Bulk, "create"),
    "job row written": lambda: die_after(jobs.Jobs, "_open"),
    "in the middle of the upload": die_inside_upload,
    "uploaded": lambda: die_after(Bulk, "upload"),
    "started": lambda: die_after(Bulk, "start"),
    "marked as uploaded": lambda: die_after(jobs.Jobs, "_start"),
    "in the middle of the results": die_inside_results,
    "results read": lambda: die_after(results, "read"),
    "before the commit": lambda: die_after(results, "_count"),
    "settled": lambda: die_after(results, "settle"),
    "booked, not sent": lambda: die_after(jobs.Jobs, "collect"),
    "sent, answer not read": lambda: die_after_call(is_answered=False),
    "answer read": lambda: die_after_call(is_answered=True),
    "all answered, not settled": lambda: die_after(collections, "send"),
    "answers taken": lambda: die_after(results, "take"),
    "Task made, not noted": lambda: die_after(tasks._Tasks, "_collect"),
}


def run(
    url: str, connection: Connection, settings: Settings, work: str, point: str, job: int, number: signal.Signals
) -> None:
    """Sync, up to a point, and send a signal to this process there.

    Points of collections count calls of few rows each; the Tasks' point raises Tasks instead of a sync.

    Args:
        url: The database's.
        connection: To the org.
        settings: Of the org.
        work: Folder for the files.
        point: Key of `POINTS`.
        job: Which job of the run, from 1.
        number: The signal.
    """
    options.update(point=point, job=job, signal=number)
    POINTS[point]()
    org = Org(schema.engine(url), connection, settings)
    if point.startswith("Task"):
        tasks.sync(org, SyncRun("killed", LAST), {"negative_cash": tasks.TaskSpec("Cover it", 1)})
    else:
        load.sync(org, SyncRun("killed", LAST), Path(work))
