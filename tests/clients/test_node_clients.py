"""Salesforce's and DocuSign's own clients for Node, unmodified, against the sandbox.

The clients are those of package-lock.json. The first run installs them into `.tributary/clients`.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.docusign import app as docusign
from sandbox.docusign.login import INTEGRATION_KEY, read_private_key
from sandbox.docusign.rows import ACCOUNT_ID, USER_ID
from sandbox.firm.world import World
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults
from tests.running_node import install_packages
from tests.running_sandbox import NOW, run_sandbox
from tests.running_tls import serve_tls

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the first run installs the clients

HERE = Path(__file__).parent
USERNAME = "ada@sample-wealth.example"
OLDEST_NODE = 18

Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def clients() -> Path:
    """The folder in which the clients are installed."""
    return install_packages(HERE, OLDEST_NODE)


def run_node(script: str, clients: Path, inputs: dict[str, Any], **environment: str) -> Results:
    variables = os.environ | {"CLIENTS": str(clients), "INPUT": json.dumps(inputs)} | environment
    command = ["node", str(HERE / script)]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    results: Results = json.loads(ended.stdout)
    return results


@pytest.fixture(scope="module")
def salesforce(clients: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Results, str]]:
    """The responses that jsforce received, and the org's URL."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    app = {"client_id": "firms-tool", "client_secret": "only-for-tests", "username": USERNAME}
    with run_sandbox(tmp_path_factory.mktemp("jsforce"), households=2, now=None) as sandbox:
        sandbox.http.post("/salesforce/_admin/consumers", json=app | {"public_key": public.decode()}).raise_for_status()
        claims = {"iss": app["client_id"], "sub": USERNAME, "aud": sandbox.org_url, "exp": int(time.time()) + 170}
        inputs = app | {"login_url": sandbox.org_url, "assertion": jwt.encode(claims, key, algorithm="RS256")}
        yield run_node("jsforce.cjs", clients, inputs), sandbox.org_url


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ("logs_in_by_jwt", "00DHp0000000001AAA"),
        ("finds_its_identity", USERNAME),
        ("finds_its_identity_by_the_list_of_resources", USERNAME),
        ("describes", [True, True]),
        ("creates_many", [True, True, True]),
        ("retrieves_many", ["P1", "P0"]),
        ("updates_many", [True, True, True]),
        ("upserts_many", [False, True]),
        ("destroys_many", [True, True]),
        ("finds_by_a_query_of_its_own", ["Renamed", "Bo"]),
        ("groups", [["Bo", 1], ["Renamed", 1]]),
        ("includes_children", ["Sample"]),
        ("counts", 2),
        ("makes_a_composite_graph", True),
        ("loads_in_bulk", [1200, 1, 0]),
        ("queries_in_bulk", [1200, 'Person "0",\nsecond line']),
        ("reads_a_query_to_its_end", 1203),
        ("logs_out", None),
    ],
)
def test_jsforce(salesforce: tuple[Results, str], step: str, value: Any) -> None:
    assert salesforce[0][step] == {"value": value}


def test_jsforce_is_led_to_the_orgs_own_root(salesforce: tuple[Results, str]) -> None:
    results, org_url = salesforce
    assert results["logs_in_by_client_credentials"] == {"value": org_url}


def test_jsforce_reads_an_error(salesforce: tuple[Results, str]) -> None:
    assert salesforce[0]["reads_an_error"] == {"error": "INVALID_FIELD"}


@pytest.fixture(scope="module")
def signing(clients: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The responses that docusign-esign received."""
    folder = tmp_path_factory.mktemp("docusign")
    clock = Clock()
    clock.set(NOW)
    (folder / "state").mkdir()
    office = docusign.Office(World(folder / "state", clock, households=20), clock)
    with serve_tls(docusign.create_app(office, Faults(), Calls(clock)), folder) as host:
        inputs = {
            "host": host,
            "account": ACCOUNT_ID,
            "user_id": USER_ID,
            "integration_key": INTEGRATION_KEY,
            "private_key": read_private_key(folder / "state"),
        }
        return run_node("docusign.cjs", clients, inputs, NODE_EXTRA_CA_CERTS=str(folder / "ca.pem"))


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ("logs_in_by_jwt", ACCOUNT_ID),
        ("lists_changes_page_by_page", [5, "4", True]),
        ("reads_an_envelope", "completed"),
        ("reads_its_recipients", ["completed"]),
        ("lists_its_documents", "certificate"),
        ("downloads_its_documents", "%PDF-"),
        ("reads_its_history", True),
        ("lists_templates", "Advisory agreement"),
    ],
)
def test_docusign_esign(signing: Results, step: str, value: Any) -> None:
    assert signing[step] == {"value": value}


def test_docusign_esign_reads_an_error(signing: Results) -> None:
    assert signing["reads_an_error"] == {"error": "INVALID_REQUEST_PARAMETER"}
