"""A session with a vendor that fails in every way that the sandbox knows."""

from __future__ import annotations

import base64
import email.utils
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from include.connection import Connection
from include.contract import AccessPoint, Basic, Impersonation, Report, Table, Vendor
from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.control.grants import Grants
from include.errors import (
    AuthenticationError,
    ConfigurationError,
    RateLimited,
    RetriableError,
    TributaryError,
    VendorUnavailable,
)
from include.extract.session import Request, VendorSession
from include.vendors import VENDORS
from include.warehouse import schema
from sandbox.server.calls import name_route
from tests.conftest import Database, connect, place_of
from tests.firm_keys import KEYRING
from tests.running_sandbox import NOW, Sandbox, run_sandbox


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox without effective limits, because these tests repeat the same request many times."""
    with run_sandbox(tmp_path_factory.mktemp("sandbox"), households=3, pace=1e6) as sandbox:
        yield sandbox


def plainest(vendor: Vendor) -> Table:
    """Return a table of which a single call returns rows."""
    return next(t for t in vendor.tables if not t.parent and not isinstance(t.shape, Report))


SLOWLY = [VENDORS[0].name, *(pytest.param(vendor.name, marks=pytest.mark.long) for vendor in VENDORS[1:])]
"""Every vendor; in tests that wait for seconds, all except one are long."""

OPENED = [vendor.name for vendor in VENDORS if not isinstance(vendor.login, Basic)]
"""Vendors with a login call."""
CALLS = {Impersonation: 2, AccessPoint: 2}
"""Calls per login where there are several, because the login also requests the account's URL."""
SLOWLY_OPENED = [OPENED[0], *(pytest.param(name, marks=pytest.mark.long) for name in OPENED[1:])]


@dataclass
class Caller:
    """Opens sessions with one vendor and requests one short list."""

    vendor: Vendor
    sandbox: Sandbox
    database: Database
    connection: Connection
    place: str
    open: Callable[..., VendorSession]

    @property
    def table(self) -> Table:
        return plainest(self.vendor)

    @property
    def path(self) -> str:
        return self.table.path

    @property
    def question(self) -> Request:
        """The request for the first page, with the first grant where the vendor needs one."""
        grants = sorted(json.loads(self.connection.extra.get("grants", "{}")))
        return Request(self.path, self.table.params, grant=grants[0] if grants else "")

    @property
    def logins(self) -> int:
        """Calls that open a session."""
        return CALLS.get(type(self.vendor.login), int(self.vendor.name in OPENED))

    @property
    def route(self) -> str:
        return f"{self.place}/{self.path}"

    def fault(self, kind: str, **options: object) -> None:
        self._fault(self.route, kind, options)

    def fault_login(self, kind: str, **options: object) -> None:
        """Add a fault to the call that opens a session."""
        path = urlsplit(self.connection.extra.get("token_url", "")).path
        self._fault(path or f"/{self.vendor.name}/*token*", kind, options)

    def _fault(self, route: str, kind: str, options: dict[str, object]) -> None:
        response = self.sandbox.http.post("/_sandbox/faults", json={"route": route, "kind": kind, **options})
        assert response.status_code == 200

    def send_request(self, session: VendorSession, read: Callable[[bytes], bytes] = bytes, **changed: Any) -> bytes:
        body = session.request(replace(self.question, **changed), read)
        assert body is not None
        return body

    def calls(self) -> tuple[int, int]:
        """Count the requests for the list, and all others (the login)."""
        report = self.sandbox.http.get("/_sandbox/calls").json()
        requests = report["routes"].get(name_route(self.route), {"count": 0})["count"]
        return requests, report["total"] - requests


@pytest.fixture
def caller(running: Sandbox, vendor: Vendor, shared_database: Database) -> Iterator[Caller]:
    running.http.delete("/_sandbox/faults")
    running.admin("clock", now=NOW.isoformat())
    base = connect(running, vendor)
    place = place_of(vendor, base)
    database, engine = shared_database, schema.engine(shared_database.url())
    database.do("delete from control.api_call")
    database.do("delete from control.rate_budget")
    quick = replace(vendor, budget=replace(vendor.budget, calls_per_minute=60_000, burst=1000))
    running.http.delete("/_sandbox/calls")

    def open_session(connection: Connection = base, patience_s: float = 20.0) -> VendorSession:
        budget = RateBudget(engine, vendor.name, quick.budget)
        log = CallLog(engine, vendor.name, plainest(vendor).name, "a run")
        grants = Grants.of(engine, vendor.name, KEYRING.sealer, connection.extra)
        return VendorSession(quick, connection, budget, log, grants, patience_s=patience_s)

    yield Caller(vendor, running, database, base, place, open_session)
    running.http.delete("/_sandbox/faults")
    engine.dispose()


def test_one_login_serves_many_calls(caller: Caller) -> None:
    with caller.open() as session, ThreadPoolExecutor(4) as threads:
        assert len({bytes(body) for body in threads.map(lambda _: caller.send_request(session), range(8))}) == 1
    assert caller.calls() == (8, caller.logins)


@pytest.mark.parametrize("vendor", OPENED, indirect=True)
def test_token_that_died_is_renewed_once_however_many_threads_find_out(caller: Caller) -> None:
    together = threading.Barrier(6)

    def send_request(session: VendorSession) -> bytes:
        together.wait(10)
        return caller.send_request(session)

    with caller.open() as session, ThreadPoolExecutor(6) as threads:
        caller.send_request(session)
        caller.sandbox.admin("clock", advance_seconds=11 * 3600)
        assert all(threads.map(send_request, [session] * 6))
    requests, logins = caller.calls()
    assert logins == 2 * caller.logins
    assert 8 <= requests <= 13


@pytest.mark.parametrize("vendor", OPENED, indirect=True)
def test_token_refused_as_soon_as_it_was_given_is_an_authentication_error(caller: Caller) -> None:
    caller.fault("token_expired")
    with caller.open() as session, pytest.raises(AuthenticationError, match=f"vendor={caller.vendor.name}"):
        caller.send_request(session)
    assert caller.calls() == (2, 2 * caller.logins)


NO_CREDENTIAL = ("token_url", "private_key", "grants", "auth_host", "account_id", "connect_hmac_key")
"""Fields of a connection that a vendor does not reject with a status; fields of the login are tested in `login`."""


def test_each_wrong_credential_is_refused_and_tried_once(caller: Caller) -> None:
    connection = caller.connection
    entries = [name for name in connection.extra if name not in NO_CREDENTIAL]
    wrongs = [replace(connection, extra=connection.extra | {name: "wrong"}) for name in entries]
    wrongs += [replace(connection, **{name: "wrong"}) for name in ("login", "password") if connection.login]
    assert len(wrongs) >= 2
    for wrong in wrongs:
        caller.sandbox.http.delete("/_sandbox/calls")
        with caller.open(wrong) as session, pytest.raises(AuthenticationError, match="refuse"):
            caller.send_request(session)
        requests, logins = caller.calls()
        assert requests <= 2
        assert logins <= 2 * caller.logins
        if caller.logins and not requests:
            assert logins == 1


def test_unknown_parameter_is_tried_once(caller: Caller) -> None:
    with caller.open() as session, pytest.raises(ConfigurationError, match="status=400"):
        caller.send_request(session, params={"noSuchParameter": "1"})
    assert caller.calls() == (1, caller.logins)


def test_unknown_path_is_tried_once(caller: Caller) -> None:
    with caller.open() as session, pytest.raises(ConfigurationError, match="path=No/Such/Thing status=404"):
        caller.send_request(session, path="No/Such/Thing")


@pytest.mark.parametrize("vendor", SLOWLY, indirect=True)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("server_error", {"status": 500}),
        ("server_error", {"status": 503}),
        ("connection_reset", {}),
        ("body_cut", {}),
        ("html_page", {}),
        ("too_many_requests", {}),
    ],
)
def test_burst_of_failures_is_overcome(caller: Caller, kind: str, options: dict[str, object]) -> None:
    with caller.open() as session:
        whole = caller.send_request(session)
        caller.fault(kind, times=2, **options)
        assert caller.send_request(session) == whole
    assert caller.calls() == (4, caller.logins)


@pytest.mark.parametrize("vendor", SLOWLY_OPENED, indirect=True)
@pytest.mark.parametrize(
    ("kind", "options"),
    [("server_error", {"status": 500}), ("connection_reset", {}), ("html_page", {}), ("too_many_requests", {})],
)
def test_burst_of_failures_at_the_login_is_overcome(caller: Caller, kind: str, options: dict[str, object]) -> None:
    caller.fault_login(kind, times=2, **options)
    with caller.open() as session:
        assert caller.send_request(session)
    assert caller.calls() == (1, 2 + caller.logins)


@pytest.mark.parametrize("vendor", SLOWLY_OPENED, indirect=True)
@pytest.mark.parametrize(
    ("kind", "options", "error", "status"),
    [
        ("too_many_requests", {"retry_after": 1}, RateLimited, 429),
        ("server_error", {"status": 503, "retry_after": 1}, RateLimited, 503),
        ("server_error", {"status": 503}, VendorUnavailable, 503),
    ],
)
def test_throttled_login_is_reported_as_throttled(
    caller: Caller, kind: str, options: dict[str, object], error: type[RetriableError], status: int
) -> None:
    caller.fault_login(kind, **options)
    with caller.open(patience_s=0.1) as session, pytest.raises(error, match=f"status={status}"):
        caller.send_request(session)
    assert {"path": "(login)", "status": status} in caller.database.rows("select path, status from control.api_call")


@pytest.mark.parametrize("vendor", SLOWLY_OPENED, indirect=True)
def test_pause_requested_at_login_applies_to_every_session(caller: Caller) -> None:
    with caller.open() as session, caller.open(patience_s=0.1) as another:
        caller.send_request(session)
        caller.fault_login("too_many_requests", times=1, retry_after=1)
        with pytest.raises(RateLimited) as error:
            caller.send_request(another)
        started = time.monotonic()
        caller.send_request(session)
    assert error.value.retry_after == 1
    assert time.monotonic() - started >= 0.8


def test_unreadable_page_is_requested_again(caller: Caller) -> None:
    tries: list[bytes] = []

    def read(body: bytes) -> bytes:
        tries.append(body)
        if len(tries) < 3:
            raise VendorUnavailable("half a page")
        return body

    with caller.open() as session:
        assert caller.send_request(session, read) == tries[0]


def _in_seconds(seconds: int) -> str:
    return email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("vendor", SLOWLY, indirect=True)
@pytest.mark.parametrize("kind", ["too_many_requests", "server_error"])
@pytest.mark.parametrize("retry_after", [lambda: 1, lambda: _in_seconds(2)], ids=["seconds", "date"])
def test_retry_after_is_honoured(caller: Caller, kind: str, retry_after: Callable[[], object]) -> None:
    with caller.open() as session:
        caller.send_request(session)
        started = time.monotonic()
        caller.fault(kind, times=1, retry_after=retry_after())
        caller.send_request(session)
    assert 0.9 <= time.monotonic() - started < 4
    assert caller.calls() == (3, caller.logins)


@pytest.mark.parametrize("vendor", SLOWLY, indirect=True)
def test_retry_after_of_one_session_holds_the_others(caller: Caller) -> None:
    with caller.open() as session, caller.open(patience_s=0.1) as another:
        caller.send_request(session)
        caller.fault("too_many_requests", times=1, retry_after=1)
        with pytest.raises(RateLimited) as error:
            caller.send_request(another)
        started = time.monotonic()
        caller.send_request(session)
    assert error.value.retry_after == 1
    assert time.monotonic() - started >= 0.8


@pytest.mark.parametrize("vendor", SLOWLY, indirect=True)
@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("server_error", {}, VendorUnavailable),
        ("connection_reset", {}, VendorUnavailable),
        ("html_page", {}, VendorUnavailable),
        ("too_many_requests", {}, RateLimited),
        ("too_many_requests", {"retry_after": 3600}, RateLimited),
    ],
)
def test_patience_ends_with_the_last_cause(
    caller: Caller, kind: str, options: dict[str, object], error: type[RetriableError]
) -> None:
    with caller.open(patience_s=1.0) as session:
        caller.send_request(session)  # logs in, so that only the faults take time
        caller.fault(kind, **options)
        started = time.monotonic()
        with pytest.raises(error, match=rf"vendor={caller.vendor.name} path=") as error_info:
            caller.send_request(session)
    assert time.monotonic() - started < 2.5
    if isinstance(error_info.value, VendorUnavailable):  # alerts report since when, and how often
        assert error_info.value.failing_since is not None
        assert error_info.value.tries > 1


@pytest.mark.parametrize(
    "page", [{"status": 302}, {"status": 403}, {"status": 404}, {"status": 302, "body": "empty"}], ids=str
)
def test_maintenance_page_is_an_outage_although_nothing_has_worked_before(
    caller: Caller, page: dict[str, object]
) -> None:
    caller.fault("maintenance", **page)
    with caller.open(patience_s=0.1) as session, pytest.raises(VendorUnavailable, match="maintenance page") as raised:
        caller.send_request(session)
    assert raised.value.facts["status"] == page["status"]
    assert raised.value.facts["table"] == caller.table.name


@pytest.mark.parametrize("status", [403, 404])
def test_refusal_in_the_form_of_the_api_is_an_error_of_the_connection_although_it_worked_before(
    caller: Caller, status: int
) -> None:
    with caller.open() as session:
        caller.send_request(session)
        caller.fault("maintenance", status=status, body="json")
        with pytest.raises((AuthenticationError, ConfigurationError)):
            caller.send_request(session)
    assert caller.calls()[0] == 2


@pytest.mark.parametrize("status", [301, 403, 404])
def test_empty_refusal_is_an_outage_only_where_the_path_worked_before(caller: Caller, status: int) -> None:
    caller.fault("maintenance", status=status, body="empty")
    with caller.open(patience_s=0.1) as session, pytest.raises((AuthenticationError, ConfigurationError)):
        caller.send_request(session)
    caller.sandbox.http.delete("/_sandbox/faults")
    with caller.open() as session:
        caller.send_request(session)
    caller.fault("maintenance", status=status, body="empty")
    with caller.open(patience_s=0.1) as session, pytest.raises(VendorUnavailable, match="maintenance page"):
        caller.send_request(session)


@pytest.mark.parametrize("vendor", OPENED, indirect=True)
@pytest.mark.parametrize("status", [302, 403, 404])
def test_maintenance_page_at_the_token_endpoint_is_an_outage(caller: Caller, status: int) -> None:
    caller.fault_login("maintenance", status=status)
    with caller.open(patience_s=0.1) as session, pytest.raises(VendorUnavailable, match="endpoint=token endpoint"):
        caller.send_request(session)


@pytest.mark.parametrize("vendor", OPENED, indirect=True)
def test_web_page_of_the_token_endpoint_is_named_with_its_content_type(caller: Caller) -> None:
    caller.fault_login("html_page")
    with caller.open(patience_s=0.1) as session, pytest.raises(VendorUnavailable) as raised:
        caller.send_request(session)
    text = str(raised.value)
    assert "The token endpoint returned a web page, not a token" in text
    assert "content_type=text/html" in text


def test_log_of_a_failed_try_names_the_next_one_and_when_the_task_gives_up(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caller.fault("server_error", times=1)
    with caller.open() as session:
        caller.send_request(session)
    assert re.search(r"try 1 failed: .*; next try in \d+\.\d s, this task gives up at \d\d:\d\d:\d\d UTC", caplog.text)


def test_every_call_is_a_row_with_the_vendors_correlation_id(caller: Caller) -> None:
    with caller.open() as session:
        size = len(caller.send_request(session))
        caller.fault("connection_reset", times=1)
        caller.send_request(session)
        with pytest.raises(ConfigurationError) as error:
            caller.send_request(session, params={"noSuchParameter": "1"})
    rows = caller.database.rows("select * from control.api_call order by called_at")
    assert [(r["path"], r["status"], r["bytes"]) for r in rows] == [
        *[("(login)", 200, 0)] * bool(caller.logins), (caller.path, 200, size), (caller.path, None, 0), (caller.path, 200, size),
        (caller.path, 400, rows[-1]["bytes"]),
    ]  # fmt: skip
    refused = caller.sandbox.http.get(caller.route, params={"noSuchParameter": "1"})
    assert len(rows[-1]["correlation_id"] or "") == len(refused.headers.get(caller.vendor.correlation_header, ""))
    assert rows[-1]["correlation_id"] == error.value.facts.get("correlation_id")
    assert {(r["vendor"], r["table_name"], r["run_id"]) for r in rows} == {
        (caller.vendor.name, caller.table.name, "a run")
    }
    assert all(r["latency_ms"] > 0 for r in rows)
    assert {r["method"] for r in rows if r["path"] == caller.path} == {"GET"}
    assert not [r["path"] for r in rows if "?" in r["path"]]


@pytest.mark.parametrize("vendor", OPENED, indirect=True)
def test_refused_login_is_also_a_row(caller: Caller) -> None:
    fields = caller.connection.extra
    extra = fields | {name: "wrong" for name in ("client_id", "integration_key") if name in fields}
    with caller.open(replace(caller.connection, extra=extra)) as session, pytest.raises(AuthenticationError) as error:
        caller.send_request(session)
    rows = caller.database.rows("select path, status from control.api_call")
    assert rows == [{"path": "(login)", "status": error.value.facts["status"]}]


def test_no_error_and_no_log_holds_a_secret(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    connection = caller.connection
    pair = f"{connection.login}:{connection.password}"
    secrets = (
        [connection.password, "wr0ng-secret", base64.b64encode(pair.encode()).decode()] if connection.login else []
    )
    secrets += [
        value for name, value in connection.extra.items() if value and re.search("secret|key|refresh_token", name)
    ]
    secrets += json.loads(connection.extra.get("grants", "{}")).values()
    kinds = ["server_error", "connection_reset", "body_cut", "html_page", "too_many_requests"]
    for kind in kinds + ["token_expired"] * bool(caller.logins):
        caller.sandbox.http.delete("/_sandbox/faults")
        caller.fault(kind)
        with caller.open(patience_s=2.5 if kind == "server_error" else 0.2) as session:
            with pytest.raises(TributaryError) as error:
                caller.send_request(session)
            [token] = session._tokens._known.values()
            secrets += [value.split()[-1] for value in token.headers.values()]
        texts.append(_whole_story(error.value))
        texts.append(f"{session!r} {token!r} {connection!r}")
    caller.sandbox.http.delete("/_sandbox/faults")
    spoilt = {"client_secret": "wr0ng-secret", "client_id": "no", "user_id": "nobody"}
    wrong = replace(connection, password="wr0ng-secret", extra=connection.extra | spoilt)
    with caller.open(wrong) as session:
        with pytest.raises(AuthenticationError) as error_info:
            caller.send_request(session)
        texts.append(_whole_story(error_info.value))
    text = "\n".join([*texts, caplog.text])
    assert "try 1 failed" in text
    assert len(secrets) > 5
    assert [secret for secret in secrets if secret in text] == []


def _whole_story(error: BaseException | None) -> str:
    """An error with all of its causes."""
    return "" if error is None else f"{error!r} {error} " + _whole_story(error.__cause__ or error.__context__)
