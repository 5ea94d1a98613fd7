"""An org that listens on a port, and its callers."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.salesforce import create_app
from sandbox.server.clock import Clock
from sandbox.server.faults import Fault, Faults
from tests.running_server import run_server

USERNAME = "loader@sample-wealth.example"
CLIENT_ID, CLIENT_SECRET = "3MVG9sample", "sample-secret"
DATA = "/services/data/v66.0"
ACCOUNTS = "FinServ__FinancialAccount__c"
HOLDINGS = "FinServ__FinancialHolding__c"
KEY = "Tributary_Key__c"


class ToSandbox(HTTPAdapter):
    """Routes a client's requests for any https host to the sandbox."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        path = request.url.split("/", 3)[3]
        request.url = f"{self._url}/{path}"
        kwargs["verify"] = False
        return super().send(request, *args, **kwargs)


@dataclass
class Server:
    url: str
    faults: Faults
    clock: Clock
    private_key: str
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, timeout=30, verify=False)

    def register(self, public_key: str) -> None:
        consumer = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "username": USERNAME}
        response = self.http.post("/_admin/consumers", json=consumer | {"public_key": public_key})
        assert response.status_code == 201, response.text

    def log_in(self) -> None:
        form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        token = self.http.post("/services/oauth2/token", data=form).json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def client(self, **login: Any) -> Salesforce:
        """simple-salesforce, unmodified."""
        session = requests.Session()
        session.mount("https://", ToSandbox(self.url))
        return Salesforce(session=session, version="66.0", **login)

    def call(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        return self.http.request(method, f"{DATA}{path}", **kwargs)

    def query(self, soql: str) -> list[dict[str, Any]]:
        response = self.call("GET", "/query", params={"q": soql})
        assert response.status_code == 200, response.text
        return response.json()["records"]

    def upsert(self, sobject: str, *records: dict[str, Any], key: str = KEY, all_or_none: bool = False) -> Any:
        body = {"allOrNone": all_or_none, "records": [{"attributes": {"type": sobject}} | r for r in records]}
        response = self.call("PATCH", f"/composite/sobjects/{sobject}/{key}", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def error(self, sobject: str, record: dict[str, Any], key: str = KEY) -> dict[str, Any]:
        """Upsert a record that is rejected; return its one error."""
        results = self.upsert(sobject, record, key=key)[0]
        assert results["success"] is False, results
        return results["errors"][0]

    def add_person(self, key: str = "P1") -> str:
        """Add a person's account; return its id."""
        record = {KEY: key, "Name": "Ada Sample", "RecordType": {"DeveloperName": "IndustriesIndividual"}}
        return self.upsert("Account", record)[0]["id"]

    def add_account(self, key: str = "A1") -> str:
        """Add a financial account of the person P1; return its id."""
        record = {KEY: key, "Name": "Sample IRA", "FinServ__PrimaryOwner__r": {KEY: "P1"}}
        return self.upsert(ACCOUNTS, record)[0]["id"]

    def load(self, sobject: str, text: str | bytes, upload: bool = True, **job: Any) -> str:
        """Create an ingest job, upload, close it; return its id."""
        request = {"object": sobject, "operation": "upsert", "externalIdFieldName": KEY, "contentType": "CSV"} | job
        response = self.call("POST", "/jobs/ingest", json={k: v for k, v in request.items() if v is not None})
        assert response.status_code == 200, response.text
        job_id = response.json()["id"]
        if upload:
            put = self.http.put("/" + response.json()["contentUrl"], content=text, headers={"Content-Type": "text/csv"})
            assert (put.status_code, put.content) == (201, b"")
            assert self.call("PATCH", f"/jobs/ingest/{job_id}", json={"state": "UploadComplete"}).status_code == 200
        return job_id

    def wait(self, job_id: str, kind: str = "ingest", seconds: float = 60) -> dict[str, Any]:
        """Wait until a job has ended; return it."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            job = self.call("GET", f"/jobs/{kind}/{job_id}").json()
            if job["state"] in {"JobComplete", "Failed", "Aborted"}:
                return job
            time.sleep(0.02)
        raise AssertionError(f"job {job_id} is still {job['state']}")

    def results(self, job_id: str, kind: str) -> str:
        response = self.call("GET", f"/jobs/ingest/{job_id}/{kind}/")
        assert response.status_code == 200, response.text
        return response.content.decode()

    def fault(self, kind: str, route: str = "*", **options: Any) -> None:
        common = {name: options.pop(name) for name in ("seed", "times", "share", "after") if name in options}
        self.faults.add(Fault(route, kind, options=options, **common))


@pytest.fixture(scope="session")
def key_pair() -> tuple[str, str]:
    """A private and a public key, PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@contextlib.contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """Run an application on a free port until the block ends; yield its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    with run_server(app, [listener], timeout_keep_alive=60):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def run_org(folder: Path, key_pair: tuple[str, str], shape: str | None = None) -> Iterator[Server]:
    """Run an org whose state is in `folder`, with an app whose key is known to it."""
    faults, clock = Faults(), Clock()
    org = create_app(folder, faults, clock, shape)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_steered = scope.get("path", "").startswith("/_admin")
        await (org.state.admin if is_steered else org)(scope, receive, send)

    with serve(app) as url:
        server = Server(url, faults, clock, key_pair[0])
        server.register(key_pair[1])
        server.log_in()
        with contextlib.closing(server.http):
            yield server


Start = Callable[[], contextlib.AbstractContextManager[Server]]


@pytest.fixture
def start(tmp_path: Path, key_pair: tuple[str, str]) -> Start:
    """Start the org, as often as the test likes, on the same state."""
    return lambda: run_org(tmp_path, key_pair)


@pytest.fixture
def org(start: Start) -> Iterator[Server]:
    with start() as server:
        yield server


@pytest.fixture(scope="module")
def empty_org(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[str, str]) -> Iterator[Server]:
    """An org that a module's tests share, for calls that change nothing because they are rejected."""
    with run_org(tmp_path_factory.mktemp("empty-org"), key_pair) as server:
        yield server
