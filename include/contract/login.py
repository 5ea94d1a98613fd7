"""Declare the login methods of vendors' APIs, one class per method; `include.extract.login` implements them.

"Extra" lists the keys that a method needs in the extra field of the Airflow connection.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Basic:
    """User and password sent with every call (RFC 7617); there is no login call and no expiry."""


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A token that a request with user and password (RFC 7617) returns.

    Extra, if the vendor requires them: client_id and client_secret, which the request sends as headers.

    Attributes:
        path: Path of the request, below the connection's URL.
        scheme: Authentication scheme with which calls send the token, in the header `Authorization: <scheme> <token>`.
    """

    path: str
    scheme: str


@dataclass(frozen=True, slots=True)
class SignedAssertion:
    """Client credentials with a signed assertion (RFC 7523).

    Extra: token_url, client_id, private_key (PEM).
    """


@dataclass(frozen=True, slots=True)
class RotatingRefresh:
    """A single-use refresh token per grant; each login uses it up and returns the next one.

    Extra: token_url, client_id, client_secret, grants (a JSON object of grant name -> first refresh token).
    """


@dataclass(frozen=True, slots=True)
class Impersonation:
    """A signed assertion (RFC 7523) on behalf of a user who has consented, then a request for the base URL of the user's account.

    Extra: token_url, integration_key, user_id, private_key (PEM). Optional: account_id; without it, the user's default account is used.

    Attributes:
        scope: The scope that the assertion claims.
        accounts_path: Path of the request for the user's accounts, relative to the token URL.
        accounts: Field of the response with the accounts.
        account_id: Field of an account with its id.
        is_default: Field of an account that is true for the default account.
        url: Base URL of calls; a name in braces is replaced by that field of the account.
        domains: Domains of the vendor; the base URL must be in one of them.
        least_key_bits: Smallest size of the private key, which the vendor generates.
    """

    scope: str
    accounts_path: str
    accounts: str
    account_id: str
    is_default: str
    url: str
    domains: tuple[str, ...]
    least_key_bits: int


@dataclass(frozen=True, slots=True)
class AccessPoint:
    """An access token, then a request for the URL of the host that serves the account.

    Extra: integration_key, which is used as the access token; or token_url, client_id, client_secret and a reusable refresh_token.

    Attributes:
        path: Path of the request for the host, below the connection's URL.
        host: Field of the response with the host's URL.
        api: Path of the API below the host's URL.
        domains: Domains of the vendor; the host must be in one of them.
    """

    path: str
    host: str
    api: str
    domains: tuple[str, ...]


Login = Basic | SessionToken | SignedAssertion | RotatingRefresh | Impersonation | AccessPoint
