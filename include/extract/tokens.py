"""One vendor's tokens that live, each from a login that is paced and noted as any other call."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

from requests import codes

from include.control.budget import RateBudget
from include.control.calls import Call, CallLog
from include.errors import TributaryError
from include.extract.login import LOGINS, WITHOUT_CALL, Door, Token


class Tokens:
    """The tokens of a session; safe to share between threads.

    Args:
        login: How the vendor is logged in at.
        door: Where, on behalf of the firm itself.
        budget: Waits before every login.
        calls: Notes every login.
    """

    def __init__(self, login: str, door: Door, budget: RateBudget, calls: CallLog) -> None:
        self._login = login
        self._door = door
        self._budget = budget
        self._calls = calls
        self._known: dict[str, Token] = {}
        self._renewal = threading.Lock()

    def live(self, grant: str, stale: Token | None = None) -> Token:
        """Returns a live token. However many threads find `stale` dead, one of them logs in.

        Args:
            grant: On whose behalf; empty for the firm itself.
            stale: The token that the vendor has just refused.

        Raises:
            AuthenticationError, ConfigurationError, RateLimited, VendorUnavailable: As the login does.
        """
        with self._renewal:
            token = self._known.get(grant)
            if token is None or token is stale or token.is_old():
                token = self._known[grant] = self._log_in(replace(self._door, grant=grant))
            return token

    def _log_in(self, door: Door) -> Token:
        if self._login in WITHOUT_CALL:
            return LOGINS[self._login](door)
        self._budget.take()
        called_at, started = datetime.now(UTC), time.perf_counter()
        status: int | None = None
        try:
            token = LOGINS[self._login](door)
            status = int(codes.ok)
            return token
        except TributaryError as error:
            answered = error.facts.get("status")
            status = answered if isinstance(answered, int) else None
            raise
        finally:
            self._calls.add(Call(called_at, "(login)", status, (time.perf_counter() - started) * 1000, 0, None))
