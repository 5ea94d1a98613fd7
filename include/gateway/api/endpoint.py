"""Shared parts of all routes of the API: authentication, rate limits, body limits, and errors as problem details (RFC 9457)."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import limits
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.dependencies.utils import get_flat_dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from include.errors import TributaryError
from include.gateway import bounds
from include.gateway.api.callers import Issuer, identify
from include.gateway.api.document import read_scope
from include.gateway.api.scopes import Permission, find_permission
from include.gateway.api.settings import Settings
from include.gateway.problem import Refusal, render, render_unrouted

REFUSALS = limits.parse("300/minute")
"""Limit of requests without valid credentials (401) per address; further ones get a 429. The limit does not apply to authenticated
callers, because many callers may share an address."""

_MAX_NAMES, _NAME_LENGTH = 5, 60

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The dependencies and limits that the API's routes share.

    Attributes:
        database: Returns the engine; called when first needed.
        issuer: Returns the token issuer.
        settings: Returns the firm's settings.
        rate: Rate limit per caller, such as `600/minute`.
        limiter: Counts requests per caller and refusals per address.
    """

    database: Callable[[], sa.Engine]
    issuer: Callable[[], Issuer]
    settings: Callable[[], Settings]
    rate: str
    limiter: SlidingWindowCounterRateLimiter = field(
        default_factory=lambda: SlidingWindowCounterRateLimiter(MemoryStorage())
    )

    def admit(self, request: Request, scope: str) -> Permission:
        """Authenticate a request and return its caller's permission under a scope.

        Raises:
            Refusal: 401, no valid credentials; 403, scope missing; 429, rate limit exceeded; 503, token issuer unavailable.
        """
        address = request.client.host if request.client else ""
        try:
            caller = identify(request.headers, self.database(), self.issuer())
        except Refusal as refusal:
            if refusal.status == 401:
                if not self.limiter.hit(REFUSALS, address):
                    raise self._too_many(REFUSALS, address) from None
                log.warning("Refused a request from %s: %s", address, refusal.detail)
            raise
        request.state.caller = caller.name
        log.info("Authenticated %s from %s", caller.name, address)
        rate = limits.parse(self.rate)
        if not self.limiter.hit(rate, caller.name):
            raise self._too_many(rate, caller.name)
        return find_permission(caller.name, caller.scopes, scope)

    def _too_many(self, rate: limits.RateLimitItem, name: str) -> Refusal:
        reset_at, _ = self.limiter.get_window_stats(rate, name)
        headers = {"Retry-After": str(max(1, math.ceil(reset_at - time.time())))}
        return Refusal(429, f"Rate limit exceeded: {rate}", headers)


def admit(request: Request) -> Permission:
    """Admit only callers with the scope that the route declares, and check the query parameters. A dependency of every route."""
    endpoint: Endpoint = request.app.state.endpoint
    permission = endpoint.admit(request, read_scope(request.scope["route"]))
    check_parameters(request)
    return permission


def check_parameters(request: Request) -> None:
    """Raise `Refusal` (422) for a query parameter that the route does not declare or that is given twice.

    Ignoring a parameter, such as a misspelled filter, would return rows that the caller did not request.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = [field.alias for field in get_flat_dependant(route.dependant).query_params]
    parameters = [name for name, _ in request.query_params.multi_items()]
    if unknown := sorted(set(parameters) - set(known)):
        names = ", ".join(name[:_NAME_LENGTH] for name in unknown[:_MAX_NAMES])
        raise Refusal(422, f"Unknown query parameter: {names}; known: {', '.join(known) or 'none'}")
    if twice := [name for name in known if parameters.count(name) > 1]:
        raise Refusal(422, f"Query parameter given more than once: {', '.join(twice)}")


def read_json(max_bytes: int) -> Callable[[Request], AsyncIterator[bytes]]:
    """Return a FastAPI dependency that reads a JSON body as it arrives.

    The router's own dependency `admit` precedes it, so that a body is read only if its caller is authenticated.
    """

    async def read(request: Request) -> AsyncIterator[bytes]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, "The body must be application/json")
        with bounds.IN_FLIGHT.share() as grow:
            yield await bounds.read_body(request.headers, request.stream(), max_bytes, grow)

    return read


def describe(errors: list[Any]) -> str:
    """Describe the first five validation errors by location and reason; never quote the values sent."""
    lines = [f"{'.'.join(str(part) for part in error['loc']) or 'body'}: {error['msg']}" for error in errors[:5]]
    return "; ".join(lines)


def add_error_handlers(app: FastAPI) -> None:
    """Render every error of an app as a problem detail that the OpenAPI document declares."""
    for kind in (Refusal, HTTPException, ClientDisconnect, RequestValidationError, ValidationError, Exception):
        app.add_exception_handler(kind, _render_error)
    app.add_exception_handler(TributaryError, _render_error)
    app.add_exception_handler(sa.exc.SQLAlchemyError, _render_error)


def _render_error(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Refusal):
        if error.status in (403, 429) and hasattr(request.state, "caller"):
            route, address = request.scope["route"].path, request.client.host if request.client else ""
            log.warning(
                "Refused %s %s from %s by %s: %s", request.method, route, address, request.state.caller, error.detail
            )
        return render(error)
    if isinstance(error, HTTPException):
        return render_unrouted(request, error)
    if isinstance(error, ClientDisconnect):
        return render(Refusal(400, "The body is incomplete: the client disconnected"))
    if isinstance(error, (RequestValidationError, ValidationError)):
        return render(Refusal(422, describe(list(error.errors()))))
    # Log only the class: the text may quote data.
    log.error("A request could not be served: %s", type(error).__name__)
    return render(Refusal(503, "The request can't be served now; send it again", {"Retry-After": "30"}))
