"""The firm's identity provider (OpenID Connect): its settings from environment variables, its addresses, and whose user is whose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from include.connection import require_https
from include.errors import ConfigurationError

NAME = "firm"
"""The provider's name in the redirect URI, `https://<host>/auth/oauth-authorized/firm`."""

ROLES = ("Admin", "Op", "User", "Viewer")

_PREFIX = "TRIBUTARY_OIDC_"
_ADDRESSES = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
_MARK = "!"


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider, and the claims that Tributary reads.

    Attributes:
        issuer: URL of the issuer, without a slash at the end. The provider's metadata is below it.
        client_id: Client id of Tributary at the provider.
        client_secret: Client secret of Tributary; never shown.
        scopes: Scopes to request, separated by spaces. They include `openid`, and must grant `groups_claim`.
        user_claim: Name of the claim with the user name. Users must not be able to change its value.
        groups_claim: Name of the claim with the user's groups: a list, or a text if there is one group.
        roles: Airflow's role by group.
        acr: Accepted values of the claim `acr`, the strength of the login; empty accepts any login.
        amr: Accepted values of the claim `amr`, the methods of the login, which must have at least one of them; empty accepts any login.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str
    user_claim: str
    groups_claim: str
    roles: Mapping[str, str]
    acr: tuple[str, ...] = ()
    amr: tuple[str, ...] = ()

    def require_own(self, claims: Mapping[str, Any]) -> None:
        """Check that an ID token is of the configured issuer, and for this client only.

        Authlib compares the issuer with the provider's metadata, which may name another one, and accepts further audiences.

        Raises:
            ValueError: The issuer or the audience differs.
        """
        if str(claims["iss"]).rstrip("/") != self.issuer:
            raise ValueError("the ID token is of another issuer than TRIBUTARY_OIDC_ISSUER")
        if claims["aud"] not in (self.client_id, [self.client_id]):
            raise ValueError("the ID token is for another client")

    def find_weakness(self, claims: Mapping[str, Any]) -> str | None:
        """Return why a login is too weak, by the claims of its ID token; None if it is strong enough."""
        acr, amr = claims.get("acr"), claims.get("amr") or []
        if self.acr and acr not in self.acr:
            return f"its acr {acr!r} is none of {', '.join(self.acr)}"
        if self.amr and not set(self.amr) & ({amr} if isinstance(amr, str) else set(amr)):
            return f"its amr {amr!r} has none of {', '.join(self.amr)}"
        return None

    def find_groups(self, claims: Mapping[str, Any]) -> list[str]:
        """Return the user's groups that have a role, sorted; empty if there are none."""
        groups = claims.get(self.groups_claim) or []
        return sorted(self.roles.keys() & ({groups} if isinstance(groups, str) else set(groups)))


def read(environment: Mapping[str, str]) -> Provider | None:
    """Return the configured identity provider; None without TRIBUTARY_OIDC_ISSUER. Then users have local passwords.

    Raises:
        ConfigurationError: A setting is missing or invalid; the message names it.
    """
    issuer = environment.get(f"{_PREFIX}ISSUER", "").rstrip("/")
    if not issuer:
        return None
    require_https(issuer, f"{_PREFIX}ISSUER")
    scopes = environment.get(f"{_PREFIX}SCOPES") or "openid profile"
    if "openid" not in scopes.split():
        raise ConfigurationError(f"{_PREFIX}SCOPES must contain openid", value=scopes)
    return Provider(
        issuer,
        _require(environment, "CLIENT_ID"),
        _require(environment, "CLIENT_SECRET"),
        scopes,
        environment.get(f"{_PREFIX}USER_CLAIM") or "preferred_username",
        environment.get(f"{_PREFIX}GROUPS_CLAIM") or "groups",
        _parse_roles(_require(environment, "ROLES")),
        tuple(environment.get(f"{_PREFIX}ACR", "").split()),
        tuple(environment.get(f"{_PREFIX}AMR", "").split()),
    )


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Check the addresses of the provider's metadata that Tributary uses.

    Raises:
        ConfigurationError: An address is neither https nor http to the loopback interface.
    """
    for name in _ADDRESSES:
        if name in metadata:
            require_https(str(metadata[name]), f"{name} in the identity provider's metadata")


def bind(issuer: str, subject: str) -> str:
    """Return the text to store instead of a password hash, which binds the user to one account at the provider. No password matches it."""
    return _MARK + hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()


def is_bound_to_another(stored: str | None, binding: str) -> bool:
    """Return whether a user's password field has the binding of another person. A local password, or `!` alone, is not a binding."""
    return stored is not None and stored.startswith(_MARK) and stored not in (_MARK, binding)


def _require(environment: Mapping[str, str], setting: str) -> str:
    value = environment.get(_PREFIX + setting, "")
    if not value:
        raise ConfigurationError(f"{_PREFIX}{setting} must be set, because {_PREFIX}ISSUER is set")
    return value


def _parse_roles(text: str) -> dict[str, str]:
    try:
        roles = json.loads(text)
    except ValueError:
        roles = None
    if not isinstance(roles, dict) or not roles or not all(role in ROLES for role in roles.values()):
        example = json.dumps({"group": "Viewer"})
        raise ConfigurationError(f"{_PREFIX}ROLES must map groups to {', '.join(ROLES)}, such as {example}")
    return roles
