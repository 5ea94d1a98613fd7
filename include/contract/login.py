"""Declare the login methods of vendors' APIs, one class per method; `include.extract.login` implements them.

"Extra" lists the keys that the connection's extra must contain, in addition to URL, user and password.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Basic:
    """User and password with every call (RFC 7617); there is no login call and no expiry."""


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A token for user and password (RFC 7617); extra, if the vendor asks for them: client_id, client_secret, sent as headers.

    Attributes:
        path: Path of the request, below the connection's URL.
        scheme: Scheme of the header `Authorization` with which calls send the token.
    """

    path: str
    scheme: str


@dataclass(frozen=True, slots=True)
class SignedAssertion:
    """Client credentials with a signed assertion (RFC 7523); extra: token_url, client_id, private_key (PEM)."""


@dataclass(frozen=True, slots=True)
class RotatingRefresh:
    """A grant's single-use refresh token, each exchanged for the next; extra: token_url, client_id, client_secret, grants."""


@dataclass(frozen=True, slots=True)
class Impersonation:
    """A signed assertion (RFC 7523) in the name of a user who has consented, then a request for the URL of the user's account.

    Extra: token_url, integration_key, user_id, private_key (PEM); account_id, else the user's default account.

    Attributes:
        scope: The scope that the assertion claims.
        accounts_path: Path of the request for the user's accounts, beside the token URL's.
        accounts: Field of the response with the accounts.
        account_id: Field of an account with its id.
        is_default: Field of an account that is true for the default one.
        url: Base URL of calls, with fields of the account in braces.
    """

    scope: str
    accounts_path: str
    accounts: str
    account_id: str
    is_default: str
    url: str


@dataclass(frozen=True, slots=True)
class AccessPoint:
    """An integration key, which is itself a token, or a reusable refresh token; then a request for the host of the account.

    Extra: integration_key; or token_url, client_id, client_secret, refresh_token.

    Attributes:
        path: Path of that request, below the connection's URL.
        host: Field of its response with the host's URL.
        api: Path of calls below that URL.
    """

    path: str
    host: str
    api: str


Login = Basic | SessionToken | SignedAssertion | RotatingRefresh | Impersonation | AccessPoint
