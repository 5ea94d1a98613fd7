"""One Salesforce org, many calls: login, retries, and HTTP answers as our errors."""

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

import jwt
import orjson
import requests
import tenacity

from include.connection import Connection
from include.contract.limits import DEFAULT
from include.control.calls import Call, CallLog
from include.errors import (
    AuthenticationError,
    ConfigurationError,
    RateLimited,
    TargetUnavailable,
)
from include.extract.bounded import BoundedAdapter, translate

log = logging.getLogger(__name__)
T = TypeVar("T")

VENDOR = "salesforce"
CLIENT = "Tributary"
"""What we call ourselves: the origin of a change that we made ends in it."""
DATA = "/services/data/v66.0"
_TIMEOUT_S = (10, 120)
_LONGEST_WAIT_S = 30.0
_PIECE_BYTES = 1 << 16
_AUDIENCE = "https://login.salesforce.com"
_ASSERTION_LIVES_S = 170  # Salesforce takes at most three minutes
_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What lets another protocol in that knows the same sessions."""

    token: str = field(repr=False)
    instance_url: str
    org_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: status and JSON body (None where there is none)."""

    status: int
    body: Any

    @property
    def is_ok(self) -> bool:
        """Whether the call did what was asked."""
        return self.status < 300

    @property
    def code(self) -> str:
        """Salesforce's error code; empty where it gave none."""
        first = self.body[0] if isinstance(self.body, list) and self.body else self.body
        return str(first.get("errorCode", "")) if isinstance(first, dict) else ""


class SalesforceSession:
    """An open session with one org.

    Args:
        connection: `url` is where to log in. For client credentials (`extra["grant"]` says `client_credentials`),
            `login` and `password` are the app's id and secret. For JWT bearer, which is the default, `login` is the
            user, and `extra` holds `client_id`, `private_key` (PEM) and, for a sandbox org, `audience`
            (`https://test.salesforce.com`).
        calls: Notes every call.
        patience_s: How long one call is tried again before its error is raised, in seconds.
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
        """Makes one call, again while Salesforce is unavailable; so only what may be done twice.

        Args:
            method: GET, POST, PATCH or DELETE.
            path: Below `DATA`.
            body: Sent as JSON; None sends nothing.

        Returns:
            The answer; a refusal (400, 404) is the caller's to judge.

        Raises:
            TargetUnavailable: It still failed after `patience_s`.
            RateLimited: The org's calls of the day are used up.
            AuthenticationError: The credentials or the user's permissions do not suffice.
        """
        return self.persist(lambda: self.call_once(method, path, body))

    def call_once(self, method: str, path: str, body: Any = None) -> Answer:
        """Makes one call that must not be made twice: as `call`, without trying again."""
        options: dict[str, Any] = {}
        if body is not None:
            options = {"data": orjson.dumps(body), "headers": {"Content-Type": "application/json"}}
        return _read(self._authorized(method, path, **options), path)

    def find_ticket(self, *, is_new: bool = False) -> Ticket:
        """Logs in, unless we are (or a new session is wanted); raises as `call` does."""
        if self._instance_url is None or is_new:
            self.persist(self._log_in)
        token = str(self._http.headers["Authorization"]).removeprefix("Bearer ")
        return Ticket(token, self._instance_url or "", self._org_id)

    def keep_reserve(self, ratio: Decimal) -> None:
        """Leaves a share (0-1) of the org's calls and batches of the day to others, from now on.

        Raises:
            RateLimited: They are at the reserve already.
        """
        self._reserved_ratio = ratio
        try:
            answer = self.call("GET", "/limits")
        except AuthenticationError:  # a right of its own; the calls are told with each answer, too
            log.warning("salesforce: our user may not read the org's limits (View Setup and Configuration)")
            return
        limits = answer.body if isinstance(answer.body, dict) else {}
        for name in ("DailyApiRequests", "DailyBulkApiBatches"):
            if limit := limits.get(name):
                self._refuse_at_reserve(name, limit["Max"] - limit["Remaining"], limit["Max"])

    def check_reserve(self) -> None:
        """Asked before new work begins; raises as `keep_reserve` does. Salesforce tells the count with each answer."""
        self._refuse_at_reserve("DailyApiRequests", self._used, self._allowed)

    def _refuse_at_reserve(self, name: str, used: int, allowed: int) -> None:
        if allowed and used > allowed * (1 - self._reserved_ratio):
            raise RateLimited(
                "The org's allowance of the day is at the reserve; it comes back within 24 hours",
                limit=name, used=used, allowed=allowed, reserved_ratio=self._reserved_ratio,
            )  # fmt: skip

    def upload(self, path: str, file: Path) -> Answer:
        """Puts a CSV file, once: Salesforce takes one upload a job. Raises as `call` does, without trying again."""

        def send() -> requests.Response:
            with file.open("rb") as data:
                return self._send("PUT", path, data=data, headers={"Content-Type": "text/csv; charset=UTF-8"})

        return _read(self._with_token(send, path), path)

    @contextmanager
    def stream(self, path: str) -> Iterator[tuple[Iterator[bytes], Mapping[str, str]]]:
        """Opens a large answer: its pieces, and its headers. Raises as `call` does, without trying again."""
        answer = self._authorized("GET", path, stream=True)
        try:
            if answer.status_code != requests.codes.ok:
                said = _read(answer, path)
                raise ConfigurationError("Salesforce refuses", path=_plain(path), status=said.status, code=said.code)
            yield self._pieces(answer, _plain(path)), answer.headers
        finally:
            answer.close()

    def persist(self, work: Callable[[], T]) -> T:
        """Does work again while Salesforce is unavailable, with growing waits, up to `patience_s`."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TargetUnavailable),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT_S),
            stop=tenacity.stop_after_delay(self._patience_s),
            before_sleep=_tell,
            reraise=True,
        )
        return retrying(work)

    def _pieces(self, answer: requests.Response, path: str) -> Iterator[bytes]:
        try:
            yield from self._adapter.stream(answer, _PIECE_BYTES)
        except requests.RequestException as error:
            raise translate(error, "An answer was cut short", TargetUnavailable, path=path) from error

    def _authorized(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._with_token(lambda: self._send(method, path, **options), path)

    def _with_token(self, send: Callable[[], requests.Response], path: str) -> requests.Response:
        """Sends with a valid token; one that died on the way is renewed once."""
        if self._instance_url is None:
            self._log_in()
        answer = send()
        if answer.status_code == requests.codes.unauthorized:
            self._log_in()
            answer = send()
            if answer.status_code == requests.codes.unauthorized:
                raise AuthenticationError("Salesforce refuses a token it has just given", path=_plain(path))
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
            raise translate(error, "No whole answer from Salesforce", TargetUnavailable, path=_plain(path)) from error
        finally:
            latency_ms = (time.perf_counter() - started) * 1000
            self._calls.add(Call(called_at, f"{DATA}{_plain(path)}", status, latency_ms, size, None))

    def _log_in(self) -> None:
        url = f"{self._connection.url}/services/oauth2/token"
        try:
            answer = self._http.post(
                url, data=self._form(), headers={"Authorization": ""}, timeout=_TIMEOUT_S, allow_redirects=False
            )
            said = orjson.loads(answer.content or b"{}")
        except orjson.JSONDecodeError as error:
            raise TargetUnavailable(f"No answer to the login: {type(error).__name__}", url=url) from error
        except requests.RequestException as error:
            raise translate(error, "No answer to the login", TargetUnavailable, url=url) from error
        if answer.status_code >= 500:
            raise TargetUnavailable("Salesforce can't log us in now", url=url, status=answer.status_code)
        if not isinstance(said, dict) or "access_token" not in said or "instance_url" not in said:
            reason = said.get("error_description") or said.get("error") if isinstance(said, dict) else None
            raise AuthenticationError(f"Salesforce refuses the login: {reason}", url=url, status=answer.status_code)
        self._http.headers["Authorization"] = f"Bearer {said['access_token']}"
        self._instance_url = str(said["instance_url"]).rstrip("/")
        self._org_id = str(said.get("id", "")).rstrip("/").rpartition("/")[0].rpartition("/")[2]

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
        try:
            assertion = jwt.encode(claims, extra.get("private_key", ""), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise ConfigurationError("The connection's private_key is no RSA key in PEM", login=known.login) from error
        return {"grant_type": _JWT_BEARER, "assertion": assertion}


def _plain(path: str) -> str:
    """A path without its query, which may name people."""
    return path.partition("?")[0]


def _read(answer: requests.Response, path: str) -> Answer:
    path = _plain(path)
    status = answer.status_code
    try:
        body = orjson.loads(answer.content) if answer.content else None
    except orjson.JSONDecodeError as error:
        raise TargetUnavailable("Salesforce answered something else than JSON", path=path, status=status) from error
    said = Answer(status, body)
    if status >= 500 or status == requests.codes.too_many_requests:
        raise TargetUnavailable("Salesforce failed", path=path, status=status, code=said.code)
    if status == requests.codes.forbidden:
        raise _forbidden(said, path)
    return said


def _forbidden(said: Answer, path: str) -> Exception:
    if said.code != "REQUEST_LIMIT_EXCEEDED":
        return AuthenticationError("Salesforce forbids this to our user", path=path, code=said.code)
    message = str(said.body[0].get("message", ""))
    # Too many long calls at once pass in seconds; a day's allowance does not.
    if message.startswith("Concurrent"):
        return TargetUnavailable(message, path=path, code=said.code)
    return RateLimited(f"The org's calls are used up: {message}", path=path, code=said.code)


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("salesforce: try %s failed: %s", state.attempt_number, error)
