"""Log in to a vendor by its declared method; `include.contract.login` describes the methods."""

from __future__ import annotations

import base64
import math
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import requests

from include.connection import Connection, require_https, require_known_host
from include.contract.login import (
    AccessPoint,
    Basic,
    Impersonation,
    Login,
    RotatingRefresh,
    SessionToken,
    SignedAssertion,
)
from include.control.grants import Grants
from include.errors import AuthenticationError, ConfigurationError, VendorUnavailable
from include.extract.answer import read_kind, refuse_maintenance, refuse_overload
from include.extract.assertion import sign
from include.extract.bounded import translate

_ERROR_CODE = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class LoginContext:
    """Everything that a login method needs.

    Attributes:
        http: HTTP session that sends the login requests.
        connection: Address and credentials.
        timeout: Time-outs to connect and to read, in seconds.
        grants: Store of single-use refresh tokens; None if the vendor has none.
        grant: Name of the grant to use; empty for a login of the firm itself.
    """

    http: requests.Session
    connection: Connection
    timeout: tuple[int, int]
    grants: Grants | None = None
    grant: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """Result of a login: the headers that authorize calls, and when they expire.

    Attributes:
        headers: Headers that every call must send; never displayed.
        expires_at: Time of expiry on the clock `time.monotonic()`, in seconds.
        url: Base URL of calls that the login returned; empty if the connection's URL applies.
    """

    headers: dict[str, str] = field(repr=False)
    expires_at: float
    url: str = ""

    def is_old(self) -> bool:
        """Return whether the token expires within a minute, so that it should be renewed."""
        return time.monotonic() > self.expires_at - 60


def log_in(login: Login, at: LoginContext) -> Token:
    """Log in by the declared method and return the token.

    Raises:
        ConfigurationError: The connection lacks a credential or a grant. Its private key can't be read or is too small. A URL of the
            connection or of the login response is not https, or a URL of the response is of an unknown host. The user does not have
            the configured account. Or the token endpoint returned an unexpected status.
        AuthenticationError: The vendor refused user, password, client id or client secret.
        RateLimited: Too many logins. The error contains the seconds to wait if the response states them.
        VendorUnavailable: There was no response, or it has no token.
        LimitExceeded: The response is larger than the vendor's limits allow.
    """
    token = _request_token(login, at)
    if token.url:
        domains = login.domains if isinstance(login, (Impersonation, AccessPoint)) else ()
        what = "The URL of calls in the login response"
        require_known_host(token.url, at.connection.url, domains, what, connection=at.connection.name)
    return token


def _request_token(login: Login, at: LoginContext) -> Token:
    match login:
        case Basic():
            return _use_password(at)
        case SessionToken():
            return _fetch_session_token(login, at)
        case SignedAssertion():
            return _sign_assertion(at)
        case RotatingRefresh():
            return _rotate_refresh_token(at)
        case Impersonation():
            return _impersonate(login, at)
        case AccessPoint():
            return _find_access_point(login, at)


def _fetch_session_token(login: SessionToken, at: LoginContext) -> Token:
    known = {name: at.connection.extra[name] for name in ("client_id", "client_secret") if name in at.connection.extra}
    answer = _request(
        at, "GET", f"{at.connection.url}/{login.path}", headers=known, auth=_get_credentials(at.connection)
    )
    return Token({"Authorization": f"{login.scheme} {_read_field(answer, 'access_token')}"}, _read_expiry(answer))


def _use_password(at: LoginContext) -> Token:
    pair = base64.b64encode(":".join(_get_credentials(at.connection)).encode()).decode()
    return Token({"Authorization": f"Basic {pair}"}, math.inf)


def _sign_assertion(at: LoginContext) -> Token:
    try:
        url, client_id, key = (at.connection.extra[name] for name in ("token_url", "client_id", "private_key"))
        now = int(time.time())
        claims = {"iss": client_id, "sub": client_id, "aud": url, "jti": uuid.uuid4().hex, "iat": now, "exp": now + 300}
    except KeyError as error:
        raise ConfigurationError("The connection lacks a credential", missing=error.args[0]) from None
    assertion = sign(claims, key, connection=at.connection.name)
    form = {
        "grant_type": "client_credentials", "client_id": client_id, "client_assertion": assertion,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }  # fmt: skip
    answer = _request(at, "POST", url, data=form)
    return Token({"Authorization": f"Bearer {_read_field(answer, 'access_token')}"}, _read_expiry(answer))


def _rotate_refresh_token(at: LoginContext) -> Token:
    assert at.grants is not None
    extra = at.connection.extra
    if missing := [name for name in ("token_url", "client_id", "client_secret") if name not in extra]:
        raise ConfigurationError("The connection lacks a credential", missing=",".join(missing))
    known = {name: extra[name] for name in ("client_id", "client_secret")}

    def exchange(refresh_token: str) -> tuple[str, requests.Response]:
        form = known | {"grant_type": "refresh_token", "refresh_token": refresh_token}
        answer = _request(at, "POST", extra["token_url"], data=form)
        return _read_field(answer, "refresh_token"), answer

    # The old refresh token is spent, so the new one is stored before anything else is read.
    answer = at.grants.exchange(at.grant, exchange)
    return Token({"Authorization": f"Bearer {_read_field(answer, 'access_token')}"}, _read_expiry(answer))


def _impersonate(login: Impersonation, at: LoginContext) -> Token:
    try:
        url, client_id, user_id, key = (
            at.connection.extra[name] for name in ("token_url", "integration_key", "user_id", "private_key")
        )
        now = int(time.time())
        claims = {
            "iss": client_id, "sub": user_id, "aud": urlsplit(url).netloc, "iat": now, "exp": now + 3600,
            "scope": login.scope,
        }  # fmt: skip
    except KeyError as error:
        raise ConfigurationError("The connection lacks a credential", missing=error.args[0]) from None
    assertion = sign(claims, key, least_bits=login.least_key_bits, connection=at.connection.name)
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    answer = _request(at, "POST", url, data=form)
    bearer = {"Authorization": f"Bearer {_read_field(answer, 'access_token')}"}
    accounts = _request(at, "GET", urljoin(url, login.accounts_path), headers=bearer)
    place = _read_account_url(login, accounts, at.connection.extra.get("account_id"))
    return Token(bearer, _read_expiry(answer), place)


def _find_access_point(login: AccessPoint, at: LoginContext) -> Token:
    extra, expires_at = at.connection.extra, math.inf
    token = extra.get("integration_key", "")
    if not token:
        names = ("token_url", "client_id", "client_secret", "refresh_token")
        if missing := [name for name in names if name not in extra]:
            raise ConfigurationError("The connection lacks a credential", missing=",".join(missing))
        form = {name: extra[name] for name in names[1:]} | {"grant_type": "refresh_token"}
        answer = _request(at, "POST", extra["token_url"], data=form)
        token, expires_at = _read_field(answer, "access_token"), _read_expiry(answer)
    bearer = {"Authorization": f"Bearer {token}"}
    place = _read_field(_request(at, "GET", f"{at.connection.url}/{login.path}", headers=bearer), login.host)
    return Token(bearer, expires_at, f"{place.rstrip('/')}/{login.api}")


def _read_account_url(login: Impersonation, answer: requests.Response, account_id: str | None) -> str:
    """Return the base URL of the account `account_id`, or of the user's default account if it is None or empty."""
    try:
        urls = [
            login.url.format_map(each)
            for each in answer.json()[login.accounts]
            if (each[login.account_id] == account_id if account_id else str(each[login.is_default]).lower() == "true")
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise VendorUnavailable(
            "The login response has no accounts", url=answer.url, status=answer.status_code
        ) from error
    if not urls:
        raise ConfigurationError("The user has no such account: check account_id of the connection", url=answer.url)
    return str(urls[0])


def _request(
    at: LoginContext,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    data: Mapping[str, str] | None = None,
) -> requests.Response:
    require_https(url, "The URL of the vendor's login", connection=at.connection.name, grant=at.grant or None)
    try:
        answer = at.http.request(
            method, url, headers=headers, auth=auth, data=data, timeout=at.timeout, allow_redirects=False
        )
    except requests.RequestException as error:
        raise translate(error, "No response to the login", VendorUnavailable, url=url) from error
    facts = {"url": url, "status": answer.status_code, "grant": at.grant or None}
    if 300 <= answer.status_code < 500 and answer.status_code != requests.codes.too_many_requests:
        refuse_maintenance(answer, lambda: False, endpoint="token endpoint", **facts)
    if answer.status_code in (400, 401, 403):
        raise AuthenticationError(
            "The login was refused: check user, password, client id and secret of the connection",
            **facts, error=_read_error_code(answer),
        )  # fmt: skip
    refuse_overload(answer, **facts)
    if answer.status_code not in (requests.codes.ok, requests.codes.created):
        raise ConfigurationError(
            "Unexpected response from the token endpoint: check its URL in the connection", **facts
        )
    return answer


def _read_error_code(answer: requests.Response) -> str | None:
    """Return the `error` of a refusal (RFC 6749, 5.2), such as `consent_required` or `invalid_scope`; None if it has no such code."""
    try:
        code = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return None
    return code if _ERROR_CODE.fullmatch(code) else None


def _read_field(answer: requests.Response, name: str) -> str:
    try:
        return str(answer.json()[name])
    except (ValueError, KeyError, TypeError) as error:
        raise _make_no_token_error(answer) from error


def _make_no_token_error(answer: requests.Response) -> VendorUnavailable:
    kind = read_kind(answer)
    what = "a web page" if kind == "text/html" else f"{kind or 'a body of no type'}"
    return VendorUnavailable(
        f"The token endpoint returned {what}, not a token",
        endpoint="token endpoint", url=answer.url, status=answer.status_code, content_type=kind or None,
    )  # fmt: skip


def _read_expiry(answer: requests.Response) -> float:
    """Return when a token expires, on the clock `time.monotonic()`; ten minutes from now if the response has no `expires_in`."""
    try:
        return time.monotonic() + float(answer.json().get("expires_in", 600))
    except (ValueError, AttributeError, TypeError) as error:
        raise _make_no_token_error(answer) from error


def _get_credentials(connection: Connection) -> tuple[str, str]:
    return connection.login, connection.password
