"""Limits of a connection before its request is known: bytes, time, and number of connections.

uvicorn has none of these limits: one endless header, or connections that never finish their headers, would block every request. Limits:

    request line and headers      up to `header_bytes`, within `header_s`. The same applies to anything a client sends outside a body
    request and response          complete within `call_s`, including the client's reading of the response
    connections                   `most` in total, `most_each` per address. To admit a further connection, the one that has been idle
                                  longest is closed. If none is idle, the new connection is refused

IPv6 connections are counted per /64 network, the size that one customer gets. A trusted proxy forwards many clients, so `most_each`
does not apply to it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import _TrustedHosts
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from include.gateway.problem import Refusal, describe, render

log = logging.getLogger(__name__)

_LINGER_S = 1.0
"""Seconds that a refused client has to read the response."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one process on header size, time and number of connections; the module's docstring defines each."""

    header_bytes: int = 64 * 1024
    header_s: float = 10.0
    call_s: float = 60.0
    most: int = 800
    most_each: int = 100


@dataclass(slots=True)
class _Connections:
    """The open connections of one process: their number per address, and the idle ones, longest idle first."""

    limits: Limits
    proxies: _TrustedHosts
    counts: Counter[str] = field(default_factory=Counter)
    idle: dict[BoundedProtocol, None] = field(default_factory=dict)

    def add(self, connection: BoundedProtocol) -> bool:
        """Count a connection; return whether it is within the limits, if necessary by closing the one that has been idle longest."""
        address = connection.address
        is_allowed = True
        if self.counts[address] >= self.limits.most_each and connection.peer not in self.proxies:
            is_allowed = self._close_one(each for each in self.idle if each.address == address)
        if is_allowed and self.counts.total() >= self.limits.most:
            is_allowed = self._close_one(iter(self.idle))
        self.counts[address] += 1
        return is_allowed

    def remove(self, connection: BoundedProtocol) -> None:
        """Stop counting a connection."""
        self.idle.pop(connection, None)
        self.counts[connection.address] -= 1
        if not self.counts[connection.address]:
            del self.counts[connection.address]

    def _close_one(self, longest_first: Iterator[BoundedProtocol]) -> bool:
        idle = next(longest_first, None)
        if idle is None:
            return False
        self.idle.pop(idle)
        idle.abort()
        return True


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with `Limits` enforced."""

    def __init__(self, connections: _Connections, **options: Any) -> None:
        super().__init__(**options)
        self._all = connections
        self.peer = self.address = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._steps = 0  # the parser's progress: headers complete, part of a body read, message complete
        self._bytes_since_step = 0
        self._header_bytes = 0
        self._is_in_headers = False
        self._refusal: Refusal | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or refuse it (503) if it exceeds the limits."""
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self.address = _address_of(self.peer)
        if self._all.add(self):
            self._wait()
        else:
            self._refuse(Refusal(503, "Too many connections at once", {"Retry-After": "5"}))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._set_deadline(None)
        self._all.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data; refuse the request (431) if too many bytes arrive that are neither complete headers nor part of a body.

        The parser itself buffers or skips such bytes without a limit, for example one long header, trailers or a chunk extension.
        """
        steps = self._steps
        super().data_received(data)
        self._bytes_since_step = self._bytes_since_step + len(data) if steps == self._steps else 0
        if self._bytes_since_step > self._all.limits.header_bytes:
            self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        """Reset the count of header bytes."""
        self._header_bytes, self._is_in_headers = 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the URL as header bytes."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the header's bytes, separators included."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the deadline of the request, unless an earlier request of the connection is still in progress (pipelining)."""
        self._steps += 1
        self._is_in_headers = False
        if self in self._all.idle:
            del self._all.idle[self]
            self._set_deadline(self._all.limits.call_s)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count the data as progress of the parser, which resets the limit on other bytes."""
        self._steps += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Count the end of a request as progress of the parser."""
        self._steps += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the deadline of the next request. It also limits the time for the rest of a body that the app did not read."""
        has_next = bool(self.pipeline)
        super().on_response_complete()
        if has_next:
            self._set_deadline(self._all.limits.call_s)
        else:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not valid HTTP (400) or has too many header bytes (431)."""
        self._refuse(self._refusal or Refusal(400, "Invalid HTTP request"))

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def _wait(self) -> None:
        self._all.idle[self] = None
        self._set_deadline(self._all.limits.header_s)

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._end_late)

    def _end_late(self) -> None:
        if self in self._all.idle and self._is_in_headers:
            self._refuse(Refusal(408, f"The headers did not arrive within {self._all.limits.header_s:.0f} s"))
        else:
            self.abort()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._all.limits.header_bytes:
            self._refusal = self._too_large()
            raise ValueError  # stops the parser; uvicorn then calls send_400_response

    def _too_large(self) -> Refusal:
        return Refusal(431, f"Request line and headers are larger than {self._all.limits.header_bytes} bytes")

    def _refuse(self, refusal: Refusal) -> None:
        """Send the refusal without calling the app, and close the connection. If a response is in progress, only close."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_format_response(refusal))
        self.transport.close()
        self._all.idle.pop(self, None)
        self._set_deadline(_LINGER_S)


def build_protocol(limits: Limits, proxies: str) -> type[asyncio.Protocol]:
    """Return the value of uvicorn's option `http`: a factory of protocols that enforce the limits.

    Args:
        limits: Limits of one process.
        proxies: Addresses and networks of trusted proxies, separated by commas, or `*`; same format as FORWARDED_ALLOW_IPS.
    """
    factory = partial(BoundedProtocol, _Connections(limits, _TrustedHosts(proxies)))
    return cast("type[asyncio.Protocol]", factory)  # uvicorn only calls it


def limit_calls(app: ASGIApp, most: int) -> ASGIApp:
    """Return an app that serves up to `most` requests at the same time, and answers further ones with a 503 before reading them."""
    active = 0

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal active
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif active >= most:
            await render(Refusal(503, "Too many requests at once", {"Retry-After": "5"}))(scope, receive, send)
        else:
            active += 1
            try:
                await app(scope, receive, send)
            finally:
                active -= 1

    return serve


def _address_of(peer: str) -> str:
    try:
        parsed = ip_address(peer)
    except ValueError:  # a Unix socket
        return peer
    if not isinstance(parsed, IPv6Address):
        return peer
    return str(parsed.ipv4_mapped or ip_network(f"{parsed}/64", strict=False))


def _format_response(refusal: Refusal) -> bytes:
    body = json.dumps(describe(refusal)).encode()
    headers = {"Content-Type": "application/problem+json", "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in (headers | refusal.headers).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
