"""The proxy in front of Airflow's pages and the gateway: a real Caddy with our Caddyfile, over TLS."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from include.gateway.api.records import MAX_BYTES
from include.gateway.webhooks.senders import SENDERS
from tests.running_proxy import CADDYFILE, HOST, Proxy, run_proxy

PAGES = [
    "/",
    "/dags",
    "/api/v2/dags",
    "/auth/login/",
    "/auth/static/a.js",
    "/auth/logout/",
    "/execution/",
    "/data-docs/",
]
PROGRAMS = ["/webhooks/docusign", "/api/v1", "/api/v1/findings"]
LOGIN = "__Host-_token=ey"


class Echo(BaseHTTPRequestHandler):
    """Answer every request with its own headers, and with the cookies of Airflow and FAB."""

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(200)
        for name, value in {"content-type": "application/json", "content-length": str(len(body))}.items():
            self.send_header(name, value)
        for cookie in ("_token=ey; Path=/; Secure; HttpOnly; SameSite=Lax", "session=1; Path=/; Secure; HttpOnly"):
            self.send_header("set-cookie", cookie)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=upstream.serve_forever, kwargs={"poll_interval": 0.05}).start()
    try:
        with run_proxy(tmp_path_factory.mktemp("caddy"), f"127.0.0.1:{upstream.server_port}") as running:
            yield running
    finally:
        upstream.shutdown()
        upstream.server_close()


@pytest.mark.parametrize("path", [*PAGES, *PROGRAMS])
def test_every_response_has_the_headers_that_protect_browsers(proxy: Proxy, path: str) -> None:
    headers = proxy.get(path).headers
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors" in headers["content-security-policy"]
    assert "server" not in headers


@pytest.mark.parametrize("path", [path for path in PAGES if path != "/data-docs/"])
def test_the_policy_of_pages_allows_no_foreign_content(proxy: Proxy, path: str) -> None:
    policy = dict(part.split(" ", 1) for part in proxy.get(path).headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["object-src"] == "'none'"
    assert policy["base-uri"] == ("'none'" if path.startswith("/auth") else "'self'")
    assert not any("http" in sources or "*" in sources for sources in policy.values())


def test_cookies_are_bound_to_the_host(proxy: Proxy) -> None:
    cookies = proxy.get("/").headers.get_list("set-cookie")
    assert sorted(cookie.partition("=")[0] for cookie in cookies) == ["__Host-_token", "__Host-session"]
    assert all({"Path=/", "Secure", "HttpOnly"} <= set(cookie.split("; ")) for cookie in cookies)


def test_airflow_gets_its_own_names_and_none_of_another_host(proxy: Proxy) -> None:
    cookie = "_token=stolen; __Host-_token=ey; a_token=x;session=fixed; __Host-session=1"
    assert (
        proxy.get("/", cookie=cookie).json()["cookie"]
        == "-_token=stolen; _token=ey; a_token=x;-session=fixed; session=1"
    )


@pytest.mark.parametrize("cookie", ["", "_token=ey", "session=1", "__Host-_token=", "x__Host-_token=ey"])
def test_the_api_of_airflow_needs_a_login(proxy: Proxy, cookie: str) -> None:
    assert proxy.get("/api/v2/dags", cookie=cookie).status_code == 401
    assert proxy.get("/api/v2/dags", cookie=LOGIN).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/v2/auth/login", "/api/v2/auth/logout", "/auth/login/"])
def test_a_browser_without_a_login_reaches_the_login(proxy: Proxy, path: str) -> None:
    assert proxy.get(f"{path}?next=%2F").status_code == 200


@pytest.mark.parametrize(
    "path", ["/execution", "/execution/x", "/auth/token", "/auth/token/cli", "/ui/auth/token", "/docs", "/redoc", "/openapi.json"]
)  # fmt: skip
def test_internal_endpoints_and_descriptions_are_not_exposed(proxy: Proxy, path: str) -> None:
    assert proxy.get(path, cookie=LOGIN).status_code == 404


@pytest.mark.parametrize("path", ["/", "/auth/login/"])
def test_browsers_are_redirected_to_https(proxy: Proxy, path: str) -> None:
    response = proxy.get_over_http(f"{path}?a=1")
    assert (response.status_code, response.headers["location"]) == (308, f"https://{HOST}{path}?a=1")


@pytest.mark.parametrize("path", PROGRAMS)
def test_programs_are_not_redirected_to_https(proxy: Proxy, path: str) -> None:
    response = proxy.get_over_http(path)
    assert (response.status_code, "location" in response.headers) == (403, False)


def test_a_caller_can_not_set_the_headers_of_the_proxy(proxy: Proxy) -> None:
    forged = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "http", "x-forwarded-host": "other.test"}
    for path in ("/", "/api/v1/findings"):
        received = proxy.get(path, **forged).json()
        assert [received[name] for name in forged] == ["127.0.0.1", "https", HOST]


@pytest.mark.parametrize("path", ["/api/v2/dags", "/ui/config", "/auth/users/list/", "/api/v1/findings"])
def test_data_is_not_stored_by_browsers(proxy: Proxy, path: str) -> None:
    assert proxy.get(path, cookie=LOGIN).headers["cache-control"] == "no-store"


def test_a_logout_clears_what_the_browser_stored(proxy: Proxy) -> None:
    assert proxy.get("/auth/logout/").headers["clear-site-data"] == '"cache", "storage"'
    assert "clear-site-data" not in proxy.get("/auth/login/").headers


def connect(proxy: Proxy, version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> tuple[str, str]:
    """Return version and cipher suite of a connection with one version of TLS."""
    context = ssl.create_default_context(cafile=str(proxy.authority))
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    with (
        socket.create_connection(("127.0.0.1", proxy.https_port)) as connection,
        context.wrap_socket(connection, server_hostname=HOST) as secured,
    ):
        return str(secured.version()), str((secured.cipher() or ("",))[0])


@pytest.mark.filterwarnings("ignore")
def test_only_new_versions_of_tls_are_spoken(proxy: Proxy) -> None:
    for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(proxy, old)
    assert connect(proxy, ssl.TLSVersion.TLSv1_3)[0] == "TLSv1.3"


def test_cipher_suites_have_forward_secrecy_and_authenticated_encryption(proxy: Proxy) -> None:
    assert connect(proxy, ssl.TLSVersion.TLSv1_2)[1].startswith("ECDHE-")
    for weak in (
        "AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-SHA256",
        "ECDHE-ECDSA-AES256-SHA",
        "DHE-RSA-AES128-GCM-SHA256",
    ):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(proxy, ssl.TLSVersion.TLSv1_2, weak)


# --- the file itself ---


def test_browsers_use_https_also_below_the_host_and_run_no_foreign_script() -> None:
    text = CADDYFILE.read_text()
    assert 'Strict-Transport-Security "max-age=31536000; includeSubDomains"' in text
    [policy] = re.findall(r'header @pages \?Content-Security-Policy "(.+)"', text)
    assert policy.startswith("default-src 'self'; ")
    assert "script-src" not in policy  # `default-src` applies: scripts of this host, none inline


def test_the_proxy_bounds_each_body_where_it_is_served() -> None:
    # The smaller of a site's bound and a handle's wins, so a path must be rejected in the handle that would serve it.
    opened: list[str] = []
    blocks: dict[str, list[str]] = {}
    for line in map(str.strip, CADDYFILE.read_text().splitlines()):
        if line.startswith(("max_size", "respond @")):
            blocks[line] = opened[1:]
        if line.endswith("{"):
            opened.append(line.removesuffix("{").strip())
        elif line == "}":
            opened.pop()
    assert blocks == {
        "max_size 17MB": ["handle @programs", "request_body"],
        "max_size 2MB": ["handle", "request_body"],
        "respond @inside 404": ["handle"],
        "respond @anonymous 401": ["handle"],
    }
    assert max(*(sender.max_bytes for sender in SENDERS), MAX_BYTES) <= 17_000_000
