"""Ways to log in, by name; a vendor's declaration says which one it uses."""

from __future__ import annotations

import base64
import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import requests

from include.connection import Connection
from include.control.grants import Grants
from include.errors import AuthenticationError, ConfigurationError, VendorUnavailable
from include.extract.answer import read_kind, refuse_maintenance, refuse_overload
from include.extract.bounded import translate


@dataclass(frozen=True, slots=True)
class Door:
    """Where one logs in, and with what.

    Attributes:
        http: Carries the call.
        connection: Address and credentials.
        timeout: To connect and to read, in seconds.
        grants: Refresh tokens that work once.
        grant: On whose behalf; empty for the firm itself.
    """

    http: requests.Session
    connection: Connection
    timeout: tuple[int, int]
    grants: Grants | None = None
    grant: str = ""


Login = Callable[[Door], "Token"]


@dataclass(frozen=True, slots=True)
class Token:
    """What every call carries until it is old.

    Attributes:
        headers: The authorization headers; never shown.
        expires_at: `time.monotonic()` at which the vendor stops taking it.
        url: Where calls go from now on, as the login said; empty: where the connection says.
    """

    headers: dict[str, str] = field(repr=False)
    expires_at: float
    url: str = ""

    def is_old(self) -> bool:
        """Whether it dies within a minute: sooner renewed than refused."""
        return time.monotonic() > self.expires_at - 60


def session_token(at: Door) -> Token:
    """Basic login with client id and secret; the token then travels as `Authorization: Session`.

    Source: the vendor's guide "Basic authentication". A refusal is 401 with an empty body.

    Raises:
        AuthenticationError: User, password, client id or client secret is refused.
        RateLimited: Too many logins; with the seconds to wait, where they are said.
        VendorUnavailable: No usable answer.
    """
    known = {name: at.connection.extra[name] for name in ("client_id", "client_secret") if name in at.connection.extra}
    answer = _ask(at, "GET", f"{at.connection.url}/security/token", headers=known, auth=_pair(at.connection))
    return Token({"Authorization": f"Session {_said(answer, 'access_token')}"}, _expiry(answer))


def basic(at: Door) -> Token:
    """User and password with every call (RFC 7617); there is nothing to open and nothing that grows old."""
    pair = base64.b64encode(":".join(_pair(at.connection)).encode()).decode()
    return Token({"Authorization": f"Basic {pair}"}, math.inf)


def signed_assertion(at: Door) -> Token:
    """Client credentials with a signed assertion (RFC 7523); extra: token_url, client_id, private_key (PEM).

    Raises:
        ConfigurationError: The connection lacks one of them, or the key can't be read.
        AuthenticationError, RateLimited, VendorUnavailable: As `session_token`.
    """
    import jwt

    try:
        url, client_id, key = (at.connection.extra[name] for name in ("token_url", "client_id", "private_key"))
        now = int(time.time())
        claims = {"iss": client_id, "sub": client_id, "aud": url, "jti": uuid.uuid4().hex, "iat": now, "exp": now + 300}
        assertion = jwt.encode(claims, key, algorithm="RS256")
    except KeyError as error:
        raise ConfigurationError("The connection lacks a credential", missing=error.args[0]) from None
    except (ValueError, TypeError, jwt.PyJWTError):
        raise ConfigurationError("The connection's private key can't be read") from None
    form = {
        "grant_type": "client_credentials", "client_id": client_id, "client_assertion": assertion,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }  # fmt: skip
    answer = _ask(at, "POST", url, data=form)
    return Token({"Authorization": f"Bearer {_said(answer, 'access_token')}"}, _expiry(answer))


def rotating_refresh(at: Door) -> Token:
    """An access token for a grant's refresh token, which the answer replaces; extra: token_url, client_id, client_secret.

    Raises:
        ConfigurationError: The connection lacks one of them, or the grant.
        AuthenticationError, RateLimited, VendorUnavailable: As `session_token`.
    """
    assert at.grants is not None
    extra = at.connection.extra
    if missing := [name for name in ("token_url", "client_id", "client_secret") if name not in extra]:
        raise ConfigurationError("The connection lacks a credential", missing=",".join(missing))
    known = {name: extra[name] for name in ("client_id", "client_secret")}

    def ask(refresh_token: str) -> tuple[str, requests.Response]:
        form = known | {"grant_type": "refresh_token", "refresh_token": refresh_token}
        answer = _ask(at, "POST", extra["token_url"], data=form)
        return _said(answer, "refresh_token"), answer

    # The old token is spent: whatever else the answer says, the new one is kept first.
    answer = at.grants.exchange(at.grant, ask)
    return Token({"Authorization": f"Bearer {_said(answer, 'access_token')}"}, _expiry(answer))


def impersonation(at: Door) -> Token:
    """A token for a user who has consented, by a signed assertion (RFC 7523), and where this user's account is.

    Extra: token_url, integration_key, user_id, private_key (PEM); account_id, or the user's default account is taken.

    Raises:
        ConfigurationError: The connection lacks one of them, the key can't be read, or the user has no such account.
        AuthenticationError, RateLimited, VendorUnavailable: As `session_token`.
    """
    import jwt

    try:
        url, client_id, user_id, key = (
            at.connection.extra[name] for name in ("token_url", "integration_key", "user_id", "private_key")
        )
        now = int(time.time())
        claims = {
            "iss": client_id, "sub": user_id, "aud": urlsplit(url).netloc, "iat": now, "exp": now + 3600,
            "scope": "signature impersonation",
        }  # fmt: skip
        assertion = jwt.encode(claims, key, algorithm="RS256")
    except KeyError as error:
        raise ConfigurationError("The connection lacks a credential", missing=error.args[0]) from None
    except (ValueError, TypeError, jwt.PyJWTError):
        raise ConfigurationError("The connection's private key can't be read") from None
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    answer = _ask(at, "POST", url, data=form)
    bearer = {"Authorization": f"Bearer {_said(answer, 'access_token')}"}
    told = _ask(at, "GET", urljoin(url, "userinfo"), headers=bearer)
    place = _account_url(told, at.connection.extra.get("account_id"))
    return Token(bearer, _expiry(answer), place)


def access_point(at: Door) -> Token:
    """A token for a refresh token that stays the same, or the integration key that is one itself, and where the account is.

    Extra: integration_key; or token_url, client_id, client_secret, refresh_token. The account's place is asked for at
    `baseUris`: one that moved answers nowhere else.

    Raises:
        ConfigurationError: The connection lacks one of them.
        AuthenticationError, RateLimited, VendorUnavailable: As `session_token`.
    """
    extra, expires_at = at.connection.extra, math.inf
    token = extra.get("integration_key", "")
    if not token:
        names = ("token_url", "client_id", "client_secret", "refresh_token")
        if missing := [name for name in names if name not in extra]:
            raise ConfigurationError("The connection lacks a credential", missing=",".join(missing))
        form = {name: extra[name] for name in names[1:]} | {"grant_type": "refresh_token"}
        answer = _ask(at, "POST", extra["token_url"], data=form)
        token, expires_at = _said(answer, "access_token"), _expiry(answer)
    bearer = {"Authorization": f"Bearer {token}"}
    place = _said(_ask(at, "GET", f"{at.connection.url}/baseUris", headers=bearer), "apiAccessPoint")
    return Token(bearer, expires_at, f"{place.rstrip('/')}/api/rest/v6")


def _account_url(answer: requests.Response, account_id: str | None) -> str:
    """Where the user's account is served: the one that is named, or the default one."""
    try:
        accounts = answer.json()["accounts"]
        found = [
            f"{each['base_uri']}/restapi/v2.1/accounts/{each['account_id']}"
            for each in accounts
            if (each["account_id"] == account_id if account_id else str(each["is_default"]).lower() == "true")
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise VendorUnavailable("The login told of no accounts", url=answer.url, status=answer.status_code) from error
    if not found:
        raise ConfigurationError("The user has no such account", url=answer.url)
    return str(found[0])


LOGINS: dict[str, Login] = {
    "basic": basic,
    "session_token": session_token,
    "signed_assertion": signed_assertion,
    "rotating_refresh": rotating_refresh,
    "impersonation": impersonation,
    "access_point": access_point,
}

WITHOUT_CALL = frozenset({"basic"})
"""Logins that ask the vendor nothing: no turn of the budget is taken for them."""


def _ask(
    at: Door,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    data: Mapping[str, str] | None = None,
) -> requests.Response:
    try:
        answer = at.http.request(
            method, url, headers=headers, auth=auth, data=data, timeout=at.timeout, allow_redirects=False
        )
    except requests.RequestException as error:
        raise translate(error, "No answer to the login", VendorUnavailable, url=url) from error
    facts = {"url": url, "status": answer.status_code, "grant": at.grant or None}
    if 300 <= answer.status_code < 500 and answer.status_code != requests.codes.too_many_requests:
        refuse_maintenance(answer, lambda: False, endpoint="token endpoint", **facts)
    if answer.status_code in (400, 401, 403):
        raise AuthenticationError(
            "The login is refused: check user, password, client id and secret of the connection", **facts
        )
    refuse_overload(answer, **facts)
    if answer.status_code not in (requests.codes.ok, requests.codes.created):
        raise ConfigurationError("The login's address does not answer logins", **facts)
    return answer


def _said(answer: requests.Response, name: str) -> str:
    try:
        return str(answer.json()[name])
    except (ValueError, KeyError, TypeError) as error:
        raise _no_token(answer) from error


def _no_token(answer: requests.Response) -> VendorUnavailable:
    kind = read_kind(answer)
    what = "a web page" if kind == "text/html" else f"{kind or 'a body of no type'}"
    return VendorUnavailable(
        f"The token endpoint answered no token but {what}",
        endpoint="token endpoint", url=answer.url, status=answer.status_code, content_type=kind or None,
    )  # fmt: skip


def _expiry(answer: requests.Response) -> float:
    """When a token grows old; one that does not say so (RFC 6749 only recommends it) is renewed after ten minutes."""
    try:
        return time.monotonic() + float(answer.json().get("expires_in", 600))
    except (ValueError, AttributeError, TypeError) as error:
        raise _no_token(answer) from error


def _pair(connection: Connection) -> tuple[str, str]:
    return connection.login, connection.password
