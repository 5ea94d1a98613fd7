"""Each way to log in: the requests, the rejections, and that no error or log holds a secret."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jwt
import pytest
import requests
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from include.connection import Connection
from include.contract import INTEGER, Table, column
from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.control.grants import Grants
from include.errors import (
    AuthenticationError,
    ConfigurationError,
    RateLimited,
    TributaryError,
    VendorUnavailable,
)
from include.extract.login import LoginContext, Token, log_in
from include.extract.session import Request, VendorSession
from include.vendors import named
from sandbox.adobe_sign.app import INTEGRATION_KEY
from tests.conftest import connect
from tests.extract.vendor_server import Answer, Listener, RecordedCall, Reply, listen, open_session, vendor_of
from tests.firm_keys import KEYRING
from tests.running_sandbox import Sandbox, run_sandbox

OPENED = {
    "access_token": "t0ken", "refresh_token": "n3xt", "expires_in": 3600,
    # The response to the second call of some logins.
    "accounts": [{"account_id": "a1", "is_default": True, "base_uri": "https://eu.docusign.net"}],
    "apiAccessPoint": "https://api.na4.adobesign.com/",
}  # fmt: skip


def write_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


KEY = rsa.generate_private_key(public_exponent=65537, key_size=3072)
PEM = write_pem(KEY)
EXTRA = {"client_id": "our id", "client_secret": "cl13nt-secret", "private_key": PEM}
OWN = {
    "impersonation": {"integration_key": "our key", "user_id": "our us3r"},
    "access_point": {"refresh_token": "f1rst"},
}
"""Connection fields that only one way uses."""
WAYS = {
    "basic": named("tamarac").login, "session_token": named("orion").login, "signed_assertion": named("emoney").login,
    "rotating_refresh": named("nitrogen").login, "impersonation": named("docusign").login,
    "access_point": named("adobe_sign").login,
}  # fmt: skip
"""Each way to log in, as declared by a vendor that uses it."""
CALLING = ["session_token", "signed_assertion", "rotating_refresh", "impersonation", "access_point"]
"""Ways that request a token."""

Serve = Callable[[Answer], Listener]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as running:
        yield lambda answer: running.enter_context(listen(answer))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox"), households=3) as running:
        yield running


@pytest.fixture
def new_context(engine: sa.Engine, request: pytest.FixtureRequest) -> Callable[..., LoginContext]:
    def make(url: str, lacking: str = "", *, way: str = "", **extra: str) -> LoginContext:
        fields = EXTRA | {"token_url": f"{url}/oauth/token"} | OWN.get(way, {}) | extra
        connection = Connection(url, "user", "passw0rd", {name: fields[name] for name in fields if name != lacking})
        grants = Grants(engine, request.node.name, KEYRING.sealer, {"an advisor": "f1rst"})
        return LoginContext(requests.Session(), connection, (5, 5), grants, "an advisor")

    return make


def form_of(call: RecordedCall) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode()))


# --- requests ---


def test_basic_opens_nothing_and_never_grows_old(new_context: Callable[..., LoginContext]) -> None:
    token = log_in(WAYS["basic"], new_context("http://127.0.0.1:1"))
    assert token.headers == {"Authorization": "Basic " + base64.b64encode(b"user:passw0rd").decode()}
    assert not token.is_old()


def test_session_token_is_requested_with_user_and_client(
    serve: Serve, new_context: Callable[..., LoginContext]
) -> None:
    listener = serve(lambda call: Reply(OPENED))
    token = log_in(WAYS["session_token"], new_context(listener.url))
    [call] = listener.calls
    assert (call.method, call.path) == ("GET", "/security/token")
    assert call.headers["Authorization"] == "Basic " + base64.b64encode(b"user:passw0rd").decode()
    assert (call.headers["client_id"], call.headers["client_secret"]) == ("our id", "cl13nt-secret")
    assert token.headers == {"Authorization": "Session t0ken"}


def test_assertion_is_signed_addressed_short_lived_and_never_twice_the_same(
    serve: Serve, new_context: Callable[..., LoginContext]
) -> None:
    listener = serve(lambda call: Reply(OPENED))
    at = new_context(listener.url)
    for _ in range(2):
        assert log_in(WAYS["signed_assertion"], at).headers == {"Authorization": "Bearer t0ken"}
    claims = []
    for call in listener.calls:
        form = form_of(call)
        assert (call.method, call.path, form["grant_type"]) == ("POST", "/oauth/token", "client_credentials")
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["client_id"] == "our id"
        claims.append(
            jwt.decode(form["client_assertion"], KEY.public_key(), ["RS256"], audience=f"{listener.url}/oauth/token")
        )
    for each in claims:
        assert (each["iss"], each["sub"]) == ("our id", "our id")
        assert time.time() < each["exp"] <= time.time() + 600
    assert claims[0]["jti"] != claims[1]["jti"]


def test_refresh_sends_the_newest_token_and_keeps_the_next(
    serve: Serve, new_context: Callable[..., LoginContext]
) -> None:
    count = iter(range(9))
    listener = serve(lambda call: Reply(OPENED | {"refresh_token": f"n3xt-{next(count)}"}))
    at = new_context(listener.url)
    for _ in range(3):
        assert log_in(WAYS["rotating_refresh"], at).headers == {"Authorization": "Bearer t0ken"}
    forms = [form_of(call) for call in listener.calls]
    assert [form["refresh_token"] for form in forms] == ["f1rst", "n3xt-0", "n3xt-1"]
    assert {(f["grant_type"], f["client_id"], f["client_secret"]) for f in forms} == {
        ("refresh_token", "our id", "cl13nt-secret")
    }


@pytest.mark.parametrize("name", ["adobe_sign", "docusign", "emoney", "moneyguidepro", "nitrogen", "orion"])
def test_vendor_s_sandbox_opens_to_its_own_way(sandbox: Sandbox, engine: sa.Engine, name: str) -> None:
    vendor = named(name)
    connection = connect(sandbox, vendor)
    grants = Grants.of(engine, name, KEYRING.sealer, connection.extra)
    budget = RateBudget(engine, name, vendor.budget)
    with VendorSession(vendor, connection, budget, CallLog(engine, name, "", "a run"), grants, patience_s=1) as session:
        grant = next(iter(grants.firsts), "")
        assert session.request(Request(vendor.tables[0].path, vendor.tables[0].params, grant=grant), bytes)


# --- logins that return the account's address ---


def account(account_id: str, host: str, *, is_default: object = False) -> dict[str, object]:
    return {"account_id": account_id, "is_default": is_default, "base_uri": f"https://{host}.docusign.net"}


def serve_accounts(serve: Serve, *accounts: object) -> Listener:
    """Serve a vendor whose user has these accounts."""
    return serve(lambda call: Reply({"accounts": accounts} if call.path.endswith("userinfo") else OPENED))


def test_assertion_in_a_user_s_name_is_addressed_to_the_host_alone(
    serve: Serve, new_context: Callable[..., LoginContext]
) -> None:
    listener = serve_accounts(serve, account("a1", "eu", is_default=True))
    token = log_in(WAYS["impersonation"], new_context(listener.url, way="impersonation"))
    login_call, accounts_call = listener.calls
    form, host = form_of(login_call), listener.url.removeprefix("http://")
    assert (login_call.method, login_call.path) == ("POST", "/oauth/token")
    assert form.keys() == {"grant_type", "assertion"}
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(form["assertion"], KEY.public_key(), ["RS256"], audience=host)
    assert (claims["iss"], claims["sub"], claims["scope"]) == ("our key", "our us3r", "signature impersonation")
    assert time.time() < claims["exp"] <= time.time() + 3600
    assert (accounts_call.method, accounts_call.path, accounts_call.headers["Authorization"]) == (
        "GET",
        "/oauth/userinfo",
        "Bearer t0ken",
    )
    assert token.headers == {"Authorization": "Bearer t0ken"}
    assert token.url == "https://eu.docusign.net/restapi/v2.1/accounts/a1"


@pytest.mark.parametrize("is_default", [True, "true", "True"])
def test_default_account_is_taken_where_none_is_named(
    serve: Serve, new_context: Callable[..., LoginContext], is_default: object
) -> None:
    listener = serve_accounts(serve, account("a1", "na"), account("a2", "eu", is_default=is_default))
    token = log_in(WAYS["impersonation"], new_context(listener.url, way="impersonation"))
    assert token.url == "https://eu.docusign.net/restapi/v2.1/accounts/a2"


def test_account_that_is_named_goes_before_the_default(serve: Serve, new_context: Callable[..., LoginContext]) -> None:
    listener = serve_accounts(serve, account("a1", "na"), account("a2", "eu", is_default=True))
    token = log_in(WAYS["impersonation"], new_context(listener.url, way="impersonation", account_id="a1"))
    assert token.url == "https://na.docusign.net/restapi/v2.1/accounts/a1"


@pytest.mark.parametrize(
    ("accounts", "named"), [([], {}), ([account("a1", "na")], {}), ([account("a1", "na", is_default=True)], {"account_id": "a2"})]
)  # fmt: skip
def test_user_without_such_an_account_is_a_configuration_error(
    serve: Serve, new_context: Callable[..., LoginContext], accounts: list[object], named: dict[str, str]
) -> None:
    listener = serve_accounts(serve, *accounts)
    with pytest.raises(ConfigurationError, match="no such account"):
        log_in(WAYS["impersonation"], new_context(listener.url, way="impersonation", **named))


@pytest.mark.parametrize("body", [{}, {"accounts": None}, {"accounts": [{"account_id": "a1"}]}, []])
def test_response_without_accounts_is_requested_again(
    serve: Serve, new_context: Callable[..., LoginContext], body: object
) -> None:
    listener = serve(lambda call: Reply(body if call.path.endswith("userinfo") else OPENED))
    with pytest.raises(VendorUnavailable, match="login response has no accounts"):
        log_in(WAYS["impersonation"], new_context(listener.url, way="impersonation"))


def test_refresh_token_that_stays_opens_every_time(serve: Serve, new_context: Callable[..., LoginContext]) -> None:
    listener = serve(lambda call: Reply(OPENED))
    at = new_context(listener.url, way="access_point")
    tokens = [log_in(WAYS["access_point"], at) for _ in range(2)]
    assert [(call.method, call.path) for call in listener.calls] == 2 * [
        ("POST", "/oauth/token"),
        ("GET", "/baseUris"),
    ]
    assert [form_of(call) for call in listener.calls[::2]] == 2 * [
        {
            "grant_type": "refresh_token",
            "refresh_token": "f1rst",
            "client_id": "our id",
            "client_secret": "cl13nt-secret",
        }
    ]
    assert {call.headers["Authorization"] for call in listener.calls[1::2]} == {"Bearer t0ken"}
    assert {token.headers["Authorization"] for token in tokens} == {"Bearer t0ken"}


@pytest.mark.parametrize("point", ["https://api.na4.adobesign.com", "https://api.na4.adobesign.com/"])
def test_base_path_works_with_and_without_a_slash(
    serve: Serve, new_context: Callable[..., LoginContext], point: str
) -> None:
    listener = serve(lambda call: Reply(OPENED | {"apiAccessPoint": point}))
    token = log_in(WAYS["access_point"], new_context(listener.url, way="access_point"))
    assert token.url == "https://api.na4.adobesign.com/api/rest/v6"


def test_integration_key_is_a_token_itself_and_never_grows_old(
    serve: Serve, new_context: Callable[..., LoginContext]
) -> None:
    listener = serve(lambda call: Reply({"apiAccessPoint": "https://api.na4.adobesign.com/"}))
    token = log_in(WAYS["access_point"], new_context(listener.url, lacking="token_url", integration_key="l0ng"))
    [call] = listener.calls
    assert (call.method, call.path, call.headers["Authorization"]) == ("GET", "/baseUris", "Bearer l0ng")
    assert token.headers == {"Authorization": "Bearer l0ng"}
    assert not token.is_old()


def open_at(sandbox: Sandbox, engine: sa.Engine, name: str, **extra: str) -> VendorSession:
    vendor = named(name)
    calls = CallLog(engine, name, "", "a run")
    return VendorSession(
        vendor, connect(sandbox, vendor, **extra), RateBudget(engine, name, vendor.budget), calls, patience_s=1
    )


def test_integration_key_opens_the_vendor_s_sandbox(sandbox: Sandbox, engine: sa.Engine) -> None:
    with open_at(sandbox, engine, "adobe_sign", integration_key=INTEGRATION_KEY) as session:
        assert session.get("users", {}, bytes)


def test_wrong_integration_key_is_refused(sandbox: Sandbox, engine: sa.Engine) -> None:
    with (
        open_at(sandbox, engine, "adobe_sign", integration_key="wr0ng-key") as session,
        pytest.raises(AuthenticationError, match="login was refused") as error,
    ):
        session.get("users", {}, bytes)
    assert "wr0ng-key" not in _whole_story(error.value)


def test_user_who_took_the_consent_back_is_refused(sandbox: Sandbox, engine: sa.Engine) -> None:
    sandbox.admin("docusign/consent", is_given=False)
    with open_at(sandbox, engine, "docusign") as session, pytest.raises(AuthenticationError, match="login was refused"):
        session.get("templates", {}, bytes)
    sandbox.admin("docusign/consent", is_given=True)


def test_unknown_account_is_reported(sandbox: Sandbox, engine: sa.Engine) -> None:
    with (
        open_at(sandbox, engine, "docusign", account_id="00000000-0000-0000-0000-000000000000") as session,
        pytest.raises(ConfigurationError, match="no such account"),
    ):
        session.get("templates", {}, bytes)


def test_calls_use_the_logins_host_and_no_other_host_gets_the_token(serve: Serve, engine: sa.Engine) -> None:
    elsewhere = serve(lambda call: Reply([]))
    listener = serve(lambda call: Reply(OPENED | {"apiAccessPoint": elsewhere.url}))
    vendor = vendor_of(ROWS, login=WAYS["access_point"])
    extra = EXTRA | OWN["access_point"] | {"token_url": f"{listener.url}/oauth/token"}
    with open_session(engine, vendor, listener.url, **extra) as session:
        session.get("rows", {}, bytes)
        with pytest.raises(ConfigurationError, match="another host"):
            session.get(f"{listener.url}/rows", {}, bytes)
    assert elsewhere.paths == ["/api/rest/v6/rows"]
    assert listener.paths == ["/oauth/token", "/baseUris"]


# --- how long a token lives ---


@pytest.mark.parametrize("way", CALLING)
@pytest.mark.parametrize(("seconds", "is_old"), [(3600, False), (61, False), (30, True), ("3600", False)])
def test_token_is_renewed_a_minute_before_it_dies(
    serve: Serve, new_context: Callable[..., LoginContext], way: str, seconds: object, is_old: bool
) -> None:
    listener = serve(lambda call: Reply(OPENED | {"expires_in": seconds}))
    assert log_in(WAYS[way], new_context(listener.url, way=way)).is_old() == is_old


@pytest.mark.parametrize("way", CALLING)
def test_token_without_a_lifetime_is_used(serve: Serve, new_context: Callable[..., LoginContext], way: str) -> None:
    silent = {name: value for name, value in OPENED.items() if name != "expires_in"}
    listener = serve(lambda call: Reply(silent))
    assert not log_in(WAYS[way], new_context(listener.url, way=way)).is_old()


@pytest.mark.parametrize(
    "body", [{"refresh_token": "n3xt"}, OPENED | {"expires_in": "soon"}, OPENED | {"expires_in": None}]
)
def test_next_refresh_token_is_kept_however_odd_the_rest_of_the_response(
    serve: Serve, new_context: Callable[..., LoginContext], body: dict[str, object]
) -> None:
    replies = [Reply(body), Reply(OPENED)]
    listener = serve(lambda call: replies.pop(0))
    at = new_context(listener.url)
    with pytest.raises(VendorUnavailable):
        log_in(WAYS["rotating_refresh"], at)
    log_in(WAYS["rotating_refresh"], at)
    assert [form_of(call)["refresh_token"] for call in listener.calls] == ["f1rst", "n3xt"]


def test_response_of_200_that_is_an_error_spends_no_refresh_token(
    serve: Serve, new_context: Callable[..., LoginContext]
) -> None:
    replies = [Reply({"error": "server_error"}), Reply(OPENED)]
    listener = serve(lambda call: replies.pop(0))
    at = new_context(listener.url)
    with pytest.raises(VendorUnavailable, match="not a token"):
        log_in(WAYS["rotating_refresh"], at)
    log_in(WAYS["rotating_refresh"], at)
    assert [form_of(call)["refresh_token"] for call in listener.calls] == ["f1rst", "f1rst"]


# --- refusals ---


@pytest.mark.parametrize("way", CALLING)
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply({"error": "invalid_grant"}, status=400), AuthenticationError),
        (Reply(None, status=401), AuthenticationError),
        (Reply(None, status=403), AuthenticationError),
        (Reply(None, status=404), ConfigurationError),
        (Reply(None, status=302, headers={"Location": "/elsewhere"}), ConfigurationError),
        (Reply(None, status=429, headers={"Retry-After": "7"}), RateLimited),
        (Reply(None, status=500), VendorUnavailable),
        (Reply({}), VendorUnavailable),
        (Reply([]), VendorUnavailable),
        (Reply(content=b"<html></html>", kind="text/html"), VendorUnavailable),
    ],
    ids=["400", "401", "403", "404", "302", "429", "500", "object", "array", "html"],
)
def test_login_error_states_the_next_step(
    serve: Serve, new_context: Callable[..., LoginContext], way: str, reply: Reply, error: type[TributaryError]
) -> None:
    listener = serve(lambda call: reply)
    with pytest.raises(error) as error_info:
        log_in(WAYS[way], new_context(listener.url, way=way))
    assert len(listener.calls) == 1
    assert error_info.value.facts["status"] == reply.status
    if isinstance(error_info.value, RateLimited):
        assert error_info.value.retry_after == 7


def test_vendor_that_does_not_listen_is_unavailable(new_context: Callable[..., LoginContext]) -> None:
    for way in CALLING:
        with pytest.raises(VendorUnavailable, match="No response to the login"):
            log_in(WAYS[way], new_context("http://127.0.0.1:1", way=way))


@pytest.mark.parametrize(
    ("way", "lacking"),
    [(way, name) for way, names in (("signed_assertion", ("token_url", "client_id", "private_key")),
                                    ("rotating_refresh", ("token_url", "client_id", "client_secret")),
                                    ("impersonation", ("token_url", "integration_key", "user_id", "private_key")),
                                    ("access_point", ("token_url", "client_id", "client_secret", "refresh_token")))
     for name in names],
)  # fmt: skip
def test_missing_credential_is_named(new_context: Callable[..., LoginContext], way: str, lacking: str) -> None:
    with pytest.raises(ConfigurationError, match=f"lacks a credential.*missing={lacking}"):
        log_in(WAYS[way], new_context("http://127.0.0.1:1", lacking, way=way))


@pytest.mark.parametrize("way", ["signed_assertion", "impersonation"])
@pytest.mark.parametrize("pem", ["", "no key", PEM[:200], PEM.replace("A", "B", 9)])
def test_unreadable_private_key_is_reported_without_the_key(
    new_context: Callable[..., LoginContext], way: str, pem: str
) -> None:
    with pytest.raises(ConfigurationError, match="is not an RSA key in PEM") as error:
        log_in(WAYS[way], new_context("http://127.0.0.1:1", way=way, private_key=pem))
    assert not pem or pem not in _whole_story(error.value)


@pytest.mark.parametrize(
    ("way", "bits", "least"),
    [("signed_assertion", 2048, 3072), ("impersonation", 1024, 2048)],
)
def test_small_private_key_is_refused(
    new_context: Callable[..., LoginContext], way: str, bits: int, least: int
) -> None:
    pem = write_pem(rsa.generate_private_key(public_exponent=65537, key_size=bits))
    with pytest.raises(ConfigurationError, match=f"too small: create one with {least} bits or more.*bits={bits}"):
        log_in(WAYS[way], new_context("http://127.0.0.1:1", way=way, private_key=pem))


def test_key_that_the_vendor_generates_may_have_2048_bits(
    serve: Serve, new_context: Callable[..., LoginContext]
) -> None:
    pem = write_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    at = new_context(serve(lambda call: Reply(OPENED)).url, way="impersonation", private_key=pem)
    assert log_in(WAYS["impersonation"], at).headers == {"Authorization": "Bearer t0ken"}


def test_private_key_that_is_not_rsa_is_refused(new_context: Callable[..., LoginContext]) -> None:
    pem = write_pem(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ConfigurationError, match="is not an RSA key in PEM"):
        log_in(WAYS["signed_assertion"], new_context("http://127.0.0.1:1", private_key=pem))


@pytest.mark.parametrize("way", CALLING)
@pytest.mark.parametrize("status", [200, 401, 404, 429, 500])
def test_no_error_and_no_log_holds_a_secret(
    serve: Serve, new_context: Callable[..., LoginContext], caplog: pytest.LogCaptureFixture, way: str, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    listener = serve(lambda call: Reply({"error_description": "t0ken and n3xt"}, status=status))
    at = new_context(listener.url, way=way)
    with pytest.raises(TributaryError) as error:
        log_in(WAYS[way], at)
    text = f"{_whole_story(error.value)} {at!r} {Token({'Authorization': 'Bearer t0ken'}, 0)!r} {caplog.text}"
    forms = [form_of(call) for call in listener.calls]
    sent = [form.get("client_assertion", form.get("assertion", "none sent")) for form in forms]
    secrets = ["passw0rd", "cl13nt-secret", "f1rst", "t0ken", "n3xt", PEM.splitlines()[1], *sent]
    assert [secret for secret in secrets if secret in text] == []


def _whole_story(error: BaseException | None) -> str:
    """Format an error with all of its causes."""
    return "" if error is None else f"{error!r} {error} " + _whole_story(error.__cause__ or error.__context__)


# --- headers of every call, and failures with status 200 ---

ROWS = Table("rows", "rows", ("row_id",), (column("row_id", "id", INTEGER, required=True),))


def test_declared_header_goes_with_every_call(serve: Serve, engine: sa.Engine) -> None:
    listener = serve(lambda call: Reply([]))
    vendor = vendor_of(ROWS, headers={"apikey": "api_key"})
    with open_session(engine, vendor, listener.url, api_key="k3y") as session:
        session.get("rows", {}, bytes)
        session.request(Request("reports", body={}), bytes)
    assert [call.headers["apikey"] for call in listener.calls] == ["k3y", "k3y"]


def test_header_that_the_connection_lacks_is_a_configuration_error(engine: sa.Engine) -> None:
    with pytest.raises(ConfigurationError, match=r"lacks a credential.*vendor=testbank missing=api_key"):
        open_session(engine, vendor_of(ROWS, headers={"apikey": "api_key"}), "http://127.0.0.1:1")


@pytest.mark.parametrize("body", [b'{"error":"server_error"}', b' {"data":[],"error":{"code":7}}'])
def test_response_of_200_with_an_error_is_requested_again(serve: Serve, engine: sa.Engine, body: bytes) -> None:
    replies = [Reply(content=body), Reply([{"id": 1}])]
    listener = serve(lambda call: replies.pop(0))
    with open_session(engine, vendor_of(ROWS, error_field="error"), listener.url, patience_s=20) as session:
        assert session.get("rows", {}, bytes) == b'[{"id": 1}]'
    with (
        open_session(
            engine, vendor_of(ROWS, error_field="error"), serve(lambda call: Reply(content=body)).url
        ) as session,
        pytest.raises(VendorUnavailable, match=r"failure with a success status.*path=rows status=200"),
    ):
        session.get("rows", {}, bytes)


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("", b'{"error":"x"}'),
        ("error", b'[{"error":"x"}]'),
        ("error", b'{"data":[{"error":"x"}]}'),
        ("error", b'{"error":'),
    ],
)
def test_error_elsewhere_is_the_reader_s(serve: Serve, engine: sa.Engine, field: str, body: bytes) -> None:
    listener = serve(lambda call: Reply(content=body))
    with open_session(engine, vendor_of(ROWS, error_field=field), listener.url) as session:
        assert session.get("rows", {}, bytes) == body


def test_error_text_of_a_200_response_is_not_shown(sandbox: Sandbox, engine: sa.Engine, tmp_path: Path) -> None:
    vendor = named("nitrogen")
    token = sandbox.admin("nitrogen/connect", advisor_user_id=8101)["refresh_token"]
    connection = connect(sandbox, vendor, grants=f'{{"8101": "{token}"}}')
    grants = Grants.of(engine, "nitrogen", KEYRING.sealer, connection.extra)
    fault: dict[str, Any] = {"route": "/nitrogen/ap/v1/clients", "kind": "error_in_body", "times": 2}
    assert sandbox.http.post("/_sandbox/faults", json=fault).status_code == 200
    budget = RateBudget(engine, "nitrogen", vendor.budget)
    with VendorSession(
        vendor, connection, budget, CallLog(engine, "nitrogen", "", "a run"), grants, patience_s=20
    ) as session:
        body = session.request(Request("clients", grant="8101"), bytes)
    assert body is not None
    assert body.startswith(b"[")
    assert sandbox.http.get("/_sandbox/faults").json()[0]["hits"] == 2
    sandbox.http.delete("/_sandbox/faults")
