"""A gateway that listens on a port, on a real database."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa

from include.contract.webhook import Sender
from include.gateway.webhooks.app import create_app
from include.gateway.webhooks.authenticity import Keyring
from include.gateway.webhooks.senders import SENDERS
from include.warehouse import schema
from tests.conftest import Database
from tests.firm_keys import KEYRING, open_body, register_inbox_key
from tests.running_server import run_server

KEY = "an-invented-key="
CLIENT_ID = "CBJCHBCAABAAinvented"
KEYRINGS = {"docusign": Keyring.of(KEY), "adobe_sign": Keyring.of(CLIENT_ID, "127.0.0.0/8")}
SIGNED, ECHOED = "/docusign", "/adobe-sign"
EVENT = b'{"event":"envelope-completed","retryCount":0,"data":{"envelopeId":"e1"}}'
WINDOW = "year"
"""Window of rate limits in tests. Windows are aligned with the clock, so a minute could end, and allow a request, in a test."""
WINDOW_S = 31_536_000
NOTICE = b'{"event": "AGREEMENT_CREATED", "webhookNotificationId": "n1", "agreement": {"id": "a1"}}'


def sign(body: bytes, key: str = KEY) -> str:
    return base64.b64encode(hmac.digest(key.encode(), body, hashlib.sha256)).decode()


@dataclass
class Gateway:
    """A caller of one running gateway, and the inbox."""

    http: httpx.Client
    database: Database
    keyrings: dict[str, Keyring]

    def send(self, body: bytes = EVENT, key: str = KEY, **headers: str) -> httpx.Response:
        return self.post(SIGNED, body, {"X-DocuSign-Signature-1": sign(body, key)} | headers)

    def notify(self, body: bytes = NOTICE, **headers: str) -> httpx.Response:
        return self.post(ECHOED, body, {"X-AdobeSign-ClientId": CLIENT_ID} | headers)

    def post(self, path: str, body: Any, headers: Any = None) -> httpx.Response:
        return self.http.post(path, content=body, headers=headers)

    def read_stored(self) -> list[dict[str, Any]]:
        """Read the inbox, with bodies as they were received."""
        rows = self.database.rows("select * from control.inbox order by inbox_id")
        return [row | {"body": open_body(row)} for row in rows]


def read_problem(response: httpx.Response, status: int) -> str:
    """Check that a response is a problem (RFC 9457) with this status; return its detail."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["type"], body["status"]) == ("about:blank", status)
    assert body["title"]
    return str(body["detail"])


@contextlib.contextmanager
def run_gateway(
    database: Database, url: str | None = None, senders: Sequence[Sender] = SENDERS, **keyrings: Keyring
) -> Iterator[Gateway]:
    all_keyrings = KEYRINGS | keyrings
    engine = schema.engine(url or database.url("tributary_gateway"))
    app = create_app(lambda: engine, senders, lambda sender: all_keyrings[sender.name], lambda: KEYRING.receiving_key)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    place = f"http://127.0.0.1:{listener.getsockname()[1]}"
    # On a busy machine a kept-alive connection may idle so long that the server closes it just as a request starts.
    limits = httpx.Limits(max_keepalive_connections=0)
    try:
        with run_server(app, [listener]), httpx.Client(base_url=place, timeout=20, limits=limits) as http:
            yield Gateway(http, database, all_keyrings)
    finally:
        engine.dispose()


@pytest.fixture
def database(shared_database: Database) -> Database:
    """A database with an empty inbox."""
    shared_database.do("truncate control.inbox")
    register_inbox_key(shared_database)
    return shared_database


@pytest.fixture
def gateway(database: Database) -> Iterator[Gateway]:
    with run_gateway(database) as running:
        yield running


@pytest.fixture
def run(database: Database) -> Iterator[Callable[..., Gateway]]:
    """Runs gateways with the test's own settings."""
    with contextlib.ExitStack() as running:
        yield lambda *args, **options: running.enter_context(run_gateway(database, *args, **options))


@pytest.fixture
def notifications(database: Database) -> Iterator[Callable[[], list[str]]]:
    """Reads the notifications since the last read."""
    with psycopg.connect(database.url(), autocommit=True) as listening:
        listening.execute("listen tributary_inbox")
        yield lambda: [notification.payload for notification in listening.notifies(timeout=0.5)]


@pytest.fixture
def engine(database: Database) -> Iterator[sa.Engine]:
    opened = schema.engine(database.url("tributary_gateway"))
    yield opened
    opened.dispose()


def limit_rate(rate: str) -> list[Sender]:
    """Return the senders, each with this rate limit."""
    return [replace(sender, rate=rate) for sender in SENDERS]
