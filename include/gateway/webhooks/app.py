"""Incoming webhooks: one route per sender. The checks run in order of cost:

    headers                               401, 403, 404     before the body is read
    body, while it arrives                413, 408; 503 if other bodies fill the memory
    signature of the raw body             401
    too many refusals for one address     429 instead of the above
    the sender's rate                     429
    a check of our own                    200, nothing is stored
    JSON, its depth and its size          400
    inbox and notification                200; 503 if the database is unavailable: the sender retries

The body of a refusal is a problem detail (RFC 9457). An unexpected error is a 503, so that the sender retries.
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

from include.contract.webhook import Sender
from include.control import inbox
from include.errors import ConfigurationError
from include.gateway import bounds
from include.gateway.problem import Refusal, render, render_unrouted
from include.gateway.webhooks.authenticity import Head, Keyring, make_check
from include.gateway.webhooks.delivery import CHECK, VERIFIED, read_delivery
from include.keys.inbox import ReceivingKey

PATIENCE_S = 4.0
"""Seconds that a request waits for secrets and for the database; vendors expect a response within five seconds."""
THREADS = 12
"""Number of deliveries that are written at the same time; fewer than the engine's connections."""
REFUSALS = limits.parse("300/minute")
"""Limit of refusals per address. Beyond it, refused requests get a 429, and bodies larger than `bounds.FREE_BYTES` are not accepted.
Smaller authentic deliveries are still accepted, because a vendor and an attacker may share a proxy. Forged requests do not count against
the sender's rate."""

log = logging.getLogger(__name__)
T = TypeVar("T")
Keys = Callable[[Sender], Keyring]
"""Function that returns a sender's keyring. It is called for each request, so that a secret can be rotated without a restart."""


def create_app(
    database: Callable[[], sa.Engine], senders: Sequence[Sender], keys: Keys, receiving_key: Callable[[], ReceivingKey]
) -> FastAPI:
    """Create the app that serves the webhook endpoints.

    Args:
        database: Returns the engine; called when first needed. Its role needs only the privilege to call `control.receive`.
        senders: The senders to accept.
        keys: Returns a sender's keyring.
        receiving_key: Returns the key that encrypts bodies; called for each delivery.
    """
    app = FastAPI(title="Webhooks", openapi_url=None, redirect_slashes=False)
    endpoints = _Endpoints(database, keys, receiving_key)
    for sender in senders:
        app.add_api_route(f"/{sender.path}", _bind(endpoints.receive, sender), methods=["POST"])
        if make_check(sender.proof).has_handshake:
            app.add_api_route(f"/{sender.path}", _bind(endpoints.shake_hands, sender), methods=["GET"])
    app.add_exception_handler(Refusal, _render_error)
    app.add_exception_handler(HTTPException, _render_error)
    app.add_exception_handler(ClientDisconnect, _render_error)
    app.add_exception_handler(Exception, _render_error)
    return app


def _bind(
    serve: Callable[[Sender, Request], Awaitable[Response]], sender: Sender
) -> Callable[..., Awaitable[Response]]:
    async def serve_sender(request: Request) -> Response:
        return await serve(sender, request)

    return serve_sender


def _render_error(request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        return render(error)
    if isinstance(error, HTTPException):
        return render_unrouted(request, error)
    if isinstance(error, ClientDisconnect):
        return render(Refusal(400, "The body is incomplete: the client disconnected"))
    return render(_unavailable())


def _unavailable() -> Refusal:
    return Refusal(503, "The request can't be served now; send it again", {"Retry-After": "30"})


class _Endpoints:
    """The webhook endpoints, with their shared rate limits and thread pool."""

    def __init__(
        self, database: Callable[[], sa.Engine], keys: Keys, receiving_key: Callable[[], ReceivingKey]
    ) -> None:
        self._database, self._keys, self._receiving_key = database, keys, receiving_key
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._threads = ThreadPoolExecutor(THREADS, "gateway")
        self._rejected: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def shake_hands(self, sender: Sender, request: Request) -> Response:
        """Answer the sender's verification request, which precedes its first delivery."""
        head, _ = await self._check_head(sender, request)
        return JSONResponse({}, headers=make_check(sender.proof).answer(head))

    async def receive(self, sender: Sender, request: Request) -> Response:
        """Store a delivery, then acknowledge it."""
        head, keyring = await self._check_head(sender, request)
        with bounds.IN_FLIGHT.share() as grow:
            async with self._count_refusals(sender, head):
                body = await bounds.read_body(head.headers, request.stream(), await self._max_bytes(sender, head), grow)
                make_check(sender.proof).check_body(head, body, keyring)
            rate = limits.parse(sender.rate)
            if not await self._limiter.hit(rate, sender.name):
                raise await self._too_many(rate, sender.name)
            if body == CHECK:
                status = VERIFIED
            else:
                is_new = await self._run(lambda: self._store(sender, head, body))
                status = "kept" if is_new else "known"
        return JSONResponse({"status": status}, headers=make_check(sender.proof).answer(head))

    def _store(self, sender: Sender, head: Head, body: bytes) -> bool:
        """Store an authentic delivery; return whether it is new.

        If the body is rejected, also log and count the rejection, because only the sender sees the response.
        """
        try:
            delivery = read_delivery(sender, head, body)
        except Refusal as refusal:
            with self._lock:
                self._rejected[sender.name] += 1
                count = self._rejected[sender.name]
            log.error(
                "Rejected an authentic delivery of %s from %s (%d since the start); it was not stored: %s",
                sender.name, head.address, count, refusal.detail,
            )  # fmt: skip
            raise
        return inbox.receive(self._database(), delivery, self._receiving_key())

    async def _check_head(self, sender: Sender, request: Request) -> tuple[Head, Keyring]:
        """Check a request by its headers and address, without its body; return its head and the sender's keyring."""
        head = Head(request.headers, request.client.host if request.client else "")
        keyring = await self._run(lambda: self._keys(sender))
        async with self._count_refusals(sender, head):
            make_check(sender.proof).check_head(head, keyring)
        return head, keyring

    async def _max_bytes(self, sender: Sender, head: Head) -> int:
        is_below_limit = await self._limiter.test(REFUSALS, head.address)
        return sender.max_bytes if is_below_limit else bounds.FREE_BYTES

    @asynccontextmanager
    async def _count_refusals(self, sender: Sender, head: Head) -> AsyncIterator[None]:
        """Count a refusal that the block raises against the request's address, except a 503, which is not the sender's fault.

        Raises:
            Refusal: The refusal; 429 instead, if the address has more refusals than `REFUSALS` allows.
        """
        try:
            yield
        except Refusal as refusal:
            if refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                if not await self._limiter.hit(REFUSALS, head.address):
                    raise await self._too_many(REFUSALS, head.address) from None
                log.warning("Refused a request for %s from %s: %s", sender.name, head.address, refusal.detail)
            raise

    async def _too_many(self, rate: limits.RateLimitItem, name: str) -> Refusal:
        reset_at, _ = await self._limiter.get_window_stats(rate, name)
        wait = max(1, math.ceil(reset_at - time.time()))
        return Refusal(429, f"Rate limit exceeded: {rate}", {"Retry-After": str(wait)})

    async def _run(self, work: Callable[[], T]) -> T:
        """Run blocking work in a thread for at most `PATIENCE_S`; work still queued by then is canceled.

        Raises:
            Refusal: The refusal that the work raised; 503 after any other error and after a timeout.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await loop.run_in_executor(self._threads, work)
        except Refusal:
            raise
        except ConfigurationError as error:
            log.error("A request could not be served: %s", error)
            raise _unavailable() from None
        except Exception as error:
            # Log only the class: the text may quote the body.
            log.error("A request could not be served: %s", type(error).__name__)
            raise _unavailable() from None
