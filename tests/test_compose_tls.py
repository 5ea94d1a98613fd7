"""TLS between the containers of the production shape."""

from __future__ import annotations

import re

import pytest

from tests.compose_file import ROOT, SERVICES, settings, volumes

SERVERS = {"postgres": "postgres", "redis": "redis", "gateway": "gateway", "gateway-2": "gateway", "api-server": "api-server",
           "object-store": "object-store"}  # fmt: skip
"""The service of each server -> the name of its certificate."""
AUTHORITY = "/certificates/ca.crt"
SCRIPT = (ROOT / "docker" / "certificates.sh").read_text()


@pytest.mark.parametrize(("name", "certificate"), SERVERS.items())
def test_each_server_has_its_own_key_and_no_other(name: str, certificate: str) -> None:
    assert {each for each in volumes(name) if each.startswith("tls-")} == {f"tls-{certificate}"}
    assert volumes(name)[f"tls-{certificate}"] == "/certificates"
    assert f"/certificates/{certificate}" == volumes("certificates")[f"tls-{certificate}"]
    assert re.search(rf"^issue {certificate} .*\b{name}\b", SCRIPT, re.MULTILINE)


def test_only_the_one_shot_service_has_the_authority_s_key() -> None:
    assert [name for name in SERVICES if "authority" in volumes(name)] == ["certificates"]
    assert SERVICES["certificates"]["network_mode"] == "none"
    assert not [name for name in set(SERVICES) - {"certificates", *SERVERS} if any("tls-" in v for v in volumes(name))]


@pytest.mark.parametrize("name", ["postgres", "redis", "object-store"])
def test_servers_start_after_their_certificates(name: str) -> None:
    assert SERVICES[name]["depends_on"]["certificates"] == {"condition": "service_completed_successfully"}


def test_every_client_of_the_database_verifies_it() -> None:
    urls = {
        f"{name}: {key}": value
        for name in SERVICES
        for key, value in settings(name).items()
        if "@postgres:5432/" in value
    }
    assert len(urls) > 20
    for where, url in urls.items():
        if "SQL_ALCHEMY_CONN" in where or "RESULT_BACKEND" in where:  # its asynchronous driver takes no such parameters
            name = where.split(":")[0]
            assert (settings(name)["PGSSLMODE"], settings(name)["PGSSLROOTCERT"]) == ("verify-full", AUTHORITY)
        else:
            assert url.endswith(f"?sslmode=verify-full&sslrootcert={AUTHORITY}"), where
    assert settings("backup")["PGSSLMODE"] == "verify-full"
    clients = {where.split(":")[0] for where in urls} | {"backup"}
    assert all("/certificates" in volumes(name).values() for name in clients)


def test_the_database_accepts_only_tls_from_outside() -> None:
    assert "hba_file=/etc/postgresql/pg_hba.conf" in SERVICES["postgres"]["command"]
    rules = [line.split()[0] for line in (ROOT / "docker" / "pg_hba.conf").read_text().splitlines() if line[0] != "#"]
    assert rules == ["local", "hostssl"]


def test_redis_the_object_store_and_the_api_server_accept_only_tls() -> None:
    assert "--port 0 --tls-port 6379" in SERVICES["redis"]["command"][-1]
    broker = settings("worker-loads")["AIRFLOW__CELERY__BROKER_URL"]
    assert broker.startswith("rediss://")
    assert broker.endswith(f"?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={AUTHORITY}")
    command = SERVICES["object-store"]["command"]
    assert {"-s3.cert.file=/certificates/tls.crt", "-s3.key.file=/certificates/tls.key"} <= set(command)
    assert not any(
        each.startswith("-s3.port.https") for each in command
    )  # it would open a second port, and leave the first without TLS
    assert settings("scheduler")["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].startswith("https://api-server:")
    assert settings("api-server")["AIRFLOW__API__SSL_CERT"] == "/certificates/tls.crt"
