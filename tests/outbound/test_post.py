"""A call ends in time, and follows no redirect."""

from __future__ import annotations

import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.outbound import post
from include.outbound.address import read_networks
from include.outbound.message import Event, render, sign
from include.outbound.post import Answer, Sender
from include.version import VERSION
from local.processes import find_free_port
from tests.outbound.conftest import DRIP, HANG, HERE, LOAD, RESET, SECRET, Receiver, Reply

EVENT = Event(
    "5b0f0f5e-0000-4000-8000-000000000001", LOAD, "orion/assets", datetime(2026, 11, 20, tzinfo=UTC), {"n": 1}
)


def call(url: str) -> Answer:
    with Sender() as sender:
        return send(sender, url)


def send(sender: Sender, url: str, networks: str = HERE) -> Answer:
    body = render(EVENT)
    headers = sign([SECRET], EVENT.event_id, body, datetime.now(UTC))
    return sender.post(url, headers, body, read_networks(networks))


def test_an_event_arrives_as_a_valid_and_signed_cloud_event(receiver: Receiver) -> None:
    assert call(receiver.url()) == Answer(200)
    [received] = receiver.calls
    assert (received.id, received.type, received.subject, received.data) == (
        EVENT.event_id,
        LOAD,
        "orion/assets",
        {"n": 1},
    )


def test_a_body_is_the_same_each_time() -> None:
    assert render(EVENT) == render(EVENT)
    assert b'"time":"2026-11-20T00:00:00Z"' in render(EVENT)


@pytest.mark.parametrize("reply", [HANG, DRIP])
def test_a_receiver_that_does_not_come_to_an_end_is_left(
    receiver: Receiver, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "PATIENCE_S", 0.5)
    receiver.play(reply)
    started = time.monotonic()
    answer = call(receiver.url())
    assert time.monotonic() - started < 2
    assert answer == Answer(error="TimeoutError") or answer.error == "ReadTimeout"


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.play((307, {"location": receiver.url("/elsewhere")}))
    assert call(receiver.url()).status == 307
    assert [received.path for received in receiver.calls] == ["/hook"]


def test_a_connection_that_breaks_is_a_response_without_status(receiver: Receiver) -> None:
    receiver.play(RESET)
    answer = call(receiver.url())
    assert answer.status is None
    assert answer.error in ("ReadError", "RemoteProtocolError")
    assert call(f"http://127.0.0.1:{find_free_port()}/") == Answer(error="ConnectError")


def test_retry_after_is_read(receiver: Receiver) -> None:
    receiver.play((429, {"Retry-After": "30"}))
    assert call(receiver.url()) == Answer(429, "30")


def test_events_of_one_receiver_share_a_connection(receiver: Receiver) -> None:
    with Sender() as sender:
        assert [send(sender, receiver.url()) for _ in range(20)] == [Answer(200)] * 20
    assert (len(receiver.calls), receiver.connections) == (20, 1)


def test_a_connection_that_the_receiver_closed_is_opened_anew(receiver: Receiver) -> None:
    receiver.play((200, {"connection": "close"}), RESET)
    with Sender() as sender:
        answers = [send(sender, receiver.url()).status for _ in range(3)]
    assert answers == [200, None, 200]


def test_a_call_identifies_its_caller_and_stores_no_cookie(receiver: Receiver) -> None:
    receiver.play((200, {"set-cookie": "a=b; Path=/"}))
    with Sender() as sender:
        for _ in range(2):
            assert send(sender, receiver.url()).is_success
    assert [(head["user-agent"], head.get("cookie")) for head in receiver.heads] == [(f"Tributary/{VERSION}", None)] * 2


def test_version_is_the_project_s() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
