"""Process one ingest job: write its file to the org in batches, and write the three kinds of results."""

import csv
import gc
import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.columns import Columns
from sandbox.salesforce.deletes import delete_records
from sandbox.salesforce.drafts import Draft, Outcome, draft_cells
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.org import Org
from sandbox.salesforce.pubsub_bus import calling_as
from sandbox.salesforce.schema import SObject
from sandbox.salesforce.writes import BATCH_ROWS, find_key
from sandbox.server.faults import Fault

if TYPE_CHECKING:
    from sandbox.salesforce.jobs import Job, Jobs

DELIMITERS = {"COMMA": ",", "TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}
BATCHES = "DailyBulkApiBatches"
"""The counter of internal batches in a day, which `/limits` reports."""

_MOST_BATCHES = f"{BATCHES}.Max"
_DAILY_BATCHES = 15_000

ADDED = {"successful": ("sf__Id", "sf__Created"), "failed": ("sf__Id", "sf__Error"), "unprocessed": ()}
"""The columns that each kind of result has before the columns of the job's file."""

_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}


class Ingest:
    """Processes an ingest job.

    Args:
        org: The org to write to.
        jobs: Stores the job's progress.
        job: The job.
        locked: The fault that locks a share of the rows; None without it.
        parent_locked: The fault that locks a share of the rows whose parent is also in the previous batch; None without it. It simulates
            that Salesforce processes neighboring batches in parallel, so that children of one parent must be in one batch.
    """

    def __init__(self, org: Org, jobs: "Jobs", job: "Job", locked: Fault | None, parent_locked: Fault | None) -> None:
        self._org, self._jobs, self._job = org, jobs, job
        self._locked, self._parent_locked = locked, parent_locked
        self._held: set[tuple[str, str]] = set()
        self._sobject: SObject = org.schema[job["object"]]
        key = job.get("externalIdFieldName")
        self._key = find_key(self._sobject, key) if key else None
        self._writer = org.writer(job["createdById"])

    def run(self, failing: Fault | None, closing: threading.Event) -> None:
        """Process the rows that are not done yet, then end the job. Return early if the job was aborted.

        Args:
            failing: The fault that ends the job as Failed, after `processed` rows of its options (0 by default); None without it.
            closing: When it is set, return after the current batch; the job continues at the next start.

        Raises:
            ApiError: A column is unknown, a row has too few or too many cells, or the daily batches are used up.
            csv.Error, UnicodeDecodeError: The file is not CSV in UTF-8.
        """
        job = self._job
        most = int(failing.options.get("processed", 0)) if failing else None
        with open_data(self._jobs.folder(job["id"]), job) as rows:
            header = next(rows, [])
            columns = self._find_columns(header)
            done = job["_done"]
            skipped = sum(1 for _ in islice(rows, done))
            assert skipped == done
            while batch := _read_batch(rows, BATCH_ROWS if most is None else max(0, min(BATCH_ROWS, most - done))):
                if closing.is_set() or not self._process(header, columns, batch):
                    return
                done += len(batch)
        if failing:
            message = "InternalServerError : Batch failed after the most retries allowed"
            self._jobs.end(job["id"], "Failed", message)
        else:
            self._jobs.end(job["id"], "JobComplete")

    def _find_columns(self, header: list[str]) -> Columns:
        columns = self._org.columns(self._sobject)
        for name in header:
            try:
                field = columns[name].field
            except ApiError as error:
                raise ApiError(400, "InvalidBatch", f"Field name not found : {name}") from error
            if ":" in name and not field.has_queues:
                message = f"type is not needed for non polymorphic foreign key references: {field.relationship}"
                raise ApiError(400, "InvalidBatch", message)
        needed = self._key.name if self._key else "Id" if self._job["operation"] in {"update", "delete"} else None
        if not header or (needed and needed.lower() not in {name.lower() for name in header}):
            raise ApiError(400, "InvalidBatch", f"Field name not found : {needed or 'the header is empty'}")
        return columns

    def _process(self, header: list[str], columns: Columns, batch: list[list[str]]) -> bool:
        """Write one batch and the job's progress in one transaction, and the results to files before the commit.

        Return False, without writing, if the job was aborted meanwhile.
        """
        if any(len(cells) != len(header) for cells in batch):
            raise ApiError(400, "InvalidBatch", "A row has more or fewer cells than the header")
        client = calling_as(self._job.get("_client", ""))
        with _no_collection(), client, self._org.store.write() as connection:
            job = self._jobs.load(connection, self._job["id"])
            if job["state"] != "InProgress":
                return False
            most, used = read_batches(connection)
            if used >= most:
                raise ApiError(400, "ExceededQuota", "ApiBatchItems Limit exceeded.")
            outcomes = self._write(connection, batch, header, columns)
            self._save_results(job, batch, outcomes)
            self._jobs.save(
                connection,
                job
                | {
                    "_done": job["_done"] + len(batch),
                    "_batches": job["_batches"] + 1,
                    "numberRecordsProcessed": job["numberRecordsProcessed"] + len(batch),
                    "numberRecordsFailed": job["numberRecordsFailed"] + sum(o.error is not None for o in outcomes),
                },
            )
            connection.execute(
                "insert into counter values (?1, 1) on conflict (name) do update set value = value + 1", (BATCHES,)
            )
        return True

    def _write(self, connection: Any, batch: list[list[str]], header: list[str], columns: Columns) -> list[Outcome]:
        row_columns = [columns[name] for name in header]
        drafts = [draft_cells(row_columns, cells) for cells in batch]
        if self._job["operation"] == "delete":
            ids = [draft.id or "" for draft in drafts]
            org = self._org
            errors = delete_records(connection, org.schema, org.store, self._sobject, ids, org.stamp())
            return [Outcome(record_id, False, errors[record_id]) for record_id in ids]
        return self._writer.write_drafts(
            connection,
            self._sobject,
            self._job["operation"],
            drafts,
            columns,
            self._key,
            is_locked=self._find_locks(drafts),
        )

    def _find_locks(self, drafts: list[Draft]) -> Callable[[Draft], bool] | None:
        """Return a function that decides whether a row is locked; None if no fault locks rows."""
        locked, parent_locked, held = self._locked, self._parent_locked, self._held
        if parent_locked is not None:
            self._held = {
                (column.name, value) for d in drafts for column, value in d.parents if column.name != "RecordTypeId"
            }

            def is_locked_by_parent(draft: Draft) -> bool:
                if any((column.name, value) in held for column, value in draft.parents):
                    return parent_locked.picks_row()
                return locked is not None and locked.picks_row()

            return is_locked_by_parent
        return None if locked is None else lambda draft: locked.picks_row()

    def _save_results(self, job: "Job", batch: list[list[str]], outcomes: Sequence[Outcome]) -> None:
        """Write the results of the batch in random order, so that tests fail for callers that rely on the order of the file."""
        pairs = list(zip(batch, outcomes, strict=True))
        random.Random(f"{job['id']} {job['_batches']}").shuffle(pairs)
        folder, number = self._jobs.folder(job["id"]), job["_batches"]
        successful = (
            [o.id or "", "true" if o.is_created else "false", *cells] for cells, o in pairs if o.error is None
        )
        failed = ([o.id or "", o.error.bulk_text, *cells] for cells, o in pairs if o.error is not None)
        for kind, rows in (("successful", successful), ("failed", failed)):
            with (folder / f"{number}.{kind}.csv").open("w", encoding="utf-8", newline="") as file:
                file.writelines(_csv_lines(rows, job))


def _read_batch(rows: Iterator[list[str]], most: int) -> list[list[str]]:
    with _no_collection():
        return list(islice(rows, most))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Disable garbage collection inside the block: a batch creates no reference cycles, and the search for them takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def read_batches(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the daily limit of internal batches and the number used."""
    counters = dict(connection.execute("select name, value from counter where name glob ?", (f"{BATCHES}*",)))
    return counters.get(_MOST_BATCHES, _DAILY_BATCHES), counters.get(BATCHES, 0)


def set_batches(connection: sqlite3.Connection, most: int, remaining: int) -> None:
    """Set the daily limit of internal batches, and how many of them remain today."""
    pairs = ((_MOST_BATCHES, most), (BATCHES, most - remaining))
    connection.executemany("insert or replace into counter values (?, ?)", pairs)


@contextmanager
def open_data(folder: Path, job: "Job") -> Iterator[Iterator[list[str]]]:
    """Yield an iterator over the rows of a job's file, the header first.

    Raises:
        ApiError: ClientInputError, the file has other line endings than the job states.
    """
    with (folder / "data.csv").open(encoding="utf-8", newline="") as file:
        first = file.readline()
        ending = "CRLF" if first.endswith("\r\n") else "LF"
        if first and ending != job["lineEnding"]:
            message = f"LineEnding is invalid on user data. Current LineEnding setting is {job['lineEnding']}"
            raise ApiError(400, "ClientInputError", message)
        file.seek(0)
        yield csv.reader(file, delimiter=DELIMITERS[job["columnDelimiter"]], strict=True)


def stream_results(folder: Path, job: "Job", kind: str) -> Iterator[bytes]:
    """Yield the results of a kind (`successful`, `failed` or `unprocessed`) as CSV, in pieces.

    The rows of `successful` and `failed` are in random order. `unprocessed` has rows only after the job failed or was aborted. A job without a
    file has no results, not even a header.
    """
    if not (folder / "data.csv").exists():
        return
    with (folder / "data.csv").open(encoding="utf-8", newline="", errors="replace") as file:
        rows = csv.reader(file, delimiter=DELIMITERS[job["columnDelimiter"]])
        yield from _encode([[*ADDED[kind], *next(rows, [])]], job)
        if kind == "unprocessed":
            if job["state"] in {"Failed", "Aborted"}:
                yield from _encode(islice(rows, job["_done"], None), job)
            return
    numbers = list(range(job["_batches"]))
    random.Random(job["id"]).shuffle(numbers)
    for number in numbers:
        with (folder / f"{number}.{kind}.csv").open("rb") as results:
            while piece := results.read(1 << 16):
                yield piece


def _encode(rows: Iterable[list[str]], job: "Job") -> Iterator[bytes]:
    return (line.encode() for line in _csv_lines(rows, job))


def _csv_lines(rows: Iterable[list[str]], job: "Job") -> Iterator[str]:
    """Yield rows as CSV lines with all cells quoted, as the `csv` module writes them. Rows without quotes, nearly all, take a faster path."""
    delimiter, ending = DELIMITERS[job["columnDelimiter"]], _ENDINGS[job["lineEnding"]]
    between = f'"{delimiter}"'
    for cells in rows:
        line = between.join(cells)
        if line.count('"') > 2 * len(cells) - 2:
            line = between.join(cell.replace('"', '""') for cell in cells)
        yield f'"{line}"{ending}'
