"""Refused requests and their problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Route


class Refusal(Exception):
    """The error that refuses a request, with the response to send.

    Args:
        status: The HTTP status code.
        detail: The reason, for the people who run the caller. It must not reveal a secret that the request should have contained.
        headers: Response headers.
        members: Additional members of the problem detail.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.members = status, detail, dict(headers or {}), dict(members or {})


def describe(refusal: Refusal) -> dict[str, Any]:
    """Return a refusal as a problem detail: its JSON object."""
    title = HTTPStatus(refusal.status).phrase
    problem = {"type": "about:blank", "title": title, "status": refusal.status, "detail": refusal.detail}
    return problem | refusal.members


def render(refusal: Refusal) -> JSONResponse:
    """Return the HTTP response for a refusal."""
    content = describe(refusal)
    headers = {"Cache-Control": "no-store"} | refusal.headers
    return JSONResponse(content, refusal.status, headers, media_type="application/problem+json")


def render_unrouted(request: Request, error: Exception) -> JSONResponse:
    """Return the response for a request that no route of its app serves: 404, or 405 with the methods of its path."""
    assert isinstance(error, HTTPException)
    if error.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
        return render(Refusal(error.status_code, "Not found", error.headers))
    return render(Refusal(error.status_code, "Method not allowed", {"Allow": ", ".join(_list_methods(request))}))


def route_exactly(routes: Sequence[BaseRoute]) -> Starlette:
    """Return an app that serves these routes, redirects to no path, and refuses all other paths with problem details."""
    app = Starlette(routes=routes, exception_handlers={HTTPException: render_unrouted})
    app.router.redirect_slashes = False
    return app


def _list_methods(request: Request) -> list[str]:
    """Return the methods of all routes that match the request's path."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return sorted({each for route in routes if route.path_regex.match(path) for each in route.methods or ()})
