"""Webhooks over HTTP into the inbox of a real database."""

from __future__ import annotations

import gzip
import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.gateway import bounds
from include.gateway.webhooks import app
from include.gateway.webhooks.authenticity import Keyring
from include.gateway.webhooks.senders import SENDERS
from include.vendors import VENDORS
from tests.firm_keys import KEYRING
from tests.gateway.conftest import (
    CLIENT_ID,
    ECHOED,
    EVENT,
    KEY,
    NOTICE,
    SIGNED,
    WINDOW,
    WINDOW_S,
    Gateway,
    limit_rate,
    read_problem,
    sign,
)

Run = Callable[..., Gateway]


def with_small_bodies() -> list[Any]:
    return [replace(sender, max_bytes=1000) for sender in SENDERS]


# --- accepted deliveries ---


def test_every_sender_is_a_vendor_whose_deliveries_are_drained() -> None:
    assert {sender.name for sender in SENDERS} == {vendor.name for vendor in VENDORS if vendor.webhook}


def test_signed_delivery_is_kept_byte_for_byte(gateway: Gateway) -> None:
    body = b' {"event" : "envelope-sent", "retryCount": 0,\n "n": 1.000000000000000000001} '
    response = gateway.send(body, **{"Content-Type": "application/json", "X-Authorization-Digest": "HMACSHA256"})
    assert (response.status_code, response.json()) == (200, {"status": "kept"})
    [stored] = gateway.read_stored()
    assert (stored["sender"], stored["body"], stored["event_id"]) == ("docusign", body, None)
    assert (stored["copies"], stored["processed_at"], stored["error"]) == (1, None, None)
    assert stored["headers"]["x-authorization-digest"] == "HMACSHA256"


def test_no_header_that_proves_something_is_kept(gateway: Gateway) -> None:
    gateway.send(Authorization="Bearer invented")
    gateway.notify(Authorization="Bearer invented")
    assert len(gateway.read_stored()) == 2
    assert [stored["headers"].keys() - {"content-type", "user-agent"} for stored in gateway.read_stored()] == [
        set(),
        set(),
    ]


def test_sender_that_names_its_delivery_has_it_kept_by_that_name(gateway: Gateway) -> None:
    response = gateway.notify()
    assert (response.status_code, response.headers["X-AdobeSign-ClientId"]) == (200, CLIENT_ID)
    [stored] = gateway.read_stored()
    assert (stored["sender"], stored["event_id"]) == ("adobe_sign", "n1")
    assert stored["content_hash"] == KEYRING.receiving_key.digest(hashlib.sha256(NOTICE).hexdigest().encode())


@pytest.mark.parametrize("value", [b"7", b'""', b"null", b'"a\\u0000b"', b'["n1"]', b'"' + b"n" * 201 + b'"'])
def test_name_that_is_none_is_not_kept_and_the_delivery_is(gateway: Gateway, value: bytes) -> None:
    assert gateway.notify(b'{"webhookNotificationId":%s}' % value).status_code == 200
    assert [stored["event_id"] for stored in gateway.read_stored()] == [None]


def test_handshake_returns_the_id_and_stores_nothing(gateway: Gateway) -> None:
    response = gateway.http.get(ECHOED, headers={"X-ADOBESIGN-CLIENTID": CLIENT_ID})
    assert (response.status_code, response.headers["X-AdobeSign-ClientId"]) == (200, CLIENT_ID)
    assert gateway.read_stored() == []


def test_payload_as_deep_as_allowed_is_kept(gateway: Gateway) -> None:
    assert gateway.send(nest(bounds.MAX_DEPTH)).status_code == 200


def test_key_is_exchanged_without_a_restart_or_a_lost_delivery(gateway: Gateway) -> None:
    def send_under(key: str) -> int:
        return gateway.send(b'{"under":"%s","at":%d}' % (key.encode(), time.monotonic_ns()), key).status_code

    assert (send_under(KEY), send_under("a-new-key=")) == (200, 401)
    gateway.keyrings["docusign"] = Keyring.of(f"a-new-key= {KEY}")
    assert (send_under(KEY), send_under("a-new-key=")) == (200, 200)
    gateway.keyrings["docusign"] = Keyring.of("a-new-key=")
    assert (send_under(KEY), send_under("a-new-key=")) == (401, 200)
    assert len(gateway.read_stored()) == 4


# --- rejected deliveries ---


def nest(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


FORGED: dict[str, tuple[str, bytes, dict[str, str], int]] = {
    "no signature": (SIGNED, EVENT, {}, 401),
    "another key": (SIGNED, EVENT, {"X-DocuSign-Signature-1": sign(EVENT, "wrong")}, 401),
    "another body": (SIGNED, EVENT, {"X-DocuSign-Signature-1": sign(NOTICE)}, 401),
    "cut short": (SIGNED, EVENT[:-1], {"X-DocuSign-Signature-1": sign(EVENT)}, 401),
    "no id": (ECHOED, NOTICE, {}, 401),
    "another id": (ECHOED, NOTICE, {"X-AdobeSign-ClientId": f"{CLIENT_ID}x"}, 401),
    "another network": (ECHOED, NOTICE, {"X-AdobeSign-ClientId": CLIENT_ID, "X-Forwarded-For": "198.51.100.1"}, 403),
    "another door": (ECHOED, EVENT, {"X-DocuSign-Signature-1": sign(EVENT)}, 401),
    "no such door": ("/nobody", EVENT, {}, 404),
    "half a door": (f"{SIGNED}/", EVENT, {"X-DocuSign-Signature-1": sign(EVENT)}, 404),
}


@pytest.mark.parametrize("case", FORGED)
def test_call_that_is_not_the_sender_s_is_refused_with_a_reason(gateway: Gateway, case: str) -> None:
    path, body, headers, status = FORGED[case]
    reason = read_problem(gateway.post(path, body, headers), status)
    assert reason
    assert KEY not in reason
    assert gateway.read_stored() == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"event", b"<xml/>", b'{"a":1', b'{"a":NaN}', b'{"a":"\xff"}', b'\xff\xfe{\x00}\x00', b'{"a":"\\ud800"}',
        b"[]", b'"a"', b"null", b"7", nest(bounds.MAX_DEPTH + 1), nest(100_000), b"[" * 100_000, b'{"a":' * 100_000,
        b'{"a":[' + b"0," * bounds.MAX_VALUES + b"0]}",
    ],
    ids=lambda body: f"{body[:12]!r} of {len(body)}",
)  # fmt: skip
def test_authentic_body_that_can_not_be_the_sender_s_is_refused_with_a_reason(gateway: Gateway, body: bytes) -> None:
    assert read_problem(gateway.send(body), 400)
    assert read_problem(gateway.notify(body), 400)
    assert gateway.read_stored() == []


@pytest.mark.parametrize(
    ("body", "advice"),
    [(b"<?xml version='1.0'?><DocuSignEnvelopeInformation>Doe</DocuSignEnvelopeInformation>", "JSON (REST v2.1)"),
     (b"\xef\xbb\xbf <a>Doe</a>", "JSON (REST v2.1)"), (gzip.compress(b'{"a": "Doe"}'), "uncompressed"), (b"Doe", "not valid JSON")],
    ids=["XML", "XML behind a mark", "gzip", "text"],
)  # fmt: skip
def test_rejected_authentic_delivery_is_logged_and_counted_with_what_to_set(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, body: bytes, advice: str
) -> None:
    assert [advice in read_problem(gateway.send(body), 400) for _ in range(2)] == [True, True]
    first, second = [record.getMessage() for record in caplog.records if "authentic" in record.getMessage()]
    assert advice in first
    assert "docusign" in first
    assert ("(1 since" in first, "(2 since" in second) == (True, True)
    assert "Doe" not in caplog.text


def test_handshake_of_a_stranger_is_rejected(gateway: Gateway) -> None:
    response = gateway.http.get(ECHOED, headers={"X-AdobeSign-ClientId": "a stranger"})
    read_problem(response, 401)
    assert "X-AdobeSign-ClientId" not in response.headers


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_webhook_route_accepts_only_deliveries(gateway: Gateway, method: str) -> None:
    response = gateway.http.request(method, SIGNED)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


def test_unconfigured_sender_gets_404(run: Run) -> None:
    gateway = run(docusign=Keyring(), adobe_sign=Keyring())
    assert "not configured" in read_problem(gateway.send(), 404)
    read_problem(gateway.notify(), 404)
    assert gateway.read_stored() == []


# --- sizes and rates ---


def stream(size: int) -> Iterator[bytes]:
    """Stream a body without a Content-Length."""
    yield from (b"x" * 100 for _ in range(size // 100))


@pytest.mark.parametrize("in_parts", [False, True])
def test_body_that_is_too_large_is_refused(run: Run, in_parts: bool) -> None:
    gateway = run(senders=with_small_bodies())
    headers = {"X-DocuSign-Signature-1": sign(b"x" * 1100)}
    assert "1000 bytes" in read_problem(gateway.post(SIGNED, stream(1100) if in_parts else b"x" * 1100, headers), 413)
    exact = b'{"a":"%s"}' % (b"x" * 992)
    assert gateway.send(exact).status_code == 200
    assert [len(stored["body"]) for stored in gateway.read_stored()] == [1000]


def send_headers(gateway: Gateway, *lines: str) -> bytes:
    """Send headers alone, without the body that they announce; return the response."""
    host, port = gateway.http.base_url.host, gateway.http.base_url.port
    with socket.create_connection((host, port or 80), timeout=10) as connection:
        connection.sendall("\r\n".join((f"POST {SIGNED} HTTP/1.1", "Host: here", *lines, "", "")).encode())
        return connection.recv(65536)


def test_stranger_is_refused_before_its_body_is_read(gateway: Gateway) -> None:
    assert b" 401 " in send_headers(gateway, "Content-Length: 1000000")


@pytest.mark.parametrize("length", ["99999999999999999999999", "16777217"])
def test_body_with_a_too_large_length_is_not_read(gateway: Gateway, length: str) -> None:
    response = send_headers(gateway, f"Content-Length: {length}", "X-DocuSign-Signature-1: x")
    assert b" 413 " in response or b" 400 " in response


def test_body_that_never_ends_is_not_waited_for(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BODY_S", 0.3)
    assert b" 408 " in send_headers(gateway, "Content-Length: 10", "X-DocuSign-Signature-1: x")
    assert gateway.send().status_code == 200


def test_large_bodies_share_a_budget_and_small_ones_come_through(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "IN_FLIGHT", bounds.Budget(300_000))
    large = b'{"a":"%s"}' % (b"x" * 200_000)
    with socket.create_connection((gateway.http.base_url.host, gateway.http.base_url.port or 80)) as slow:
        head = f"POST {SIGNED} HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\nX-DocuSign-Signature-1: x"
        slow.sendall(f"{head}\r\n\r\n".encode() + b"x" * 250_000)
        response = wait_for(lambda: gateway.send(large), 503)
        assert read_problem(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        assert gateway.send().status_code == 200
    assert wait_for(lambda: gateway.send(large), 200)
    assert [gateway.send(large).status_code for _ in range(5)] == [200] * 5


def wait_for(call: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """Repeat a call until its response has this status; return the response."""
    until = time.monotonic() + 10
    while (response := call()).status_code != status:
        assert time.monotonic() < until, response.text
        time.sleep(0.02)
    return response


def test_caller_that_hangs_up_leaves_nothing(gateway: Gateway) -> None:
    with socket.create_connection((gateway.http.base_url.host, gateway.http.base_url.port or 80)) as connection:
        head = f"POST {SIGNED} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(EVENT)}\r\nX-DocuSign-Signature-1: {sign(EVENT)}"
        connection.sendall(f"{head}\r\n\r\n".encode() + EVENT[:-1])
    assert gateway.send(b"{}").status_code == 200
    assert [stored["body"] for stored in gateway.read_stored()] == [b"{}"]


def test_too_fast_sender_gets_retry_after(run: Run) -> None:
    gateway = run(senders=limit_rate(f"3/{WINDOW}"))
    responses = [gateway.send(b'{"n":%d}' % n) for n in range(5)]
    assert [response.status_code for response in responses] == [200, 200, 200, 429, 429]
    read_problem(responses[-1], 429)
    assert 1 <= int(responses[-1].headers["Retry-After"]) <= WINDOW_S
    assert gateway.notify().status_code == 200
    assert len(gateway.read_stored()) == 4


def test_forgeries_do_not_use_up_the_sender_s_rate(run: Run) -> None:
    gateway = run(senders=limit_rate(f"3/{WINDOW}"))
    for _ in range(10):
        assert gateway.send(key="wrong").status_code == 401
    assert gateway.send().status_code == 200


def test_blocked_address_gets_429_and_authenticated_senders_are_served(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "REFUSALS", app.limits.parse(f"3/{WINDOW}"))
    assert [gateway.send(key="wrong").status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert gateway.post(SIGNED, EVENT).status_code == 429
    assert gateway.send(key="wrong", **{"X-Forwarded-For": "198.51.100.1"}).status_code == 401
    assert (gateway.send().status_code, gateway.notify().status_code) == (200, 200)
    assert gateway.send(b'{"a":"%s"}' % (b"x" * bounds.FREE_BYTES)).status_code == 429


def test_body_that_is_too_large_or_too_slow_counts_as_a_refusal(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "REFUSALS", app.limits.parse(f"2/{WINDOW}"))
    monkeypatch.setattr(bounds, "BODY_S", 0.3)
    assert b" 413 " in send_headers(gateway, "Content-Length: 16777217", "X-DocuSign-Signature-1: x")
    assert b" 408 " in send_headers(gateway, "Content-Length: 10", "X-DocuSign-Signature-1: x")
    assert gateway.send(key="wrong").status_code == 429


# --- any input ---


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.recursive(
    st.sampled_from([b"0", b'"a"', b"null", b"1e999", b"-", b'"\\u0000"', b"1" * 40, b"{}"]),
    lambda inner: st.lists(inner, max_size=4).map(lambda each: b"[" + b",".join(each) + b"]")
    | st.lists(inner, max_size=3).map(lambda each: b"{" + b",".join(b'"k":' + e for e in each) + b"}"),
))  # fmt: skip
def test_no_body_causes_an_unexpected_response(gateway: Gateway, body: bytes) -> None:
    assert gateway.send(body).status_code in (200, 400)
    assert gateway.notify(body).status_code in (200, 400)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        ["X-DocuSign-Signature-1", "X-AdobeSign-ClientId", "Content-Type", "User-Agent", "Content-Encoding"]
    ),
    st.binary(max_size=50).map(
        lambda send_headers: bytes(b for b in send_headers if b == 9 or (b >= 32 and b != 127)).strip()
    ),
)
def test_no_header_causes_an_unexpected_response(gateway: Gateway, name: str, value: bytes) -> None:
    signed = {b"X-DocuSign-Signature-1": sign(EVENT).encode(), b"X-AdobeSign-ClientId": CLIENT_ID.encode()}
    for path in (SIGNED, ECHOED):
        response = gateway.http.post(path, content=EVENT, headers=signed | {name.encode(): value})
        assert response.status_code in (200, 401, 429)
