"""A receiver that really listens, verifies what it gets with the libraries that receivers use, and answers as it is told."""

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
from include.outbound.subscriber import Subscriber
from include.warehouse import schema
from tests.conftest import Database

HERE = "127.0.0.0/8"
"""The network of receivers on this machine."""
SECRET = "whsec_aW52ZW50ZWQtZm9yLXRoZXNlLXRlc3RzLW9ubHkh"
LOAD = "tributary.load.committed"

RESET, HANG, DRIP = "reset", "hang", "drip"
Told = int | str | tuple[int, dict[str, str]]
"""How to answer: a status, a status with headers, or one of the words above."""


@dataclass(frozen=True)
class ReceivedCall:
    """One call: who sent which event, and what was answered."""

    path: str
    id: str
    type: str
    subject: str
    data: dict[str, Any]
    told: Told

    @property
    def is_accepted(self) -> bool:
        return isinstance(self.told, int) and self.told < 300


@dataclass
class Receiver:
    """What was received, in order; `choose` says how to answer."""

    port: int = 0
    secret: str = SECRET
    got: list[ReceivedCall] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    choose: Callable[[ReceivedCall], Told] = lambda _: 200
    lock: threading.Lock = field(default_factory=threading.Lock)
    arrived: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def forget(self) -> None:
        self.got.clear()
        self.errors.clear()
        self.heads.clear()
        self.connections = 0
        self.secret, self.choose = SECRET, lambda _: 200
        self.arrived.clear()
        self.release.clear()

    def play(self, *plan: Told) -> None:
        """Answers in turn, and well when the plan is at its end."""
        answers = itertools.chain(plan, itertools.repeat(200))
        self.choose = lambda _: next(answers)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def accepted(self) -> list[ReceivedCall]:
        return [each for each in self.got if each.is_accepted]

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Told:
        """Checks a call as a careful receiver would; an answer of 400 tells of one that fails."""
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
                told = self.choose(seen)
                self.got.append(ReceivedCall(seen.path, seen.id, seen.type, seen.subject, seen.data, told))
            self.arrived.set()
            return told
        except Exception as error:
            self.errors.append(error)
            return 400


class _Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        told = self.receiver.take(self.path, dict(self.headers.items()), body)
        self.close_connection = told in (RESET, HANG, DRIP)
        if told == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif told == HANG:
            self.receiver.release.wait(20)
        elif told == DRIP:
            self._drip()
        else:
            status, headers = told if isinstance(told, tuple) else (told, {})
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
    made = Receiver()
    door = type("Door", (_Server,), {"receiver": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), door)
    server.daemon_threads = False
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.release.set()
    server.shutdown()
    server.server_close()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def receiver(listening: Receiver) -> Iterator[Receiver]:
    """A receiver that has received nothing; at the end, all that it received was authentic and valid."""
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
    """A firm that tells events, with a clock that tests turn."""

    database: Database
    engine: sa.Engine
    owner: sa.Engine
    subscribers: list[Subscriber] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def do(self, statement: str, **values: Any) -> None:
        """As the database's owner."""
        with self.owner.begin() as connection:
            connection.execute(sa.text(statement), values)

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with self.owner.begin() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]

    def happen(self, *subjects: str, type: str = LOAD, vendor: str = "orion") -> None:
        """Makes an event of each subject, in order; its data holds its place."""
        for place, subject in enumerate(subjects):
            self.do(
                "insert into control.outbox (type, vendor, subject, data)"
                " values (:type, :vendor, :subject, jsonb_build_object('place', cast(:place as int)))",
                type=type, vendor=vendor, subject=subject, place=place,
            )  # fmt: skip

    def deliver(self, unreadable: dict[str, str] | None = None) -> Counts:
        return deliver(self.engine, self.subscribers, unreadable, clock=lambda: self.now)

    def turn(self, **how: float) -> None:
        self.now += timedelta(**how)

    def turn_to_next_try(self) -> None:
        """Turns the clock to when the first delivery may be sent that nothing of its subject is before."""
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
def opened(shared_database: Database) -> Iterator[Firm]:
    engine, owner = schema.engine(shared_database.url()), schema.engine(shared_database.admin_url)
    yield Firm(shared_database, engine, owner)
    engine.dispose()
    owner.dispose()


@pytest.fixture
def quiet(opened: Firm) -> Firm:
    """A firm that nobody listens to yet, and where nothing has happened."""
    opened.forget()
    opened.subscribers = []
    return opened


@pytest.fixture
def firm(quiet: Firm, receiver: Receiver) -> Firm:
    """A firm with one subscriber, which it has met."""
    quiet.subscribers = [subscribe(receiver.url())]
    quiet.deliver()
    return quiet


def subjects(received: Sequence[ReceivedCall]) -> list[str]:
    return [each.subject for each in received]
