"""Cache of one vendor's tokens. A login counts against the rate budget and is logged, like any other call.

A session stores its tokens in the cache of all workers, so that the next session of the vendor need not log in.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

from requests import codes

from include.connection import Connection
from include.contract.login import Basic, Login
from include.control.budget import RateBudget
from include.control.cache import Cache
from include.control.calls import Call, CallLog
from include.errors import TributaryError
from include.extract.login import LoginContext, Token, log_in

_LONGEST_S = 3600
"""Maximum number of seconds for which other sessions use a token. A token without an expiry is also renewed after this time."""


class Tokens:
    """The tokens of a session; safe to share between threads.

    Args:
        login: The login method.
        context: Context of a login of the firm itself. For a login with a grant, a copy with the grant's name is used.
        budget: Rate budget that every login waits for.
        calls: Log of every login.
        cache: Cache that the vendor's sessions share; None for none.
    """

    def __init__(
        self, login: Login, context: LoginContext, budget: RateBudget, calls: CallLog, cache: Cache | None = None
    ) -> None:
        self._login = login
        self._context = context
        self._budget = budget
        self._calls = calls
        # A login with user and password makes no call, so it needs no cache.
        self._cache = None if isinstance(login, Basic) else cache
        self._fingerprint = _fingerprint(context.connection)
        self._known: dict[str, Token] = {}
        self._renewal = threading.Lock()

    def live(self, grant: str, stale: Token | None = None) -> Token:
        """Return a valid token: one of this session, one that another session stored, or a new one from a login.

        Args:
            grant: Name of the grant; empty for the firm itself.
            stale: A token that the vendor has just refused. If several threads pass the same one, only the first logs in again.

        Raises:
            AuthenticationError, ConfigurationError, VendorUnavailable, LimitExceeded: The login failed; see `log_in`.
            RateLimited: There were too many logins, or the rate budget is used up.
        """
        with self._renewal:
            token = self._known.get(grant)
            if token is None or token is stale or token.is_old():
                shared = None if stale else self._read_shared(grant)
                token = self._known[grant] = shared or self._log_in(replace(self._context, grant=grant))
                if not shared:
                    self._share(grant, token)
            return token

    def forget(self, grant: str) -> None:
        """Remove a grant's token from the shared cache, so that the next session logs in: its rights may have changed at the vendor."""
        if self._cache:
            self._cache.forget(self._name(grant))

    def _read_shared(self, grant: str) -> Token | None:
        text = self._cache.get(self._name(grant)) if self._cache else None
        stored = json.loads(text) if text else {}
        if stored.get("fingerprint") != self._fingerprint:
            return None
        token = Token(stored["headers"], time.monotonic() + stored["until"] - time.time(), stored["url"])
        return None if token.is_old() else token

    def _share(self, grant: str, token: Token) -> None:
        seconds = int(min(token.expires_at - time.monotonic(), _LONGEST_S))
        if self._cache and not token.is_old():
            about = {"fingerprint": self._fingerprint, "until": time.time() + seconds, "url": token.url}
            self._cache.put(self._name(grant), json.dumps(about | {"headers": token.headers}), seconds)

    def _name(self, grant: str) -> str:
        return json.dumps(["token", self._calls.vendor, grant])

    def _log_in(self, context: LoginContext) -> Token:
        if isinstance(self._login, Basic):  # makes no call, so it takes nothing from the budget
            return log_in(self._login, context)
        self._budget.take()
        called_at, started = datetime.now(UTC), time.perf_counter()
        status: int | None = None
        try:
            token = log_in(self._login, context)
            status = int(codes.ok)
            return token
        except TributaryError as error:
            reported = error.facts.get("status")
            status = reported if isinstance(reported, int) else None
            raise
        finally:
            self._calls.add(Call(called_at, "(login)", status, (time.perf_counter() - started) * 1000, 0, None))


def _fingerprint(connection: Connection) -> str:
    """Return a hash of a connection, so that a token is used only with the credentials that it was issued for. It is stored sealed, with the token."""
    parts = [connection.url, connection.login, connection.password, sorted(connection.extra.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
