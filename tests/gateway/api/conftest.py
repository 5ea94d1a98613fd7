"""The API over HTTP, on a database with the API's role, with a local identity provider."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.applications import Starlette
from starlette.routing import Mount

from include.gateway.api import keys
from include.gateway.api.app import create_app
from include.gateway.api.callers import Issuer
from include.gateway.api.scopes import SCOPES
from include.gateway.api.settings import Settings
from include.warehouse import schema
from tests.conftest import Database
from tests.firm_keys import KEYRING, register_inbox_key
from tests.running_server import run_server

AUDIENCE = "https://tributary.example/api"
TABLES = (
    "control.request, control.idempotency, control.api_key, control.inbox, control.ledger, control.finding, control.dead_letter, "
    "control.dead_letter_content, control.unused_vendor"
)


@dataclass
class Provider:
    """An identity provider: its signing keys by id, and an endpoint that returns the public ones."""

    url: str = ""
    signing: dict[str, Any] = field(default_factory=dict)
    requests: int = 0
    broken: bytes | None = None
    moved_to: str = ""

    @property
    def jwks(self) -> list[dict[str, Any]]:
        keys = []
        for kid, key in self.signing.items():
            algorithm = (
                jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
            )
            keys.append(json.loads(algorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"})
        return keys

    def token(self, scopes: str = " ".join(SCOPES), kid: str = "rsa", **claims: Any) -> str:
        """Issue a valid token, except for the claims that a test changes; a claim of None is left out."""
        key = self.signing[kid]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(self.claims(scopes, **claims), key, algorithm, headers={"kid": kid})

    def claims(self, scopes: str = " ".join(SCOPES), **claims: Any) -> dict[str, Any]:
        now = int(time.time())
        whole = {"iss": self.url, "aud": AUDIENCE, "sub": "mule", "iat": now, "exp": now + 300, "scope": scopes}
        return {name: value for name, value in (whole | claims).items() if value is not None}


@pytest.fixture(scope="session")
def signing() -> dict[str, Any]:
    return {"rsa": rsa.generate_private_key(65537, 2048), "ec": ec.generate_private_key(ec.SECP256R1())}


@contextlib.contextmanager
def run_provider(signing: dict[str, Any]) -> Iterator[Provider]:
    provider = Provider(signing=dict(signing))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.requests += 1
            body = json.dumps({"keys": provider.jwks}).encode() if provider.broken is None else provider.broken
            self.send_response(302 if provider.moved_to else 200)
            self.send_header("Location", provider.moved_to)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_port}"
    yield provider
    server.shutdown()
    server.server_close()
    thread.join(10)


@dataclass
class Api:
    """A caller of a running API; by default its token has every scope."""

    http: httpx.Client
    database: Database
    provider: Provider
    tries: int = 0

    def get(self, path: str, token: str | None = None, **params: Any) -> httpx.Response:
        return self.http.get(path, params=params, headers=self.bearer(token))

    def post(self, path: str, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        self.tries += 1
        sent = self.bearer() | {"Idempotency-Key": key or f"attempt-{self.tries}"} | headers
        if isinstance(body, (bytes, str)):
            return self.http.post(path, content=body, headers={"Content-Type": "application/json"} | sent)
        return self.http.post(path, json=body, headers=sent)

    def bearer(self, token: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.provider.token() if token is None else token}"}


def read_body(response: httpx.Response, status: int) -> Any:
    """Check a response's status; return its body."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def read_problem(response: httpx.Response, status: int) -> str:
    """Check that a response is a problem (RFC 9457) with this status; return its detail."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    return str(problem["detail"])


@contextlib.contextmanager
def run_api(database: Database, provider: Provider, url: str | None = None, **options: Any) -> Iterator[Api]:
    engine = schema.engine(url or database.url("tributary_api"))
    settings = Settings(provider.url, AUDIENCE, f"{provider.url}/jwks")
    issuer = Issuer(settings)
    api = create_app(lambda: engine, lambda: settings, lambda: issuer, lambda: KEYRING.receiving_key, **options)
    app = Starlette(routes=[Mount("/api/v1", api)])
    listener = socket.create_server(("127.0.0.1", 0))
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
    try:
        with run_server(app, [listener]), httpx.Client(base_url=base_url, timeout=30) as http:
            yield Api(http, database, provider)
    finally:
        engine.dispose()


@pytest.fixture
def database(shared_database: Database) -> Database:
    """A database without requests."""
    shared_database.do(f"truncate {TABLES}")
    register_inbox_key(shared_database)
    return shared_database


@pytest.fixture(scope="module")
def provider(signing: dict[str, Any]) -> Iterator[Provider]:
    with run_provider(signing) as running:
        yield running


@pytest.fixture(scope="module")
def shared_api(shared_database: Database, provider: Provider) -> Iterator[Api]:
    with run_api(shared_database, provider, rate="100000/minute") as running:
        yield running


@pytest.fixture
def api(shared_api: Api, database: Database) -> Api:
    """An API that the module's tests share, on a database without requests."""
    return shared_api


@pytest.fixture
def run(database: Database, signing: dict[str, Any]) -> Iterator[Callable[..., Api]]:
    """Runs an API with the test's own settings and identity provider."""
    with contextlib.ExitStack() as running:

        def run_own(**options: Any) -> Api:
            return running.enter_context(run_api(database, running.enter_context(run_provider(signing)), **options))

        yield run_own


@pytest.fixture
def owner(database: Database) -> Iterator[sa.Engine]:
    """The database as the schema's owner."""
    opened = schema.engine(database.url("tributary_migrate"))
    yield opened
    opened.dispose()


@pytest.fixture
def engine(database: Database) -> Iterator[sa.Engine]:
    """An engine with the role of Airflow's tasks."""
    opened = schema.engine(database.url())
    yield opened
    opened.dispose()


@pytest.fixture
def make_key(owner: sa.Engine) -> Callable[..., str]:
    """Creates API keys."""
    return lambda caller="flow", scopes=tuple(SCOPES), days=1: keys.make(owner, caller, scopes, days)
