"""Request handling of Adobe Acrobat Sign: authorization, acting user, rate limits, ETags, errors and pages.

Documented:

- A user may send three identical GETs per minute. After that, a conditional GET of an object with an ETag returns 304, even if the
  object has changed. Any other GET returns 429.
- The body of a 429 and its `Retry-After`. A retry before that time restarts the wait.
- The error codes.
- The last page has no `nextCursor`.

Our choices:

- GETs that differ only in headers are identical.
- INVALID_API_ACCESS_POINT has status 401, as third parties report.
- An undocumented parameter returns BAD_REQUEST.
- A page has 100 rows by default and at most 500.
- A cursor is the number of rows to skip, so changes of the list shift later pages.

Faults in addition to the common ones: `token_expired`, `wrong_shard`, `throttled` and `high_load`. The last two have the option
`retry_after` (30 seconds by default).
"""

import base64
import binascii
import hashlib
import hmac
import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from sandbox.adobe_sign.login import Login, find_user, write_error
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults, distort, shift
from sandbox.server.response import Refused, create_vendor_app, read_query, reply
from sandbox.server.rows import dump

Row = dict[str, Any]

POLLS, POLL_SECONDS = 3, 60
PAGE, MOST = 100, 500
_TOO_MANY, _LOAD = "THROTTLING_TOO_MANY_REQUESTS", "THROTTLING_HIGH_SYSTEM_LOAD"


class Throttled(Exception):
    """Raised for too many calls. The response is 429 with `code`, and a wait of `seconds`."""

    def __init__(self, code: str, seconds: int) -> None:
        super().__init__(code, seconds)
        self.code, self.seconds = code, seconds


@dataclass(frozen=True, slots=True)
class Call:
    """An authorized call, with its acting user and its query parameters."""

    request: Request
    user: Row
    query: dict[str, str]

    @property
    def path(self) -> str:
        """Return the path of the request, including the vendor's prefix."""
        return self.request.url.path

    def is_true(self, name: str) -> bool:
        """Return the value of a boolean parameter. An empty value is False.

        Raises:
            Refused: 400, if the value is neither true nor false.
        """
        if self.query[name].lower() not in ("", "true", "false"):
            raise Refused(400, write_error("BAD_REQUEST", f"{name} must be true or false"))
        return self.query[name].lower() == "true"


def create_adobe_app() -> FastAPI:
    """Return an application without routes that renders errors in the vendor's format."""
    app = create_vendor_app()

    @app.exception_handler(Throttled)
    def slow_down(request: Request, error: Throttled) -> Response:
        message = f"Too many requests. Please try again in {error.seconds} seconds."
        answer = reply(write_error(error.code, message) | {"retryAfter": error.seconds}, 429)
        answer.headers["Retry-After"] = str(error.seconds)
        if error.code == _LOAD:
            answer.headers["X-Throttling-Reason"] = "high-system-load"
        return answer

    @app.exception_handler(HTTPException)
    def refuse(request: Request, error: HTTPException) -> Response:
        code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "BAD_REQUEST")
        answer = reply(write_error(code, str(error.detail)), error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    return app


class Authorizer:
    """Authorizes the requests of one sandbox, and enforces the rate limits."""

    def __init__(self, login: Login, faults: Faults, calls: Calls, clock: Clock) -> None:
        self.login, self.faults, self.calls, self.clock = login, faults, calls, clock
        self._closed: dict[str, tuple[datetime, int, str]] = {}  # call -> end of the wait, its seconds, error code
        self._lock = threading.Lock()

    def open(self, request: Request, users: list[Row], *, has_etag: bool = False, **documented: str) -> Call:
        """Check a request's token, acting user, parameters and rate limit. Return it as a call.

        Args:
            request: The request.
            users: The account's users.
            has_etag: Whether the requested object has an ETag.
            documented: Default of each allowed parameter.

        Raises:
            Refused: the token, the user or a parameter is invalid (400, 401 or 403), or a conditional GET exceeds the rate limit
                (304).
            Throttled: any other request exceeds the rate limit.
        """
        path = request.url.path
        if self.faults.take(path, "token_expired"):
            self.login.forget(request.headers)
        self.login.check(request.headers)
        if self.faults.take(path, "wrong_shard"):
            message = "Request must be made to correct API access point (e.g. use GET /baseUris)."
            raise Refused(401, write_error("INVALID_API_ACCESS_POINT", message))
        user = find_user(request.headers, users)
        query = _read_parameters(request, documented)
        self._pace(request, user, has_etag and "if-none-match" in request.headers)
        return Call(request, user, query)

    def _pace(self, request: Request, user: Row, is_conditional: bool) -> None:
        path, query = request.url.path, "&".join(sorted(f"{k}={v}" for k, v in request.query_params.multi_items()))
        key = f"adobe_sign {request.method} {path}?{query} {user['id']}"
        with self._lock:
            self._wait(key)
            for kind, code in (("throttled", _TOO_MANY), ("high_load", _LOAD)):
                if fault := self.faults.take(path, kind):
                    self._close(key, int(fault.options.get("retry_after", 30)), code)
            if request.method != "GET" or self.calls.allow(key, POLLS, POLL_SECONDS):
                return
            if is_conditional:
                raise Refused(304)
            self._close(key, math.ceil(POLL_SECONDS / self.calls.pace), _TOO_MANY)

    def _wait(self, key: str) -> None:
        """Raise `Throttled`, and restart the wait, if the call is retried before its wait is over."""
        if key in self._closed:
            until, seconds, code = self._closed.pop(key)
            if until - timedelta(seconds=seconds) <= self.clock.now() < until:  # a test may turn the clock back
                self._close(key, seconds, code)

    def _close(self, key: str, seconds: int, code: str) -> None:
        self._closed[key] = (self.clock.now() + timedelta(seconds=seconds), seconds, code)
        raise Throttled(code, seconds)

    def list_page(self, call: Call, name: str, rows: Sequence[Row]) -> Response:
        """Return the response with one page of `rows`. `name` is the name of the array in the response.

        Raises:
            Refused: 400, if the cursor or the page size is invalid.
        """
        parameters = {key: value for key, value in call.query.items() if key not in ("cursor", "pageSize")}
        key = f"{call.path}:{call.user['id']}:{sorted(parameters.items())}".encode()
        skip, size = _read_cursor(call.query["cursor"], key), _read_size(call.query["pageSize"])
        rows = shift(self.faults, call.path, rows, skip)
        page = distort(self.faults, call.path, list(rows[skip : skip + size]))
        end = skip + size
        return reply({"page": {"nextCursor": _write_cursor(end, key)} if end < len(rows) else {}, name: page})


def answer(call: Call, body: Any, media: str = "application/json") -> Response:
    """Return a response with an ETag, or 304 if the request's `If-None-Match` has the same ETag."""
    content = body if isinstance(body, bytes) else dump(body)
    etag = write_etag(content)
    if read_etag(call.request, "if-none-match") in (etag, "*"):
        return Response(status_code=304, media_type=media, headers={"ETag": etag})
    return Response(content, media_type=media, headers={"ETag": etag})


def write_etag(content: bytes) -> str:
    """Return the ETag of a response body, without quotation marks, as in the vendor's samples."""
    return "D" + hashlib.sha256(content).hexdigest()[:40]


def read_etag(request: Request, header: str) -> str | None:
    """Return the ETag in a request header, without quotation marks; None if the request has no such header."""
    etag = request.headers.get(header)
    return None if etag is None else etag.removeprefix("W/").strip('"')


def _read_parameters(request: Request, documented: Mapping[str, str]) -> dict[str, str]:
    try:
        return read_query(request, **documented)
    except Refused as error:
        raise Refused(400, write_error("BAD_REQUEST", error.body["message"])) from error


def _read_size(text: str) -> int:
    if not re.fullmatch(r"[0-9]{0,9}", text) or not 1 <= int(text or PAGE) <= MOST:
        message = "Page size is either invalid or not within permissible range."
        raise Refused(400, write_error("INVALID_PAGE_SIZE", message))
    return int(text or PAGE)


def _write_cursor(skip: int, key: bytes) -> str:
    seal = hmac.digest(key, b"%d" % skip, hashlib.sha256)[:9]
    return base64.urlsafe_b64encode(b"%d:%b" % (skip, seal)).decode().replace("=", "*")


def _read_cursor(text: str, key: bytes) -> int:
    """Return the number of rows that a cursor skips. A cursor is valid only for the same list, user and parameters."""
    if not text:
        return 0
    try:
        skip = int(base64.urlsafe_b64decode(text.replace("*", "=").encode()).partition(b":")[0])
    except (ValueError, binascii.Error):
        skip = -1
    if skip < 0 or not hmac.compare_digest(_write_cursor(skip, key).encode(), text.encode()):
        raise Refused(400, write_error("INVALID_CURSOR", "Page cursor provided is invalid."))
    return skip
