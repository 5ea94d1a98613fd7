"""Refused requests and their problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse


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
