"""Reports that a vendor makes on order: ordered, waited for, downloaded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping

from include.contract import Report, Table
from include.errors import VendorUnavailable
from include.extract.csv_page import CsvReader
from include.extract.page import Page
from include.extract.session import Ask, VendorSession


def report_pages(
    session: VendorSession, table: Table, shape: Report, params: Mapping[str, str], reader: CsvReader, speed: float
) -> Iterator[Page]:
    """Orders a report and yields its rows.

    Args:
        session: Asks.
        table: Whose report.
        shape: How it is ordered.
        params: Its dates.
        reader: Reads the file.
        speed: How many times faster than the wall clock the vendor's minutes pass.

    Raises:
        VendorUnavailable: The vendor could not make it, or not before the deadline: a new order may do.
        LimitExceeded: The file is larger than the vendor's limits allow.
        TributaryError: As `VendorSession.ask` raises.
    """
    about = {"vendor": session.vendor, "table": table.name}
    job = session.ask(Ask(table.path, body={**shape.order, **params}), _field(shape.job, about))
    state, deadline = "", time.monotonic() + shape.deadline_seconds / speed
    while state != shape.done:
        state = session.ask(Ask(f"{table.path}/{job}"), _field(shape.state, about)) or ""
        if state in shape.failed:
            raise VendorUnavailable("The vendor could not make the report", **about, job=job, state=state)
        if state != shape.done:
            if time.monotonic() > deadline:
                raise VendorUnavailable("The report is not ready in time", **about, job=job, state=state)
            time.sleep(shape.poll_seconds / speed)
    most = session.limits.expanded_bytes
    pages = session.ask(Ask(f"{table.path}/{job}/file", is_file=True), lambda body: list(reader.read_file(body, most)))
    yield from pages or ()


def _field(name: str, about: Mapping[str, str]) -> Callable[[bytes], str]:
    def read(body: bytes) -> str:
        try:
            return str(json.loads(body)[name])
        except (ValueError, KeyError, TypeError) as error:
            raise VendorUnavailable("The answer says nothing of the job", **about, field=name) from error

    return read
