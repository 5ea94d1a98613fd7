"""Calls after the login: declared headers, and failures with status 200."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.control.grants import Grants
from include.errors import ConfigurationError, VendorUnavailable
from include.extract.session import Request, VendorSession
from include.vendors import named
from tests.conftest import connect
from tests.extract.login.ways import ROWS, Serve
from tests.extract.vendor_server import Reply, open_session, vendor_of
from tests.firm_keys import KEYRING
from tests.running_sandbox import Sandbox


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
