"""The firm's identity provider (OpenID Connect), as the environment configures it."""

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
    """An identity provider, and what Tributary reads from its ID tokens.

    Attributes:
        issuer: URL of the issuer, below which the provider's metadata is.
        client_id: Our id at the provider.
        client_secret: Our secret; never shown.
        scopes: Requested scopes, separated by spaces; one of them must grant the claim of groups.
        user_claim: The claim with the user name, which users must not be able to change.
        groups_claim: The claim with the list of the user's groups.
        roles: Airflow's role for each group.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str
    user_claim: str
    groups_claim: str
    roles: Mapping[str, str]

    def find_groups(self, claims: Mapping[str, Any]) -> list[str]:
        """Return the user's groups that have a role."""
        groups = claims.get(self.groups_claim) or []
        return sorted(self.roles.keys() & ({groups} if isinstance(groups, str) else set(groups)))


def read(environment: Mapping[str, str]) -> Provider | None:
    """Return the identity provider; None if none is configured, so that users are local.

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
