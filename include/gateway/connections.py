"""What one connection may take before its call is known: bytes, time, and a place among the others.

uvicorn bounds none of these by itself: one endless header, or connections that never finish theirs, would stop every call. Here

    a call's line and headers     fit in `header_bytes` and arrive within `header_s`; so does what a client sends that is not a body
    a call                        is over within `call_s`, its answer taken
    connections                   `most` in all, `most_each` of one address; beyond them the one that has waited longest without
                                  a call is closed for the new one, and the new one is refused only where all are serving calls

An address is a network of 64 bits in IPv6, which is what one customer is given. A trusted proxy speaks for many and has no
bound of its own.
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
"""How long a refused client may take to read why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """See above."""

    header_bytes: int = 64 * 1024
    header_s: float = 10.0
    call_s: float = 60.0
    most: int = 800
    most_each: int = 100


@dataclass(slots=True)
class _Room:
    """The connections of one process: how many of each address, and which wait for a call, the longest first."""

    limits: Limits
    proxies: _TrustedHosts
    counts: Counter[str] = field(default_factory=Counter)
    waiting: dict[BoundedProtocol, None] = field(default_factory=dict)

    def enter(self, connection: BoundedProtocol) -> bool:
        """Counts a connection, and returns whether there is room for it."""
        address = connection.address
        has_room = True
        if self.counts[address] >= self.limits.most_each and connection.peer not in self.proxies:
            has_room = self._close_one(each for each in self.waiting if each.address == address)
        if has_room and self.counts.total() >= self.limits.most:
            has_room = self._close_one(iter(self.waiting))
        self.counts[address] += 1
        return has_room

    def leave(self, connection: BoundedProtocol) -> None:
        """Forgets a connection."""
        self.waiting.pop(connection, None)
        self.counts[connection.address] -= 1
        if not self.counts[connection.address]:
            del self.counts[connection.address]

    def _close_one(self, longest_first: Iterator[BoundedProtocol]) -> bool:
        waiting = next(longest_first, None)
        if waiting is None:
            return False
        self.waiting.pop(waiting)
        waiting.abort()
        return True


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with `Limits`."""

    def __init__(self, room: _Room, **options: Any) -> None:
        super().__init__(**options)
        self._room = room
        self.peer = self.address = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._steps = 0  # of the parser: headers read, a part of a body read, a body ended
        self._since_step = 0
        self._of_headers = 0
        self._is_in_headers = False
        self._refusal: Refusal | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a place, or says that there is none."""
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self.address = _address_of(self.peer)
        if self._room.enter(self):
            self._wait()
        else:
            self._refuse(Refusal(503, "Too many connections at once", {"Retry-After": "5"}))

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives the place back."""
        self._set_deadline(None)
        self._room.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses what arrived, and counts what is neither complete headers nor a body.

        The parser holds it, or skips it, without a bound of its own: one header, trailers, the extension of a chunk.
        """
        steps = self._steps
        super().data_received(data)
        self._since_step = self._since_step + len(data) if steps == self._steps else 0
        if self._since_step > self._room.limits.header_bytes:
            self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        """Starts a call's count of bytes."""
        self._of_headers, self._is_in_headers = 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Counts."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Starts a call, unless one is under way already (pipelining)."""
        self._steps += 1
        self._is_in_headers = False
        if self in self._room.waiting:
            del self._room.waiting[self]
            self._set_deadline(self._room.limits.call_s)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Counts as progress."""
        self._steps += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Counts as progress."""
        self._steps += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Waits for the next call, and for the rest of a body that nobody read."""
        is_followed = bool(self.pipeline)
        super().on_response_complete()
        if is_followed:
            self._set_deadline(self._room.limits.call_s)
        else:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, or too much of it."""
        self._refuse(self._refusal or Refusal(400, "This is no HTTP request that can be read"))

    def abort(self) -> None:
        """Ends the connection."""
        self.transport.abort()

    def _wait(self) -> None:
        self._room.waiting[self] = None
        self._set_deadline(self._room.limits.header_s)

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._end_late)

    def _end_late(self) -> None:
        if self in self._room.waiting and self._is_in_headers:
            self._refuse(Refusal(408, f"The headers did not arrive within {self._room.limits.header_s:.0f} s"))
        else:
            self.abort()

    def _count(self, size: int) -> None:
        self._of_headers += size
        if self._of_headers > self._room.limits.header_bytes:
            self._refusal = self._too_large()
            raise ValueError  # ends the parser, which then asks for the answer of a bad request

    def _too_large(self) -> Refusal:
        return Refusal(431, f"Line and headers of a call may have {self._room.limits.header_bytes} bytes")

    def _refuse(self, refusal: Refusal) -> None:
        """Answers without the app, where no call is under way, and closes."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_answer(refusal))
        self.transport.close()
        self._room.waiting.pop(self, None)
        self._set_deadline(_LINGER_S)


def bound(limits: Limits, proxies: str) -> type[asyncio.Protocol]:
    """Returns what uvicorn takes for its `http`.

    Args:
        limits: Of one process.
        proxies: Addresses and networks of trusted proxies, separated by commas, or `*`; as FORWARDED_ALLOW_IPS names them.
    """
    made = partial(BoundedProtocol, _Room(limits, _TrustedHosts(proxies)))
    return cast("type[asyncio.Protocol]", made)  # uvicorn only calls it


def limit_calls(app: ASGIApp, most: int) -> ASGIApp:
    """Returns an app that answers 503 to a call beyond so many at once, before it is read."""
    under_way = 0

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal under_way
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif under_way >= most:
            await render(Refusal(503, "Too many calls at once", {"Retry-After": "5"}))(scope, receive, send)
        else:
            under_way += 1
            try:
                await app(scope, receive, send)
            finally:
                under_way -= 1

    return serve


def _address_of(peer: str) -> str:
    try:
        known = ip_address(peer)
    except ValueError:  # a Unix socket
        return peer
    if not isinstance(known, IPv6Address):
        return peer
    return str(known.ipv4_mapped or ip_network(f"{known}/64", strict=False))


def _answer(refusal: Refusal) -> bytes:
    body = json.dumps(describe(refusal)).encode()
    headers = {"Content-Type": "application/problem+json", "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in (headers | refusal.headers).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
