"""The settings of the firm's identity provider."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.sign_on import provider

SETTINGS = {
    "TRIBUTARY_OIDC_ISSUER": "https://login.sample-wealth.example/",
    "TRIBUTARY_OIDC_CLIENT_ID": "tributary",
    "TRIBUTARY_OIDC_CLIENT_SECRET": "only-for-tests",
    "TRIBUTARY_OIDC_ROLES": json.dumps({"it": "Admin", "auditors": "Viewer"}),
}


def read(**changed: str) -> provider.Provider:
    settings = provider.read(SETTINGS | {f"TRIBUTARY_OIDC_{name}": value for name, value in changed.items()})
    assert settings
    return settings


@pytest.mark.parametrize("environment", [{}, {"TRIBUTARY_OIDC_ISSUER": ""}])
def test_there_is_no_provider_without_an_issuer(environment: dict[str, str]) -> None:
    assert provider.read(environment) is None


def test_claims_and_scopes_have_defaults() -> None:
    settings = read(SCOPES="", USER_CLAIM="", GROUPS_CLAIM="")
    assert settings.issuer == "https://login.sample-wealth.example"
    assert (settings.scopes, settings.user_claim, settings.groups_claim) == (
        "openid profile", "preferred_username", "groups",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["CLIENT_ID", "CLIENT_SECRET", "ROLES"])
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"TRIBUTARY_OIDC_{name}"):
        read(**{name: ""})


@pytest.mark.parametrize("roles", ["it: Admin", "[]", "{}", '{"it": "Root"}', '{"it": ["Admin"]}', '{"it": "Public"}'])
def test_roles_must_map_groups_to_roles_of_airflow(roles: str) -> None:
    with pytest.raises(ConfigurationError, match="TRIBUTARY_OIDC_ROLES must map groups"):
        read(ROLES=roles)


@pytest.mark.parametrize("issuer", ["http://login.sample-wealth.example", "login.sample-wealth.example"])
def test_the_issuer_must_be_https(issuer: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        read(ISSUER=issuer)


def test_the_secret_is_never_shown() -> None:
    assert "only-for-tests" not in repr(read())


@pytest.mark.parametrize(
    ("claims", "groups"),
    [
        ({"groups": ["all", "it"]}, ["it"]),
        ({"groups": "auditors"}, ["auditors"]),
        ({"groups": ["it", "auditors"]}, ["auditors", "it"]),
        ({"groups": ["IT"]}, []),
        ({"groups": None}, []),
        ({}, []),
    ],
)
def test_only_groups_with_a_role_count(claims: dict[str, Any], groups: list[str]) -> None:
    assert read().find_groups(claims) == groups


@pytest.mark.parametrize(
    ("claims", "is_weak"),
    [
        ({"acr": "2", "amr": ["pwd", "mfa"]}, False),
        ({"acr": "3", "amr": "hwk"}, False),
        ({"acr": "1", "amr": ["mfa"]}, True),
        ({"acr": "2", "amr": ["pwd"]}, True),
        ({"acr": "2"}, True),
        ({"amr": ["mfa"]}, True),
        ({"acr": "2", "amr": None}, True),
    ],
)
def test_a_login_must_have_the_required_strength(claims: dict[str, Any], is_weak: bool) -> None:
    assert (read(ACR="2 3", AMR="mfa hwk").find_weakness(claims) is not None) == is_weak
    assert read().find_weakness(claims) is None


METADATA = {
    "issuer": "https://login.sample-wealth.example",
    "authorization_endpoint": "https://login.sample-wealth.example/auth",
    "token_endpoint": "https://login.sample-wealth.example/token",
    "userinfo_endpoint": "https://login.sample-wealth.example/me",
    "jwks_uri": "https://keys.sample-wealth.example/jwks",
}


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"])
def test_each_address_of_the_metadata_must_be_https(name: str) -> None:
    provider.check_metadata(METADATA)
    provider.check_metadata(METADATA | {name: "http://127.0.0.1:8080/x"})
    with pytest.raises(ConfigurationError, match=rf"{name} in the identity provider's metadata must begin with https"):
        provider.check_metadata(METADATA | {name: "http://login.sample-wealth.example/x"})


ADA = provider.bind("https://a.example", "0001")


@pytest.mark.parametrize(
    ("stored", "is_another"),
    [
        (ADA, False),
        (provider.bind("https://a.example", "0002"), True),
        (provider.bind("https://b.example", "0001"), True),
        ("!", False),
        ("scrypt:32768:8:1$salt$hash", False),
        (None, False),
    ],
)
def test_a_user_is_bound_to_issuer_and_subject(stored: str | None, is_another: bool) -> None:
    assert provider.is_bound_to_another(stored, ADA) is is_another


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "https://other.example"}, "issuer"),
        ({"iss": "https://login.firm.example.attacker.example"}, "issuer"),
        ({"aud": "another"}, "client"),
        ({"aud": ["tributary", "another"]}, "client"),
        ({"aud": []}, "client"),
    ],
)
def test_a_token_of_another_issuer_or_client_is_refused(changed: dict[str, object], reason: str) -> None:
    configured = read()
    own = {"iss": configured.issuer, "aud": configured.client_id}
    for accepted in (own, own | {"iss": f"{configured.issuer}/", "aud": [configured.client_id]}):
        configured.require_own(accepted)
    with pytest.raises(ValueError, match=reason):
        configured.require_own(own | changed)
