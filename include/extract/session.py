"""One vendor, many calls: budget, retries, and HTTP answers as our errors."""

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

from include.connection import Connection
from include.contract import Vendor
from include.contract.limits import Limits
from include.control.budget import RateBudget
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
from include.extract.answer import read_kind, refuse_maintenance, refuse_overload
from include.extract.bounded import BoundedAdapter, translate
from include.extract.login import Door, Token
from include.extract.tokens import Tokens

log = logging.getLogger(__name__)
T = TypeVar("T")

_TIMEOUT_S = (10, 120)
PATIENCE_S = 300.0
"""How long one request is tried again, in seconds."""
_LONGEST_WAIT_S = 60.0
_CONDITION = "If-None-Match"
_TAKEN = (requests.codes.ok, requests.codes.created, requests.codes.accepted)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to a vendor.

    Attributes:
        path: Below the base URL, or a whole URL of the same place that the vendor gave.
        params: Query parameters.
        body: Sent as JSON; None asks by GET.
        method: By which the body is sent.
        bucket: A narrower bucket of the budget that the call is taken from, too.
        grant: On whose behalf; empty for the firm itself.
        missing: Statuses that say that there is nothing.
        is_file: Whether the answer is a file, and not JSON.
        headers: Of this call alone.
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
    """An open session with one vendor; safe to share between threads.

    Args:
        vendor: The declaration.
        connection: Address and credentials.
        budget: Waits before every call.
        calls: Notes every call.
        grants: Refresh tokens, for vendors that one logs in at on somebody's behalf.
        patience_s: How long one request is tried again before its error is raised, in seconds; no wait that would
            end later is begun.
        clocks: Compared by the first response that is no error; None compares nothing.
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
    ) -> None:
        self._vendor = vendor
        self._connection = connection
        self._budget = budget
        self._calls = calls
        self._patience_s = patience_s
        self._clocks = clocks
        self._http = requests.Session()
        self._http.headers["Accept"] = "application/json"
        for header, name in vendor.headers.items():
            self._http.headers[header] = _credential(connection, vendor, name)
        adapter = BoundedAdapter(vendor.limits, pool_maxsize=vendor.connections + 1)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)
        door = Door(self._http, connection, _TIMEOUT_S, grants)
        self._tokens = Tokens(vendor.login, door, budget, calls)

    @property
    def vendor(self) -> str:
        """With whom."""
        return self._vendor.name

    @property
    def limits(self) -> Limits:
        """The bounds of its responses and pulls."""
        return self._vendor.limits

    def __enter__(self) -> VendorSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._calls.flush()

    def get(self, path: str, params: Mapping[str, str], read: Callable[[bytes], T]) -> T:
        """Asks for one page of JSON and reads it; as `ask`."""
        found = self.ask(Ask(path, params), read)
        assert found is not None
        return found

    def ask(self, question: Ask, read: Callable[[bytes], T]) -> T | None:
        """Asks, and reads the answer; one that can't be read is asked for again.

        Args:
            question: What is asked.
            read: Turns the body into what the caller wants.

        Returns:
            What `read` gave; None where the vendor says that there is nothing.

        Raises:
            RetriableError: The vendor still failed after `patience_s`; the last cause.
            LimitExceeded: The response is larger than the vendor's limits allow.
            ClockSkew: A clock is minutes off.
            AuthenticationError: The credentials were refused.
            ConfigurationError: The vendor does not know this path or parameter, or names a URL of another place.
        """

        def once() -> T | None:
            answer = self._paced(question)
            return None if answer is None else read(answer.content)

        return self._repeat(once)

    def ask_whether_changed(self, question: Ask, etag: str, read: Callable[[bytes], T]) -> tuple[T | None, str] | None:
        """Asks for an answer on condition that it has changed since it had this ETag; raises as `ask` does.

        Only the first try has the condition: a vendor may say that nothing has changed where it is asked too often.

        Returns:
            None where it has not changed. Else what `read` gave, or None where the vendor says that there is nothing, and the
            answer's ETag; empty where it has none.
        """
        tries = [replace(question, headers={**question.headers, _CONDITION: etag})] if etag else []

        def once() -> tuple[T | None, str] | None:
            answer = self._paced(tries.pop() if tries else question)
            if answer is None:
                return None, ""
            if answer.status_code == requests.codes.not_modified:
                return None
            given = answer.headers.get("ETag", "")
            return read(answer.content), given if given.isascii() and given.isprintable() else ""

        return self._repeat(once)

    def _repeat(self, once: Callable[[], T]) -> T:
        """Call until it succeeds or patience ends; the error knows how often it was tried, and since when."""
        began, retrying = datetime.now(UTC), self._retrying()
        try:
            return retrying(once)
        except VendorUnavailable as error:
            error.failing_since, error.tries = began, retrying.statistics.get("attempt_number", 1)
            raise

    def _retrying(self) -> tenacity.Retrying:
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

    def _paced(self, question: Ask) -> requests.Response | None:
        """One call; a vendor that asks for a pause, also at the login, gets it from every session with it."""
        try:
            return self._authorized(question)
        except RateLimited as error:
            if error.retry_after is not None:
                self._budget.pause(error.retry_after)
            raise

    def _authorized(self, question: Ask) -> requests.Response | None:
        """One call with a valid token; a token that died on the way is renewed once."""
        token = self._tokens.live(question.grant)
        answer = self._call(question, token)
        if answer.status_code == requests.codes.unauthorized:
            answer = self._call(question, self._tokens.live(question.grant, token))
            if answer.status_code == requests.codes.unauthorized:
                raise AuthenticationError(
                    "The vendor refuses a token it has just given", vendor=self._vendor.name, path=question.path
                )
        if answer.status_code in question.missing:
            return None
        self._refuse(answer, question)
        return answer

    def _call(self, question: Ask, token: Token) -> requests.Response:
        for name, value in question.headers.items():
            if not (value.isascii() and value.isprintable() and value == value.strip()):
                raise ConfigurationError("A header can't hold what it is to say", vendor=self.vendor, header=name)
        self._budget.take(question.bucket)
        called_at, started = datetime.now(UTC), time.perf_counter()
        status, size, correlation_id = None, 0, None
        try:
            answer = self._http.request(
                "GET" if question.body is None else question.method,
                self._url(question.path, token.url or self._connection.url),
                params=dict(question.params),
                json=None if question.body is None else dict(question.body),
                headers={**token.headers, **question.headers, **({"Accept": "*/*"} if question.is_file else {})},
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            )
            status, size = answer.status_code, len(answer.content)
            correlation_id = answer.headers.get(self._vendor.correlation_header)
            if self._clocks is not None and answer.ok:
                self._clocks.compare(self.vendor, answer.headers.get("Date", ""), answer.headers.get("Age", ""))
            return answer
        except requests.RequestException as error:
            about = {"vendor": self._vendor.name, "path": question.path, "table": self._calls.table_name or None}
            raise translate(error, "No whole answer", VendorUnavailable, **about) from error
        finally:
            latency_ms = (time.perf_counter() - started) * 1000
            self._calls.add(Call(called_at, question.path, status, latency_ms, size, correlation_id))

    def _url(self, path: str, base: str) -> str:
        """The whole URL. One that the vendor gave must be of the same place: our token goes with it."""
        if "://" not in path:
            return f"{base}/{path}"
        ours, given = urlsplit(base), urlsplit(path)
        if (ours.scheme, ours.netloc) != (given.scheme, given.netloc):
            raise ConfigurationError(
                "The vendor names a URL of another place", vendor=self._vendor.name, place=given.netloc
            )
        return path

    def _refuse(self, answer: requests.Response, question: Ask) -> None:
        """Lets pass what is an answer to the question."""
        facts = {
            "vendor": self._vendor.name,
            "path": question.path,
            "status": answer.status_code,
            "correlation_id": answer.headers.get(self._vendor.correlation_header),
            "table": self._calls.table_name or None,
        }
        refuse_overload(answer, self._vendor.throttled, **facts)
        if answer.status_code not in (*_TAKEN, requests.codes.not_modified):
            refuse_maintenance(answer, lambda: self._calls.has_answered(question.path), **facts)
        if answer.status_code == requests.codes.forbidden:
            raise AuthenticationError("The vendor refuses this user", **facts)
        if answer.status_code == requests.codes.not_modified and _CONDITION in question.headers:
            return
        if answer.status_code not in _TAKEN:
            raise ConfigurationError("The vendor does not answer this request", **facts)
        is_json = "json" in answer.headers.get("Content-Type", "")
        if is_json == question.is_file:
            raise VendorUnavailable(
                "The vendor answered JSON, and no file" if is_json else "The vendor answered something else than JSON",
                **facts,
                content_type=None if is_json else read_kind(answer) or None,
            )
        if self._vendor.error_field and is_json and _has_field(answer.content, self._vendor.error_field):
            raise VendorUnavailable("The vendor reports a failure with a status of success", **facts)


def _has_field(body: bytes, name: str) -> bool:
    if not body.lstrip().startswith(b"{"):
        return False
    try:
        return name in orjson.loads(body)
    except ValueError:
        return False  # whoever reads it will say so


def _credential(connection: Connection, vendor: Vendor, name: str) -> str:
    if name not in connection.extra:
        raise ConfigurationError("The connection lacks a credential", vendor=vendor.name, missing=name)
    return connection.extra[name]
