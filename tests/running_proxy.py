"""A real Caddy with our Caddyfile, on this machine. It is skipped where Caddy is not installed."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from local.processes import find_free_port

CADDYFILE = Path(__file__).parents[1] / "docker" / "Caddyfile"
GATEWAYS = "https://gateway:8090 https://gateway-2:8090"
"""The gateways, as the Caddyfile names them."""
HOST = "tributary.test"


@dataclass
class Proxy:
    """A running proxy: its ports, and the file of its own certificate authority."""

    https_port: int
    http_port: int
    authority: Path

    def get(self, path: str, **headers: str) -> httpx.Response:
        with httpx.Client(verify=ssl.create_default_context(cafile=str(self.authority))) as client:
            url = f"https://127.0.0.1:{self.https_port}{path}"
            return client.get(url, headers={"host": HOST} | headers, extensions={"sni_hostname": HOST}, timeout=20)

    def get_over_http(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.http_port}{path}", headers={"host": HOST}, timeout=20)


@contextmanager
def run_proxy(folder: Path, upstream: str, https_port: int = 0) -> Iterator[Proxy]:
    """Run the proxy until the end of the block; `upstream` (host:port, without TLS) takes the place of Airflow and of the gateways."""
    https_port, http_port = https_port or find_free_port(), find_free_port()
    changes = {
        "admin off": "admin off\n\tskip_install_trust", "http_port 8080": f"http_port {http_port}",
        "https_port 8443": f"https_port {https_port}", "{$TRIBUTARY_HOST}:8080": f"{{$TRIBUTARY_HOST}}:{http_port}",
        GATEWAYS: upstream, "https://api-server:8080": upstream, "127.0.0.1:8081": f"127.0.0.1:{find_free_port()}",
    }  # fmt: skip
    with run_caddy(folder, changes, {"tls_trust_pool file /authority/ca.crt": ""}):
        proxy = Proxy(https_port, http_port, folder / "caddy" / "pki" / "authorities" / "local" / "root.crt")
        wait_until(lambda: proxy.get("/").status_code == 200)
        yield proxy


@contextmanager
def run_caddy(folder: Path, changes: Mapping[str, str], changes_everywhere: Mapping[str, str]) -> Iterator[None]:
    """Run Caddy with the changed Caddyfile until the end of the block.

    Args:
        folder: For its files; the log is `log`.
        changes: Text that the Caddyfile has once -> its replacement.
        changes_everywhere: Text that the Caddyfile has -> its replacement.
    """
    caddy = shutil.which("caddy")
    # Versions before 2.8 can't send a request with a body to a second server; Debian's is one of them.
    if caddy is None or _read_version(caddy) < (2, 8):
        pytest.skip("caddy 2.8 or newer is not here")
    text = CADDYFILE.read_text()
    for ours, here in changes.items():
        assert text.count(ours) == 1, ours
        text = text.replace(ours, here)
    for ours, here in changes_everywhere.items():
        assert ours in text
        text = text.replace(ours, here)
    (folder / "Caddyfile").write_text(text)
    places = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    environment = os.environ | places | {"TRIBUTARY_HOST": HOST, "TRIBUTARY_TLS": "internal"}
    command = [caddy, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def _read_version(caddy: str) -> tuple[int, ...]:
    output = subprocess.run([caddy, "version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", output)[:2]))


def wait_until(is_true: Callable[[], bool]) -> None:
    last = time.monotonic() + 30
    while time.monotonic() < last:
        with suppress(httpx.TransportError, FileNotFoundError):
            if is_true():
                return
        time.sleep(0.1)
    raise AssertionError("the condition was not met within 30 s")
