"""A URL of a connection or of a login response that is not https is refused, and no request is sent there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from include.connection import Connection, require_known_host
from include.contract import Vendor
from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.control.grants import Grants
from include.crm.salesforce import SalesforceSession
from include.crm.settings import Settings
from include.errors import ConfigurationError
from include.extract.session import Request, VendorSession
from include.vendors import VENDORS, named
from tests.conftest import connect
from tests.extract.vendor_server import Listener, Reply, listen
from tests.firm_keys import KEYRING
from tests.running_sandbox import Sandbox, run_sandbox

PLAIN = "http://vendor.example"
ANSWERS = {
    "docusign": {"access_token": "t0ken", "accounts": [{"account_id": "a1", "is_default": True, "base_uri": PLAIN}]},
    "adobe_sign": {"access_token": "t0ken", "apiAccessPoint": f"{PLAIN}/"},
}
"""Login responses that return a URL of calls."""
WITH_TOKEN_URL = ["emoney", "nitrogen", "docusign", "adobe_sign"]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox"), households=3) as running:
        yield running


@pytest.fixture
def vendor_example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """What arrives at `PLAIN`: every request over http to another machine goes through this proxy."""
    with listen(lambda call: Reply(ANSWERS["adobe_sign"] | ANSWERS["docusign"])) as listener:
        monkeypatch.setenv("http_proxy", listener.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield listener


def request(engine: sa.Engine, vendor: Vendor, connection: Connection) -> None:
    budget, calls = RateBudget(engine, vendor.name, vendor.budget), CallLog(engine, vendor.name, "", "a run")
    grants = Grants(engine, vendor.name, KEYRING.sealer, {"an advisor": "f1rst"})
    with VendorSession(vendor, connection, budget, calls, grants, patience_s=0.3) as session:
        session.request(Request("rows", grant="an advisor" if vendor.name == "nitrogen" else ""), bytes)


def make_plain(values: Any, url: str) -> Any:
    return {name: value.replace(url, PLAIN) for name, value in values.items()}


@pytest.mark.parametrize("name", [vendor.name for vendor in VENDORS])
def test_connection_over_http_is_refused_before_anything_is_sent(
    sandbox: Sandbox, engine: sa.Engine, vendor_example: Listener, name: str
) -> None:
    known = connect(sandbox, named(name))
    url = str(sandbox.http.base_url).rstrip("/")
    plain = replace(known, url=known.url.replace(url, PLAIN), extra=make_plain(known.extra, url), name=name)
    assert plain.url.startswith(PLAIN)
    with pytest.raises(ConfigurationError, match=f"https://.*host=vendor.example vendor={name} connection={name}"):
        request(engine, named(name), plain)
    assert vendor_example.calls == []


@pytest.mark.parametrize("name", WITH_TOKEN_URL)
def test_token_url_over_http_is_refused_before_anything_is_sent(
    sandbox: Sandbox, engine: sa.Engine, vendor_example: Listener, name: str
) -> None:
    known = connect(sandbox, named(name), token_url=f"{PLAIN}/oauth/token", integration_key="")
    extra = {key: value for key, value in known.extra.items() if value or name == "docusign"}
    extra |= {"client_id": "c", "client_secret": "s", "refresh_token": "r"}
    with pytest.raises(ConfigurationError, match=rf"https://.*host=vendor.example connection={name}"):
        request(engine, named(name), replace(known, extra=extra, name=name))
    assert vendor_example.calls == []


@pytest.mark.parametrize("name", ANSWERS)
def test_url_of_calls_over_http_is_refused_before_our_token_goes_there(
    sandbox: Sandbox, engine: sa.Engine, vendor_example: Listener, name: str
) -> None:
    with listen(lambda call: Reply(ANSWERS[name])) as login:
        known = connect(sandbox, named(name), token_url=f"{login.url}/oauth/token", account_id="a1")
        with pytest.raises(ConfigurationError, match=r"login response.*https://.*host=vendor.example"):
            request(engine, named(name), replace(known, url=login.url, name=name))
        assert login.calls
    assert vendor_example.calls == []


def log_in_to_salesforce(engine: sa.Engine, url: str) -> None:
    connection = Connection(url, "app", "s3cret", {"grant": "client_credentials"})
    with SalesforceSession(connection, CallLog(engine, "salesforce", "", "a run"), patience_s=0.3) as session:
        session.call("GET", "/limits")


def test_salesforce_over_http_is_refused_before_anything_is_sent(engine: sa.Engine, vendor_example: Listener) -> None:
    with pytest.raises(ConfigurationError, match=r"https://.*host=vendor.example connection=salesforce") as error:
        log_in_to_salesforce(engine, PLAIN)
    assert vendor_example.calls == []
    assert "s3cret" not in str(error.value)


def test_instance_url_over_http_is_refused_before_our_token_goes_there(
    engine: sa.Engine, vendor_example: Listener
) -> None:
    with (
        listen(lambda call: Reply({"access_token": "t0ken", "instance_url": PLAIN})) as login,
        pytest.raises(ConfigurationError, match=r"instance_url.*https://.*host=vendor.example") as error,
    ):
        log_in_to_salesforce(engine, login.url)
    assert vendor_example.calls == []
    assert "t0ken" not in str(error.value)


def test_documents_over_http_are_not_linked_in_salesforce() -> None:
    assert Settings("firm", documents_url="http://127.0.0.1:8080/documents").documents_url
    with pytest.raises(ConfigurationError, match="documents_url"):
        Settings("firm", documents_url=f"{PLAIN}/documents")


SECURE = "https://vendor.example"


@pytest.mark.parametrize("name", ANSWERS)
def test_url_of_calls_of_another_host_is_refused(sandbox: Sandbox, engine: sa.Engine, name: str) -> None:
    answer = json.loads(json.dumps(ANSWERS[name]).replace(PLAIN, SECURE))
    with listen(lambda call: Reply(answer)) as login:
        known = connect(sandbox, named(name), token_url=f"{login.url}/oauth/token", account_id="a1")
        with pytest.raises(ConfigurationError, match=r"login response is of a host.*host=vendor.example"):
            request(engine, named(name), replace(known, url=login.url, name=name))


def test_instance_url_of_another_host_is_refused(engine: sa.Engine) -> None:
    with (
        listen(lambda call: Reply({"access_token": "t0ken", "instance_url": SECURE})) as login,
        pytest.raises(ConfigurationError, match=r"instance_url.*host=vendor.example"),
    ):
        log_in_to_salesforce(engine, login.url)


@pytest.mark.parametrize(
    ("url", "own", "is_known"),
    [
        ("https://na4.docusign.net/restapi", "https://www.docusign.net", True),
        ("https://docusign.net", "https://www.firm.example", True),
        ("https://gateway.firm.example/x", "https://gateway.firm.example", True),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8000", True),
        ("https://127.0.0.1", "https://www.docusign.net", False),
        ("https://localhost", "https://www.docusign.net", False),
        ("https://10.0.0.1", "https://www.docusign.net", False),
        ("https://169.254.169.254/latest", "https://www.docusign.net", False),
        ("https://evil-docusign.net", "https://www.docusign.net", False),
        ("https://docusign.net.evil.example", "https://www.docusign.net", False),
        ("https://docusign.net@evil.example", "https://www.docusign.net", False),
        ("https://evil.example/docusign.net", "https://www.docusign.net", False),
        ("https://evil.example\\.docusign.net", "https://www.docusign.net", False),
    ],
)
def test_a_token_goes_to_known_hosts_only(url: str, own: str, is_known: bool) -> None:
    expected = contextlib.nullcontext() if is_known else pytest.raises(ConfigurationError)
    with expected:
        require_known_host(url, own, ("docusign.net",), "The URL")
