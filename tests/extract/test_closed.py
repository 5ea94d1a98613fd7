"""Which day a vendor has closed, though some of its accounts lag."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from include.connection import Connection
from include.contract import Basic, Budget, Probe, Vendor
from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.errors import ConfigurationError, VendorUnavailable
from include.extract.closed import read_closed_day
from include.extract.session import VendorSession
from include.warehouse import schema
from tests.conftest import Database

PROBE = Probe("Accounts", {"$orderby": "Day"}, "day", tolerated=2, top="$top")
VENDOR = Vendor("testbank", "Testbank", "", Basic(), (), (), "0 6 * * *", Budget(60_000, 100), closed=PROBE)
ReadClosedDay = Callable[..., date | None]


@contextmanager
def serve(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Serve the first `$top` of these rows."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            [top] = parse_qs(urlsplit(self.path).query)["$top"]
            body = json.dumps(rows[: int(top)]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def read_day(database: Database) -> Iterator[ReadClosedDay]:
    engine = schema.engine(database.url())

    def read(days: list[str | None], vendor: Vendor = VENDOR) -> date | None:
        with serve([{"id": n, "day": day} for n, day in enumerate(days)]) as url:
            budget, calls = RateBudget(engine, vendor.name, vendor.budget), CallLog(engine, vendor.name, "", "a run")
            with VendorSession(vendor, Connection(url, "a", "b", {}), budget, calls, patience_s=0.1) as session:
                return read_closed_day(vendor, session)

    yield read
    engine.dispose()


@pytest.mark.parametrize(
    ("days", "closed"),
    [
        (["2026-11-20"] * 5, date(2026, 11, 20)),
        (["2019-03-01", "2026-11-19", "2026-11-20T00:00:00", "2026-11-20"], date(2026, 11, 20)),
        (["2019-03-01", "2026-11-19", "2026-11-19", "2026-11-20"], date(2026, 11, 19)),
        ([None, "2026-11-19", "2026-11-20"], date(2026, 11, 20)),
        (["2026-11-19", "2026-11-20"], date(2026, 11, 19)),  # so few that each of them counts
        ([None], None),
        ([], None),
    ],
)
def test_as_many_accounts_as_are_tolerated_may_lag(
    read_day: ReadClosedDay, days: list[str | None], closed: date | None
) -> None:
    assert read_day(days) == closed


def test_one_account_holds_the_firm_up_where_none_is_tolerated(read_day: ReadClosedDay) -> None:
    strict = replace(VENDOR, closed=replace(PROBE, tolerated=0))
    assert read_day(["2019-03-01", "2026-11-20"], strict) == date(2019, 3, 1)


def test_accounts_that_lag_are_logged(read_day: ReadClosedDay, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "include.extract.closed")
    read_day(["2019-03-01", "2026-11-19", "2026-11-20"])
    assert caplog.messages == ["testbank has closed 2026-11-20 except for 2 accounts: 0 (2019-03-01), 1 (2026-11-19)"]


def test_response_with_an_invalid_date_is_retried(read_day: ReadClosedDay) -> None:
    with pytest.raises(VendorUnavailable, match=r"no valid date.*vendor=testbank path=Accounts"):
        read_day(["soon"])


def test_undeclared_closed_day_request_is_a_configuration_error(read_day: ReadClosedDay) -> None:
    with pytest.raises(ConfigurationError, match=r"declare `closed`.*vendor=testbank"):
        read_day([], replace(VENDOR, closed=None))
