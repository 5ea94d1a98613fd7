"""The API beside the webhooks: in a process of its own, and in Airflow's API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from local.processes import find_free_port
from tests.api_server import serve
from tests.conftest import Database
from tests.firm_keys import KEYRING
from tests.gateway.api.conftest import AUDIENCE, Provider
from tests.operations.health_records import record_firm
from tests.running_prometheus import run_prometheus

ROOT = Path(__file__).parents[3]


def read_statuses(url: str, provider: Provider, key: str) -> list[int]:
    """Return the statuses of four calls: with a token, with a key, without credentials, for the document."""
    calls = [("vendors", {"Authorization": f"Bearer {provider.token()}"}), ("findings", {"X-API-Key": key})]
    calls += [("vendors", {}), ("openapi.json", {})]
    return [requests.get(f"{url}/api/v1/{path}", headers=headers, timeout=20).status_code for path, headers in calls]


@pytest.fixture
def alone(database: Database, provider: Provider) -> Iterator[str]:
    """The URL of a gateway that also has a database for the API."""
    port = find_free_port()
    settings = {
        "TRIBUTARY_RECEIVING_KEY": KEYRING.receiving_key.text,
        "TRIBUTARY_GATEWAY_DATABASE": database.url("tributary_gateway"), "TRIBUTARY_API_DATABASE": database.url("tributary_api"),
        "TRIBUTARY_API_ISSUER": provider.url, "TRIBUTARY_API_AUDIENCE": AUDIENCE, "TRIBUTARY_API_JWKS_URL": provider.url,
    }  # fmt: skip
    process = psutil.Popen(
        [sys.executable, "-m", "include.gateway", "--port", str(port)], cwd=ROOT, env=os.environ | settings
    )
    try:
        end = time.monotonic() + 30
        while not process.net_connections("tcp") and time.monotonic() < end:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(20) in (0, -15)


def test_gateway_by_itself_serves_the_api_as_a_role_of_its_own(
    alone: str, provider: Provider, make_key: Callable[..., str], database: Database
) -> None:
    assert read_statuses(alone, provider, make_key()) == [200, 200, 401, 200]
    assert requests.post(f"{alone}/webhooks/docusign", timeout=20).status_code == 404
    roles = database.rows("select distinct usename from pg_stat_activity where application_name = 'tributary'")
    assert "tributary_api" in {row["usename"] for row in roles}


def test_prometheus_scrapes_the_gateway_with_a_key(
    alone: str, make_key: Callable[..., str], database: Database, tmp_path: Path
) -> None:
    record_firm(database)
    for path in ("/api/v1/runs/1", "/api/v1/runs/2", "/webhooks/docusign", "/a/path/of/ours", "/api/v1/a/path/of/ours"):
        requests.get(f"{alone}{path}", timeout=20)
    with run_prometheus(tmp_path, alone.removeprefix("http://"), make_key(scopes=["metrics:read"])) as prometheus:
        target = prometheus.read_target()
        assert (target["health"], target["lastError"]) == ("up", "")
        [(labels, value)] = prometheus.query('tributary_table_missing_usd{vendor="orion", table="assets"}')
        assert (labels["job"], value) == ("tributary", 10)
        assert len(prometheus.query('{__name__=~"tributary_(vendor|queue|audit|backup).*"}')) > 20
        counts = {
            (labels["route"], labels["status"]): value
            for labels, value in prometheus.query("tributary_gateway_request_seconds_count")
        }
        assert counts[("/api/v1/runs/{id}", "401")] == 2
        assert counts[("/webhooks/docusign", "405")] == 1
        assert counts[("unknown", "404")] == 2
        assert prometheus.query('tributary_gateway_request_seconds_count{route=~".*path.*"}') == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"TRIBUTARY_API_DATABASE": "postgresql://a:s3cret@db"}, "TRIBUTARY_API_DATABASE"),
        ({"TRIBUTARY_API_ISSUER": "https://i.example"}, "AUDIENCE"),
        ({"TRIBUTARY_API_ISSUER_FILE": "/nowhere/s3cret"}, "TRIBUTARY_API_ISSUER_FILE"),
    ],
)
def test_invalid_setting_is_reported_at_start(settings: dict[str, str], message: str) -> None:
    good = "postgresql://a:b@127.0.0.1:1/x"
    key = KEYRING.receiving_key.text
    environment = {"TRIBUTARY_GATEWAY_DATABASE": good, "TRIBUTARY_API_DATABASE": good, "TRIBUTARY_RECEIVING_KEY": key}
    environment |= settings
    command = [sys.executable, "-m", "include.gateway"]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert message in ended.stderr
    assert "s3cret" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.fixture
def airflow_url(database: Database, provider: Provider, airflow_database: Path, tmp_path: Path) -> Iterator[str]:
    """The URL of an Airflow API server with this project's plugins."""
    extra = {"issuer": provider.url, "audience": AUDIENCE, "jwks_url": provider.url}
    connections = {
        "tributary_db": database.url().replace("postgresql://", "postgres://"),
        "tributary_db_api": database.url("tributary_api"),
        "tributary_api": json.dumps({"conn_type": "generic", "extra": extra}),
    }
    with serve(tmp_path, airflow_database, connections) as (url, _):
        yield url


@pytest.mark.airflow
@pytest.mark.long
def test_airflow_s_own_server_serves_the_api(
    airflow_url: str, provider: Provider, make_key: Callable[..., str], database: Database, tmp_path: Path
) -> None:
    assert read_statuses(airflow_url, provider, make_key()) == [200, 200, 401, 200]
    with run_prometheus(tmp_path, airflow_url.removeprefix("http://"), make_key(scopes=["metrics:read"])) as prometheus:
        assert prometheus.read_target()["health"] == "up"
        assert len(prometheus.query("tributary_build_info")) == 1
    roles = database.rows("select usename from pg_stat_activity where datname = current_database()")
    assert "tributary_api" in {row["usename"] for row in roles}
