"""Logins that fail: each error states the next step, and no error or log holds a secret."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from include.errors import AuthenticationError, ConfigurationError, RateLimited, TributaryError, VendorUnavailable
from include.extract.login import LoginContext, Token, log_in
from tests.extract.login.ways import CALLING, OPENED, PEM, WAYS, Serve, form_of, whole_story, write_pem
from tests.extract.vendor_server import Reply


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
    assert not pem or pem not in whole_story(error.value)


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
    text = f"{whole_story(error.value)} {at!r} {Token({'Authorization': 'Bearer t0ken'}, 0)!r} {caplog.text}"
    forms = [form_of(call) for call in listener.calls]
    sent = [form.get("client_assertion", form.get("assertion", "none sent")) for form in forms]
    secrets = ["passw0rd", "cl13nt-secret", "f1rst", "t0ken", "n3xt", PEM.splitlines()[1], *sent]
    assert [secret for secret in secrets if secret in text] == []
