"""Ways to log in, by name; a vendor's declaration says which one it uses."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from include.connection import Connection
from include.errors import AuthenticationError, VendorUnavailable
from include.extract.answer import refuse_overload

Login = Callable[[requests.Session, Connection, tuple[int, int]], "Token"]


@dataclass(frozen=True, slots=True)
class Token:
    """What every call carries until it is old.

    Attributes:
        headers: The authorization headers; never shown.
        expires_at: `time.monotonic()` at which the vendor stops taking it.
    """

    headers: dict[str, str] = field(repr=False)
    expires_at: float

    def is_old(self) -> bool:
        """Whether it dies within a minute: sooner renewed than refused."""
        return time.monotonic() > self.expires_at - 60


def session_token(http: requests.Session, connection: Connection, timeout: tuple[int, int]) -> Token:
    """Basic login with client id and secret; the token then travels as `Authorization: Session`.

    Source: the vendor's guide "Basic authentication". A refusal is 401 with an empty body.

    Raises:
        AuthenticationError: User, password, client id or client secret is refused.
        RateLimited: Too many logins; with the seconds to wait, where they are said.
        VendorUnavailable: No usable answer.
    """
    try:
        answer = http.get(
            f"{connection.url}/security/token",
            auth=(connection.login, connection.password),
            headers={
                name: connection.extra[name] for name in ("client_id", "client_secret") if name in connection.extra
            },
            timeout=timeout,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise VendorUnavailable(f"No answer to the login: {type(error).__name__}", url=connection.url) from error
    if answer.status_code in (400, 401, 403):
        raise AuthenticationError(
            "The login is refused: check user, password, client id and secret",
            url=connection.url,
            status=answer.status_code,
        )
    refuse_overload(answer, url=connection.url, status=answer.status_code)
    try:
        body = answer.json()
        token, seconds = str(body["access_token"]), float(body["expires_in"])
    except (ValueError, KeyError, TypeError) as error:
        raise VendorUnavailable("The login answered no token", url=connection.url, status=answer.status_code) from error
    return Token({"Authorization": f"Session {token}"}, time.monotonic() + seconds)


def basic(http: requests.Session, connection: Connection, timeout: tuple[int, int]) -> Token:
    """User and password with every call (RFC 7617); there is nothing to open and nothing that grows old."""
    pair = base64.b64encode(f"{connection.login}:{connection.password}".encode()).decode()
    return Token({"Authorization": f"Basic {pair}"}, math.inf)


LOGINS: dict[str, Login] = {"basic": basic, "session_token": session_token}
