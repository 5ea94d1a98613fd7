"""HTTP responses of a sandbox vendor: JSON with all digits of decimals, errors, and rejection of undocumented parameters."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response

from sandbox.server.rows import dump


class Refused(Exception):
    """Raised to answer a request with an error response: `status`, and `body` as JSON (None for an empty body)."""

    def __init__(self, status: int, body: Any = None) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


def create_vendor_app() -> FastAPI:
    """Return an application without routes that turns `Refused` into its error response."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.exception_handler(Refused)
    def refuse(request: Request, error: Refused) -> Response:
        return Response(status_code=error.status) if error.body is None else reply(error.body, error.status)

    return app


def reply(value: Any, status: int = 200) -> Response:
    """Return a JSON response. Decimals keep all their digits."""
    return Response(dump(value), status, media_type="application/json")


def write_moment(moment: datetime) -> str:
    """Write a moment in UTC, to the second: "2026-11-20T15:00:00Z"."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def read_query(request: Request, **documented: str) -> dict[str, str]:
    """Return the query parameters of a request. `documented` has the default of every allowed parameter.

    Raises:
        Refused: 400, if a parameter is not documented or is given twice.
    """
    pairs = request.query_params.multi_items()
    for name in {name for name, _ in pairs}:
        if name not in documented:
            raise Refused(400, {"message": f"parameter {name!r} is not documented"})
        if len(request.query_params.getlist(name)) > 1:
            raise Refused(400, {"message": f"parameter {name!r} is given twice"})
    return documented | dict(pairs)


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a request's form as text."""
    return {name: str(value) for name, value in (await request.form()).items()}


def read_basic(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Return user and password from a Basic `authorization` header, or None if there is no valid one."""
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if scheme.lower() == "basic" and colon else None


def read_bearer(headers: Mapping[str, str]) -> str:
    """Return the token from a Bearer `authorization` header, or "" if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""
