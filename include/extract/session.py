"""One vendor, many calls: login, budget, retries, and HTTP answers as our errors."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

import requests
import tenacity
from requests.adapters import HTTPAdapter

from include.connection import Connection
from include.contract import Vendor
from include.control.budget import RateBudget
from include.control.calls import Call, CallLog
from include.errors import (
    AuthenticationError,
    ConfigurationError,
    RateLimited,
    RetriableError,
    TributaryError,
    VendorUnavailable,
)
from include.extract.answer import refuse_overload
from include.extract.login import LOGINS, Token

log = logging.getLogger(__name__)
T = TypeVar("T")

_TIMEOUT_S = (10, 120)
_LONGEST_WAIT_S = 60.0


class VendorSession:
    """An open session with one vendor; safe to share between threads.

    Args:
        vendor: The declaration.
        connection: Address and credentials.
        budget: Waits before every call.
        calls: Notes every call.
        patience_s: How long one request is tried again before its error is raised, in seconds; no wait that would
            end later is begun.
    """

    def __init__(
        self,
        vendor: Vendor,
        connection: Connection,
        budget: RateBudget,
        calls: CallLog,
        *,
        patience_s: float = 300.0,
    ) -> None:
        self._vendor = vendor
        self._connection = connection
        self._budget = budget
        self._calls = calls
        self._patience_s = patience_s
        self._http = requests.Session()
        self._http.headers["Accept"] = "application/json"
        adapter = HTTPAdapter(pool_maxsize=vendor.connections + 1)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)
        self._token: Token | None = None
        self._renewal = threading.Lock()

    def __enter__(self) -> VendorSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._calls.flush()

    def get(self, path: str, params: Mapping[str, str], read: Callable[[bytes], T]) -> T:
        """Asks for one page and reads it; a page that can't be read is asked for again.

        Args:
            path: Below the base URL.
            params: Query parameters.
            read: Turns the body into what the caller wants.

        Raises:
            RetriableError: The vendor still failed after `patience_s`; the last cause.
            AuthenticationError: The credentials were refused.
            ConfigurationError: The vendor does not know this path or parameter.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(RetriableError),
            wait=self._wait,
            stop=tenacity.stop_before_delay(self._patience_s),
            before_sleep=self._tell,
            reraise=True,
        )
        return retrying(lambda: read(self._paced(path, params)))

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return error.retry_after
        return float(tenacity.wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT_S)(state))

    def _tell(self, state: tenacity.RetryCallState) -> None:
        log.warning(
            "%s: try %s failed: %s",
            self._vendor.name,
            state.attempt_number,
            state.outcome and state.outcome.exception(),
        )

    def _paced(self, path: str, params: Mapping[str, str]) -> bytes:
        """One call; a vendor that asks for a pause, also at the login, gets it from every session with it."""
        try:
            return self._authorized(path, params)
        except RateLimited as error:
            if error.retry_after is not None:
                self._budget.pause(error.retry_after)
            raise

    def _authorized(self, path: str, params: Mapping[str, str]) -> bytes:
        """One call with a valid token; a token that died on the way is renewed once."""
        token = self._renewed(None)
        answer = self._call(path, params, token)
        if answer.status_code == requests.codes.unauthorized:
            answer = self._call(path, params, self._renewed(token))
            if answer.status_code == requests.codes.unauthorized:
                raise AuthenticationError(
                    "The vendor refuses a token it has just given", vendor=self._vendor.name, path=path
                )
        return self._body(answer, path)

    def _renewed(self, stale: Token | None) -> Token:
        """Returns a live token. However many threads find `stale` dead, one of them logs in."""
        with self._renewal:
            if self._token is None or self._token is stale or self._token.is_old():
                self._token = self._log_in()
            return self._token

    def _log_in(self) -> Token:
        self._budget.take()
        called_at, started = datetime.now(UTC), time.perf_counter()
        status: int | None = None
        try:
            token = LOGINS[self._vendor.login](self._http, self._connection, _TIMEOUT_S)
            status = int(requests.codes.ok)
            return token
        except TributaryError as error:
            answered = error.facts.get("status")
            status = answered if isinstance(answered, int) else None
            raise
        finally:
            self._calls.add(Call(called_at, "(login)", status, (time.perf_counter() - started) * 1000, 0, None))

    def _call(self, path: str, params: Mapping[str, str], token: Token) -> requests.Response:
        self._budget.take()
        called_at, started = datetime.now(UTC), time.perf_counter()
        status, size, correlation_id = None, 0, None
        try:
            answer = self._http.get(
                f"{self._connection.url}/{path}",
                params=dict(params),
                headers=token.headers,
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            )
            status, size = answer.status_code, len(answer.content)
            correlation_id = answer.headers.get(self._vendor.correlation_header)
            return answer
        except requests.RequestException as error:
            raise VendorUnavailable(
                f"No whole answer: {type(error).__name__}", vendor=self._vendor.name, path=path
            ) from error
        finally:
            latency_ms = (time.perf_counter() - started) * 1000
            self._calls.add(Call(called_at, path, status, latency_ms, size, correlation_id))

    def _body(self, answer: requests.Response, path: str) -> bytes:
        facts = {
            "vendor": self._vendor.name,
            "path": path,
            "status": answer.status_code,
            "correlation_id": answer.headers.get(self._vendor.correlation_header),
        }
        refuse_overload(answer, **facts)
        if answer.status_code == requests.codes.forbidden:
            raise AuthenticationError("The vendor refuses this user", **facts)
        if answer.status_code != requests.codes.ok:
            raise ConfigurationError("The vendor does not answer this request", **facts)
        if "json" not in answer.headers.get("Content-Type", ""):
            raise VendorUnavailable("The vendor answered something else than JSON", **facts)
        return answer.content
