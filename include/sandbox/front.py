"""The sandbox's front: every call is counted, and the transport's faults are committed here, for all vendors.

It must be the outermost ASGI application, because a reset needs the server's own connection.
"""

import asyncio
import socket
import struct
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.sandbox.calls import ABORTED, Calls
from include.sandbox.faults import Fault, Faults

_ADMIN = "/_sandbox"
_HTML = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body>Back soon.</body></html>"
_SLAM = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: closing sends RST instead of FIN


class Front:
    """ASGI application around the sandbox's own."""

    def __init__(self, app: ASGIApp, faults: Faults, calls: Calls) -> None:
        self.app, self.faults, self.calls = app, faults, calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, perhaps badly."""
        if scope["type"] != "http" or scope["path"].startswith(_ADMIN):
            await self.app(scope, receive, send)
            return
        begun = False

        async def counted(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self.calls.count(scope["path"], message["status"])  # before it leaves: whoever has it finds it counted
            await send(message)

        try:
            await self._answer(scope, receive, counted)
        finally:
            if not begun:
                self.calls.count(scope["path"], ABORTED)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if fault := self.faults.take(path, "latency"):
            await asyncio.sleep(float(fault.options.get("seconds", 1)))
        if self.faults.take(path, "connection_reset"):
            _reset(receive)
        elif fault := self.faults.take(path, "too_many_requests"):
            await _refuse(send, 429, fault)
        elif fault := self.faults.take(path, "server_error"):
            await _refuse(send, int(fault.options.get("status", 503)), fault)
        elif self.faults.take(path, "html_page"):
            await _reply(send, 200, b"text/html; charset=utf-8", _HTML)
        elif self.faults.take(path, "body_cut"):
            await self._cut(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _cut(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Announce the whole body, send the first half of it, and reset."""
        start: Message = {}
        body = bytearray()

        async def hold(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            else:
                body.extend(message.get("body", b""))

        await self.app(scope, receive, hold)
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(body[: len(body) // 2]), "more_body": True})
        await asyncio.sleep(0.05)  # let the half leave before the reset discards what is still buffered
        _reset(receive)


def _reset(receive: Receive) -> None:
    """Close the caller's connection with RST."""
    transport: Any = receive.__self__.transport  # type: ignore[attr-defined]  # uvicorn's request cycle
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _SLAM)
    transport.abort()


async def _refuse(send: Send, status: int, fault: Fault) -> None:
    wait = fault.options.get("retry_after")
    extra = [] if wait is None else [(b"retry-after", str(wait).encode())]
    await _reply(send, status, b"text/plain", b"", extra)


async def _reply(
    send: Send, status: int, kind: bytes, body: bytes, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
