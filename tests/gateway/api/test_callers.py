"""Authentication: the issuer's tokens for this API are accepted, forged or unfit ones are not."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigurationError
from include.gateway.api import callers, endpoint
from include.gateway.api.settings import Settings
from tests.gateway.api.conftest import Api, read_body, read_problem, run_provider
from tests.gateway.conftest import WINDOW, WINDOW_S

Run = Callable[..., Api]
PLACE = "/vendors"
STRANGER = rsa.generate_private_key(65537, 2048)


def make_unsigned(claims: dict[str, Any], **header: Any) -> str:
    parts = [{"alg": "none", "typ": "JWT"} | header, claims]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


@pytest.mark.parametrize("kid", ["rsa", "ec"])
def test_token_of_the_issuer_is_let_in(api: Api, kid: str) -> None:
    assert read_body(api.get(PLACE, api.provider.token(kid=kid)), 200)["items"]


@pytest.mark.parametrize("claim", ["scp", "roles"])
def test_scopes_are_read_where_providers_put_them(api: Api, claim: str) -> None:
    token = api.provider.token(scope=None, **{claim: ["status:read", 7]})
    assert api.get(PLACE, token).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1}, {"exp": None}, {"aud": "https://elsewhere.example"}, {"aud": None}, {"iss": "https://elsewhere.example"},
        {"iss": None}, {"sub": None}, {"sub": ""}, {"sub": "a\x00b"}, {"sub": "a" * 201}, {"nbf": 2**33}, {"iat": 2**33},
    ],
    ids=str,
)  # fmt: skip
def test_token_that_is_not_for_us_and_now_is_refused(api: Api, claims: dict[str, Any]) -> None:
    response = api.get(PLACE, api.provider.token(**claims))
    read_problem(response, 401)
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_expired_token_is_reported_as_expired(api: Api) -> None:
    assert "expired" in read_problem(api.get(PLACE, api.provider.token(exp=int(time.time()) - 60)), 401)


def test_a_clock_that_is_a_little_late_is_forgiven(api: Api) -> None:
    assert api.get(PLACE, api.provider.token(exp=int(time.time()) - 10)).status_code == 200


def test_forged_tokens_are_refused(api: Api) -> None:
    claims, signing_keys = api.provider.claims(), api.provider.signing
    public = (
        signing_keys["rsa"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head, body, signature = api.provider.token().split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "admin"}).encode()).decode().rstrip("=")
    forged = {
        "by a stranger under a known id": jwt.encode(claims, STRANGER, "RS256", headers={"kid": "rsa"}),
        "by a stranger under its own id": jwt.encode(claims, STRANGER, "RS256", headers={"kid": "mine"}),
        "no id": jwt.encode(claims, signing_keys["rsa"], "RS256"),
        "no algorithm": make_unsigned(claims, kid="rsa"),
        "no algorithm, no id": make_unsigned(claims),
        "none with a signature": make_unsigned(claims, kid="rsa") + signature,
        "the public key as a secret": _sign_with(public, claims),
        "another algorithm of the same key": jwt.encode(claims, signing_keys["rsa"], "RS512", headers={"kid": "rsa"}),
        "another body": f"{head}.{other}.{signature}",
        "no signature": f"{head}.{body}.",
        "another key's id": jwt.encode(claims, signing_keys["ec"], "ES256", headers={"kid": "rsa"}),
        "an id that is none": jwt.encode(claims, signing_keys["rsa"], "RS256", headers={"kid": "../rsa"}),
        "too long": api.provider.token(padding="x" * 9000),
        "nothing": "x",
    }
    assert {name: api.get(PLACE, token).status_code for name, token in forged.items()} == dict.fromkeys(forged, 401)


def _sign_with(secret: bytes, claims: dict[str, Any]) -> str:
    """Sign with HS256 by hand, because libraries reject a public key as a secret."""
    import hashlib
    import hmac

    signed = make_unsigned(claims, alg="HS256", kid="rsa").rstrip(".")
    mac = hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


@pytest.mark.parametrize(("kind", "status"), [("JWT", 200), ("at+jwt", 200), ("application/at+jwt", 200), (None, 200),
                                              ("logout+jwt", 401), ("dpop+jwt", 401), ("secevent+jwt", 401), (7, 401)])  # fmt: skip
def test_token_of_another_type_is_refused(api: Api, kind: object, status: int) -> None:
    headers = {"kid": "rsa", "typ": kind}
    token = jwt.encode(api.provider.claims(), api.provider.signing["rsa"], "RS256", headers=headers)
    assert api.get(PLACE, token).status_code == status


def test_id_token_is_no_access_token(api: Api) -> None:
    read_problem(api.get(PLACE, api.provider.token(nonce="n-1")), 401)
    read_problem(api.get(PLACE, api.provider.token(at_hash="x")), 401)


@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=300))
def test_no_text_is_a_token(text: str) -> None:
    from include.gateway.api.callers import Issuer
    from include.gateway.problem import Refusal

    issuer = Issuer(Settings("https://issuer.example", "a", "http://127.0.0.1:1/jwks"))
    with pytest.raises(Refusal):
        issuer.read(text)


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}, {"X-API-Key": ""},
        {"Authorization": ""},
    ],
    ids=str,
)  # fmt: skip
def test_request_without_token_or_key_is_rejected(api: Api, headers: dict[str, str]) -> None:
    response = api.http.get(PLACE, headers=headers)
    read_problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="tributary"')


def test_who_gives_a_token_and_a_key_is_refused(api: Api, make_key: Callable[..., str]) -> None:
    read_problem(api.http.get(PLACE, headers=api.bearer() | {"X-API-Key": make_key()}), 401)


def test_missing_scope_is_named(api: Api) -> None:
    response = api.get(PLACE, api.provider.token("findings:read other"))
    assert "status:read" in read_problem(response, 403)
    assert 'error="insufficient_scope", scope="status:read"' in response.headers["WWW-Authenticate"]


def test_a_stranger_s_body_is_not_read(api: Api) -> None:
    def endless() -> Any:
        yield b"["
        raise AssertionError("the body was read")

    with pytest.raises((httpx.HTTPError, AssertionError)):
        api.http.post("/runs", content=endless())
    assert api.http.post("/runs", content=b"x" * 1000).status_code == 401


# --- the issuer's keys ---


def test_keys_are_fetched_once_and_a_new_one_is_found(run: Run) -> None:
    api = run()
    for _ in range(3):
        assert api.get(PLACE).status_code == 200
    assert api.provider.requests == 1
    # Unknown key ids must not cause a request each: the keys are read at most every half a minute.
    api.provider.signing["new"] = STRANGER
    assert [api.get(PLACE, api.provider.token(kid="new")).status_code for _ in range(3)] == [401] * 3
    assert api.provider.requests == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"keys": []}', b'{"keys": 7}', b'{"keys": [7]}', b"\xff"])
def test_issuer_that_talks_nonsense_is_away_and_left_alone_for_a_while(run: Run, body: bytes) -> None:
    api = run()
    api.provider.broken = body
    responses = [api.get(PLACE) for _ in range(3)]
    assert [read_problem(response, 503) for response in responses]
    assert int(responses[0].headers["Retry-After"]) > 0
    assert api.provider.requests == 1


def test_issuer_whose_keys_moved_is_not_followed(run: Run, signing: dict[str, Any]) -> None:
    api = run()
    with run_provider(signing) as other:
        api.provider.moved_to = f"{other.url}/jwks"
        read_problem(api.get(PLACE), 503)
        assert other.requests == 0


@pytest.mark.parametrize(
    "broken", [b"<html>", b"[]", b'{"keys": [{"kty": "oct", "k": "eA", "kid": "x", "use": "enc"}]}']
)
def test_known_keys_stay_valid_while_the_issuer_does_not_return_a_new_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, broken: bytes
) -> None:
    api = run()
    assert api.get(PLACE).status_code == 200
    api.provider.broken, api.provider.signing["new"] = broken, STRANGER
    monkeypatch.setattr(callers, "REFETCH_S", 0.0)
    assert [read_problem(api.get(PLACE, api.provider.token(kid="new")), 503) for _ in range(2)]
    assert api.get(PLACE).status_code == 200
    assert api.provider.requests == 2


def test_key_is_let_in_while_the_issuer_is_away(run: Run, make_key: Callable[..., str]) -> None:
    api = run()
    api.provider.broken = b""
    read_problem(api.get(PLACE), 503)
    assert api.http.get(PLACE, headers={"X-API-Key": make_key()}).status_code == 200


@pytest.mark.parametrize(
    "settings", [("https://i", "", "https://i/keys"), ("https://i", "a", ""), ("https://i", "a", "http://i/keys"),
                 ("https://i", "a", "file:///etc/passwd"), ("https://i", "a", "http://127.0.0.1@i/keys")],
)  # fmt: skip
def test_settings_that_trust_any_caller_are_rejected(settings: tuple[str, str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Settings(*settings)


# --- rate limits ---


def test_each_caller_has_a_rate_of_its_own(run: Run) -> None:
    api = run(rate=f"3/{WINDOW}")
    assert [api.get(PLACE).status_code for _ in range(4)] == [200, 200, 200, 429]
    response = api.get(PLACE)
    read_problem(response, 429)
    assert 0 < int(response.headers["Retry-After"]) <= 2 * WINDOW_S
    assert api.get(PLACE, api.provider.token(sub="another")).status_code == 200


def test_a_subject_called_like_a_key_s_caller_is_another(run: Run, make_key: Callable[..., str]) -> None:
    api = run(rate=f"1/{WINDOW}")
    assert api.get(PLACE, api.provider.token(sub="flow")).status_code == 200
    assert api.http.get(PLACE, headers={"X-API-Key": make_key("flow")}).status_code == 200


def test_refused_request_of_a_known_caller_is_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    api = run(rate=f"1/{WINDOW}")
    read_problem(api.get(PLACE, api.provider.token("findings:read")), 403)
    read_problem(api.get(PLACE, api.provider.token("findings:read")), 429)
    refused = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    who = "from 127.0.0.1 by token:mule"
    assert [text.partition(": ")[0] for text in refused] == [f"Refused GET {PLACE} {who}"] * 2
    assert "status:read" in refused[0]
    assert "Rate limit" in refused[1]


def test_each_authentication_is_logged(
    api: Api, caplog: pytest.LogCaptureFixture, make_key: Callable[..., str]
) -> None:
    caplog.set_level("INFO", "include.gateway")
    key = make_key("flow")
    for headers in (api.bearer(), {"X-API-Key": key}, {"X-API-Key": "trb_unknown"}):
        api.http.get(PLACE, headers=headers)
    logged = [record.getMessage() for record in caplog.records if "from 127.0.0.1" in record.getMessage()]
    assert logged[0] == "Authenticated token:mule from 127.0.0.1"
    assert logged[1] == "Authenticated key:flow from 127.0.0.1"
    assert logged[2].startswith("Refused a request from 127.0.0.1: ")
    assert key.split("_", 2)[2] not in caplog.text


def test_blocked_address_gets_429_and_known_callers_are_served(
    run: Run, make_key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "REFUSALS", endpoint.limits.parse(f"3/{WINDOW}"))
    api = run()
    with httpx.Client(base_url=api.http.base_url) as http:
        assert [http.get(PLACE).status_code for _ in range(4)] == [401, 401, 401, 429]
        assert int(http.get(PLACE).headers["Retry-After"]) > 0
    assert api.get(PLACE).status_code == 200
    assert api.http.get(PLACE, headers={"X-API-Key": make_key()}).status_code == 200
