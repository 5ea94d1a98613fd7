"""The door of the API: who calls, how often, and with how large a body; and every refusal in the form of RFC 9457."""

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
from starlette.routing import Route

from include.errors import TributaryError
from include.gateway import bounds
from include.gateway.api.callers import Caller, Issuer, identify
from include.gateway.api.settings import Settings
from include.gateway.problem import Refusal, render

REFUSALS = limits.parse("300/minute")
"""Unknown callers from one address; then they are told so. Who is known is served: many callers may share an address."""

_MOST_NAMES, _NAME_LENGTH = 5, 60

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """What the API's routes share.

    Attributes:
        database: Gives the engine when it is first needed.
        issuer: Gives the issuer of tokens.
        settings: What the firm chose.
        rate: How often one caller may call, as `limits` reads it.
    """

    database: Callable[[], sa.Engine]
    issuer: Callable[[], Issuer]
    settings: Callable[[], Settings]
    rate: str
    limiter: SlidingWindowCounterRateLimiter = field(
        default_factory=lambda: SlidingWindowCounterRateLimiter(MemoryStorage())
    )

    def admit(self, request: Request, scope: str) -> Caller:
        """Returns who calls.

        Raises:
            Refusal: 401, unknown; 403, without the scope; 429, too often; 503, the issuer is away.
        """
        address = request.client.host if request.client else ""
        try:
            caller = identify(request.headers, self.database(), self.issuer())
        except Refusal as refusal:
            if refusal.status == 401:
                if not self.limiter.hit(REFUSALS, address):
                    raise self._too_many(REFUSALS, address) from None
                log.warning("Refused a call from %s: %s", address, refusal.detail)
            raise
        rate = limits.parse(self.rate)
        if not self.limiter.hit(rate, caller.name):
            raise self._too_many(rate, caller.name)
        caller.check(scope)
        return caller

    def _too_many(self, rate: limits.RateLimitItem, name: str) -> Refusal:
        reset_at, _ = self.limiter.get_window_stats(rate, name)
        return Refusal(429, f"At most {rate}", {"Retry-After": str(max(1, math.ceil(reset_at - time.time())))})


def need(scope: str) -> Callable[[Request], Caller]:
    """Returns a dependency that admits callers with a scope."""

    def admit(request: Request) -> Caller:
        door: Door = request.app.state.door
        caller = door.admit(request, scope)
        check_parameters(request)
        return caller

    return admit


def check_parameters(request: Request) -> None:
    """Raise `Refusal` (422) for a query parameter that the route does not declare or that is given twice.

    A parameter that is ignored, such as a filter with a typing error, would return rows that the caller did not ask for.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = [field.alias for field in get_flat_dependant(route.dependant).query_params]
    given = [name for name, _ in request.query_params.multi_items()]
    if unknown := sorted(set(given) - set(known)):
        names = ", ".join(name[:_NAME_LENGTH] for name in unknown[:_MOST_NAMES])
        raise Refusal(422, f"Unknown query parameter: {names}; known: {', '.join(known) or 'none'}")
    if twice := [name for name in known if given.count(name) > 1]:
        raise Refusal(422, f"Query parameter given more than once: {', '.join(twice)}")


def take_json(max_bytes: int) -> Callable[[Request], AsyncIterator[bytes]]:
    """Returns a dependency that reads a body of JSON as it arrives; after `need`, so that no stranger's is read."""

    async def take(request: Request) -> AsyncIterator[bytes]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, "A body must be application/json")
        with bounds.IN_FLIGHT.share() as grow:
            yield await bounds.read_body(request.headers, request.stream(), max_bytes, grow)

    return take


def describe(errors: list[Any]) -> str:
    """Says what does not fit, and where; not what was sent."""
    told = [f"{'.'.join(str(part) for part in error['loc']) or 'body'}: {error['msg']}" for error in errors[:5]]
    return "; ".join(told)


def add_refusals(app: FastAPI) -> None:
    """Makes every failure of an app an answer that its document knows."""
    for kind in (Refusal, HTTPException, ClientDisconnect, RequestValidationError, ValidationError, Exception):
        app.add_exception_handler(kind, _tell)
    app.add_exception_handler(TributaryError, _tell)
    app.add_exception_handler(sa.exc.SQLAlchemyError, _tell)


def _tell(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Refusal):
        return render(error)
    if isinstance(error, HTTPException) and error.status_code == 405:
        return render(Refusal(405, "There is no such call of this", {"Allow": ", ".join(_methods(request))}))
    if isinstance(error, HTTPException):
        return render(Refusal(error.status_code, "There is nothing here that is called so", error.headers))
    if isinstance(error, ClientDisconnect):
        return render(Refusal(400, "The body ended before its end"))
    if isinstance(error, (RequestValidationError, ValidationError)):
        return render(Refusal(422, describe(list(error.errors()))))
    # By its class alone: its text could hold what it was about.
    log.error("A call could not be served: %s", type(error).__name__)
    return render(Refusal(503, "The call can't be served now; send it again", {"Retry-After": "30"}))


def _methods(request: Request) -> list[str]:
    """Every method of a path: each of its routes knows only its own."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    place = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return sorted({each for route in routes if route.path_regex.match(place) for each in route.methods or ()})
