"""A caller who is logged in to the sandbox's DocuSign, and a listener for Connect."""

import functools
import http.server
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt

from sandbox.docusign.login import read_private_key
from sandbox.docusign.store import CONNECT_KEY
from sandbox.emoney.app import read_credentials
from tests.running_sandbox import NOW

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SINCE = "2020-01-01T00:00:00Z"


@functools.cache
def _make_keys() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        read_private_key(Path(folder))
        read_credentials(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).glob("*.pem")}


def give_keys(state: Path) -> None:
    """Put key pairs into a new sandbox's folder: making them takes longer than most tests."""
    state.mkdir(parents=True, exist_ok=True)
    for name, content in _make_keys().items():
        (state / name).write_bytes(content)


class DocuSign:
    def __init__(self, sandbox: Any) -> None:
        self.sandbox, self.http = sandbox, sandbox.http
        self.extra = self.http.get("/_sandbox/connections").json()["docusign"]["extra"]
        self.headers: dict[str, str] = {}
        self.root = f"/docusign/restapi/v2.1/accounts/{self.extra['account_id']}"

    def sign(self, key: str | None = None, **claims: Any) -> str:
        base_claims = {
            "iss": self.extra["integration_key"],
            "sub": self.extra["user_id"],
            "aud": self.extra["auth_host"],
        }
        base_claims |= {"exp": int(time.time()) + 300, "scope": "signature impersonation"}
        return jwt.encode(base_claims | claims, key or self.extra["private_key"], algorithm="RS256")

    def request_token(self, **changed: str) -> httpx.Response:
        return self.http.post("/docusign/oauth/token", data={"grant_type": GRANT, "assertion": self.sign()} | changed)

    def log_in(self) -> "DocuSign":
        self.headers["Authorization"] = f"Bearer {self.request_token().json()['access_token']}"
        return self

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.http.request(method, self.root + path, headers=self.headers, **more)

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.call("GET", path, params=params)

    def list(self, **params: Any) -> list[dict[str, Any]]:
        response = self.get("/envelopes", **{"from_date": SINCE, "count": 1000} | params)
        assert response.status_code == 200, response.text
        return response.json()["envelopes"]

    def edit(self, kind: str, **values: Any) -> dict[str, Any]:
        return self.sandbox.admin(f"docusign/{kind}", **values)

    def send(self, household: int = 1001, **values: Any) -> str:
        return self.edit("send", household=household, **values)["envelopeId"]

    def subscribe(self, url: str, *events: str, **changed: Any) -> dict[str, Any]:
        config = {"urlToPublishTo": url, "events": list(events), "allUsers": "true", "allowEnvelopePublish": "true"}
        config |= {"includeHMAC": "true", "requiresAcknowledgement": "true", "enableLog": "true"}
        config |= {"eventData": {"version": "restv2.1", "includeData": ["recipients", "custom_fields"]}}
        response = self.call("POST", "/connect", json=config | changed)
        assert response.status_code == 201, response.text
        return response.json()

    def tidy(self) -> "DocuSign":
        """Reset a used sandbox, except for the envelopes that were sent."""
        self.http.delete("/_sandbox/faults")
        self.http.delete("/_sandbox/calls")
        self.sandbox.admin("clock", now=NOW.isoformat(), rate=1)
        self.edit("consent", is_given=True)
        self.log_in()
        for config in self.get("/connect").json()["configurations"]:
            self.call("DELETE", f"/connect/{config['connectId']}")
        self.edit("connect_keys", keys=[CONNECT_KEY])
        self.edit("disturb")
        self.edit("retries")
        self.http.delete("/_sandbox/calls")
        return self


class Listener:
    """Keeps the messages of Connect. `answer` returns the status of the response; None closes without one."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[bytes], int | None] = lambda body: 200
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = listener.answer(body)
                if status is not None:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)
