"""Why a call was not served, in the form of RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi.responses import JSONResponse


class Refusal(Exception):
    """A call that is not served.

    Args:
        status: Of HTTP.
        detail: What was wrong, for the people who run the caller; nothing of what was expected.
        headers: To answer with.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def render(refusal: Refusal) -> JSONResponse:
    """Returns the answer that tells of a refusal."""
    title = HTTPStatus(refusal.status).phrase
    content = {"type": "about:blank", "title": title, "status": refusal.status, "detail": refusal.detail}
    headers = {"Cache-Control": "no-store"} | refusal.headers
    return JSONResponse(content, refusal.status, headers, media_type="application/problem+json")
