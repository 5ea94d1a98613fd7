"""A session with one Salesforce org: login, retries, and translation of HTTP responses to our errors."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import orjson
import requests
import tenacity

from include.connection import Connection, require_https, require_known_host
from include.contract.limits import DEFAULT
from include.control.calls import Call, CallLog
from include.errors import (
    AuthenticationError,
    ConfigurationError,
    RateLimited,
    TargetUnavailable,
)
from include.extract.assertion import sign
from include.extract.bounded import BoundedAdapter, translate

log = logging.getLogger(__name__)
T = TypeVar("T")

VENDOR = "salesforce"
DOMAINS = ("salesforce.com", "salesforce.mil", "sfcrmproducts.cn")
"""Domains of orgs: the token is sent to no other host."""
CLIENT = "Tributary"
"""Our client name, sent with every call. A change event of Salesforce reports it at the end of `changeOrigin` if we made the change."""
DATA = "/services/data/v66.0"
_TIMEOUT_S = (10, 120)
_LONGEST_WAIT_S = 30.0
_PIECE_BYTES = 1 << 16
_AUDIENCE = "https://login.salesforce.com"
_ASSERTION_LIVES_S = 170  # Salesforce accepts at most three minutes
_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Credentials of a session, for use with another protocol of the same org, such as the Pub/Sub API."""

    token: str = field(repr=False)
    instance_url: str
    org_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response: status and JSON body (None if there is none)."""

    status: int
    body: Any

    @property
    def is_ok(self) -> bool:
        """Whether the call succeeded."""
        return self.status < 300

    @property
    def code(self) -> str:
        """Salesforce's error code; empty if there is none."""
        first = self.body[0] if isinstance(self.body, list) and self.body else self.body
        return str(first.get("errorCode", "")) if isinstance(first, dict) else ""

    @property
    def message(self) -> str:
        """Salesforce's error message; empty if there is none."""
        first = self.body[0] if isinstance(self.body, list) and self.body else None
        return str(first.get("message", "")) if isinstance(first, dict) else ""


class SalesforceSession:
    """An open session with one org.

    Args:
        connection: `url` is the login URL. For client credentials (`extra["grant"]` is `client_credentials`),
            `login` and `password` are the app's id and secret. For JWT bearer, the default, `login` is the
            user, and `extra` contains `client_id`, `private_key` (PEM) and, for a sandbox org, `audience`
            (`https://test.salesforce.com`).
        calls: Records every call except logins.
        patience_s: How long a call is retried before its error is raised, in seconds.
    """

    def __init__(self, connection: Connection, calls: CallLog, *, patience_s: float = 120.0) -> None:
        self._connection = connection
        self._calls = calls
        self._patience_s = patience_s
        self._http = requests.Session()
        self._adapter = BoundedAdapter(DEFAULT)
        self._http.mount("http://", self._adapter)
        self._http.mount("https://", self._adapter)
        self._http.headers["Sforce-Call-Options"] = f"client={CLIENT}"
        self._instance_url: str | None = None
        self._org_id = ""
        self._used = self._allowed = 0
        self._reserved_ratio = Decimal(0)

    def __enter__(self) -> SalesforceSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._calls.flush()

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Make a call, and retry it while Salesforce is unavailable. Use it only for calls that are safe to repeat.

        Args:
            method: GET, POST, PATCH or DELETE.
            path: The path below `DATA`, with its query string.
            body: The body, sent as JSON; None for no body.

        Returns:
            The response. It may be a rejection (400, 404), which the caller handles.

        Raises:
            TargetUnavailable: The call still failed after `patience_s`.
            RateLimited: The org's daily calls are used up.
            AuthenticationError: The credentials or the user's permissions are insufficient.
            ConfigurationError: The session can't log in: the connection's private key is not an RSA key, or a URL is not https.
            LimitExceeded: The response is too large.
        """
        return self.persist(lambda: self.call_once(method, path, body))

    def call_once(self, method: str, path: str, body: Any = None) -> Answer:
        """Make a call without retries, for calls that are not safe to repeat. Arguments, response and errors are those of `call`."""
        options: dict[str, Any] = {}
        if body is not None:
            options = {"data": orjson.dumps(body), "headers": {"Content-Type": "application/json"}}
        return _read(self._call_authorized(method, path, **options), path)

    def find_ticket(self, *, is_new: bool = False) -> Ticket:
        """Return the session's credentials. Log in first if there was no login yet, or if `is_new`.

        Raises:
            TargetUnavailable: Salesforce's token endpoint was still unavailable after `patience_s`.
            AuthenticationError: Salesforce rejected the login.
            ConfigurationError: The connection's private key is not an RSA key or is too small, or the login or instance URL is not https.
        """
        if self._instance_url is None or is_new:
            self.persist(self._log_in)
        token = str(self._http.headers["Authorization"]).removeprefix("Bearer ")
        return Ticket(token, self._instance_url or "", self._org_id)

    def keep_reserve(self, ratio: Decimal) -> None:
        """Reserve a share (0-1) of the org's daily calls and bulk batches for other programs, and check the share at once.

        From now on, `check_reserve` checks the share of the calls. If our user may not read the org's limits, log a warning and skip
        the check.

        Raises:
            RateLimited: So many calls or batches were used today that only the reserve is left.
            TargetUnavailable: Salesforce is unavailable.
        """
        self._reserved_ratio = ratio
        try:
            answer = self.call("GET", "/limits")
        except AuthenticationError:  # needs a permission of its own; every response also reports the number of calls
            log.warning("salesforce: our user may not read the org's limits (View Setup and Configuration)")
            return
        limits = answer.body if isinstance(answer.body, dict) else {}
        for name in ("DailyApiRequests", "DailyBulkApiBatches"):
            if limit := limits.get(name):
                self._refuse_at_reserve(name, limit["Max"] - limit["Remaining"], limit["Max"])

    def check_reserve(self) -> None:
        """Raise `RateLimited` if only the reserve of the org's daily calls is left. Call it before new work.

        It sends no request: every response of Salesforce reports the number of calls used.
        """
        self._refuse_at_reserve("DailyApiRequests", self._used, self._allowed)

    def _refuse_at_reserve(self, name: str, used: int, allowed: int) -> None:
        if allowed and used > allowed * (1 - self._reserved_ratio):
            raise RateLimited(
                "The org's daily allowance has reached the reserve; it renews within 24 hours",
                limit=name, used=used, allowed=allowed, reserved_ratio=self._reserved_ratio,
            )  # fmt: skip

    def upload(self, path: str, file: Path) -> Answer:
        """Upload a CSV file without retries, because Salesforce accepts only one upload per job. The errors are those of `call`."""

        def send() -> requests.Response:
            with file.open("rb") as data:
                return self._send("PUT", path, data=data, headers={"Content-Type": "text/csv; charset=UTF-8"})

        return _read(self._send_with_token(send, path), path)

    @contextmanager
    def stream(self, path: str) -> Iterator[tuple[Iterator[bytes], Mapping[str, str]]]:
        """Open a large response, without retries; yield an iterator over its body, in pieces, and its headers.

        Raises:
            ConfigurationError: Salesforce rejected the request, or the session can't log in (see `call`).
            TargetUnavailable: Salesforce is unavailable, or the response ended early.
            RateLimited: The org's daily calls are used up.
            AuthenticationError: The credentials or the user's permissions are insufficient.
        """
        answer = self._call_authorized("GET", path, stream=True)
        try:
            if answer.status_code != requests.codes.ok:
                body = _read(answer, path)
                raise ConfigurationError(
                    "Salesforce rejected the request", path=_strip_query(path), status=body.status, code=body.code
                )
            yield self._pieces(answer, _strip_query(path)), answer.headers
        finally:
            answer.close()

    def persist(self, work: Callable[[], T]) -> T:
        """Call `work`, and retry it with growing delays while it raises `TargetUnavailable`; after `patience_s`, raise the last error."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TargetUnavailable),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT_S),
            stop=tenacity.stop_after_delay(self._patience_s),
            before_sleep=_log_retry,
            reraise=True,
        )
        return retrying(work)

    def _pieces(self, answer: requests.Response, path: str) -> Iterator[bytes]:
        try:
            yield from self._adapter.stream(answer, _PIECE_BYTES)
        except requests.RequestException as error:
            raise translate(error, "The response ended early", TargetUnavailable, path=path) from error

    def _call_authorized(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._send_with_token(lambda: self._send(method, path, **options), path)

    def _send_with_token(self, send: Callable[[], requests.Response], path: str) -> requests.Response:
        """Send a request with a valid token. If Salesforce rejects the token as expired, log in and send the request once more."""
        if self._instance_url is None:
            self._log_in()
        answer = send()
        if answer.status_code == requests.codes.unauthorized:
            self._log_in()
            answer = send()
            if answer.status_code == requests.codes.unauthorized:
                raise AuthenticationError(
                    "Salesforce rejected a token that it has just issued", path=_strip_query(path)
                )
        return answer

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        called_at, started = datetime.now(UTC), time.perf_counter()
        status, size = None, 0
        try:
            answer = self._http.request(
                method, f"{self._instance_url}{DATA}{path}", timeout=_TIMEOUT_S, allow_redirects=False, **options
            )
            status = answer.status_code
            size = int(answer.headers.get("Content-Length") or 0)
            if usage := _USAGE.search(answer.headers.get("Sforce-Limit-Info", "")):
                self._used, self._allowed = int(usage[1]), int(usage[2])
            return answer
        except requests.RequestException as error:
            raise translate(
                error, "No complete response from Salesforce", TargetUnavailable, path=_strip_query(path)
            ) from error
        finally:
            latency_ms = (time.perf_counter() - started) * 1000
            self._calls.add(Call(called_at, f"{DATA}{_strip_query(path)}", status, latency_ms, size, None, method))

    def _log_in(self) -> None:
        url = f"{self._connection.url}/services/oauth2/token"
        require_https(url, "The host of the connection", connection=VENDOR)
        try:
            answer = self._http.post(
                url, data=self._form(), headers={"Authorization": ""}, timeout=_TIMEOUT_S, allow_redirects=False
            )
            body = orjson.loads(answer.content or b"{}")
        except orjson.JSONDecodeError as error:
            raise TargetUnavailable(
                f"Unexpected response from Salesforce's token endpoint: {type(error).__name__}", url=url
            ) from error
        except requests.RequestException as error:
            raise translate(
                error, "No response from Salesforce's token endpoint", TargetUnavailable, url=url
            ) from error
        if answer.status_code >= 500:
            raise TargetUnavailable(
                "Salesforce's token endpoint is unavailable; try again", url=url, status=answer.status_code
            )
        if not isinstance(body, dict) or "access_token" not in body or "instance_url" not in body:
            reason = body.get("error_description") or body.get("error") if isinstance(body, dict) else None
            raise AuthenticationError(f"Salesforce rejected the login: {reason}", url=url, status=answer.status_code)
        instance_url = str(body["instance_url"]).rstrip("/")
        what = "The instance_url in Salesforce's login response"
        require_known_host(instance_url, self._connection.url, DOMAINS, what, connection=VENDOR)
        self._http.headers["Authorization"] = f"Bearer {body['access_token']}"
        self._instance_url = instance_url
        self._org_id = str(body.get("id", "")).rstrip("/").rpartition("/")[0].rpartition("/")[2]

    def _form(self) -> dict[str, str]:
        known, extra = self._connection, self._connection.extra
        if extra.get("grant") == "client_credentials":
            return {"grant_type": "client_credentials", "client_id": known.login, "client_secret": known.password}
        claims = {
            "iss": extra.get("client_id", ""),
            "sub": known.login,
            "aud": extra.get("audience", _AUDIENCE),
            "exp": int(time.time()) + _ASSERTION_LIVES_S,
        }
        assertion = sign(claims, extra.get("private_key", ""), login=known.login)
        return {"grant_type": _JWT_BEARER, "assertion": assertion}


def _strip_query(path: str) -> str:
    """Return a path without its query string, which may name people."""
    return path.partition("?")[0]


def _read(answer: requests.Response, path: str) -> Answer:
    path = _strip_query(path)
    status = answer.status_code
    try:
        body = orjson.loads(answer.content) if answer.content else None
    except orjson.JSONDecodeError as error:
        raise TargetUnavailable("Salesforce's response is not JSON", path=path, status=status) from error
    result = Answer(status, body)
    if status >= 500 or status == requests.codes.too_many_requests:
        raise TargetUnavailable("Salesforce failed", path=path, status=status, code=result.code)
    if status == requests.codes.forbidden:
        raise _translate_forbidden(result, path)
    return result


def _translate_forbidden(answer: Answer, path: str) -> Exception:
    if answer.code != "REQUEST_LIMIT_EXCEEDED":
        return AuthenticationError("Salesforce denies our user this request", path=path, code=answer.code)
    message = answer.message
    # The limit on concurrent long calls clears in seconds; a daily allowance does not.
    if message.startswith("Concurrent"):
        return TargetUnavailable(message, path=path, code=answer.code)
    return RateLimited(f"The org's calls are used up: {message}", path=path, code=answer.code)


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("salesforce: try %s failed: %s", state.attempt_number, error)
