"""Who calls, and what they may: a token of the firm's identity provider, or an API key of ours.

We issue no tokens. One is taken if its issuer signed it, for us, for now, by a public key: the key's own kind says by which
algorithm, and the token's word for it only has to agree. So no token can choose `none`, or be signed with what is public.
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
from include.gateway.api.scopes import SCOPES
from include.gateway.api.settings import Settings
from include.gateway.problem import Refusal

ALGORITHMS = ("RS256", "ES256")
LEEWAY_S = 30
MAX_TOKEN = 8192
KEYS_S = 300
"""How long the issuer's keys are taken for granted; a key that it takes back counts so long."""
ANEW_S = 30
"""How soon after its last answer the issuer is asked again for the sake of a key that is new: anybody can name one."""
QUIET_S = 10
"""How long an issuer that did not answer is left alone: callers with API keys must not wait for it."""
REALM = 'Bearer realm="tributary"'


@dataclass(frozen=True, slots=True)
class Caller:
    """A program that may call.

    Attributes:
        name: `token:<subject>` or `key:<caller>`: a subject that is called like a key's caller is another.
        scopes: What it may.
    """

    name: str
    scopes: frozenset[str]

    def check(self, scope: str) -> None:
        """Raises `Refusal` (403) unless the caller has the scope."""
        if scope not in self.scopes:
            told = {"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{scope}"'}
            raise Refusal(403, f"This needs the scope {scope}", told)


class Issuer:
    """The firm's identity provider, as far as we know it: its public keys."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = PyJWKClient(settings.jwks_url, cache_jwk_set=False, timeout=3) if settings.issuer else None
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._answered_at, self._quiet_until = -math.inf, -math.inf

    def read(self, token: str) -> Caller:
        """Returns who a token speaks for.

        Raises:
            Refusal: 401, it is not good; 503, the issuer's keys can't be had.
        """
        if self._client is None:
            raise _unknown("No issuer of tokens is set up here")
        if len(token) > MAX_TOKEN:
            raise _unknown("The token is too long")
        try:
            claims = self._verify(self._client, token)
        except jwt.ExpiredSignatureError:
            raise _unknown("The token has expired") from None
        except jwt.PyJWTError:
            raise _unknown("The token is none of the issuer's for this API") from None
        subject = claims["sub"]
        if not subject.isprintable() or not 0 < len(subject) <= 200:
            raise _unknown("The token's subject can't be read")
        return Caller(f"token:{subject}", _scopes(claims))

    def _verify(self, client: PyJWKClient, token: str) -> dict[str, Any]:
        kid = jwt.get_unverified_header(token).get("kid")
        if not isinstance(kid, str):
            raise jwt.InvalidTokenError("no kid")
        key = self._find_key(client, kid)
        if key.algorithm_name not in ALGORITHMS:
            raise jwt.InvalidTokenError("not a key of ours")
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm_name],
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return claims

    def _find_key(self, client: PyJWKClient, kid: str) -> jwt.PyJWK:
        # Outside the lock: while the issuer is asked for a key that is new, the others go on.
        key = self._recall(kid)
        if key is None:
            with self._lock:
                key = self._recall(kid) or self._ask(client).get(kid)
        if key is None:
            raise jwt.InvalidTokenError("no such key")
        return key

    def _recall(self, kid: str) -> jwt.PyJWK | None:
        return self._keys.get(kid) if time.monotonic() < self._answered_at + KEYS_S else None

    def _ask(self, client: PyJWKClient) -> dict[str, jwt.PyJWK]:
        """Returns the issuer's keys by id, asked for unless it was just now; what it gave before stays where it has no answer."""
        now = time.monotonic()
        if now < self._quiet_until:
            raise _away()
        if now >= self._answered_at + ANEW_S:
            try:
                self._keys = {str(key.key_id): key for key in client.get_signing_keys()}
            except (jwt.PyJWTError, OSError, ValueError):
                self._quiet_until = time.monotonic() + QUIET_S
                raise _away() from None
            self._answered_at = time.monotonic()
        return self._keys


def identify(headers: Headers, engine: sa.Engine, issuer: Issuer) -> Caller:
    """Returns who calls.

    Raises:
        Refusal: 401, nobody known; 503, the issuer of tokens is away.
    """
    authorization, key = headers.getlist("authorization"), headers.getlist("x-api-key")
    if len(authorization) + len(key) != 1:
        raise _unknown("Give one token (Authorization: Bearer ...) or one key (X-API-Key: ...)", is_missing=True)
    if key:
        return _identify_key(engine, key[0])
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unknown("Give a token as Authorization: Bearer ...", is_missing=True)
    if token.startswith(keys.PREFIX):  # some programs can set no other header
        return _identify_key(engine, token)
    return issuer.read(token.strip())


def _identify_key(engine: sa.Engine, text: str) -> Caller:
    known = keys.find(engine, text)
    if known is None:
        raise _unknown("The key is unknown, expired or revoked")
    return Caller(f"key:{known.caller}", frozenset(known.scopes))


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Providers name scopes in `scope` or `scp`, and what a program was assigned to in `roles`; as text or as a list."""
    found: set[str] = set()
    for claim in (claims.get("scope"), claims.get("scp"), claims.get("roles")):
        if isinstance(claim, str):
            found.update(claim.split())
        elif isinstance(claim, list):
            found.update(each for each in claim if isinstance(each, str))
    return frozenset(found & SCOPES.keys())


def _unknown(detail: str, *, is_missing: bool = False) -> Refusal:
    return Refusal(401, detail, {"WWW-Authenticate": REALM if is_missing else f'{REALM}, error="invalid_token"'})


def _away() -> Refusal:
    return Refusal(503, "The issuer of tokens does not answer; try again", {"Retry-After": str(QUIET_S)})
