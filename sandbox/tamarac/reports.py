"""Tamarac's bulk reports. A client requests a report, polls its job, and downloads a CSV file or a zip archive."""

import csv
import io
import itertools
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from fastapi import Response
from fastapi.responses import StreamingResponse

from sandbox.server.faults import POISON, Fault, Faults, scale
from sandbox.server.response import Refused
from sandbox.tamarac.positions import HOLDINGS, Row
from sandbox.tamarac.trades import TRANSACTIONS

ROUTE = "/tamarac/api/reports"
_STAGES = ("Queued", "Running", "Complete")
_ZIPPED, _MARKED = 3, 4
"""Every third job has a zip archive as its file. The CSV file of every fourth job begins with a byte order mark."""
_CHUNK = 65_536
_PARAMETERS = {
    "AccountHoldingsAV": {"report", "asOfDate"},
    "AccountTransactions": {"report", "dateType", "startDate", "endDate"},
}

Blocks = Iterable[list[Row]]


class Books(Protocol):
    """The source of the reports' rows: the synthetic firm or files."""

    def read_holdings(self, day: date) -> Blocks:
        """Return the rows of positions at the end of a day, in blocks."""
        ...

    def read_transactions(self, by: str, first: date, last: date) -> Blocks:
        """Return the rows of transactions from `first` through `last`, in blocks. `by` selects the date: "Entry" or "Trade"."""
        ...


@dataclass
class Job:
    """One job: a requested report. `polls` counts the status requests so far."""

    id: int
    report: str
    columns: tuple[str, ...]
    read: Callable[[], Blocks]
    outcome: str = ""  # "report_failed" or "report_hangs" if such a fault applies
    polls: int = 0

    @property
    def file_name(self) -> str:
        """Return the name of the CSV file in the job's zip archive."""
        return f"{self.report}_{self.id}.csv"


class Jobs:
    """The jobs since the sandbox's start. A job is queued at the first status poll, running at the second, then complete.

    Faults on the route `/tamarac/api/reports/<report>`, taken when a report is requested: `report_failed` and `report_hangs`.
    Faults on `/tamarac/api/reports/<report>/file`: `zip_cut` (a truncated archive) and the row faults. `field_renamed` and
    `field_added` change a column of the whole file.
    """

    def __init__(self, books: Books, faults: Faults) -> None:
        self.books, self.faults = books, faults
        self._jobs: dict[int, Job] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def submit(self, request: Mapping[str, Any]) -> int:
        """Start a report and return the job's id.

        Raises:
            Refused: 400, if the report is unknown, or its parameters are incomplete or invalid.
        """
        report, columns, read = self._read(request)
        kinds = ("report_failed", "report_hangs")
        outcome = next((kind for kind in kinds if self.faults.take(f"{ROUTE}/{report}", kind)), "")
        with self._lock:
            id_ = next(self._ids)
            self._jobs[id_] = Job(id_, report, columns, read, outcome)
        return id_

    def _read(self, request: Mapping[str, Any]) -> tuple[str, tuple[str, ...], Callable[[], Blocks]]:
        report = str(request.get("report"))
        if report not in _PARAMETERS:
            raise _refuse(f"unknown report {report!r}")
        if set(request) != _PARAMETERS[report]:
            raise _refuse(f"{report} takes {', '.join(sorted(_PARAMETERS[report]))}")
        if report == "AccountHoldingsAV":
            day = _read_day(request, "asOfDate")
            return report, HOLDINGS, lambda: self.books.read_holdings(day)
        by, first, last = request["dateType"], _read_day(request, "startDate"), _read_day(request, "endDate")
        if by not in ("Entry", "Trade"):
            raise _refuse("dateType must be Entry or Trade")
        if first > last:
            raise _refuse("startDate is after endDate")
        return report, TRANSACTIONS, lambda: self.books.read_transactions(by, first, last)

    def poll(self, id_: int) -> Row:
        """Return a job's status: Queued, Running, Complete or Failed. Each call advances the job.

        Raises:
            Refused: 404, if there is no such job.
        """
        job = self._find(id_)
        with self._lock:
            job.polls += 1
            stage = _find_stage(job)
        return {"status": stage} | ({"message": "the report could not be generated"} if stage == "Failed" else {})

    def send(self, id_: int) -> Response:
        """Return a job's file, which is generated while it is sent.

        Raises:
            Refused: 404, if there is no such job; 409, if its file is not ready.
        """
        job = self._find(id_)
        if _find_stage(job) != "Complete":
            raise Refused(409, {"message": "the report is not complete"})
        route = f"{ROUTE}/{job.report}/file"
        is_cut = self.faults.take(route, "zip_cut") is not None
        chunks = write_csv(job.columns, job.read(), self.faults, route, has_mark=job.id % _MARKED == 0)
        if not is_cut and job.id % _ZIPPED:
            return StreamingResponse(chunks, media_type="text/csv; charset=utf-8")
        return StreamingResponse(_make_archive(job.file_name, chunks, is_cut), media_type="application/zip")

    def _find(self, id_: int) -> Job:
        if id_ not in self._jobs:
            raise Refused(404, {"message": f"unknown job {id_}"})
        return self._jobs[id_]


def _find_stage(job: Job) -> str:
    stage = _STAGES[min(max(job.polls, 1), len(_STAGES)) - 1]
    if stage == "Complete" and job.outcome:
        return "Failed" if job.outcome == "report_failed" else "Running"
    return stage


def _read_day(request: Mapping[str, Any], name: str) -> date:
    try:
        return date.fromisoformat(request[name])
    except (TypeError, ValueError) as error:
        raise _refuse(f"{name} is not a date such as 2026-11-20") from error


def _refuse(message: str) -> Refused:
    return Refused(400, {"message": message})


def write_csv(columns: Iterable[str], blocks: Blocks, faults: Faults, route: str, has_mark: bool) -> Iterator[bytes]:
    """Yield a CSV file in pieces, with the row faults on `route` applied.

    Args:
        columns: Names of the columns, for the header.
        blocks: The rows, in blocks.
        faults: The active faults.
        route: Path on which the faults are set.
        has_mark: Whether the file begins with a byte order mark.
    """
    header, corrupt = _drift(list(columns), faults, route)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    yield ("\ufeff" if has_mark else "").encode()
    for block in blocks:
        writer.writerows(corrupt([row[name] for name in columns]) for row in block)
        if text.tell() > _CHUNK:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _drift(columns: list[str], faults: Faults, route: str) -> tuple[list[str], Callable[[list[Any]], list[Any]]]:
    """Apply the row faults on `route`: return the changed header, and a function that corrupts the cells of one row."""
    header, added = list(columns), list[Any]()
    if fault := faults.take(route, "field_renamed"):
        name = fault.options["field"]
        header = [fault.options.get("to", f"{name} V2") if column == name else column for column in header]
    if fault := faults.take(route, "field_added"):
        header.append(fault.options.get("field", "Brand New Column"))
        added.append(fault.options.get("value", "new"))
    active = [fault for kind in ("field_retyped", "field_scaled", "poison") if (fault := faults.take(route, kind))]

    def corrupt(cells: list[Any]) -> list[Any]:
        for fault in active:
            if fault.picks_row():
                _corrupt_cell(fault, columns, cells)
        return cells + added

    return header, corrupt


def _corrupt_cell(fault: Fault, columns: list[str], cells: list[Any]) -> None:
    if fault.kind == "field_scaled":
        for name in fault.options["field"]:
            cells[columns.index(name)] = scale(cells[columns.index(name)], fault.options["factor"])
        return
    place = columns.index(fault.options.get("field") or fault.random.choice(columns))
    if fault.kind == "field_retyped":
        cells[place] = f"'{cells[place]}"  # as a spreadsheet stores a number as text
    else:
        cells[place] = fault.options["value"] if "value" in fault.options else fault.random.choice(POISON)


def _make_archive(name: str, chunks: Iterable[bytes], is_cut: bool) -> Iterator[bytes]:
    """Yield a zip archive with one file, in pieces. If `is_cut`, yield only its first half, without any error."""
    with tempfile.TemporaryFile() as file:
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(name, "w", force_zip64=True) as entry,
        ):
            for chunk in chunks:
                entry.write(chunk)
        remaining = file.tell() // (2 if is_cut else 1)
        file.seek(0)
        while chunk := file.read(min(_CHUNK, remaining)):
            remaining -= len(chunk)
            yield chunk
