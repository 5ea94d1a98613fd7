"""Alerts reach files and people, and a failed alert is logged."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.alerts import send
from include.errors import ConfigurationError, TargetUnavailable

RECEIVED: list[dict[str, str]] = []


class _Pager(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        RECEIVED.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def pager() -> Iterator[str]:
    RECEIVED.clear()
    server = http.server.HTTPServer(("127.0.0.1", 0), _Pager)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}/alerts"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_gets_a_line_of_json(tmp_path: Path) -> None:
    for title in ("first", "second"):
        send([f"file://{tmp_path}/alerts.jsonl"], title, "a reason")
    lines = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]
    assert [(line["title"], line["body"]) for line in lines] == [("first", "a reason"), ("second", "a reason")]


def test_an_apprise_address_is_called(pager: str) -> None:
    send([pager], "Failed: a day", "two rows")
    assert [(body["title"], body["message"]) for body in RECEIVED] == [("Failed: a day", "two rows")]


def test_an_unknown_address_type_is_reported_without_its_secret() -> None:
    with pytest.raises(ConfigurationError) as error:
        send(["nosuch://user:hidden@host"], "title", "body")
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "json://alerts.example/hidden",
        "xml://alerts.example/hidden",
        "form://alerts.example/hidden",
        "gotify://alerts.example/hidden-token-123",
        "mailto://user:hidden@alerts.example",
        "mailto://user:hidden@localhost?smtp=alerts.example",
    ],
)
def test_an_address_without_tls_is_refused_before_anything_is_sent(url: str, pager: str) -> None:
    with pytest.raises(ConfigurationError, match="sends without TLS: use its secure form") as error:
        send([pager, url], "title", "body")
    assert "hidden" not in str(error.value)
    assert RECEIVED == []


@pytest.mark.parametrize("scheme", ["jsons", "xmls", "forms"])
def test_an_address_with_tls_is_used(scheme: str) -> None:
    with pytest.raises(TargetUnavailable):
        send([f"{scheme}://127.0.0.1:9/alerts"], "title", "body")


def test_unreachable_alert_address_is_reported() -> None:
    with pytest.raises(TargetUnavailable):
        send(["json://127.0.0.1:9/alerts"], "title", "body")
