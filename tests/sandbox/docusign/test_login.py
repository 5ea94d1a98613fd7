"""DocuSign's login: assertions, scopes, consent and tokens."""

import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def make_other_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


def test_token_is_given_for_a_signed_assertion_and_no_refresh_token_with_it(reader):
    token = reader.request_token().json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    assert "refresh_token" not in token


@pytest.mark.parametrize(
    ("claims", "description"),
    [
        ({"iss": "testbank"}, "issuer_not_found"),
        ({"aud": "account-d.docusign.com"}, "issuer_not_found"),
        ({"aud": "http://127.0.0.1"}, "issuer_not_found"),
        ({"sub": "testbank"}, "user_not_found"),
        ({"exp": int(time.time()) - 60}, "expired_grant"),
        ({"scope": None}, "no_valid_keys_or_signatures"),
    ],
)
def test_assertion_with_a_wrong_claim_is_refused(reader, claims, description):
    response = reader.request_token(assertion=reader.sign(**claims))
    assert (response.status_code, response.json()) == (
        400,
        {"error": "invalid_grant", "error_description": description},
    )


def test_assertion_signed_with_another_key_is_refused(reader):
    response = reader.request_token(assertion=reader.sign(make_other_key()))
    assert response.json()["error_description"] == "no_valid_keys_or_signatures"


def test_both_scopes_and_consent_are_needed(docusign):
    assert docusign.request_token(assertion=docusign.sign(scope="signature")).json() == {"error": "consent_required"}
    docusign.edit("consent", is_given=False)
    assert docusign.request_token().json() == {"error": "consent_required"}
    docusign.edit("consent", is_given=True)
    assert docusign.request_token().status_code == 200


def test_another_grant_is_refused(reader):
    assert reader.request_token(grant_type="password").json() == {"error": "unsupported_grant_type"}


def test_rest_api_is_at_the_userinfo_address(reader):
    account = reader.http.get("/docusign/oauth/userinfo", headers=reader.headers).json()["accounts"][0]
    assert account["is_default"] is True
    url = f"{account['base_uri']}/restapi/v2.1/accounts/{account['account_id']}/templates"
    assert reader.http.get(url, headers=reader.headers).status_code == 200


def test_token_ages_by_the_sandbox_s_clock(docusign):
    docusign.sandbox.admin("clock", advance_seconds=3590)
    assert docusign.get("/templates").status_code == 200
    docusign.sandbox.admin("clock", advance_seconds=20)
    assert docusign.get("/templates").json()["errorCode"] == "USER_AUTHENTICATION_FAILED"


def test_calls_without_token_or_of_another_account_are_refused(reader):
    other = reader.root.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000/templates"
    response = reader.http.get(other, headers=reader.headers)
    assert (response.status_code, response.json()["errorCode"]) == (401, "USER_DOES_NOT_BELONG_TO_SPECIFIED_ACCOUNT")
    response = reader.http.get(reader.root + "/templates", headers={"Authorization": ""})
    assert (response.status_code, response.json()["errorCode"]) == (401, "PARTNER_AUTHENTICATION_FAILED")
