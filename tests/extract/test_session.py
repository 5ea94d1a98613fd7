"""A session with a vendor that fails in every way that the sandbox knows."""

from __future__ import annotations

import base64
import email.utils
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from include.connection import Connection
from include.contract import Budget, Vendor
from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.errors import (
    AuthenticationError,
    ConfigurationError,
    RateLimited,
    RetriableError,
    TributaryError,
    VendorUnavailable,
)
from include.extract.session import VendorSession
from include.warehouse import schema
from tests.conftest import Database, connect
from tests.running_sandbox import NOW, Sandbox, run_sandbox


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox"), households=3) as sandbox:
        yield sandbox


@dataclass
class Caller:
    """Opens sessions with one vendor and asks for one short list."""

    vendor: Vendor
    sandbox: Sandbox
    database: Database
    connection: Connection
    open: Callable[..., VendorSession]

    @property
    def path(self) -> str:
        return self.vendor.tables[0].path

    @property
    def route(self) -> str:
        return f"{urlsplit(self.connection.url).path}/{self.path}"

    def fault(self, kind: str, **options: object) -> None:
        fault = {"route": self.route, "kind": kind, **options}
        assert self.sandbox.http.post("/_sandbox/faults", json=fault).status_code == 200

    def fault_login(self, kind: str, **options: object) -> None:
        """A fault on the call that opens a session."""
        login = {"route": f"{urlsplit(self.connection.url).path}/*token*", "kind": kind, **options}
        assert self.sandbox.http.post("/_sandbox/faults", json=login).status_code == 200

    def ask(self, session: VendorSession) -> bytes:
        return session.get(self.path, self.vendor.tables[0].params, bytes)

    def calls(self) -> tuple[int, int]:
        """How often the list was asked for, and how often anything else was: the login."""
        report = self.sandbox.http.get("/_sandbox/calls").json()
        asked = report["routes"].get(self.route.lower(), {"count": 0})["count"]
        return asked, report["total"] - asked


@pytest.fixture
def caller(running: Sandbox, vendor: Vendor, database: Database) -> Iterator[Caller]:
    running.http.delete("/_sandbox/faults")
    running.http.delete("/_sandbox/calls")
    running.admin("clock", now=NOW.isoformat())
    engine = schema.engine(database.url())
    quick = replace(vendor, budget=Budget(calls_per_minute=60_000, burst=100))
    known = connect(running)

    def open_session(connection: Connection = known, patience_s: float = 20.0) -> VendorSession:
        budget = RateBudget(engine, vendor.name, quick.budget)
        log = CallLog(engine, vendor.name, vendor.tables[0].name, "a run")
        return VendorSession(quick, connection, budget, log, patience_s=patience_s)

    yield Caller(vendor, running, database, known, open_session)
    running.http.delete("/_sandbox/faults")
    engine.dispose()


def test_one_login_serves_many_calls(caller: Caller) -> None:
    with caller.open() as session, ThreadPoolExecutor(4) as threads:
        assert len({bytes(body) for body in threads.map(lambda _: caller.ask(session), range(8))}) == 1
    assert caller.calls() == (8, 1)


def test_token_that_died_is_renewed_once_however_many_threads_find_out(caller: Caller) -> None:
    together = threading.Barrier(6)

    def ask(session: VendorSession) -> bytes:
        together.wait(10)
        return caller.ask(session)

    with caller.open() as session, ThreadPoolExecutor(6) as threads:
        caller.ask(session)
        caller.sandbox.admin("clock", advance_seconds=11 * 3600)
        assert all(threads.map(ask, [session] * 6))
    asked, logins = caller.calls()
    assert logins == 2
    assert 8 <= asked <= 13


def test_token_refused_as_soon_as_it_was_given_is_an_authentication_error(caller: Caller) -> None:
    caller.fault("token_expired")
    with caller.open() as session, pytest.raises(AuthenticationError, match=f"vendor={caller.vendor.name}"):
        caller.ask(session)
    assert caller.calls() == (2, 2)


@pytest.mark.parametrize("wrong", ["login", "password", "extra"])
def test_wrong_credentials_are_tried_once(caller: Caller, wrong: str) -> None:
    value = dict.fromkeys(caller.connection.extra, "wrong") if wrong == "extra" else "wrong"
    connection = replace(caller.connection, **{wrong: value})  # type: ignore[arg-type]
    with caller.open(connection) as session, pytest.raises(AuthenticationError, match="check user, password"):
        caller.ask(session)
    assert caller.calls() == (0, 1)


def test_unknown_parameter_is_tried_once(caller: Caller) -> None:
    with caller.open() as session, pytest.raises(ConfigurationError, match="status=400 correlation_id="):
        session.get(caller.path, {"noSuchParameter": "1"}, bytes)
    assert caller.calls() == (1, 1)


def test_unknown_path_is_tried_once(caller: Caller) -> None:
    with caller.open() as session, pytest.raises(ConfigurationError, match="path=No/Such/Thing status=404"):
        session.get("No/Such/Thing", {}, bytes)


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
        whole = caller.ask(session)
        caller.fault(kind, times=2, **options)
        assert caller.ask(session) == whole
    assert caller.calls() == (4, 1)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("server_error", {"status": 500}), ("connection_reset", {}), ("html_page", {}), ("too_many_requests", {})],
)
def test_burst_of_failures_at_the_login_is_overcome(caller: Caller, kind: str, options: dict[str, object]) -> None:
    caller.fault_login(kind, times=2, **options)
    with caller.open() as session:
        assert caller.ask(session)
    assert caller.calls() == (1, 3)


@pytest.mark.parametrize(
    ("kind", "options", "error", "status"),
    [
        ("too_many_requests", {"retry_after": 1}, RateLimited, 429),
        ("server_error", {"status": 503, "retry_after": 1}, RateLimited, 503),
        ("server_error", {"status": 503}, VendorUnavailable, 503),
    ],
)
def test_login_that_is_put_off_is_told_as_what_it_is(
    caller: Caller, kind: str, options: dict[str, object], error: type[RetriableError], status: int
) -> None:
    caller.fault_login(kind, **options)
    with caller.open(patience_s=0.1) as session, pytest.raises(error, match=f"status={status}"):
        caller.ask(session)
    assert {"path": "(login)", "status": status} in caller.database.rows("select path, status from control.api_call")


def test_pause_that_a_login_is_asked_for_holds_every_session(caller: Caller) -> None:
    with caller.open() as session, caller.open(patience_s=0.1) as another:
        caller.ask(session)
        caller.fault_login("too_many_requests", times=1, retry_after=1)
        with pytest.raises(RateLimited) as told:
            caller.ask(another)
        started = time.monotonic()
        caller.ask(session)
    assert told.value.retry_after == 1
    assert time.monotonic() - started >= 0.8


def test_page_that_cannot_be_read_is_asked_for_again(caller: Caller) -> None:
    tries: list[bytes] = []

    def read(body: bytes) -> bytes:
        tries.append(body)
        if len(tries) < 3:
            raise VendorUnavailable("half a page")
        return body

    with caller.open() as session:
        assert session.get(caller.path, caller.vendor.tables[0].params, read) == tries[0]


def _in_seconds(seconds: int) -> str:
    return email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("kind", ["too_many_requests", "server_error"])
@pytest.mark.parametrize("retry_after", [lambda: 1, lambda: _in_seconds(2)], ids=["seconds", "date"])
def test_retry_after_is_honoured(caller: Caller, kind: str, retry_after: Callable[[], object]) -> None:
    with caller.open() as session:
        caller.ask(session)
        caller.fault(kind, times=1, retry_after=retry_after())
        started = time.monotonic()
        caller.ask(session)
    assert 0.9 <= time.monotonic() - started < 4
    assert caller.calls() == (3, 1)


def test_retry_after_of_one_session_holds_the_others(caller: Caller) -> None:
    with caller.open() as session, caller.open(patience_s=0.1) as another:
        caller.ask(session)
        caller.fault("too_many_requests", times=1, retry_after=1)
        with pytest.raises(RateLimited) as told:
            caller.ask(another)
        started = time.monotonic()
        caller.ask(session)
    assert told.value.retry_after == 1
    assert time.monotonic() - started >= 0.8


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
    caller.fault(kind, **options)
    started = time.monotonic()
    with caller.open(patience_s=1.0) as session, pytest.raises(error, match=rf"vendor={caller.vendor.name} path="):
        caller.ask(session)
    assert time.monotonic() - started < 2.5


def test_every_call_is_a_row_with_the_vendors_correlation_id(caller: Caller) -> None:
    with caller.open() as session:
        size = len(caller.ask(session))
        caller.fault("connection_reset", times=1)
        caller.ask(session)
        with pytest.raises(ConfigurationError) as told:
            session.get(caller.path, {"noSuchParameter": "1"}, bytes)
    rows = caller.database.rows("select * from control.api_call order by called_at")
    assert [(r["path"], r["status"], r["bytes"]) for r in rows] == [
        ("(login)", 200, 0), (caller.path, 200, size), (caller.path, None, 0), (caller.path, 200, size),
        (caller.path, 400, rows[4]["bytes"]),
    ]  # fmt: skip
    assert rows[4]["correlation_id"] == told.value.facts["correlation_id"]
    assert len(rows[4]["correlation_id"]) == 36
    assert {(r["vendor"], r["table_name"], r["run_id"]) for r in rows} == {
        (caller.vendor.name, caller.vendor.tables[0].name, "a run")
    }
    assert all(r["latency_ms"] > 0 for r in rows)
    assert not [r["path"] for r in rows if "?" in r["path"]]


def test_refused_login_is_a_row_too(caller: Caller) -> None:
    with caller.open(replace(caller.connection, password="wrong")) as session, pytest.raises(AuthenticationError):
        caller.ask(session)
    assert caller.database.rows("select path, status from control.api_call") == [{"path": "(login)", "status": 401}]


def test_no_error_and_no_log_holds_a_secret(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    pair = f"{caller.connection.login}:{caller.connection.password}"
    secrets = [caller.connection.password, "wr0ng-secret", base64.b64encode(pair.encode()).decode()]
    secrets += [value for name, value in caller.connection.extra.items() if "secret" in name]
    for kind in ("server_error", "connection_reset", "body_cut", "html_page", "too_many_requests", "token_expired"):
        caller.sandbox.http.delete("/_sandbox/faults")
        caller.fault(kind)
        with caller.open(patience_s=1.0 if kind == "server_error" else 0.2) as session:
            with pytest.raises(TributaryError) as error:
                caller.ask(session)
            token = session._token
            assert token is not None
            secrets += [value.split()[-1] for value in token.headers.values()]
        told.append(_whole_story(error.value))
        told.append(f"{session!r} {token!r} {caller.connection!r}")
    with caller.open(replace(caller.connection, password="wr0ng-secret")) as session:
        with pytest.raises(AuthenticationError) as refused:
            caller.ask(session)
        told.append(_whole_story(refused.value))
    text = "\n".join([*told, caplog.text])
    assert "try 1 failed" in text
    assert [secret for secret in secrets if secret in text] == []


def _whole_story(error: BaseException | None) -> str:
    """An error with all of its causes."""
    return "" if error is None else f"{error!r} {error} " + _whole_story(error.__cause__ or error.__context__)
