"""The work of one ingest job: batch after batch from its file, and the three result files that come out of it."""

import csv
import io
import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.sandbox.faults import Fault
from include.sandbox.salesforce.columns import Columns, Row, read_csv_row
from include.sandbox.salesforce.deletes import delete_records
from include.sandbox.salesforce.errors import ApiError
from include.sandbox.salesforce.org import Org
from include.sandbox.salesforce.schema import SObject
from include.sandbox.salesforce.values import complete_id
from include.sandbox.salesforce.writes import BATCH_ROWS, Outcome, find_key

if TYPE_CHECKING:
    from include.sandbox.salesforce.jobs import Job, Jobs

DELIMITERS = {"COMMA": ",", "TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}
BATCHES = "DailyBulkApiBatches"
"""The counter of internal batches, which `/limits` reports."""

ADDED = {"successful": ("sf__Id", "sf__Created"), "failed": ("sf__Id", "sf__Error"), "unprocessed": ()}
"""The columns that each kind of result puts before the job's own."""

_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}


class Ingest:
    """Works off an ingest job.

    Args:
        org: Where its rows go.
        jobs: Where its progress is kept.
        job: The job.
        locked: The fault that locks a share of its rows.
        parent_locked: The fault that locks a share of the rows whose parent the batch before holds: Salesforce works on
            neighbouring batches at the same time, so a parent's children belong into one batch.
    """

    def __init__(self, org: Org, jobs: "Jobs", job: "Job", locked: Fault | None, parent_locked: Fault | None) -> None:
        self._org, self._jobs, self._job = org, jobs, job
        self._locked, self._parent_locked = locked, parent_locked
        self._held: set[tuple[str, str | None]] = set()
        self._sobject: SObject = org.schema[job["object"]]
        key = job.get("externalIdFieldName")
        self._key = find_key(self._sobject, key) if key else None
        self._writer = org.writer(job["createdById"])

    def run(self, failing: Fault | None, closing: threading.Event) -> None:
        """Process the rows that are left; `failing` ends the job as Failed after its `processed` rows (0 unless said).

        Raises:
            ApiError: a column that the object lacks, a row with too few or too many cells.
            csv.Error, UnicodeDecodeError: the file is no CSV in UTF-8.
        """
        job = self._job
        most = int(failing.options.get("processed", 0)) if failing else None
        with open_data(self._jobs.folder(job["id"]), job) as rows:
            header = next(rows, [])
            columns = self._find_columns(header)
            done = job["_done"]
            skipped = sum(1 for _ in islice(rows, done))
            assert skipped == done
            while batch := list(islice(rows, BATCH_ROWS if most is None else max(0, min(BATCH_ROWS, most - done)))):
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
                columns[name]
            except ApiError as error:
                raise ApiError(400, "InvalidBatch", f"Field name not found : {name}") from error
        needed = self._key.name if self._key else "Id" if self._job["operation"] in {"update", "delete"} else None
        if not header or (needed and needed.lower() not in {name.lower() for name in header}):
            raise ApiError(400, "InvalidBatch", f"Field name not found : {needed or 'the header is empty'}")
        return columns

    def _process(self, header: list[str], columns: Columns, batch: list[list[str]]) -> bool:
        """Write one batch and its results in one transaction; False when the job was aborted meanwhile."""
        if any(len(cells) != len(header) for cells in batch):
            raise ApiError(400, "InvalidBatch", "A row has more or fewer cells than the header")
        sent = [read_csv_row(header, cells) for cells in batch]
        with self._org.store.write() as connection:
            job = self._jobs.load(connection, self._job["id"])
            if job["state"] != "InProgress":
                return False
            outcomes = self._write(connection, sent, columns)
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

    def _write(self, connection: Any, rows: list[dict[str, str | None]], columns: Columns) -> list[Outcome]:
        if self._job["operation"] != "delete":
            held, self._held = self._held, self._parents_of(rows, columns)
            return self._writer.write(
                connection,
                self._sobject,
                self._job["operation"],
                rows,
                self._key,
                columns=columns,
                is_locked=lambda row: self._is_locked(row, held),
            )
        ids = [complete_id(row.get("Id") or "") for row in rows]
        errors = delete_records(connection, self._org.schema, self._org.store, self._sobject, ids, self._org.stamp())
        return [Outcome(record_id, False, errors[record_id]) for record_id in ids]

    def _parents_of(self, rows: list[dict[str, str | None]], columns: Columns) -> set[tuple[str, str | None]]:
        if self._parent_locked is None:
            return set()
        names = [name for name, column in columns.items() if column.parent_key and column.field.name != "RecordTypeId"]
        return {(name, row.get(name)) for row in rows for name in names}

    def _is_locked(self, row: Row, held: set[tuple[str, str | None]]) -> bool:
        if self._parent_locked is not None and any(item in held for item in row.items()):
            return self._parent_locked.picks_row()
        return self._locked is not None and self._locked.picks_row()

    def _save_results(self, job: "Job", batch: list[list[str]], outcomes: Sequence[Outcome]) -> None:
        """Write the batch's results, shuffled: nobody may count on the order of the file."""
        pairs = list(zip(batch, outcomes, strict=True))
        random.Random(f"{job['id']} {job['_batches']}").shuffle(pairs)
        folder, number = self._jobs.folder(job["id"]), job["_batches"]
        good = ([o.id or "", "true" if o.is_created else "false", *cells] for cells, o in pairs if o.error is None)
        bad = ([o.id or "", o.error.bulk_text, *cells] for cells, o in pairs if o.error is not None)
        for kind, rows in (("successful", good), ("failed", bad)):
            with (folder / f"{number}.{kind}.csv").open("w", encoding="utf-8", newline="") as file:
                _csv_writer(file, job).writerows(rows)


@contextmanager
def open_data(folder: Path, job: "Job") -> Iterator[Iterator[list[str]]]:
    """The rows of a job's file, header first, read as they are asked for.

    Raises:
        ApiError: its lines end otherwise than the job says.
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
    """A result file of a job, `successful`, `failed` or `unprocessed`, piece by piece and in no order."""
    if not (folder / "data.csv").exists():
        return
    with (folder / "data.csv").open(encoding="utf-8", newline="", errors="replace") as file:
        rows = csv.reader(file, delimiter=DELIMITERS[job["columnDelimiter"]])
        yield _csv_line([*ADDED[kind], *next(rows, [])], job)
        if kind == "unprocessed":
            if job["state"] in {"Failed", "Aborted"}:
                yield from (_csv_line(cells, job) for cells in islice(rows, job["_done"], None))
            return
    numbers = list(range(job["_batches"]))
    random.Random(job["id"]).shuffle(numbers)
    for number in numbers:
        with (folder / f"{number}.{kind}.csv").open("rb") as results:
            while piece := results.read(1 << 16):
                yield piece


def _csv_line(cells: Iterable[str], job: "Job") -> bytes:
    line = io.StringIO(newline="")
    _csv_writer(line, job).writerow(cells)
    return line.getvalue().encode()


def _csv_writer(file: Any, job: "Job") -> Any:
    return csv.writer(
        file,
        delimiter=DELIMITERS[job["columnDelimiter"]],
        quoting=csv.QUOTE_ALL,
        lineterminator=_ENDINGS[job["lineEnding"]],
    )
