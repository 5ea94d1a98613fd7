"""Request a vendor's report, wait for it, and download it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping

from include.contract import Report, Table
from include.errors import VendorUnavailable
from include.extract.csv_page import CsvReader
from include.extract.page import Page
from include.extract.session import Request, VendorSession


def report_pages(
    session: VendorSession, table: Table, shape: Report, params: Mapping[str, str], reader: CsvReader, speed: float
) -> Iterator[Page]:
    """Request a report, wait until it is ready, and yield its rows as pages.

    Args:
        session: The vendor's session.
        table: The table of the report.
        shape: Declaration of the report.
        params: Parameters to add to the body of the request, such as the dates of the report.
        reader: Reader of the file.
        speed: Speed of the vendor's clock relative to the wall clock.

    Raises:
        VendorUnavailable: The report failed, was not ready before the deadline, or can't be read. A new request may succeed.
        SchemaDrift: The report does not have the declared header.
        LimitExceeded: The file is larger than the vendor's limits allow.
        RateLimited, AuthenticationError, ConfigurationError, ClockSkew: See `VendorSession.request`.
    """
    about = {"vendor": session.vendor, "table": table.name}
    job = session.request(Request(table.path, body={**shape.order, **params}), _read_field(shape.job, about))
    state, deadline = "", time.monotonic() + shape.deadline_seconds / speed
    while state != shape.done:
        state = session.request(Request(f"{table.path}/{job}"), _read_field(shape.state, about)) or ""
        if state in shape.failed:
            raise VendorUnavailable(
                "The vendor failed to create the report: if retries fail, report the job to the vendor",
                **about,
                job=job,
                state=state,
            )
        if state != shape.done:
            if time.monotonic() > deadline:
                raise VendorUnavailable("The report was not ready before its deadline", **about, job=job, state=state)
            time.sleep(shape.poll_seconds / speed)
    most = session.limits.expanded_bytes
    pages = session.request(
        Request(f"{table.path}/{job}/file", is_file=True), lambda body: list(reader.read_file(body, most))
    )
    yield from pages or ()


def _read_field(name: str, about: Mapping[str, str]) -> Callable[[bytes], str]:
    def read(body: bytes) -> str:
        try:
            return str(json.loads(body)[name])
        except (ValueError, KeyError, TypeError) as error:
            raise VendorUnavailable("The response lacks a field of the report job", **about, field=name) from error

    return read
