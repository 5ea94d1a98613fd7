"""Count the gateway's requests, for Prometheus: number and duration by route and status, of this process."""

from __future__ import annotations

import time
from http import HTTPStatus

from prometheus_client import Histogram, generate_latest
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Histogram(
    "tributary_gateway_request_seconds",
    "Requests to the gateway: number and duration, by process (host and port), route and HTTP status",
    ("gateway", "route", "status"),
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=None,
)
"""The label `gateway` separates the processes: a proxy passes each request for metrics to one of them."""
UNKNOWN = "unknown"
"""Label of requests that no route matches. Their paths are not labels: callers could invent any number of them."""


def count_requests(app: ASGIApp, gateway: str) -> ASGIApp:
    """Return an app that counts the requests to the wrapped app under the name of this process."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started, status = time.perf_counter(), HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, note)
        finally:
            REQUESTS.labels(gateway, _name_route(scope), status).observe(time.perf_counter() - started)

    return serve


def render() -> bytes:
    """Return the counts of this process in the text format of Prometheus; no samples if requests are not counted here."""
    return generate_latest(REQUESTS)


def _name_route(scope: Scope) -> str:
    """Return the path of the matched route, with names in place of its parameters."""
    route = scope.get("route")  # a mount, if no route below it matches
    return f"{scope.get('root_path', '')}{route.path}" if isinstance(route, Route) else UNKNOWN
