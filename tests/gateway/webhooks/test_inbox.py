"""The inbox and its notifications: a repeated delivery is stored once, and listeners are notified."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa

from include.control.inbox import CHANNEL, Delivery, receive
from include.errors import TargetUnavailable
from include.gateway.webhooks import app
from tests.conftest import Database
from tests.firm_keys import KEYRING
from tests.gateway.conftest import EVENT, NOTICE, Gateway, read_problem

Run = Callable[..., Gateway]
Bell = Callable[[], list[str]]


# --- the same delivery ---


def test_delivery_that_comes_again_is_counted_and_not_doubled(gateway: Gateway) -> None:
    assert [gateway.send().json()["status"] for _ in range(3)] == ["kept", "known", "known"]
    [stored] = gateway.read_stored()
    assert stored["copies"] == 3
    assert stored["last_seen_at"] > stored["received_at"]


def test_copies_at_once_are_one(gateway: Gateway) -> None:
    with ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(lambda _: gateway.send().json()["status"], range(48)))
    assert sorted(statuses) == ["kept"] + ["known"] * 47
    assert [stored["copies"] for stored in gateway.read_stored()] == [48]


def test_deliveries_that_differ_in_the_attempt_alone_are_one(gateway: Gateway) -> None:
    bodies = [b'{"event":"a","retryCount":%d,"data":{"n":1.0}}' % attempt for attempt in (0, 1, 7)]
    assert [gateway.send(body).json()["status"] for body in bodies] == ["kept", "known", "known"]
    assert [stored["body"] for stored in gateway.read_stored()] == [bodies[0]]


@pytest.mark.parametrize(
    "other",
    [
        b'{"event":"b","retryCount":0,"data":{"n":1.0}}', b'{"event":"a","retryCount":0,"data":{"n":1.00}}',
        b'{"event":"a","retryCount":0,"data":{"n":1.000000000000000000001}}',
        b'{"event":"a","data":{"n":1.0,"retryCount":0}}', b'{"event":"a","retrycount":0,"data":{"n":1.0}}',
    ],
)  # fmt: skip
def test_deliveries_that_differ_in_anything_else_are_two(gateway: Gateway, other: bytes) -> None:
    gateway.send(b'{"event":"a","retryCount":0,"data":{"n":1.0}}')
    assert gateway.send(other).json()["status"] == "kept"
    assert len(gateway.read_stored()) == 2


def test_senders_are_apart(gateway: Gateway) -> None:
    body = b'{"webhookNotificationId":"n1"}'
    assert [gateway.send(body).json(), gateway.notify(body).json()] == [{"status": "kept"}] * 2
    assert [stored["sender"] for stored in gateway.read_stored()] == ["docusign", "adobe_sign"]


# --- notifications ---


def test_notification_names_the_sender_after_the_commit(gateway: Gateway, database: Database) -> None:
    with psycopg.connect(database.url(), autocommit=True) as listening, ThreadPoolExecutor(1) as threads:
        listening.execute(f"listen {CHANNEL}".encode())
        response = threads.submit(gateway.notify)
        [notification] = listening.notifies(timeout=10, stop_after=1)
        bodies = [stored["body"] for stored in gateway.read_stored() if stored["processed_at"] is None]
        assert response.result(10).status_code == 200
    assert (notification.payload, bodies) == ("adobe_sign", [NOTICE])


def test_copy_of_a_waiting_delivery_notifies_again(gateway: Gateway, notifications: Bell) -> None:
    gateway.send()
    assert notifications() == ["docusign"]
    gateway.send()
    assert notifications() == ["docusign"]


def test_copy_of_one_that_is_done_is_quiet(gateway: Gateway, notifications: Bell, database: Database) -> None:
    gateway.send()
    database.do("update control.inbox set processed_at = now()")
    notifications()
    assert gateway.send().json() == {"status": "known"}
    assert notifications() == []


def test_refused_call_is_quiet(gateway: Gateway, notifications: Bell) -> None:
    gateway.send(key="wrong")
    assert notifications() == []


# --- the database unavailable ---


def test_unavailable_database_is_reported_and_the_sender_retries(run: Run) -> None:
    gateway = run(url="postgresql://tributary_gateway:only-for-tests@127.0.0.1:1/nowhere")
    response = gateway.send()
    reason = read_problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert "only-for-tests" not in reason
    assert "127.0.0.1" not in reason


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never sends a byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_unresponsive_database_is_not_waited_for(run: Run, silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "PATIENCE_S", 0.5)
    url = f"postgresql://tributary_gateway:only-for-tests@127.0.0.1:{silent_port}/nowhere?connect_timeout=3"
    gateway = run(url=url)
    started = time.monotonic()
    read_problem(gateway.send(), 503)
    assert time.monotonic() - started < 2.5


def test_database_that_comes_back_serves_again(gateway: Gateway, database: Database) -> None:
    assert gateway.send().status_code == 200
    database.do("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tributary_gateway'")
    assert gateway.send(b"{}").status_code == 200


def test_locked_row_is_not_waited_for_indefinitely(engine: sa.Engine, database: Database) -> None:
    delivery = Delivery("docusign", EVENT, "hash", None, {})
    receive(engine, delivery, KEYRING.receiving_key)
    with psycopg.connect(database.admin_url) as holding:
        holding.execute("update control.inbox set error = error")
        started = time.monotonic()
        with pytest.raises(TargetUnavailable):
            receive(engine, delivery, KEYRING.receiving_key)
        assert time.monotonic() - started < 15
    assert receive(engine, delivery, KEYRING.receiving_key) is False


def test_delivery_does_not_show_its_body() -> None:
    assert "envelope" not in repr(Delivery("docusign", EVENT, "hash", None, {}))
