"""Refresh tokens that work once: no two processes use the same one, the newest survives, none is stored in clear."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from include.connection import Connection
from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.control.grants import Grants, count_by_key, reseal
from include.errors import AuthenticationError, ConfigurationError
from include.extract.session import Request, VendorSession
from include.keys.keyring import Keyring
from include.vendors import named
from include.warehouse import schema
from tests.conftest import Database, connect
from tests.firm_keys import KEYRING, write_keyring
from tests.forked import submit
from tests.running_sandbox import Sandbox, run_sandbox

NITROGEN = named("nitrogen")


@pytest.fixture
def grants(engine: sa.Engine) -> Grants:
    return Grants(engine, "testbank", KEYRING.sealer, {"an advisor": "f1rst", "another": "0ther"})


class Vendors:
    """Exchanges tokens: each is valid once, and the next one is numbered."""

    def __init__(self, newest: str = "f1rst") -> None:
        self.newest, self.count, self.reused = newest, 0, list[str]()
        self._lock = threading.Lock()

    def exchange(self, token: str) -> tuple[str, str]:
        with self._lock:
            if token != self.newest:
                self.reused.append(token)
            self.count += 1
            self.newest = f"n3xt-{self.count}"
            return self.newest, f"access {self.count}"


# --- one process ---


def test_first_token_is_the_connection_s_and_every_other_the_newest(grants: Grants) -> None:
    vendor = Vendors()
    assert [grants.exchange("an advisor", vendor.exchange) for _ in range(3)] == ["access 1", "access 2", "access 3"]
    assert vendor.reused == []


def test_each_grant_has_tokens_of_its_own(grants: Grants) -> None:
    one, another = Vendors(), Vendors("0ther")
    for _ in range(2):
        grants.exchange("an advisor", one.exchange)
        grants.exchange("another", another.exchange)
    assert (one.reused, another.reused) == ([], [])


def test_each_vendor_has_tokens_of_its_own(grants: Grants) -> None:
    elsewhere, one, another = replace(grants, vendor="elsewhere"), Vendors(), Vendors()
    grants.exchange("an advisor", one.exchange)
    elsewhere.exchange("an advisor", another.exchange)
    assert (one.reused, another.reused) == ([], [])


def test_new_first_token_in_the_connection_begins_anew(grants: Grants) -> None:
    grants.exchange("an advisor", Vendors().exchange)
    again, vendor = replace(grants, firsts={"an advisor": "f2rst"}), Vendors("f2rst")
    for _ in range(2):
        again.exchange("an advisor", vendor.exchange)
    assert vendor.reused == []


def test_exchange_that_fails_keeps_the_token_that_was_there(grants: Grants) -> None:
    vendor = Vendors()
    grants.exchange("an advisor", vendor.exchange)

    def fail(token: str) -> tuple[str, str]:
        raise AuthenticationError("no")

    with pytest.raises(AuthenticationError):
        grants.exchange("an advisor", fail)
    with pytest.raises(AuthenticationError):
        replace(grants, firsts={"an advisor": "f2rst"}).exchange("an advisor", fail)
    grants.exchange("an advisor", vendor.exchange)
    assert vendor.reused == []


def test_grant_that_the_firm_does_not_hold_is_a_configuration_error(grants: Grants) -> None:
    with pytest.raises(ConfigurationError, match=r"no such grant.*vendor=testbank grant=nobody"):
        grants.exchange("nobody", Vendors().exchange)


# --- stored tokens ---


def test_tokens_are_sealed_in_the_table(grants: Grants, database: Database) -> None:
    vendor, secrets = Vendors(), ["f1rst"]
    for _ in range(2):
        grants.exchange("an advisor", vendor.exchange)
        secrets.append(vendor.newest)
        [row] = database.rows("select * from control.refresh_token")
        assert [secret for secret in secrets if secret in json.dumps(row, default=str)] == []
        assert KEYRING.sealer.open(row["sealed"], "refresh_token:testbank:an advisor") == vendor.newest


def test_tokens_are_encrypted_again_so_that_the_old_key_can_be_removed(grants: Grants, engine: sa.Engine) -> None:
    vendor = Vendors()
    grants.exchange("an advisor", vendor.exchange)
    new = Keyring.parse(f"seal:next:{64 * '7'}", ("seal",)).sealer
    both = Keyring.parse(f"{write_keyring()} seal:next:{64 * '7'}").sealer
    with pytest.raises(ConfigurationError, match="not in the keyring"):
        reseal(engine, new)
    assert count_by_key(engine) == {"test": 1}
    assert (reseal(engine, both), reseal(engine, both)) == (1, 0)
    assert count_by_key(engine) == {"next": 1}
    replace(grants, sealer=new).exchange("an advisor", vendor.exchange)
    assert vendor.reused == []


def test_token_that_is_being_exchanged_is_waited_for(grants: Grants, engine: sa.Engine) -> None:
    both = Keyring.parse(f"{write_keyring()} seal:next:{64 * '7'}").sealer
    grants.exchange("an advisor", lambda token: ("second", ""))
    with ThreadPoolExecutor(1) as pool:

        def exchange(token: str) -> tuple[str, str]:
            resealing.append(pool.submit(reseal, engine, both))
            time.sleep(0.3)
            return "third", ""

        resealing: list[Future[int]] = []
        grants.exchange("an advisor", exchange)
        assert resealing[0].result(60) == 1
    tokens: list[str] = []
    replace(grants, sealer=both).exchange("an advisor", lambda token: (tokens.append(token) or "fourth", ""))
    assert tokens == ["third"]


def test_nothing_shows_a_token(grants: Grants) -> None:
    assert "f1rst" not in repr(grants)


@pytest.mark.parametrize(
    ("extra", "firsts"),
    [({}, {}), ({"grants": "{}"}, {}), ({"grants": '{"8101":"r1"}'}, {"8101": "r1"}), ({"grants": '{"8101":7}'}, {"8101": "7"})],
)  # fmt: skip
def test_first_tokens_are_read_from_the_connection(
    engine: sa.Engine, extra: dict[str, str], firsts: dict[str, str]
) -> None:
    assert Grants.of(engine, "testbank", KEYRING.sealer, extra).firsts == firsts


@pytest.mark.parametrize("grants", ["", "s3cret", "[1]", "7", '"s3cret"', '{"8101":'])
def test_invalid_first_tokens_are_reported_without_their_value(engine: sa.Engine, grants: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not a JSON object.*vendor=testbank") as error:
        Grants.of(engine, "testbank", KEYRING.sealer, {"grants": grants})
    assert "s3cret" not in f"{error.value!r}"
    assert error.value.__suppress_context__


# --- concurrency ---


def test_threads_never_use_one_token_twice(grants: Grants) -> None:
    vendor = Vendors()
    with ThreadPoolExecutor(6) as threads:
        tokens = list(threads.map(lambda _: grants.exchange("an advisor", vendor.exchange), range(30)))
    assert vendor.reused == []
    assert len(set(tokens)) == 30


def test_one_grant_does_not_wait_for_another(grants: Grants) -> None:
    is_inside, go_on = threading.Event(), threading.Event()

    def slow(token: str) -> tuple[str, str]:
        is_inside.set()
        assert go_on.wait(20)
        return "n3xt", "slow"

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(grants.exchange, "an advisor", slow)
        assert is_inside.wait(20)
        assert grants.exchange("another", Vendors("0ther").exchange) == "access 1"
        go_on.set()
        assert waiting.result(20) == "slow"


@pytest.fixture
def sandbox(tmp_path: object) -> Iterator[Sandbox]:
    with run_sandbox(tmp_path / "sandbox", households=3) as running:  # type: ignore[operator]
        yield running


def ask_clients(url: str, connection: Connection, times: int, end: Callable[[], None] | None = None) -> int:
    """Log in anew for each call, as that many tasks would; return the number of lists received."""
    engine = schema.engine(url)
    answered = 0
    for _ in range(times):
        grants = Grants.of(engine, NITROGEN.name, KEYRING.sealer, connection.extra)
        budget = RateBudget(engine, NITROGEN.name, replace(NITROGEN.budget, calls_per_minute=60_000))
        log = CallLog(engine, NITROGEN.name, "clients", "a run")
        with VendorSession(NITROGEN, connection, budget, log, grants, patience_s=1) as session:
            if end is not None:
                session._tokens.live("8101")
                end()
            answered += session.request(Request("clients", grant="8101"), bytes) is not None
    engine.dispose()
    return answered


def log_in_and_die(url: str, connection: Connection) -> None:
    """Exchange a refresh token, and die before its access token is used."""
    ask_clients(url, connection, 1, lambda: os.kill(os.getpid(), signal.SIGKILL))


def logins(sandbox: Sandbox) -> dict[str, int]:
    """Count the login's responses by status."""
    return sandbox.http.get("/_sandbox/calls").json()["routes"]["/nitrogen/ap/v1/oauthpro/token"]["status"]


def test_processes_at_once_never_use_one_token_twice(sandbox: Sandbox, database: Database) -> None:
    """The vendor revokes the whole grant if a token is reused; then every call would fail."""
    connection = connect(sandbox, NITROGEN)
    running = [submit(ask_clients, database.url(), connection, 12) for _ in range(2)]
    assert [each.result() for each in running] == [12, 12]
    assert logins(sandbox) == {"200": 24}


def test_newest_token_survives_a_crash_after_the_exchange(sandbox: Sandbox, database: Database) -> None:
    connection = connect(sandbox, NITROGEN)
    assert ask_clients(database.url(), connection, 1) == 1
    dying = submit(log_in_and_die, database.url(), connection)
    dying.join(60)
    assert dying.exitcode == -signal.SIGKILL
    assert logins(sandbox) == {"200": 2}
    assert ask_clients(database.url(), connection, 2) == 2
    assert logins(sandbox) == {"200": 4}


def test_advisor_who_authorises_anew_is_served_by_the_new_first_token(sandbox: Sandbox, database: Database) -> None:
    connection = connect(sandbox, NITROGEN)
    assert ask_clients(database.url(), connection, 1) == 1
    token = sandbox.admin("nitrogen/connect", advisor_user_id=8101)["refresh_token"]
    with pytest.raises(AuthenticationError):
        ask_clients(database.url(), connection, 1)
    anew = connect(sandbox, NITROGEN, grants=json.dumps({"8101": token}))
    assert ask_clients(database.url(), anew, 2) == 2
