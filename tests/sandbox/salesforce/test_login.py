"""Logging in to the sandbox org."""

import base64
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TOKEN = "/services/oauth2/token"
CLIENT_ID, CLIENT_SECRET, USERNAME = "3MVG9sample", "sample-secret", "loader@sample-wealth.example"


def assertion(key: str, **claims: Any) -> str:
    now = {"iss": CLIENT_ID, "sub": USERNAME, "aud": "https://login.salesforce.com", "exp": int(time.time()) + 120}
    return jwt.encode(now | claims, key, algorithm="RS256")


def post_jwt(org: Any, token: str) -> httpx.Response:
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    return org.http.post(TOKEN, data={"grant_type": grant, "assertion": token})


def test_a_signed_assertion_gives_a_token_that_works(org):
    token = post_jwt(org, assertion(org.private_key)).json()
    limits = httpx.get(
        f"{token['instance_url']}/services/data/v66.0/limits",
        headers={"Authorization": f"Bearer {token['access_token']}"},
    )
    assert limits.status_code == 200


def test_instance_url_is_the_orgs_own_address(org):
    assert post_jwt(org, assertion(org.private_key)).json()["instance_url"] == org.url


@pytest.mark.parametrize(
    ("claims", "error", "words"),
    [
        ({"exp": 1_700_000_000}, "invalid_grant", "expired authorization code"),
        ({"aud": "https://elsewhere.example"}, "invalid_grant", "audience is invalid"),
        ({"sub": "testbank@else.example"}, "invalid_grant", "user hasn't approved this consumer"),
        ({"iss": "unknown"}, "invalid_client_id", "client identifier invalid"),
    ],
)
def test_a_wrong_claim_is_rejected_with_salesforces_message(org, claims, error, words):
    response = post_jwt(org, assertion(org.private_key, **claims))
    assert (response.status_code, response.json()) == (400, {"error": error, "error_description": words})


def test_another_keys_signature_is_refused(org):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    response = post_jwt(org, assertion(other.decode()))
    assert response.json() == {"error": "invalid_grant", "error_description": "invalid assertion"}


@pytest.mark.parametrize("place", ["body", "header"])
def test_client_credentials_are_taken_from_body_and_header(org, place):
    form = {"grant_type": "client_credentials"}
    packed = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    if place == "body":
        response = org.http.post(TOKEN, data=form | {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
    else:
        response = org.http.post(TOKEN, data=form, headers={"Authorization": f"Basic {packed}"})
    assert response.json()["token_type"] == "Bearer"


def test_a_wrong_secret_is_refused(org):
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": "wrong"}
    response = org.http.post(TOKEN, data=form)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_client")


def test_a_call_without_a_token_is_refused(org):
    response = httpx.get(f"{org.url}/services/data/v66.0/limits")
    assert (response.status_code, response.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")


def test_a_token_survives_a_restart(start):
    with start() as first:
        token = first.http.headers["Authorization"]
    with start() as second:
        second.http.headers["Authorization"] = token
        assert second.call("GET", "/limits").status_code == 200


def test_an_unused_session_expires(org):
    org.clock.set(advance=3 * 3600)
    assert org.call("GET", "/limits").status_code == 401
