"""A vendor that listens on the loopback and replies as a test directs, and the parts that a pull from it needs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import sqlalchemy as sa

from include.connection import Connection
from include.contract import Basic, Budget, Table, Vendor
from include.control.answers import Answers
from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.extract.csv_page import CsvReader
from include.extract.paging import Window
from include.extract.pull import Span, stage
from include.extract.session import VendorSession
from include.extract.shapes import read_windows
from include.extract.source import Source
from include.sensitive import Redactor
from include.staging.partitions import Partition, Staging
from tests.firm_keys import KEYRING

DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 23, tzinfo=UTC)
REDACTOR = Redactor(b"only for tests")


@dataclass(frozen=True)
class RecordedCall:
    """A call as the vendor received it."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """A response: `value` is written as JSON; `content` is sent as it is."""

    value: Any = None
    status: int = 200
    kind: str = "application/json"
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[RecordedCall], Reply]


@dataclass
class Listener:
    """A vendor that listens, and the calls that it received."""

    url: str
    calls: list[RecordedCall] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.calls]


@contextmanager
def listen(answer: Answer) -> Iterator[Listener]:
    """Serve from a free port; `answer` is called from several threads."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            call = RecordedCall(
                self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers.items()), body
            )
            listener.calls.append(call)
            reply = answer(call)
            content = json.dumps(reply.value).encode() if reply.content is None else reply.content
            self.send_response(reply.status)
            for name, value in {
                "Content-Type": reply.kind,
                "Content-Length": str(len(content)),
                **reply.headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        listener = Listener(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()


def vendor_of(*tables: Table, **options: Any) -> Vendor:
    """Declare a vendor of these tables whose rate limit no test reaches."""
    of = Vendor("testbank", "Testbank", "", Basic(), tables, (), "0 6 * * *", Budget(600_000, 1000))
    return replace(of, **options)


def open_session(engine: sa.Engine, vendor: Vendor, url: str, patience_s: float = 0.3, **extra: str) -> VendorSession:
    budget = RateBudget(engine, vendor.name, vendor.budget)
    calls = CallLog(engine, vendor.name, "", "a run")
    return VendorSession(vendor, Connection(url, "user", "password", extra), budget, calls, patience_s=patience_s)


@dataclass
class Puller:
    """Pulls tables of one vendor into a staging folder."""

    engine: sa.Engine
    vendor: Vendor
    url: str
    folder: Path
    run_id: str = "a run"
    patience_s: float = 0.3
    speed: float = 1.0
    now: datetime = NOW
    is_routine: bool = False
    most_rows: int = 20_000_000

    @property
    def staging(self) -> Staging:
        return Staging(str(self.folder), KEYRING.staging)

    def answers(self, table: Table) -> Answers:
        return Answers(self.engine, self.run_id, self.vendor.name, table.name, KEYRING.staging, table.hash)

    def windows(
        self,
        table: Table,
        keys: Sequence[Mapping[str, str]] = (),
        parent: Partition | None = None,
        params: Mapping[str, str] | None = None,
        reader: CsvReader | None = None,
    ) -> Iterator[Window]:
        """Request a table, window by window."""
        reader = reader or self.reader(table)
        source = Source(
            keys,
            parent,
            self.answers(table),
            REDACTOR,
            lambda: self.now,
            self.speed,
            self.is_routine,
            self.most_rows,
        )
        with open_session(self.engine, self.vendor, self.url, self.patience_s) as session:
            yield from read_windows(self.vendor, table, params or table.params, session, reader, source)

    def reader(self, table: Table) -> CsvReader:
        return CsvReader(table, REDACTOR, self.vendor.sentinels, self.vendor.zone, self.vendor.name)

    def rows(self, table: Table, **options: Any) -> list[dict[str, Any]]:
        """Return all rows of a table's windows, in order."""
        return [row for window in self.windows(table, **options) for row in window.page.rows.to_pylist()]

    def pull(self, table: Table, **options: Any) -> Partition:
        """Stage a table."""
        reader = self.reader(table)
        windows = self.windows(table, reader=reader, **options)
        return stage(self.vendor, table, Span(DAY), windows, reader, self.staging, NOW)
