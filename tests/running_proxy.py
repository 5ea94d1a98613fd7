"""A real Caddy with our Caddyfile, over TLS with a certificate of its own, in front of one server."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from local.processes import find_free_port

ROOT = Path(__file__).parents[1]
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
    """Run the proxy until the end of the block; `upstream` (host:port) takes the place of Airflow and of the gateways."""
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("caddy is not here")
    https_port, http_port = https_port or find_free_port(), find_free_port()
    text = (ROOT / "docker" / "Caddyfile").read_text()
    for ours, here in {
        "admin off": "admin off\n\tskip_install_trust", "http_port 8080": f"http_port {http_port}",
        "https_port 8443": f"https_port {https_port}", "{$TRIBUTARY_HOST}:8080": f"{{$TRIBUTARY_HOST}}:{http_port}",
        "gateway:8090 gateway-2:8090": upstream, "api-server:8080": upstream, "127.0.0.1:8081": f"127.0.0.1:{find_free_port()}",
    }.items():  # fmt: skip
        assert text.count(ours) == 1, ours
        text = text.replace(ours, here)
    (folder / "Caddyfile").write_text(text)
    places = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    environment = os.environ | places | {"TRIBUTARY_HOST": HOST, "TRIBUTARY_TLS": "internal"}
    command = [caddy, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        proxy = Proxy(https_port, http_port, folder / "caddy" / "pki" / "authorities" / "local" / "root.crt")
        try:
            _wait_until_ready(proxy)
            yield proxy
        finally:
            process.terminate()
            process.wait(20)


def _wait_until_ready(proxy: Proxy) -> None:
    last = time.monotonic() + 30
    while time.monotonic() < last:
        with suppress(httpx.TransportError, FileNotFoundError):
            if proxy.get("/").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the proxy did not start within 30 s")
