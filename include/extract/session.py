"""Call one vendor's API: wait for the rate budget, log in, retry, and translate HTTP responses to errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import orjson
import requests
import tenacity

from include.connection import Connection, require_https
from include.contract import Vendor
from include.contract.limits import Limits
from include.control.budget import RateBudget
from include.control.cache import Cache
from include.control.calls import Call, CallLog
from include.control.clocks import Clocks
from include.control.grants import Grants
from include.errors import (
    AuthenticationError,
    ClockSkew,
    ConfigurationError,
    RateLimited,
    RetriableError,
    VendorUnavailable,
)
from include.extract.answer import is_web_page, read_kind, refuse_maintenance, refuse_overload
from include.extract.bounded import BoundedAdapter, translate
from include.extract.login import LoginContext, Token
from include.extract.tokens import Tokens

log = logging.getLogger(__name__)
T = TypeVar("T")

_TIMEOUT_S = (10, 120)
PATIENCE_S = 300.0
"""Default number of seconds for which one request is retried."""
_LONGEST_WAIT_S = 60.0
_CONDITION = "If-None-Match"
_SUCCESS = (requests.codes.ok, requests.codes.created, requests.codes.accepted)


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a vendor.

    Attributes:
        path: Path below the base URL, or a whole URL of the same host that the vendor returned.
        params: Query parameters.
        body: JSON body; None sends a GET.
        method: Method of a request with a body.
        bucket: Additional bucket of the rate budget that the call counts against; empty for none.
        grant: Name of the grant to log in with; empty for a login of the firm itself.
        missing: HTTP statuses that mean no data, unless the body is a web page, such as a maintenance page.
        is_file: Whether the response is a file rather than JSON.
        headers: Additional headers.
    """

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    method: Literal["POST", "PUT"] = "POST"
    bucket: str = ""
    grant: str = ""
    missing: tuple[int, ...] = ()
    is_file: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class VendorSession:
    """An open session with one vendor; safe to share between threads. Use it in a `with` block.

    Args:
        vendor: The vendor's declaration.
        connection: Address and credentials.
        budget: Rate budget that every call waits for.
        calls: Log of every call.
        grants: Store of single-use refresh tokens; None for vendors without grants.
        patience_s: Seconds for which one request is retried before its error is raised. If the next try would begin after this time,
            the error is raised without waiting.
        clocks: Check of our clocks, which uses the first successful response; None for no check.
        cache: Cache that the vendor's sessions share, for tokens; None for none.
        observe: Receives every response to a call, for a check; None for none.
    """

    def __init__(
        self,
        vendor: Vendor,
        connection: Connection,
        budget: RateBudget,
        calls: CallLog,
        grants: Grants | None = None,
        *,
        patience_s: float = PATIENCE_S,
        clocks: Clocks | None = None,
        cache: Cache | None = None,
        observe: Callable[[requests.Response], None] | None = None,
    ) -> None:
        require_https(
            connection.url, "The host of the vendor's connection", vendor=vendor.name, connection=connection.name
        )
        self._vendor = vendor
        self._connection = connection
        self._budget = budget
        self._calls = calls
        self._patience_s = patience_s
        self._clocks = clocks
        self._observe = observe
        self._http = requests.Session()
        self._http.headers["Accept"] = "application/json"
        for header, name in vendor.headers.items():
            self._http.headers[header] = _credential(connection, vendor, name)
        adapter = BoundedAdapter(vendor.limits, pool_maxsize=vendor.connections + 1)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)
        context = LoginContext(self._http, connection, _TIMEOUT_S, grants)
        self._tokens = Tokens(vendor.login, context, budget, calls, cache)

    @property
    def vendor(self) -> str:
        """Name of the vendor."""
        return self._vendor.name

    @property
    def limits(self) -> Limits:
        """Limits of the vendor's responses and pulls."""
        return self._vendor.limits

    def __enter__(self) -> VendorSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._calls.flush()

    def log_in(self, grant: str = "") -> None:
        """Log in now rather than with the first request; `grant` is the name of a grant, empty for the firm itself.

        Raises:
            AuthenticationError, ConfigurationError, VendorUnavailable, RateLimited, LimitExceeded: See `include.extract.login.log_in`.
        """
        self._repeat(lambda: self._tokens.live(grant))

    def get(self, path: str, params: Mapping[str, str], read: Callable[[bytes], T]) -> T:
        """Send a GET request for JSON and return the result of `read` for the body. Retries and errors are those of `request`."""
        content = self.request(Request(path, params), read)
        assert content is not None
        return content

    def request(self, request: Request, read: Callable[[bytes], T]) -> T | None:
        """Send a request and parse the response; retry for `patience_s` if the call or `read` raises a RetriableError.

        Args:
            request: The request.
            read: Parses the body.

        Returns:
            The result of `read`; None for a status in `request.missing`.

        Raises:
            VendorUnavailable: The vendor still failed after the retries; the error's `tries` and `failing_since` describe the tries.
            RateLimited: The vendor still limits the rate, or the rate budget is used up.
            ClockSkew: The clocks of this machine, the database and the vendor differ too much; see `Clocks.compare`. Not retried here.
            LimitExceeded: The response is larger than the vendor's limits allow.
            AuthenticationError: The vendor refused the credentials, or denies this user access.
            ConfigurationError: The vendor rejects the request, returned a URL of another host, or the connection or a header is invalid.
        """

        def once() -> T | None:
            answer = self._call_paced(request)
            return None if answer is None else read(answer.content)

        return self._repeat(once)

    def request_if_changed(
        self, request: Request, etag: str, read: Callable[[bytes], T]
    ) -> tuple[T | None, str] | None:
        """Send a request with the header `If-None-Match`. Retries and errors are those of `request`.

        Only the first try sends the ETag, because some vendors also return "not modified" to calls that come too often.

        Args:
            request: The request.
            etag: ETag of the known response; empty sends no header.
            read: Parses the body.

        Returns:
            None if the response has not changed. Otherwise (result, ETag): what `request` returns, and the ETag of the response, which is
            empty if there is none.
        """
        tries = [replace(request, headers={**request.headers, _CONDITION: etag})] if etag else []

        def once() -> tuple[T | None, str] | None:
            answer = self._call_paced(tries.pop() if tries else request)
            if answer is None:
                return None, ""
            if answer.status_code == requests.codes.not_modified:
                return None
            new_etag = answer.headers.get("ETag", "")
            return read(answer.content), new_etag if new_etag.isascii() and new_etag.isprintable() else ""

        return self._repeat(once)

    def _repeat(self, once: Callable[[], T]) -> T:
        """Call `once` until it succeeds or `patience_s` is over; return its result.

        A VendorUnavailable error gets the number of tries and the time of the first try as attributes.
        """
        began, retrying = datetime.now(UTC), self._build_retrying()
        try:
            return retrying(once)
        except VendorUnavailable as error:
            error.failing_since, error.tries = began, retrying.statistics.get("attempt_number", 1)
            raise

    def _build_retrying(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, RetriableError) and not isinstance(e, ClockSkew)),
            wait=self._wait,
            stop=tenacity.stop_before_delay(self._patience_s),
            before_sleep=partial(self._log_retry, datetime.now(UTC) + timedelta(seconds=self._patience_s)),
            reraise=True,
        )

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return error.retry_after
        return float(tenacity.wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT_S)(state))

    def _log_retry(self, gives_up_at: datetime, state: tenacity.RetryCallState) -> None:
        log.warning(
            "%s: try %s failed: %s; next try in %.1f s, this task gives up at %s",
            self._vendor.name,
            state.attempt_number,
            state.outcome and state.outcome.exception(),
            state.upcoming_sleep,
            gives_up_at.strftime("%H:%M:%S UTC"),
        )

    def _call_paced(self, request: Request) -> requests.Response | None:
        """Make one call, and return the response; None for a status in `request.missing`.

        If the vendor (or its login) requests a pause, pause the calls of all processes to the vendor, and raise RateLimited.
        """
        try:
            return self._call_authorized(request)
        except RateLimited as error:
            if error.retry_after is not None:
                self._budget.pause(error.retry_after)
            raise

    def _call_authorized(self, request: Request) -> requests.Response | None:
        """Make one call with a valid token; if the vendor refuses the token, log in again and repeat the call once.

        Returns:
            The response; None for a status in `request.missing`.
        """
        token = self._tokens.live(request.grant)
        answer = self._call(request, token)
        if answer.status_code == requests.codes.unauthorized:
            answer = self._call(request, self._tokens.live(request.grant, token))
            if answer.status_code == requests.codes.unauthorized:
                raise AuthenticationError(
                    "The vendor refuses a token that it has just issued", vendor=self._vendor.name, path=request.path
                )
        if answer.status_code in request.missing and not is_web_page(answer):
            return None
        if answer.status_code == requests.codes.forbidden:
            self._tokens.forget(request.grant)
        self._refuse(answer, request)
        return answer

    def _call(self, request: Request, token: Token) -> requests.Response:
        for name, value in request.headers.items():
            if not (value.isascii() and value.isprintable() and value == value.strip()):
                raise ConfigurationError("Invalid header value", vendor=self.vendor, header=name)
        self._budget.take(request.bucket)
        called_at, started = datetime.now(UTC), time.perf_counter()
        method = "GET" if request.body is None else request.method
        status, size, correlation_id = None, 0, None
        try:
            answer = self._http.request(
                method,
                self._url(request.path, token.url or self._connection.url),
                params=dict(request.params),
                json=None if request.body is None else dict(request.body),
                headers={**token.headers, **request.headers, **({"Accept": "*/*"} if request.is_file else {})},
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            )
            status, size = answer.status_code, len(answer.content)
            correlation_id = answer.headers.get(self._vendor.correlation_header)
            if self._observe is not None:
                self._observe(answer)
            if self._clocks is not None and answer.ok:
                self._clocks.compare(self.vendor, answer.headers.get("Date", ""), answer.headers.get("Age", ""))
            return answer
        except requests.RequestException as error:
            about = {"vendor": self._vendor.name, "path": request.path, "table": self._calls.table_name or None}
            raise translate(error, "No complete response", VendorUnavailable, **about) from error
        finally:
            latency_ms = (time.perf_counter() - started) * 1000
            self._calls.add(Call(called_at, request.path, status, latency_ms, size, correlation_id, method))

    def _url(self, path: str, base: str) -> str:
        """Return the whole URL of a path.

        A URL that the vendor returned must have the host of `base`, because the call sends our token; else raise ConfigurationError.
        """
        if "://" not in path:
            return f"{base}/{path}"
        ours, theirs = urlsplit(base), urlsplit(path)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            raise ConfigurationError(
                "The vendor returned a URL of another host", vendor=self._vendor.name, place=theirs.netloc
            )
        return path

    def _refuse(self, answer: requests.Response, request: Request) -> None:
        """Raise an error if a response is unsuccessful or not of the expected type; do nothing otherwise.

        A "not modified" response to a request with an ETag is successful.
        """
        facts = {
            "vendor": self._vendor.name,
            "path": request.path,
            "status": answer.status_code,
            "correlation_id": answer.headers.get(self._vendor.correlation_header),
            "table": self._calls.table_name or None,
        }
        refuse_overload(answer, self._vendor.throttling, **facts)
        if answer.status_code not in (*_SUCCESS, requests.codes.not_modified):
            refuse_maintenance(answer, lambda: self._calls.has_answered(request.path), **facts)
        if answer.status_code == requests.codes.forbidden:
            raise AuthenticationError("The vendor denies access to this user", **facts)
        if answer.status_code == requests.codes.not_modified and _CONDITION in request.headers:
            return
        if answer.status_code not in _SUCCESS:
            raise ConfigurationError("The vendor rejects this request: check the path and the connection", **facts)
        is_json = "json" in answer.headers.get("Content-Type", "")
        if is_json == request.is_file:
            raise VendorUnavailable(
                "The response is JSON, not a file" if is_json else "The response is not JSON",
                **facts,
                content_type=None if is_json else read_kind(answer) or None,
            )
        if self._vendor.error_field and is_json and _has_field(answer.content, self._vendor.error_field):
            raise VendorUnavailable("The response reports a failure with a success status", **facts)


def _has_field(body: bytes, name: str) -> bool:
    if not body.lstrip().startswith(b"{"):
        return False
    try:
        return name in orjson.loads(body)
    except ValueError:
        return False  # the reader of the body will raise


def _credential(connection: Connection, vendor: Vendor, name: str) -> str:
    if name not in connection.extra:
        raise ConfigurationError("The connection lacks a credential", vendor=vendor.name, missing=name)
    return connection.extra[name]
