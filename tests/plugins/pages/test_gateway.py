"""Webhooks into a real API server with this project's plugins, on a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.api_server import serve
from tests.conftest import Database
from tests.firm_keys import open_body, register_inbox_key, write_keyring
from tests.gateway.conftest import CLIENT_ID, EVENT, KEY, NOTICE, sign

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def served(
    shared_database: Database, airflow_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The API server's URL; it has the secrets of one sender."""
    connections = {
        "tributary_db": shared_database.url().replace("postgresql://", "postgres://"),
        "tributary_keys": json.dumps({"conn_type": "generic", "password": write_keyring()}),
        "tributary_db_gateway": shared_database.url("tributary_gateway"),
        "docusign_connect": json.dumps({"conn_type": "generic", "password": f"an-older-key= {KEY}"}),
    }
    register_inbox_key(shared_database)
    with serve(tmp_path_factory.mktemp("airflow"), airflow_database, connections) as (url, _):
        yield f"{url}/webhooks"


def test_signed_delivery_is_kept_without_a_log_in(served: str, shared_database: Database) -> None:
    headers = {"X-DocuSign-Signature-1": sign(EVENT)}
    response = requests.post(f"{served}/docusign", data=EVENT, headers=headers, timeout=30)
    assert (response.status_code, response.json()) == (200, {"status": "kept"})
    assert [open_body(row) for row in shared_database.rows("select * from control.inbox")] == [EVENT]


def test_webhooks_are_stored_as_the_gateway_s_role(served: str, shared_database: Database) -> None:
    requests.post(f"{served}/docusign", data=EVENT, headers={"X-DocuSign-Signature-1": sign(EVENT)}, timeout=30)
    query = "select distinct usename from pg_stat_activity where datname = current_database() and query like '%control.receive%'"
    roles = {row["usename"] for row in shared_database.rows(query)}
    assert "tributary_gateway" in roles
    assert "tributary_load" not in roles


def test_without_a_signature_nothing_is_kept(served: str, shared_database: Database) -> None:
    before = shared_database.value("select count(*) from control.inbox")
    response = requests.post(f"{served}/docusign", data=b"{}", timeout=30)
    assert (response.status_code, response.headers["content-type"]) == (401, "application/problem+json")
    assert shared_database.value("select count(*) from control.inbox") == before


def test_sender_without_a_connection_gets_404(served: str) -> None:
    headers = {"X-AdobeSign-ClientId": CLIENT_ID}
    for response in (
        requests.post(f"{served}/adobe-sign", data=NOTICE, headers=headers, timeout=30),
        requests.get(f"{served}/adobe-sign", headers=headers, timeout=30),
    ):
        assert response.status_code == 404
        assert "not configured" in response.json()["detail"]
