"""The gateway as a process of its own, with its settings from the environment and from files."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import requests
from starlette.applications import Starlette

from include.errors import ConfigurationError
from include.gateway.__main__ import add_health
from include.gateway.connections import limit_calls
from include.gateway.settings import read_database, read_keyring
from include.gateway.webhooks.authenticity import Keyring
from include.gateway.webhooks.senders import SENDERS
from local.processes import find_free_port
from tests.conftest import Database
from tests.firm_keys import KEYRING
from tests.gateway.conftest import EVENT, KEY, sign

ROOT = Path(__file__).parents[2]
SIGNING = next(sender for sender in SENDERS if sender.name == "docusign")
DATABASE, RECEIVING = "TRIBUTARY_GATEWAY_DATABASE", "TRIBUTARY_RECEIVING_KEY"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The file of a sender's keys."""
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n")
    return path


@pytest.fixture
def alone(database: Database, secrets: Path) -> Iterator[tuple[psutil.Popen, str]]:
    """A gateway's process, and its address."""
    port = find_free_port()
    settings = {
        DATABASE: database.url("tributary_gateway"),
        "DOCUSIGN_CONNECT_SECRETS_FILE": str(secrets),
        RECEIVING: KEYRING.receiving_key.text,
    }
    command = [sys.executable, "-m", "include.gateway", "--port", str(port)]
    process = psutil.Popen(command, cwd=ROOT, env=os.environ | settings)
    url = f"http://127.0.0.1:{port}/webhooks/docusign"
    try:
        end = time.monotonic() + 30
        while not process.net_connections("tcp") and time.monotonic() < end:
            time.sleep(0.05)
        yield process, url
    finally:
        process.terminate()
        assert process.wait(20) in (0, -15)


def post(url: str, key: str) -> int:
    return requests.post(url, data=EVENT, headers={"X-DocuSign-Signature-1": sign(EVENT, key)}, timeout=10).status_code


def test_gateway_by_itself_keeps_deliveries_and_takes_a_new_key_from_its_file(
    alone: tuple[psutil.Popen, str], secrets: Path, database: Database
) -> None:
    _, url = alone
    assert (post(url, KEY), post(url, "a-new-key=")) == (200, 401)
    secrets.write_text("a-new-key=")
    assert (post(url, KEY), post(url, "a-new-key=")) == (401, 200)
    assert database.value("select copies from control.inbox") == 2


def test_gateway_by_itself_listens_to_this_machine_only_and_as_a_role_that_reads_nothing(
    alone: tuple[psutil.Popen, str], database: Database
) -> None:
    process, url = alone
    assert post(url, KEY) == 200
    assert {each.laddr.ip for each in process.net_connections("tcp") if each.status == "LISTEN"} == {"127.0.0.1"}
    query = (
        "select distinct usename from pg_stat_activity where application_name = 'tributary' and usename like '%gateway'"
    )
    assert database.value(query) == "tributary_gateway"


def test_gateway_by_itself_is_healthy_without_a_login_whatever_its_database_does(
    alone: tuple[psutil.Popen, str], database: Database
) -> None:
    _, url = alone
    database.do("alter role tributary_gateway connection limit 0")
    try:
        assert post(url, KEY) == 503
        health = requests.get(url.replace("/webhooks/docusign", "/health"), timeout=10)
        assert (health.status_code, health.text) == (200, "ok")
    finally:
        database.do("alter role tributary_gateway connection limit -1")
    assert post(url, KEY) == 200
    assert requests.get(url.replace("/webhooks/docusign", "/elsewhere"), timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/", 404, None), ("GET", "/elsewhere", 404, None), ("GET", "/webhooks", 404, None), ("GET", "/webhooks/", 404, None),
        ("PUT", "/webhooks/adobe-sign", 405, "GET, POST"), ("OPTIONS", "/webhooks/docusign", 405, "POST"), ("DELETE", "/health", 404, None),
    ],
)  # fmt: skip
def test_request_that_no_route_serves_is_refused_with_a_problem(
    alone: tuple[psutil.Popen, str], method: str, path: str, status: int, allowed: str | None
) -> None:
    url = alone[1].removesuffix("/webhooks/docusign")
    response = requests.request(method, f"{url}{path}", timeout=10, allow_redirects=False)
    assert (response.status_code, response.headers.get("Allow")) == (status, allowed)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == status


def test_health_is_answered_while_as_many_calls_are_served_as_may_be() -> None:
    async def call(*paths: str) -> list[int]:
        transport = httpx.ASGITransport(add_health(limit_calls(Starlette(), 0)))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            return [(await http.get(path)).status_code for path in paths]

    assert asyncio.run(call("/webhooks/docusign", "/health")) == [503, 200]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, DATABASE),
        ({DATABASE: "host=db password=s3cret"}, DATABASE),
        ({DATABASE: "postgresql://a:s3cret@db"}, DATABASE),
        ({DATABASE: "postgresql://a:s3cret@db:port/x"}, DATABASE),
        ({f"{DATABASE}_FILE": "/nowhere/s3cret"}, f"{DATABASE}_FILE"),
        ({DATABASE: "postgresql://a:s3cret@127.0.0.1/x"}, RECEIVING),
        ({DATABASE: "postgresql://a:s3cret@127.0.0.1/x", RECEIVING: "receive:a:s3cret"}, "receiving-key"),
        (
            {
                DATABASE: "postgresql://a:s3cret@127.0.0.1/x",
                RECEIVING: KEYRING.receiving_key.text,
                "ADOBE_SIGN_WEBHOOK_NETWORKS": "everywhere",
            },
            "everywhere",
        ),
    ],
)
def test_unreadable_setting_is_reported_at_start(settings: dict[str, str], expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIBUTARY")} | settings
    command = [sys.executable, "-m", "include.gateway"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert expected in ended.stderr
    assert "s3cret" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_file_goes_before_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://a:b@db/x\n")
    monkeypatch.setenv(DATABASE, "postgresql://c:d@elsewhere/y")
    monkeypatch.setenv(f"{DATABASE}_FILE", str(tmp_path / "url"))
    assert read_database() == "postgresql://a:b@db/x"


def test_without_settings_a_sender_s_keyring_is_empty() -> None:
    assert read_keyring(SIGNING) == Keyring()


def test_missing_key_file_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCUSIGN_CONNECT_SECRETS_FILE", "/nowhere/keys")
    with pytest.raises(ConfigurationError, match="DOCUSIGN_CONNECT_SECRETS_FILE"):
        read_keyring(SIGNING)
