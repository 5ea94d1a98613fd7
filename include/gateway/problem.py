"""Why a call was not served, in the form of RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse


class Refusal(Exception):
    """A call that is not served.

    Args:
        status: Of HTTP.
        detail: What was wrong, for the people who run the caller; nothing of what was expected.
        headers: To answer with.
        members: Of the problem detail, beside those of RFC 9457.
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
    """Returns a refusal as a problem detail."""
    title = HTTPStatus(refusal.status).phrase
    described = {"type": "about:blank", "title": title, "status": refusal.status, "detail": refusal.detail}
    return described | refusal.members


def render(refusal: Refusal) -> JSONResponse:
    """Returns the response for a refusal."""
    content = describe(refusal)
    headers = {"Cache-Control": "no-store"} | refusal.headers
    return JSONResponse(content, refusal.status, headers, media_type="application/problem+json")
