"""Read the settings of the firm's identity provider (OpenID Connect) from environment variables."""

from __future__ import annotations

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
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str
    user_claim: str
    groups_claim: str
    roles: Mapping[str, str]

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
    )


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
