"""Webhooks into a real API server with this project's plugins, on a real database."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from include.local import airflow
from include.local.processes import Processes, find_free_port
from tests.conftest import Database
from tests.gateway.conftest import CLIENT_ID, EVENT, KEY, NOTICE, sign

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def served(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API server's address; it knows the secrets of one sender."""
    folder, port = tmp_path_factory.mktemp("airflow"), find_free_port()
    connections = {
        "tributary_db": shared_database.url().replace("postgresql://", "postgres://"),
        "docusign_connect": json.dumps({"conn_type": "generic", "password": f"an-older-key= {KEY}"}),
    }
    settings = airflow.environment(
        folder / "home",
        f"sqlite:///{folder}/airflow.db",
        port,
        ROOT,
        dags_folder=folder,
        connections=connections,
    )
    command = [sys.executable, "-m", "airflow"]
    subprocess.run([*command, "db", "migrate"], env=settings, check=True, capture_output=True)
    processes = Processes(folder / "state")
    try:
        processes.start("api-server", [*command, "api-server"], environment=settings, folder=folder)
        url = f"http://127.0.0.1:{port}"
        wait(url)
        yield f"{url}/webhooks"
    finally:
        processes.stop_all()


def wait(url: str) -> None:
    end = time.monotonic() + 90
    while True:
        try:
            requests.get(f"{url}/api/v2/version", timeout=5).raise_for_status()
            return
        except requests.RequestException:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def test_signed_delivery_is_kept_without_a_log_in(served: str, shared_database: Database) -> None:
    headers = {"X-DocuSign-Signature-1": sign(EVENT)}
    answer = requests.post(f"{served}/docusign", data=EVENT, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()) == (200, {"status": "kept"})
    assert [bytes(row["body"]) for row in shared_database.rows("select body from control.inbox")] == [EVENT]


def test_without_a_signature_nothing_is_kept(served: str, shared_database: Database) -> None:
    before = shared_database.value("select count(*) from control.inbox")
    answer = requests.post(f"{served}/docusign", data=b"{}", timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert shared_database.value("select count(*) from control.inbox") == before


def test_sender_without_a_connection_is_told(served: str) -> None:
    headers = {"X-AdobeSign-ClientId": CLIENT_ID}
    for answer in (
        requests.post(f"{served}/adobe-sign", data=NOTICE, headers=headers, timeout=30),
        requests.get(f"{served}/adobe-sign", headers=headers, timeout=30),
    ):
        assert answer.status_code == 404
        assert "set this sender up" in answer.json()["detail"]
