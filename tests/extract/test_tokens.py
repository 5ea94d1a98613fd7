"""Sessions of a vendor share their tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from include.connection import Connection
from include.contract import INTEGER, Table, column
from include.contract.login import Basic, Login, SessionToken
from include.control.budget import RateBudget
from include.control.cache import Cache
from include.control.calls import CallLog
from include.errors import AuthenticationError
from include.extract.session import VendorSession
from tests.conftest import Database
from tests.extract.vendor_server import Answer, Listener, RecordedCall, Reply, listen, vendor_of
from tests.firm_keys import KEYRING

ROWS = Table("rows", "rows", ("row_id",), (column("row_id", "id", INTEGER, required=True),))
LOGIN = SessionToken("login", "Session")

Call = Callable[..., bytes]


class Desk:
    """A vendor that issues the tokens t1, t2, ... and refuses those in `refused` with a status."""

    def __init__(self) -> None:
        self.issued = 0
        self.seconds = 3600
        self.refused: dict[str, int] = {}

    def answer(self, call: RecordedCall) -> Reply:
        if call.path == "/login":
            self.issued += 1
            return Reply({"access_token": f"t{self.issued}", "expires_in": self.seconds})
        status = self.refused.get(call.headers["Authorization"].removeprefix("Session "), 200)
        return Reply([], status=status)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def call(engine: sa.Engine, desk: Desk, request: pytest.FixtureRequest) -> Iterator[Call]:
    """Calls the vendor, which is the test's own, once in a session of its own."""
    with ExitStack() as running:
        answer: Answer = desk.answer
        listener: Listener = running.enter_context(listen(answer))

        def call_once(password: str = "passw0rd", login: Login = LOGIN) -> bytes:
            vendor = vendor_of(ROWS, name=request.node.name, login=login)
            budget, calls = RateBudget(engine, vendor.name, vendor.budget), CallLog(engine, vendor.name, "", "a run")
            connection = Connection(listener.url, "user", password, {})
            cache = Cache(engine, KEYRING.sealer)
            with VendorSession(vendor, connection, budget, calls, patience_s=0.3, cache=cache) as session:
                return session.get("rows", {}, bytes)

        yield call_once


def left_s(database: Database, request: pytest.FixtureRequest) -> list[float]:
    """Return the seconds that the shared tokens of the test's vendor last."""
    query = "select extract(epoch from expires_at - now()) as left_s from control.cache where name like '%' || :vendor || '%'"
    return [row["left_s"] for row in database.rows(query, vendor=request.node.name)]


def test_the_next_session_uses_the_token(
    desk: Desk, call: Call, shared_database: Database, request: pytest.FixtureRequest
) -> None:
    for _ in range(3):
        call()
    assert desk.issued == 1
    query = "select count(*) from control.api_call where path = '(login)' and vendor = :vendor"
    assert shared_database.value(query, vendor=request.node.name) == 1


def test_other_credentials_log_in(desk: Desk, call: Call) -> None:
    call()
    call(password="another")
    assert desk.issued == 2


def test_a_shared_token_that_the_vendor_ended_is_replaced(desk: Desk, call: Call) -> None:
    call()
    desk.refused["t1"] = 401
    for _ in range(2):
        call()
    assert desk.issued == 2


def test_a_session_after_a_refused_permission_logs_in(desk: Desk, call: Call) -> None:
    desk.refused["t1"] = 403
    with pytest.raises(AuthenticationError, match="denies access"):
        call()
    call()
    assert desk.issued == 2


def test_a_token_that_expires_within_a_minute_is_not_shared(
    desk: Desk, call: Call, shared_database: Database, request: pytest.FixtureRequest
) -> None:
    desk.seconds = 50
    call()
    assert left_s(shared_database, request) == []


def test_a_token_is_shared_for_an_hour_at_most(
    desk: Desk, call: Call, shared_database: Database, request: pytest.FixtureRequest
) -> None:
    desk.seconds = 36_000
    call()
    [left] = left_s(shared_database, request)
    assert 3500 < left <= 3600


def test_user_and_password_are_not_cached(
    call: Call, shared_database: Database, request: pytest.FixtureRequest
) -> None:
    call(login=Basic())
    assert left_s(shared_database, request) == []
