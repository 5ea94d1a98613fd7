"""A sandbox that really listens, in a thread of the test's own process, with a firm of 16 households."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from sandbox.app import create_app, listen
from sandbox.docusign.login import read_private_key
from sandbox.emoney.login import read_credentials
from sandbox.orion.app import PARTNERS, PASSWORD, USER
from sandbox.server.clock import Clock
from sandbox.server.key_file import write_once
from sandbox.vendors import VENDORS
from tests.running_server import run_server

NOW = datetime.fromisoformat("2026-11-20T23:00:00+00:00")
"""A Friday, after the close."""
LAST = date(2026, 11, 20)
PACE = 1000.0
"""How many times faster than the clock the spans of the vendors' limits pass."""

API = "/orion/api/v1/"


class Sandbox:
    """A caller of one running sandbox; `http` is at the sandbox's root, `org` at the root of the CRM's org."""

    def __init__(self, url: str, org_url: str) -> None:
        self.url, self.org_url = url, org_url
        self.http = httpx.Client(base_url=url, timeout=20, verify=False)  # reading the authorities takes milliseconds
        self.org = httpx.Client(base_url=org_url, timeout=20, verify=False)
        self.log_in()

    def log_in(self, partner: int = 0) -> None:
        known = PARTNERS[partner]
        headers = {"client_id": known.client_id, "client_secret": known.client_secret}
        answer = self.http.get(f"{API}security/token", auth=(USER, PASSWORD), headers=headers)
        self.http.headers["Authorization"] = f"Session {answer.json()['access_token']}"

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(API + path, params={name.replace("_", "$"): value for name, value in params.items()})

    def rows(self, path: str, **params: Any) -> list[dict[str, Any]]:
        import json

        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text, parse_float=Decimal)

    def fault(self, kind: str, route: str = "portfolio/assets", **options: Any) -> int:
        answer = self.http.post("/_sandbox/faults", json={"route": API + route, "kind": kind, **options})
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def admin(self, path: str, **values: Any) -> dict[str, Any]:
        answer = self.http.post(f"/_sandbox/{path}", json=values)
        assert answer.status_code == 200, answer.text
        return answer.json()


Start = Callable[..., Sandbox]


def closes_at_night(vendor: str) -> bool:
    return any(each.closes_at_night for each in VENDORS if each.name == vendor)


@cache
def _generate_keys() -> dict[str, bytes]:
    """Generate the private keys of the vendors' clients, once in a process: a firm takes a fifth of a second for its own."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        read_private_key(state)
        read_credentials(state)
        return {path.name: path.read_bytes() for path in state.iterdir()}


@contextlib.contextmanager
def run_sandbox(state: Path, **options: Any) -> Iterator[Sandbox]:
    for name, key in _generate_keys().items():
        write_once(state / name, key)
    clock = Clock()
    clock.set(options.pop("now", NOW))
    listeners = [listen(), listen()]
    for each in listeners:
        each.listen()
    ports = [each.getsockname()[1] for each in listeners]
    app = create_app(state, org_port=ports[1], **{"households": 16, "clock": clock, "pace": PACE} | options)
    with run_server(app, listeners, timeout_keep_alive=60):
        caller = Sandbox(*(f"http://127.0.0.1:{port}" for port in ports))
        try:
            yield caller
        finally:
            caller.http.close()
            caller.org.close()
