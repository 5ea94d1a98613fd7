"""Orion's API exactly as publicly documented. An undocumented parameter is rejected.

The documentation leaves these points open; our choices are:

- A masked SSN or CUSIP shows its last four characters.
- Without `$orderby`, rows are in descending order of id.
- For an `asOfDate` after the last closed day, the response has the rows of the last closed day, with that day as `asOfDate`.
- Correcting a price does not change an asset's `editedDate`.
"""

import base64
import binascii
import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse

from sandbox.orion.query import BadQuery, Query, parse_day
from sandbox.orion.render import Rendered
from sandbox.orion.routes import ROUTES
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults, Row, distort
from sandbox.server.rows import MISSING, Source, dump

USER, PASSWORD = "tributary", "sandbox-only"  # valid for this sandbox only
TOKEN_SECONDS = 36_000


@dataclass(frozen=True, slots=True)
class Partner:
    """A program registered at Orion. `sees_sensitive` means that it gets SSN and CUSIP unmasked."""

    client_id: str
    client_secret: str
    sees_sensitive: bool


PARTNERS = (
    Partner("1001", "00000000-0000-4000-8000-000000001001", sees_sensitive=False),
    Partner("1002", "00000000-0000-4000-8000-000000001002", sees_sensitive=True),
)


class Sessions:
    """The access tokens, valid for ten hours by the sandbox's clock. A restart discards them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._sessions: dict[str, tuple[datetime, Partner]] = {}

    def open(self, headers: Mapping[str, str]) -> str | None:
        """Return a new token, or None if user, password, client id or secret is wrong."""
        credentials = (headers.get("client_id"), headers.get("client_secret"))
        partner = next((p for p in PARTNERS if (p.client_id, p.client_secret) == credentials), None)
        if partner is None or _read_basic(headers.get("authorization", "")) != f"{USER}:{PASSWORD}":
            return None
        token = f"{secrets.token_urlsafe(24)}.{secrets.token_urlsafe(48)}.{secrets.token_urlsafe(32)}"
        self._sessions[token] = (self.clock.now() + timedelta(seconds=TOKEN_SECONDS), partner)
        return token

    def find(self, headers: Mapping[str, str]) -> Partner | None:
        """Return the partner of a request, or None if the token is unknown or expired."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        expires_at, partner = self._sessions.get(token, (None, None))
        if scheme.lower() != "session" or expires_at is None or expires_at <= self.clock.now():
            return None
        return partner

    def forget(self, headers: Mapping[str, str]) -> None:
        """Expire the token of this request."""
        self._sessions.pop(headers.get("authorization", "").partition(" ")[2], None)


def _read_basic(header: str) -> str:
    scheme, _, encoded = header.partition(" ")
    try:
        return base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""


class Orion:
    """The state of the simulated Orion: its sessions, its rows, and pre-rendered pages, if any."""

    def __init__(self, source: Source, faults: Faults, clock: Clock) -> None:
        self.source, self.faults = source, faults
        self.sessions = Sessions(clock)
        self.rendered: Rendered | None = None

    def answer(self, request: Request, path: str) -> Response:
        """Handle one GET request. `path` is the part after `/orion/api/v1/`."""
        path = path.strip("/").lower()
        if path == "security/token":
            return self._log_in(request)
        if self.faults.take(request.url.path, "token_expired"):
            self.sessions.forget(request.headers)
        partner = self.sessions.find(request.headers)
        if partner is None:
            return _fail(401)
        if path == "authorization/user":
            return _reply({"loginUserId": USER, "profiles": [{"id": 1, "name": "API/Integrations", "isActive": True}]})
        try:
            return self._list(request, path, partner)
        except BadQuery as error:
            return _fail(400, str(error))

    def _log_in(self, request: Request) -> Response:
        token = self.sessions.open(request.headers)
        return _fail(401) if token is None else _reply({"access_token": token, "expires_in": float(TOKEN_SECONDS)})

    def _list(self, request: Request, path: str, partner: Partner) -> Response:
        path_day = None
        if match := re.fullmatch(r"(portfolio/accounts/value)/(\d\d-\d\d-\d{4})", path):
            path, path_day = match[1], parse_day(match[2])
        route = ROUTES.get(path)
        if route is None:
            return _fail(404)
        values: dict[str, list[str]] = {}
        for name, value in parse_qsl(request.url.query, keep_blank_values=True):
            values.setdefault(name.lower(), []).append(value)
        query = Query(route, values, path_day)
        if self.rendered and (page := self.rendered.find_page(route.table, query)):
            return FileResponse(page, media_type="application/json")
        return _reply(self._find_page(request.url.path, query, partner))

    def _find_page(self, path: str, query: Query, partner: Partner) -> list[Row]:
        rows = query.select_rows(self.source)
        skip, top = query.page
        if self.faults.take(path, "page_size_ignored"):
            top = None
        values = self._shift(path, rows.values, skip)
        names = query.list_selected(rows)
        page = [
            {name: value for name, value in zip(rows.fields, row, strict=True) if value is not MISSING}
            for row in values[skip : None if top is None else skip + top]
        ]
        for row in page:
            if "costBasis" in row and not query.has_cost:
                row["costBasis"] = None
            if not partner.sees_sensitive:
                mask(row)
        if len(names) < len(rows.fields):
            page = [{name: row[name] for name in names if name in row} for row in page]
        return distort(self.faults, path, page)

    def _shift(self, path: str, values: Any, skip: int) -> Any:
        """Simulate rows that were added or removed between two pages; see `sandbox.server.faults.shift`."""
        if skip and (fault := self.faults.take(path, "rows_removed")):
            return values[int(fault.options.get("count", 1)) :]
        if skip and (fault := self.faults.take(path, "rows_added")):
            return [*values[: int(fault.options.get("count", 1))], *values]
        return values


def mask(row: Row) -> None:
    """Mask SSN and CUSIP in `row`, except for their last four characters."""
    if row.get("ssN_TaxID"):
        row["ssN_TaxID"] = f"XXX-XX-{row['ssN_TaxID'][-4:]}"
    if row.get("cusip"):
        row["cusip"] = f"XXXXX{row['cusip'][-4:]}"


def _reply(value: Any) -> Response:
    return Response(dump(value), media_type="application/json")


def _fail(status: int, message: str = "") -> Response:
    headers = {"X-OAS-CorrelationId": str(uuid.uuid4())}
    if not message:
        return Response(status_code=status, headers=headers)
    return Response(dump({"message": message}), status, headers, "application/json")


def create_app(orion: Orion) -> FastAPI:
    """Return the application to mount at `/orion`."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/api/v1/{path:path}")
    def answer(request: Request, path: str) -> Response:
        return orion.answer(request, path)

    return app
