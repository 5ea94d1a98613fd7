"""The proxy in front of the gateways and the API server: which of them gets a request while one is down, hangs or starts again."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from local.processes import find_free_port
from tests.running_proxy import CADDYFILE, GATEWAYS, run_caddy, wait_until


def test_the_proxy_tries_again_and_checks_its_servers() -> None:
    text = CADDYFILE.read_text()
    gateway, api_server = re.findall(r"^\t\treverse_proxy .*?^\t\t\}", text, flags=re.DOTALL | re.MULTILINE)
    assert {"health_uri /health", "lb_try_duration 10s"} <= set(map(str.strip, gateway.splitlines()))
    assert {"health_uri /api/v2/monitor/health", "lb_try_duration 10s"} <= set(map(str.strip, api_server.splitlines()))


class Upstream:
    """A server behind the proxy that responds with its own name while it runs."""

    def __init__(self, name: str, tls: ssl.SSLContext, port: int = 0) -> None:
        self.name, self.tls = name, tls

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.answers.wait(60)
                self.send_response(200 if self.path != "/api/v2/monitor/health" or upstream.is_healthy else 503)
                self.send_header("content-length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        upstream, self.is_healthy, self.answers = self, True, threading.Event()
        self.answers.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def end(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@dataclass
class Proxy:
    """A running Caddy with our Caddyfile, with local addresses."""

    url: str
    gateways: list[Upstream]
    api_server: Upstream

    def call(self, path: str, timeout: float = 30) -> httpx.Response:
        if path.startswith("/webhooks"):
            return httpx.post(f"{self.url}{path}", content=b"{}", headers={"host": "tributary.test"}, timeout=timeout)
        return httpx.get(f"{self.url}{path}", headers={"host": "tributary.test"}, timeout=timeout)

    def find_serving(self) -> set[str]:
        """Make some calls; return the names of the gateways that served them, and fail if a call takes long."""
        return {self.call("/webhooks/docusign", 0.5).text for _ in range(6)}


@pytest.fixture
def proxy(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    (request.param if hasattr(request, "param") else authority).issue_cert("127.0.0.1").configure_cert(tls)
    gateways, api_server = [Upstream("one", tls), Upstream("two", tls)], Upstream("pages", tls)
    plain, ready = find_free_port(), find_free_port()
    changes = {
        GATEWAYS: " ".join(f"https://127.0.0.1:{each.port}" for each in gateways),
        "{$TRIBUTARY_HOST} {": "http://tributary.test {", "tls {$TRIBUTARY_TLS} {\n\t\tprotocols tls1.2 tls1.3\n\t}": "",
        "http_port 8080": f"http_port {plain}", "http://{$TRIBUTARY_HOST}:8080": f"http://other.test:{plain}",
        "https_port 8443": f"https_port {find_free_port()}", "https://api-server:8080": f"https://127.0.0.1:{api_server.port}",
        "127.0.0.1:8081": f"127.0.0.1:{ready}", "health_interval 10s": "health_interval 1s", "health_interval 5s": "health_interval 1s",
        "health_timeout 5s": "health_timeout 1s",
    }  # fmt: skip
    try:
        with run_caddy(tmp_path, changes, {"/authority/ca.crt": str(tmp_path / "ca.crt")}):
            wait_until(lambda: httpx.get(f"http://127.0.0.1:{ready}/").status_code == 200)
            yield Proxy(f"http://127.0.0.1:{plain}", gateways, api_server)
    finally:
        for each in (*gateways, api_server):
            each.end()


@pytest.mark.parametrize("proxy", [trustme.CA()], indirect=True, ids=["foreign authority"])
def test_the_proxy_sends_nothing_to_a_server_of_another_authority(proxy: Proxy) -> None:
    assert {proxy.call(path).status_code for path in ("/webhooks/docusign", "/")} <= {502, 503}


def test_while_one_gateway_is_down_the_other_serves_every_request(proxy: Proxy) -> None:
    both = [proxy.call("/webhooks/docusign") for _ in range(10)]
    proxy.gateways[0].end()
    one = [proxy.call("/webhooks/docusign") for _ in range(10)]

    assert {each.text for each in both} == {"one", "two"}
    assert [(each.status_code, each.text) for each in one] == [(200, "two")] * 10


def test_a_gateway_that_hangs_gets_no_request_until_it_responds(proxy: Proxy) -> None:
    proxy.gateways[0].answers.clear()
    wait_until(lambda: proxy.find_serving() == {"two"})
    proxy.gateways[0].answers.set()
    wait_until(lambda: proxy.find_serving() == {"one", "two"})


def test_callers_that_end_their_requests_halfway_take_no_gateway_out(proxy: Proxy) -> None:
    head = b"POST /webhooks/docusign HTTP/1.1\r\nHost: tributary.test\r\nContent-Length: 1000\r\n\r\n{"
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", httpx.URL(proxy.url).port or 0)) as caller:
            caller.sendall(head)
            time.sleep(0.2)
    time.sleep(1)
    assert proxy.find_serving() == {"one", "two"}


@pytest.mark.parametrize("path", ["/webhooks/docusign", "/"])
def test_a_request_waits_for_a_restart(proxy: Proxy, path: str) -> None:
    down = proxy.gateways if path.startswith("/webhooks") else [proxy.api_server]
    for each in down:
        each.end()
    started: list[Upstream] = []
    timer = threading.Timer(2, lambda: started.append(Upstream("again", down[0].tls, down[0].port)))
    timer.start()
    try:
        response = proxy.call(path)
    finally:
        timer.join()
        started[0].end()
    assert (response.status_code, response.text) == (200, "again")


def test_an_api_server_that_is_not_healthy_gets_no_request_until_it_is(proxy: Proxy) -> None:
    proxy.api_server.is_healthy = False
    wait_until(lambda: proxy.call("/").status_code == 503)
    proxy.api_server.is_healthy = True
    assert proxy.call("/").text == "pages"
