"""The certificates of our containers: real servers run with them and with the settings of docker-compose.yaml, and clients verify them.

Docker is not needed: each server runs as a process. A server that is not installed is skipped.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import trustme
import yaml

from include.watchdog import _answers
from local.processes import find_free_port
from local.server_user import find_server_ids, is_root
from tests.firm_keys import KEYRING

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
FOLDERS = ("authority", "ca", "postgres", "redis", "gateway", "api-server", "object-store")
UIDS = ("POSTGRES_UID", "REDIS_UID", "TRIBUTARY_UID")

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")


def run_script(folder: Path) -> str:
    """Run docker/certificates.sh with this machine's users; return its output."""
    owner = str(find_server_ids()[0])
    environment = os.environ | dict.fromkeys(UIDS, owner)
    done = subprocess.run(
        ["sh", ROOT / "docker" / "certificates.sh", folder], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The certificates, in a folder that the servers' user can reach, with `other.crt`, the certificate of another authority."""
    folder = tmp_path_factory.mktemp("certificates")
    if is_root():
        folder = Path("/var/lib") / f"tributary-certificates-{os.getpid()}"
        folder.mkdir()
    try:
        for name in FOLDERS:
            (folder / name).mkdir()
        run_script(folder)
        trustme.CA().cert_pem.write_to_path(str(folder / "other.crt"))
        yield folder
    finally:
        shutil.rmtree(folder)


def read_context(certificates: Path, authority: str = "ca/ca.crt") -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / authority))


# --- the certificates ---


def describe(path: Path, *what: str) -> str:
    return subprocess.run(
        ["openssl", "x509", "-in", path, "-noout", *what], capture_output=True, text=True, check=True
    ).stdout


def test_second_start_keeps_every_certificate(certificates: Path) -> None:
    before = {path: path.read_bytes() for path in certificates.rglob("*") if path.is_file()}
    assert run_script(certificates) == ""
    assert {path: path.read_bytes() for path in certificates.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("days", "is_replaced"), [(179, True), (181, False)])
def test_certificate_that_ends_soon_is_replaced(certificates: Path, days: int, is_replaced: bool) -> None:
    folder, authority = certificates / "redis", certificates / "authority"
    command = ["openssl", "req", "-x509", "-new", "-key", folder / "tls.key", "-days", str(days), "-subj", "/CN=redis"]
    command += ["-CA", authority / "ca.crt", "-CAkey", authority / "ca.key", "-out", folder / "tls.crt"]
    subprocess.run(command, check=True, capture_output=True)
    before = (authority / "ca.crt").read_bytes()
    assert run_script(certificates) == ("Issued a certificate for redis\n" if is_replaced else "")
    assert (authority / "ca.crt").read_bytes() == before == (certificates / "ca" / "ca.crt").read_bytes()


def test_certificate_of_another_authority_is_replaced(certificates: Path) -> None:
    trustme.CA().issue_cert("redis").cert_chain_pems[0].write_to_path(str(certificates / "redis" / "tls.crt"))
    assert run_script(certificates) == "Issued a certificate for redis\n"


def test_keys_are_readable_by_their_server_alone(certificates: Path) -> None:
    keys = sorted(certificates.rglob("*.key"))
    assert [key.parent.name for key in keys] == [
        "api-server",
        "authority",
        "gateway",
        "object-store",
        "postgres",
        "redis",
    ]
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    owners = {key.parent.name: key.stat().st_uid for key in keys}
    assert owners.pop("authority") == os.geteuid()
    assert set(owners.values()) == {find_server_ids()[0]}


def test_certificates_name_their_servers(certificates: Path) -> None:
    assert "DNS:gateway, DNS:gateway-2, DNS:localhost" in describe(
        certificates / "gateway" / "tls.crt", "-ext", "subjectAltName"
    )
    assert "CA:FALSE" in describe(certificates / "gateway" / "tls.crt", "-ext", "basicConstraints")


# --- PostgreSQL ---


@pytest.fixture(scope="module")
def postgres(certificates: Path) -> Iterator[int]:
    """The port of a PostgreSQL server with the compose file's settings of TLS. The embedded one is built without TLS."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name))
    if not programs:
        pytest.skip("PostgreSQL with TLS is not here")
    binaries, data, port = programs[-1], certificates / "data", find_free_port()
    shutil.copy(ROOT / "docker" / "pg_hba.conf", certificates / "pg_hba.conf")
    (certificates / "password").write_text("only-for-tests")
    data.mkdir(mode=0o700)
    user, group = find_server_ids()
    os.chown(data, user, group)
    run: dict[str, Any] = {"user": user, "group": group, "extra_groups": []} if is_root() else {}
    run |= {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C"}}
    login = [
        "--auth=scram-sha-256",
        "--username=postgres",
        f"--pwfile={certificates / 'password'}",
        "--no-sync",
        "--encoding=UTF8",
    ]
    subprocess.run([binaries / "initdb", f"--pgdata={data}", *login], check=True, capture_output=True, **run)
    words = SERVICES["postgres"]["command"]
    places = {"/certificates/": f"{certificates / 'postgres'}/", "/etc/postgresql/": f"{certificates}/"}
    tls = [word for word in words if re.match(r"(ssl|hba_file)", word)]
    assert len(tls) == 5
    for old, new in places.items():
        tls = [word.replace(old, new) for word in tls]
    options = [f"--{word}" for word in [*tls, f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]]
    with subprocess.Popen([binaries / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, **run) as process:
        try:
            wait_for(port, process)
            # It listens before it accepts logins.
            ready = [binaries / "pg_isready", "--host=127.0.0.1", f"--port={port}", "--quiet"]
            while subprocess.run(ready).returncode:
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError("the server did not start")


def connect(
    port: int, certificates: Path, host: str = "postgres", authority: str = "ca/ca.crt", mode: str = "verify-full"
) -> Any:
    """Connect to the server as its container's name, or another one."""
    return psycopg.connect(
        host=host, hostaddr="127.0.0.1", port=port, user="postgres", password="only-for-tests", dbname="postgres", sslmode=mode,
        sslrootcert=str(certificates / authority), connect_timeout=10,
    )  # fmt: skip


def test_database_is_reached_over_verified_tls(postgres: int, certificates: Path) -> None:
    with connect(postgres, certificates) as connection:
        row = connection.execute("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()").fetchone()
    assert row == (True, "TLSv1.3")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"authority": "other.crt"}, "certificate verify failed"),
        ({"host": "db.example"}, "does not match host name"),
        ({"mode": "disable"}, "no pg_hba.conf entry|no encryption"),
    ],
    ids=str,
)
def test_database_is_refused(postgres: int, certificates: Path, options: dict[str, str], reason: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=reason):
        connect(postgres, certificates, **options)


# --- Redis ---


@pytest.fixture(scope="module")
def redis(certificates: Path) -> Iterator[int]:
    """The port of a Redis server with the command of the compose file."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here")
    shell, option, script = SERVICES["redis"]["command"]
    port, data = find_free_port(), certificates / "redis-data"
    data.mkdir()
    for old, new in {
        "$$": "$",
        "/certificates/": f"{certificates / 'redis'}/",
        "tls-port 6379": f"tls-port {port}",
        "dir /data": f"dir {data}",
    }.items():
        assert old in script
        script = script.replace(old, new)
    environment = os.environ | {"REDISCLI_AUTH": "only-for-tests"}
    # The shell waits for the pipeline, so the server is another process of its group.
    with subprocess.Popen(
        [shell, option, script], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            wait_for(port, process)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def ping(port: int, context: ssl.SSLContext | None, host: str = "redis") -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        connection = context.wrap_socket(plain, server_hostname=host) if context else plain
        connection.sendall(b"AUTH only-for-tests\r\nPING\r\n")
        with connection.makefile("rb") as lines:
            return lines.readline() + lines.readline()


def test_broker_is_reached_over_verified_tls(redis: int, certificates: Path) -> None:
    assert ping(redis, read_context(certificates)) == b"+OK\r\n+PONG\r\n"


def test_broker_of_another_authority_or_name_is_refused(redis: int, certificates: Path) -> None:
    for context, host in ((read_context(certificates, "other.crt"), "redis"), (read_context(certificates), "postgres")):
        with pytest.raises(ssl.SSLCertVerificationError):
            ping(redis, context, host)


def test_broker_answers_nothing_without_tls(redis: int) -> None:
    with contextlib.suppress(ConnectionError):
        assert b"PONG" not in ping(redis, None)


# --- gateway ---


@pytest.fixture(scope="module")
def gateway(certificates: Path) -> Iterator[int]:
    """The port of a gateway with the command of the compose file; its database is not needed for its health."""
    port, folder = find_free_port(), certificates / "gateway"
    words = [word.replace("/certificates/", f"{folder}/") for word in SERVICES["gateway"]["command"][1:]]
    changes = {"0.0.0.0": "127.0.0.1", "8090": str(port)}
    settings = {
        "TRIBUTARY_GATEWAY_DATABASE": "postgresql://a:b@127.0.0.1:1/nowhere",
        "TRIBUTARY_RECEIVING_KEY": KEYRING.receiving_key.text,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, *(changes.get(word, word) for word in words)]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | settings) as process:
        try:
            wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def test_gateway_is_reached_over_verified_tls(gateway: int, certificates: Path) -> None:
    response = httpx.get(f"https://localhost:{gateway}/health", verify=read_context(certificates), timeout=10)
    assert (response.status_code, response.text) == (200, "ok")


@pytest.mark.parametrize(
    ("authority", "scheme"), [("other.crt", "https"), ("ca/ca.crt", "http")], ids=["another authority", "no TLS"]
)
def test_gateway_is_not_reached(gateway: int, certificates: Path, authority: str, scheme: str) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{scheme}://localhost:{gateway}/health", verify=read_context(certificates, authority), timeout=10)


@pytest.mark.parametrize(("authority", "answers"), [("ca/ca.crt", True), ("other.crt", False)])
def test_watchdog_verifies_the_server_that_it_checks(
    gateway: int, certificates: Path, authority: str, answers: bool
) -> None:
    assert _answers(str(gateway), str(certificates / authority)) == answers
