"""The session: both ways to log in, expired tokens, exhausted limits, an unreachable org, logged calls."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from include.connection import Connection
from include.contract.limits import Limits
from include.control.calls import CallLog
from include.crm.salesforce import SalesforceSession
from include.errors import AuthenticationError, ConfigurationError, RateLimited, TargetUnavailable
from tests.crm.conftest import API, SECRET, Crm

USER = "load@tributary.example"


def open_session(crm: Crm, connection: Connection | None = None, patience_s: float = 5) -> SalesforceSession:
    calls = CallLog(crm.engine, "salesforce", "", "a-run")
    return SalesforceSession(connection or crm.connection, calls, patience_s=patience_s)


def with_key(crm: Crm, login: str = USER) -> Connection:
    """Connect by JWT, with a public key that the org knows."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    consumer = {"client_id": "by-key", "public_key": public.decode(), "username": USER}
    assert crm.http.post("/salesforce/_admin/consumers", json=consumer).status_code == 201
    return Connection(crm.connection.url, login, extra={"client_id": "by-key", "private_key": private.decode()})


def test_client_credentials_log_in(crm: Crm) -> None:
    with open_session(crm) as session:
        assert "DailyApiRequests" in session.call("GET", "/limits").body


def test_a_signed_assertion_logs_in(crm: Crm) -> None:
    with open_session(crm, with_key(crm)) as session:
        assert "DailyApiRequests" in session.call("GET", "/limits").body


def test_a_rejected_login_has_its_reason_and_no_secret(crm: Crm) -> None:
    wrong = replace(crm.connection, password="not-the-secret")

    with (
        pytest.raises(AuthenticationError, match="invalid client credentials") as caught,
        open_session(crm, wrong) as s,
    ):
        s.call("GET", "/limits")

    assert "not-the-secret" not in str(caught.value)


def test_a_bulk_result_that_comes_byte_by_byte_ends_at_the_deadline(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.crm.salesforce.DEFAULT", Limits(response_seconds=0.5))
    with open_session(crm) as session:
        session.call("GET", "/limits")
        crm.fault("drip", f"{API}/limits", seconds=0.05)
        with session.stream("/limits") as (pieces, _), pytest.raises(TargetUnavailable, match=r"longer than 0.5 s"):
            list(pieces)
        with pytest.raises(TargetUnavailable, match=r"No complete response.*longer than 0.5 s"):
            session.call_once("GET", "/limits")
    crm.no_faults()


def test_a_user_that_the_app_is_not_approved_for_is_refused(crm: Crm) -> None:
    with pytest.raises(AuthenticationError, match="hasn't approved"), open_session(crm, with_key(crm, "other")) as s:
        s.call("GET", "/limits")


def test_a_key_that_is_none_is_a_configuration_error(crm: Crm) -> None:
    broken = Connection(crm.connection.url, USER, extra={"client_id": "by-key", "private_key": "no key"})

    with pytest.raises(ConfigurationError, match="private_key") as caught, open_session(crm, broken) as session:
        session.call("GET", "/limits")

    assert "no key" not in str(caught.value)


def test_a_token_that_died_is_renewed_once(crm: Crm) -> None:
    with open_session(crm) as session:
        session.call("GET", "/limits")
        crm.http.delete("/salesforce/_admin/sessions")

        assert session.call("GET", "/limits").is_ok


def test_a_token_that_dies_at_once_is_no_endless_loop(crm: Crm) -> None:
    crm.fault("token_expired", f"{API}/limits")

    with pytest.raises(AuthenticationError), open_session(crm) as session:
        session.call("GET", "/limits")


def test_an_upload_survives_a_dead_token(crm: Crm) -> None:
    crm.fault("token_expired", f"{API}/jobs/ingest/*/batches", times=1)

    assert crm.sync()["household"].created > 0


def test_a_used_up_day_is_rate_limited(crm: Crm) -> None:
    crm.fault("request_limit", f"{API}/*")

    started = time.monotonic()
    with pytest.raises(RateLimited, match="TotalRequests"), open_session(crm) as session:
        session.call("GET", "/limits")

    assert time.monotonic() - started < 3


def test_an_org_that_is_away_for_a_moment_is_waited_for(crm: Crm) -> None:
    crm.fault("unavailable", f"{API}/*", times=2)

    with open_session(crm) as session:
        assert session.call("GET", "/limits").is_ok


def test_an_org_that_stays_away_is_unavailable(crm: Crm) -> None:
    crm.fault("unavailable", f"{API}/*")

    with pytest.raises(TargetUnavailable), open_session(crm, patience_s=1) as session:
        session.call("GET", "/limits")


def test_no_org_at_all_is_unavailable(crm: Crm) -> None:
    nobody = replace(crm.connection, url="http://127.0.0.1:9")

    with pytest.raises(TargetUnavailable), open_session(crm, nobody, patience_s=0.5) as session:
        session.call("GET", "/limits")


def test_every_call_is_noted(crm: Crm) -> None:
    with open_session(crm) as session:
        session.call("GET", "/limits")

    calls = crm.database.rows("select * from control.api_call where vendor = 'salesforce'")
    assert ("GET", "/services/data/v66.0/limits", 200) in [
        (call["method"], call["path"], call["status"]) for call in calls
    ]


def test_connections_show_no_secret(crm: Crm) -> None:
    assert SECRET not in repr(crm.connection)
