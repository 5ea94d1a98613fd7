"""A call is over in time, and goes nowhere else."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from include.local.processes import find_free_port
from include.outbound import post
from include.outbound.message import Event, render, sign
from include.outbound.post import Answer
from tests.outbound.conftest import DRIP, HANG, LOAD, RESET, SECRET, Receiver, Told

EVENT = Event(
    "5b0f0f5e-0000-4000-8000-000000000001", LOAD, "orion/assets", datetime(2026, 11, 20, tzinfo=UTC), {"n": 1}
)


def call(url: str) -> Answer:
    body = render(EVENT)
    return post.post(url, sign([SECRET], EVENT.event_id, body, datetime.now(UTC)), body)


def test_an_event_arrives_as_a_valid_and_signed_cloud_event(receiver: Receiver) -> None:
    assert call(receiver.url()) == Answer(200)
    [got] = receiver.got
    assert (got.id, got.type, got.subject, got.data) == (EVENT.event_id, LOAD, "orion/assets", {"n": 1})


def test_a_body_is_the_same_each_time() -> None:
    assert render(EVENT) == render(EVENT)
    assert b'"time":"2026-11-20T00:00:00Z"' in render(EVENT)


@pytest.mark.parametrize("told", [HANG, DRIP])
def test_a_receiver_that_does_not_come_to_an_end_is_left(
    receiver: Receiver, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "PATIENCE_S", 0.5)
    receiver.play(told)
    started = time.monotonic()
    answer = call(receiver.url())
    assert time.monotonic() - started < 2
    assert answer == Answer(error="TimeoutError") or answer.error == "ReadTimeout"


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.play((307, {"location": receiver.url("/elsewhere")}))
    assert call(receiver.url()).status == 307
    assert [got.path for got in receiver.got] == ["/hook"]


def test_a_connection_that_breaks_is_an_answer_without_status(receiver: Receiver) -> None:
    receiver.play(RESET)
    answer = call(receiver.url())
    assert answer.status is None
    assert answer.error in ("ReadError", "RemoteProtocolError")
    assert call(f"http://127.0.0.1:{find_free_port()}/") == Answer(error="ConnectError")


def test_retry_after_is_read(receiver: Receiver) -> None:
    receiver.play((429, {"Retry-After": "30"}))
    assert call(receiver.url()) == Answer(429, "30")
