"""Logins that return the account's address."""

from __future__ import annotations

import time
from collections.abc import Callable

import jwt
import pytest
import sqlalchemy as sa

from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.errors import AuthenticationError, ConfigurationError, VendorUnavailable
from include.extract.login import LoginContext, log_in
from include.extract.session import VendorSession
from include.vendors import named
from sandbox.adobe_sign.app import INTEGRATION_KEY
from tests.conftest import connect
from tests.extract.login.ways import EXTRA, KEY, OPENED, OWN, ROWS, WAYS, Serve, form_of, whole_story
from tests.extract.vendor_server import Listener, Reply, open_session, vendor_of
from tests.running_sandbox import Sandbox


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
    assert "wr0ng-key" not in whole_story(error.value)


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
