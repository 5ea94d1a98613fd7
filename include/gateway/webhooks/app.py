"""Webhooks in: each sender's door, in the order of what it costs us to say no.

    headers                               401, 403, 404     before the body is read
    body, while it arrives                413, 408; 503 where others fill the memory
    signature over the raw body           401
    too many of these to one address      429 instead
    the sender's rate                     429
    JSON, its depth and its size          400
    inbox, and the bell                   200; 503 where the database is away: the sender comes again

A refusal is an answer in the form of RFC 9457. Nothing that a body holds can make another: what fails here without our
knowing why is a 503, because the sender then comes again, too.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TypeVar

import limits
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from include.control import inbox
from include.gateway import bounds
from include.gateway.problem import Refusal, render
from include.gateway.webhooks.authenticity import Head, Keyring
from include.gateway.webhooks.delivery import read_delivery
from include.gateway.webhooks.senders import Sender

PATIENCE_S = 4.0
"""How long a call waits for secrets, and for the database; vendors want an answer within five seconds."""
HANDS = 12
"""Deliveries written at once; fewer than the connections that an engine opens."""
REFUSALS = limits.parse("300/minute")
"""To one address; then they say 429, and no body of more than `bounds.FREE_BYTES` is read and hashed for it. What is smaller and
authentic is still taken: a vendor and a stranger may come by the same proxy. Forgeries don't use up a sender's own rate."""

log = logging.getLogger(__name__)
T = TypeVar("T")
Keys = Callable[[Sender], Keyring]
"""Asked at each call, so that a key is exchanged without a restart."""


def create_app(database: Callable[[], sa.Engine], senders: Sequence[Sender], keys: Keys) -> FastAPI:
    """Makes the doors of some senders, each under its path.

    Args:
        database: Gives the engine when it is first needed; its role needs no more than to call `control.receive`.
        senders: Who may send.
        keys: Gives what the firm knows of a sender.
    """
    app = FastAPI(title="Webhooks", openapi_url=None, redirect_slashes=False)
    doors = _Doors(database, keys)
    for sender in senders:
        app.add_api_route(f"/{sender.path}", _bind(doors.receive, sender), methods=["POST"])
        if sender.authenticity.has_handshake:
            app.add_api_route(f"/{sender.path}", _bind(doors.shake_hands, sender), methods=["GET"])
    app.add_exception_handler(Refusal, _tell)
    app.add_exception_handler(HTTPException, _tell)
    app.add_exception_handler(ClientDisconnect, _tell)
    app.add_exception_handler(Exception, _tell)
    return app


def _bind(
    serve: Callable[[Sender, Request], Awaitable[Response]], sender: Sender
) -> Callable[..., Awaitable[Response]]:
    async def serve_sender(request: Request) -> Response:
        return await serve(sender, request)

    return serve_sender


def _tell(request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        return render(error)
    if isinstance(error, HTTPException):  # no such path, or no such method on it
        return render(Refusal(error.status_code, "There is no such door", error.headers))
    if isinstance(error, ClientDisconnect):
        return render(Refusal(400, "The body ended before its end"))
    return render(_come_again())


def _come_again() -> Refusal:
    return Refusal(503, "The call can't be served now; send it again", {"Retry-After": "30"})


class _Doors:
    """What the doors share: who may come how often, and the hands that write."""

    def __init__(self, database: Callable[[], sa.Engine], keys: Keys) -> None:
        self._database, self._keys = database, keys
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._hands = ThreadPoolExecutor(HANDS, "gateway")
        self._rejected: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def shake_hands(self, sender: Sender, request: Request) -> Response:
        """Tells a sender, before its first delivery, that we are who it looks for."""
        head, _ = await self._open(sender, request)
        return JSONResponse({}, headers=sender.authenticity.answer(head))

    async def receive(self, sender: Sender, request: Request) -> Response:
        """Keeps a delivery, and acknowledges it when it is kept."""
        head, keyring = await self._open(sender, request)
        with bounds.IN_FLIGHT.share() as grow:
            async with self._counting(sender, head):
                body = await bounds.read_body(
                    head.headers, request.stream(), await self._most_bytes(sender, head), grow
                )
                sender.authenticity.check_body(head, body, keyring)
            rate = limits.parse(sender.rate)
            if not await self._limiter.hit(rate, sender.name):
                raise await self._too_many(rate, sender.name)
            is_new = await self._work(lambda: self._keep(sender, head, body))
        return JSONResponse({"status": "kept" if is_new else "known"}, headers=sender.authenticity.answer(head))

    def _keep(self, sender: Sender, head: Head, body: bytes) -> bool:
        """Keeps an authentic delivery; one that is rejected is logged and counted, for the sender alone would know of it."""
        try:
            delivery = read_delivery(sender, head, body)
        except Refusal as refusal:
            with self._lock:
                self._rejected[sender.name] += 1
                count = self._rejected[sender.name]
            log.error(
                "Rejected an authentic delivery of %s from %s (%d since the start; nothing of it is kept): %s",
                sender.name, head.address, count, refusal.detail,
            )  # fmt: skip
            raise
        return inbox.receive(self._database(), delivery)

    async def _open(self, sender: Sender, request: Request) -> tuple[Head, Keyring]:
        """Looks at who calls, by all that can be seen without the body."""
        head = Head(request.headers, request.client.host if request.client else "")
        keyring = await self._work(lambda: self._keys(sender))
        async with self._counting(sender, head):
            sender.authenticity.check_head(head, keyring)
        return head, keyring

    async def _most_bytes(self, sender: Sender, head: Head) -> int:
        is_heard_out = await self._limiter.test(REFUSALS, head.address)
        return sender.max_bytes if is_heard_out else bounds.FREE_BYTES

    @asynccontextmanager
    async def _counting(self, sender: Sender, head: Head) -> AsyncIterator[None]:
        """Counts a refusal against the address that it is said to, but for a 503, which is no fault of the caller's."""
        try:
            yield
        except Refusal as refusal:
            if refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                if not await self._limiter.hit(REFUSALS, head.address):
                    raise await self._too_many(REFUSALS, head.address) from None
                log.warning("Refused a call for %s from %s: %s", sender.name, head.address, refusal.detail)
            raise

    async def _too_many(self, rate: limits.RateLimitItem, name: str) -> Refusal:
        reset_at, _ = await self._limiter.get_window_stats(rate, name)
        wait = max(1, math.ceil(reset_at - time.time()))
        return Refusal(429, f"At most {rate}", {"Retry-After": str(wait)})

    async def _work(self, work: Callable[[], T]) -> T:
        """Runs what waits for others in a thread, as long as patience lasts; what has not begun by then never will.

        Raises:
            Refusal: The work's own; 503 for whatever else went wrong, or took too long.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await loop.run_in_executor(self._hands, work)
        except Refusal:
            raise
        except Exception as error:
            # By its class alone: its text could hold what it was about.
            log.error("A call could not be served: %s", type(error).__name__)
            raise _come_again() from None
