"""Authentication and scopes of callers: a token from the firm's identity provider, or one of our API keys.

We issue no tokens. A token is valid if one of the issuer's public keys verifies it, it names our audience, and it has not expired. The
type of the key determines the algorithm, and the token's `alg` must agree. So an attacker can neither choose the algorithm `none` nor
use a public key as an HMAC secret.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

import jwt
import sqlalchemy as sa
from jwt import PyJWKClient
from starlette.datastructures import Headers

from include.gateway.api import keys
from include.gateway.api.scopes import REALM, split
from include.gateway.api.settings import Settings
from include.gateway.problem import Refusal

ALGORITHMS = ("RS256", "ES256")
TYPES = ("jwt", "at+jwt", "application/at+jwt")
"""Types of access tokens (RFC 9068), in lower case. Many providers send `JWT` or no type."""
ID_TOKEN_CLAIMS = {"nonce", "at_hash", "c_hash"}
"""Claims that only ID tokens have. An ID token proves who a user is, and grants nothing."""
LEEWAY_S = 30
MAX_TOKEN = 8192
KEYS_S = 300
"""Seconds that the issuer's keys are cached. A key that the issuer revokes stays valid that long."""
REFETCH_S = 30
"""Minimum number of seconds between two fetches of the keys. An unknown key id causes a fetch, and any caller can send one."""
QUIET_S = 10
"""Seconds for which no request is sent to an issuer that did not respond, so that waiting requests do not delay callers with API keys."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated program.

    Attributes:
        name: `token:<subject>` or `key:<caller>`. The prefix distinguishes a token's subject from a key's caller with the same name.
        scopes: The scopes granted to it, each with its limit; see `include.gateway.api.scopes`.
    """

    name: str
    scopes: frozenset[str]


class Issuer:
    """The firm's identity provider, with a cache of its public keys."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = PyJWKClient(settings.jwks_url, cache_jwk_set=False, timeout=3) if settings.issuer else None
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at, self._quiet_until = -math.inf, -math.inf

    def read(self, token: str) -> Caller:
        """Return the caller that a token identifies.

        Raises:
            Refusal: 401, the token is invalid; 503, the issuer's keys are unavailable.
        """
        if self._client is None:
            raise _unauthorized("Tokens are not accepted: no token issuer is configured")
        if len(token) > MAX_TOKEN:
            raise _unauthorized(f"The token is longer than {MAX_TOKEN} characters")
        try:
            claims = self._verify(self._client, token)
        except jwt.ExpiredSignatureError:
            raise _unauthorized("The token has expired") from None
        except jwt.PyJWTError:
            raise _unauthorized(
                "Invalid token: wrong issuer, audience, key or signature, or a required claim is missing"
            ) from None
        subject = claims["sub"]
        if not subject.isprintable() or not 0 < len(subject) <= 200:
            raise _unauthorized("The token's subject is empty, too long, or not printable")
        return Caller(f"token:{subject}", _scopes(claims))

    def _verify(self, client: PyJWKClient, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise jwt.InvalidTokenError("no kid")
        if str(header.get("typ") or "JWT").lower() not in TYPES:
            raise jwt.InvalidTokenError("not an access token")
        key = self._find_key(client, kid)
        if key.algorithm_name not in ALGORITHMS:
            raise jwt.InvalidTokenError("algorithm not allowed")
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm_name],
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        if ID_TOKEN_CLAIMS & claims.keys():
            raise jwt.InvalidTokenError("an ID token")
        return claims

    def _find_key(self, client: PyJWKClient, kid: str) -> jwt.PyJWK:
        # Look up without the lock: requests with a cached key don't wait while new keys are fetched.
        key = self._cached_key(kid)
        if key is None:
            with self._lock:
                key = self._cached_key(kid) or self._fetch_keys(client).get(kid)
        if key is None:
            raise jwt.InvalidTokenError("no such key")
        return key

    def _cached_key(self, kid: str) -> jwt.PyJWK | None:
        return self._keys.get(kid) if time.monotonic() < self._fetched_at + KEYS_S else None

    def _fetch_keys(self, client: PyJWKClient) -> dict[str, jwt.PyJWK]:
        """Return the issuer's keys by id; fetch them unless they were fetched within `REFETCH_S`.

        A failed fetch leaves the cache unchanged.

        Raises:
            Refusal: 503, the issuer does not respond, or did not respond within the last `QUIET_S`.
        """
        now = time.monotonic()
        if now < self._quiet_until:
            raise _unavailable()
        if now >= self._fetched_at + REFETCH_S:
            try:
                self._keys = {str(key.key_id): key for key in client.get_signing_keys()}
            except (jwt.PyJWTError, OSError, ValueError):
                self._quiet_until = time.monotonic() + QUIET_S
                raise _unavailable() from None
            self._fetched_at = time.monotonic()
        return self._keys


def identify(headers: Headers, engine: sa.Engine, issuer: Issuer) -> Caller:
    """Return the caller that the request's headers identify.

    Raises:
        Refusal: 401, no valid credentials; 503, the token issuer is unavailable.
    """
    authorization, key = headers.getlist("authorization"), headers.getlist("x-api-key")
    if len(authorization) + len(key) != 1:
        raise _unauthorized("Send one token (Authorization: Bearer ...) or one key (X-API-Key: ...)", is_missing=True)
    if key:
        return _identify_key(engine, key[0])
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unauthorized("Send the token as Authorization: Bearer ...", is_missing=True)
    if token.startswith(keys.PREFIX):  # some programs can't set another header
        return _identify_key(engine, token)
    return issuer.read(token.strip())


def _identify_key(engine: sa.Engine, text: str) -> Caller:
    grant = keys.find(engine, text)
    if grant is None:
        raise _unauthorized("The key is unknown, expired or revoked")
    return Caller(f"key:{grant.caller}", frozenset(grant.scopes))


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Return the scopes that a token grants, without those that this API does not know.

    Providers put scopes in the claim `scope` or `scp`, and role assignments in `roles`. Each is a string or a list.
    """
    scopes: set[str] = set()
    for claim in (claims.get("scope"), claims.get("scp"), claims.get("roles")):
        if isinstance(claim, str):
            scopes.update(claim.split())
        elif isinstance(claim, list):
            scopes.update(each for each in claim if isinstance(each, str))
    return frozenset(each for each in scopes if split(each)[0])


def _unauthorized(detail: str, *, is_missing: bool = False) -> Refusal:
    return Refusal(401, detail, {"WWW-Authenticate": REALM if is_missing else f'{REALM}, error="invalid_token"'})


def _unavailable() -> Refusal:
    return Refusal(503, "The token issuer does not respond; try again", {"Retry-After": str(QUIET_S)})
