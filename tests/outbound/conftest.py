"""A receiver that listens on a port, verifies calls with the libraries that receivers use, and replies as a test directs."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import sqlalchemy as sa
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook

from include.outbound.deliver import Counts, deliver
from include.outbound.outbox import IS_WAITING
from include.outbound.subscriber import Subscriber
from include.warehouse import schema
from tests.conftest import Database

HERE = "127.0.0.0/8"
"""The network of receivers on this machine."""
SECRET = "whsec_aW52ZW50ZWQtZm9yLXRoZXNlLXRlc3RzLW9ubHkh"
LOAD = "tributary.load.committed"

RESET, HANG, DRIP = "reset", "hang", "drip"
Reply = int | str | tuple[int, dict[str, str]]
"""A status, a status with headers, or one of the behaviors above."""


@dataclass(frozen=True)
class ReceivedCall:
    """A received event, and the reply."""

    path: str
    id: str
    type: str
    subject: str
    data: dict[str, Any]
    reply: Reply

    @property
    def is_accepted(self) -> bool:
        return isinstance(self.reply, int) and self.reply < 300


@dataclass
class Receiver:
    """Keeps received calls in order; `choose` returns the reply."""

    port: int = 0
    secret: str = SECRET
    calls: list[ReceivedCall] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    choose: Callable[[ReceivedCall], Reply] = lambda _: 200
    lock: threading.Lock = field(default_factory=threading.Lock)
    arrived: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def forget(self) -> None:
        self.calls.clear()
        self.errors.clear()
        self.heads.clear()
        self.connections = 0
        self.secret, self.choose = SECRET, lambda _: 200
        self.arrived.clear()
        self.release.clear()

    def play(self, *plan: Reply) -> None:
        """Reply with these in turn, then with 200."""
        replies = itertools.chain(plan, itertools.repeat(200))
        self.choose = lambda _: next(replies)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def accepted(self) -> list[ReceivedCall]:
        return [each for each in self.calls if each.is_accepted]

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """Verify a call as a careful receiver would; reply 400 to an invalid one."""
        try:
            self.heads.append({name.lower(): value for name, value in headers.items()})
            Webhook(self.secret).verify(body, headers)
            event = from_http_event(HTTPMessage({k.lower(): v for k, v in headers.items()}, body))
            assert event.get_specversion() == "1.0"
            assert event.get_id() == {k.lower(): v for k, v in headers.items()}["webhook-id"]
            data = event.get_data()
            assert isinstance(data, dict)
            with self.lock:
                seen = ReceivedCall(path, event.get_id(), event.get_type(), event.get_subject() or "", data, 0)
                reply = self.choose(seen)
                self.calls.append(ReceivedCall(seen.path, seen.id, seen.type, seen.subject, seen.data, reply))
            self.arrived.set()
            return reply
        except Exception as error:
            self.errors.append(error)
            return 400


class _Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        reply = self.receiver.take(self.path, dict(self.headers.items()), body)
        self.close_connection = reply in (RESET, HANG, DRIP)
        if reply == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif reply == HANG:
            self.receiver.release.wait(20)
        elif reply == DRIP:
            self._drip()
        else:
            status, headers = reply if isinstance(reply, tuple) else (reply, {})
            self.send_response(int(status))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

    def _drip(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.receiver.release.wait(0.05):
                self.wfile.write(b"x-more: 1\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle(self) -> None:
        self.receiver.connections += 1
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()


@pytest.fixture(scope="module")
def listening() -> Iterator[Receiver]:
    receiver = Receiver()
    handler = type("Door", (_Server,), {"receiver": receiver})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield receiver
    receiver.release.set()
    server.shutdown()
    server.server_close()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def receiver(listening: Receiver) -> Iterator[Receiver]:
    """A receiver without calls; at the end, checks that all received calls were authentic and valid."""
    listening.forget()
    yield listening
    listening.release.set()
    assert listening.errors == []


_WRITTEN = (
    "control.outbound_delivery",
    "control.outbound_subscriber",
    "control.ledger",
    "control.dead_letter",
    "control.lateness",
    "control.finding",
    "control.evaluated_day",
    "warehouse.envelope",
    "control.outbox",
)


@dataclass
class Firm:
    """A firm that sends events, with a clock that tests set."""

    database: Database
    engine: sa.Engine
    owner: sa.Engine
    subscribers: list[Subscriber] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def do(self, statement: str, **values: Any) -> None:
        """Execute a statement as the database's owner."""
        with self.owner.begin() as connection:
            connection.execute(sa.text(statement), values)

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with self.owner.begin() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]

    def happen(self, *subjects: str, type: str = LOAD, vendor: str = "orion") -> None:
        """Insert an event for each subject, in order; its data holds its place."""
        for place, subject in enumerate(subjects):
            self.do(
                "insert into control.outbox (type, vendor, subject, data)"
                " values (:type, :vendor, :subject, jsonb_build_object('place', cast(:place as int)))",
                type=type, vendor=vendor, subject=subject, place=place,
            )  # fmt: skip

    def deliver(self, unreadable: dict[str, str] | None = None) -> Counts:
        return deliver(self.engine, self.subscribers, unreadable, clock=lambda: self.now)

    def is_waiting(self, query: str = IS_WAITING) -> bool:
        with self.engine.connect() as connection:
            return bool(connection.scalar(sa.text(query), {"now": self.now}))

    def turn(self, **how: float) -> None:
        self.now += timedelta(**how)

    def turn_to_next_try(self) -> None:
        """Set the clock to the time at which the next delivery is due."""
        self.now = max(
            self.now,
            self.rows("""
            select min(greatest(due_at, s.paused_until)) from (
                select distinct on (subscriber, subject) * from control.outbound_delivery
                where status = 'waiting' order by subscriber, subject, event_number
            ) d join control.outbound_subscriber s using (subscriber)
            """)[0]["min"],
        )

    def deliveries(self, status: str | None = None) -> list[dict[str, Any]]:
        return self.rows(
            "select d.*, e.event_id, e.type from control.outbound_delivery d join control.outbox e using (event_number)"
            " where cast(:status as text) is null or status = :status order by subscriber, event_number",
            status=status,
        )

    def state(self, name: str = "hub") -> tuple[str, str]:
        [row] = self.rows("select * from control.outbound_subscriber where subscriber = :name", name=name)
        return row["state"], row["reason"]

    def events(self) -> list[dict[str, Any]]:
        return self.rows("select * from control.outbox order by event_number")

    def forget(self) -> None:
        for table in _WRITTEN:
            self.do(f"delete from {table}")
        self.now = datetime.now(UTC)


def subscribe(url: str, name: str = "hub", secrets: str = SECRET, **extra: str) -> Subscriber:
    return Subscriber.of(name, url, secrets, {"networks": HERE} | extra)


@pytest.fixture(scope="module")
def shared_firm(shared_database: Database) -> Iterator[Firm]:
    engine, owner = schema.engine(shared_database.url()), schema.engine(shared_database.admin_url)
    yield Firm(shared_database, engine, owner)
    engine.dispose()
    owner.dispose()


@pytest.fixture
def quiet(shared_firm: Firm) -> Firm:
    """A firm without subscribers and without events."""
    shared_firm.forget()
    shared_firm.subscribers = []
    return shared_firm


@pytest.fixture
def firm(quiet: Firm, receiver: Receiver) -> Firm:
    """A firm with one known subscriber."""
    quiet.subscribers = [subscribe(receiver.url())]
    quiet.deliver()
    return quiet


def list_subjects(received: Sequence[ReceivedCall]) -> list[str]:
    return [each.subject for each in received]
