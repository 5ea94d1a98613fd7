"""Cache of one vendor's tokens. A login counts against the rate budget and is logged, like any other call."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

from requests import codes

from include.contract.login import Basic, Login
from include.control.budget import RateBudget
from include.control.calls import Call, CallLog
from include.errors import TributaryError
from include.extract.login import LoginContext, Token, log_in


class Tokens:
    """The tokens of a session; safe to share between threads.

    Args:
        login: The login method.
        context: Context of a login of the firm itself. For a login with a grant, a copy with the grant's name is used.
        budget: Rate budget that every login waits for.
        calls: Log of every login.
    """

    def __init__(self, login: Login, context: LoginContext, budget: RateBudget, calls: CallLog) -> None:
        self._login = login
        self._context = context
        self._budget = budget
        self._calls = calls
        self._known: dict[str, Token] = {}
        self._renewal = threading.Lock()

    def live(self, grant: str, stale: Token | None = None) -> Token:
        """Return a valid token: the cached one, or a new one from a login.

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
                token = self._known[grant] = self._log_in(replace(self._context, grant=grant))
            return token

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
