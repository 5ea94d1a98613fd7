"""A Redis server with TLS and a password, and a certificate authority of its own."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
import trustme

from include.errors import ConfigurationError, TargetUnavailable
from local.processes import find_free_port


@contextmanager
def run_redis(folder: Path) -> Iterator[str]:
    """Run a server until the block ends; yield its URL. Its authority is in `folder`/ca.pem, and that of no server in `folder`/other.pem.

    Raises:
        ConfigurationError: Redis is not installed.
        TargetUnavailable: The server did not start.
    """
    if not shutil.which("redis-server"):
        raise ConfigurationError("redis-server is not installed: apt install redis-server, or brew install redis")
    port, authority, password = find_free_port(), trustme.CA(), secrets.token_urlsafe(16)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "leaf.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "other.pem"))
    leaf = str(folder / "leaf.pem")
    command = [
        "redis-server", "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--requirepass", password,
        "--tls-cert-file", leaf, "--tls-key-file", leaf, "--tls-ca-cert-file", str(folder / "ca.pem"), "--tls-auth-clients", "no",
    ]  # fmt: skip
    url = f"rediss://:{password}@127.0.0.1:{port}/1?ssl_ca_certs={folder / 'ca.pem'}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait(url, process)
            yield url
        finally:
            process.kill()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    with redis.Redis.from_url(url) as client:
        while process.poll() is None and time.monotonic() < end:
            with suppress(redis.ConnectionError):
                client.ping()
                return
            time.sleep(0.02)
    raise TargetUnavailable("Redis did not start")
