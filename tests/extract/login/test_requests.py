"""The requests of each way to log in, and how long a token lives."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import jwt
import pytest
import sqlalchemy as sa

from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.control.grants import Grants
from include.errors import VendorUnavailable
from include.extract.login import LoginContext, log_in
from include.extract.session import Request, VendorSession
from include.vendors import named
from tests.conftest import connect
from tests.extract.login.ways import CALLING, KEY, OPENED, WAYS, Serve, form_of
from tests.extract.vendor_server import Reply
from tests.firm_keys import KEYRING
from tests.running_sandbox import Sandbox


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
