"""Webhooks of both e-signature vendors, from the sandbox's own sender through the gateway and the inbox into the warehouse.

The truth is what the vendor says when it is asked: a day of the same vendor, pulled into a database of its own.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
import uvicorn

from include.contract import Vendor
from include.control import inbox
from include.control.answers import Answers
from include.control.inbox import Delivery
from include.drain import drain
from include.extract.login import LOGINS, Door
from include.gateway.app import create_app
from include.gateway.authenticity import Keyring
from include.gateway.senders import SENDERS, Sender
from include.local.one_envelope import subscribe
from include.local.postgres import Postgres
from include.local.processes import find_free_port
from include.vendors import VENDORS
from include.warehouse import schema
from tests.conftest import Firm, connect, new_database
from tests.running_sandbox import NOW

SIGNING = [vendor for vendor in VENDORS if vendor.webhook is not None]
HINTING = next(each for each in SIGNING if each.webhook is not None and not each.webhook.row)
every = pytest.mark.parametrize("vendor", SIGNING, ids=lambda vendor: vendor.name)


class Desk:
    """People at a vendor's, and our gateway, which may be away."""

    def __init__(self, firm: Firm) -> None:
        self.firm, self.name, self.port = firm, firm.vendor.name, find_free_port()
        self._sender = next(each for each in SENDERS if each.name == self.name)
        self._engine = schema.engine(firm.database.url("tributary_gateway"))
        self.url = f"http://127.0.0.1:{self.port}/{self._sender.path}"
        self._server: uvicorn.Server | None = None
        self.open()

    def keyring(self, sender: Sender) -> Keyring:
        known = self.firm.connection.extra
        return Keyring.of(known.get("connect_hmac_key", known.get("client_id", "")), "127.0.0.0/8")

    def open(self) -> None:
        app = create_app(lambda: self._engine, SENDERS, self.keyring)
        config = uvicorn.Config(app, host="127.0.0.1", port=self.port, log_level="warning", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            threading.Event().wait(0.01)

    def close(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join(10)
            self._server = None

    def end(self) -> None:
        self.close()
        self._engine.dispose()

    def subscribe(self) -> None:
        if self.name == "docusign":
            subscribe(self.firm.connection, self.url)
            return
        with requests.Session() as http:
            token = LOGINS["access_point"](Door(http, self.firm.connection, (5, 20)))
            events = {"includeDetailedInfo": True}
            wanted = {
                "name": "Tributary", "scope": "ACCOUNT", "state": "ACTIVE", "webhookUrlInfo": {"url": self.url},
                "webhookSubscriptionEvents": ["AGREEMENT_ALL"],
                "webhookConditionalParams": {"webhookAgreementEvents": events},
            }  # fmt: skip
            http.post(f"{token.url}/webhooks", json=wanted, headers=token.headers, timeout=20).raise_for_status()

    def do(self, kind: str, **values: Any) -> dict[str, Any]:
        return self.firm.sandbox.admin(f"{self.name}/{kind}", **values)

    def quiet(self) -> None:
        self.do("quiet", timeout_seconds=60)

    def send(self, household: int) -> str:
        if self.name == "docusign":
            return str(self.do("send", household=household)["envelopeId"])
        return str(self.do("send", household_id=household, processing_seconds=0)["agreement_id"])

    def sign(self, envelope: str) -> None:
        self.do("sign", **({"envelope_id": envelope} if self.name == "docusign" else {"agreement_id": envelope}))

    def refuse(self, envelope: str) -> None:
        if self.name == "docusign":
            self.do("decline", envelope_id=envelope, reason="not mine")
        else:
            self.do("reject", agreement_id=envelope, comment="not mine")

    def drain(self) -> int:
        run = self.firm.new_run()
        return drain(self.firm.site, self.firm.vendor, self.firm.connection, run)


@contextmanager
def at(firm: Firm) -> Iterator[Desk]:
    desk = Desk(firm)
    try:
        desk.subscribe()
        yield desk
    finally:
        desk.end()


def live(desk: Desk, seed: int, envelopes: int = 4) -> None:
    """Envelopes are sent; some are signed by all, some by one, some refused, and some wait."""
    draw = random.Random(seed)
    households = [row["id"] for row in desk.firm.sandbox.rows("Portfolio/Clients")]
    for n in range(envelopes):
        name = desk.send(int(draw.choice(households)))
        if n % 4 == 1:
            desk.refuse(name)
        elif n % 4 != 3:
            desk.sign(name)


@pytest.fixture
def start(start_firm: Callable[..., Firm]) -> Callable[[Vendor], Firm]:
    return lambda vendor: start_firm(vendor, households=6)


def states(firm: Firm) -> dict[str, dict[str, Any]]:
    """Every envelope that is known, with its recipients as they are now, without when and by which run it was written."""
    held: dict[str, dict[str, Any]] = {}
    for row in firm.database.rows("select * from warehouse.envelope where recorded_to is null"):
        held[row["envelope_key"]] = {
            k: v for k, v in row.items() if k not in ("recorded_from", "recorded_to", "source_run_id")
        }
    for row in firm.database.rows(
        "select r.envelope_key, r.envelope_recipient_key, r.status, r.signed_at from warehouse.envelope_recipient r"
        " where recorded_to is null order by 2"
    ):
        held[row["envelope_key"]].setdefault("recipients", []).append(tuple(row.values()))
    return held


@contextmanager
def truth(firm: Firm, postgres: Postgres, folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """What the vendor says of all envelopes when it is asked."""
    with new_database(postgres) as database:
        other = Firm(firm.vendor, firm.sandbox, database, folder / "truth")
        other.now, other._started = firm.now, firm._started
        other.day(firm.now.date())
        yield states(other)
        other.engine.dispose()


@every
def test_what_webhooks_brought_disturbed_as_they_were_is_what_the_vendor_says(
    vendor: Vendor, start: Callable[[Vendor], Firm], postgres: Postgres, tmp_path: Path
) -> None:
    firm = start(vendor)
    with at(firm) as desk:
        desk.do("disturb", copies=3, shuffle=10, seed=3)
        live(desk, seed=1)
        desk.quiet()
        assert desk.drain() > 0

    brought = states(firm)
    assert len(brought) == 4
    with truth(firm, postgres, tmp_path) as said:
        assert brought == {name: said[name] for name in brought}
    assert firm.database.value("select count(*) from control.dead_letter") == 0
    assert firm.database.value("select count(*) from control.inbox where error is not null") == 0


@every
def test_after_four_days_without_us_the_poll_finds_what_webhooks_lost(
    vendor: Vendor, start: Callable[[Vendor], Firm], postgres: Postgres, tmp_path: Path
) -> None:
    firm = start(vendor)
    with at(firm) as desk:
        live(desk, seed=2)
        desk.quiet()
        desk.drain()
        desk.close()
        live(desk, seed=3)
        firm.turn_to(NOW + timedelta(days=4))
        firm.sandbox.log_in()  # tokens have died meanwhile
        live(desk, seed=4)
        desk.open()

        firm.day(firm.now.date())
        desk.drain()

    with truth(firm, postgres, tmp_path) as said:
        assert states(firm) == said
    assert len(states(firm)) >= 12


def hint(agreement: str, sender: str) -> bytes:
    """News of an agreement, as anybody could write it who knows the client id."""
    told = {"event": "AGREEMENT_CREATED", "eventDate": "2026-11-20T10:00:00Z", "webhookNotificationId": agreement}
    return orjson.dumps(told | {"agreement": {"id": agreement, "senderEmail": sender}})


def forge(firm: Firm, *hints: bytes) -> None:
    for body in hints:
        inbox.receive(firm.engine, Delivery(firm.vendor.name, body, hashlib.sha256(body).hexdigest(), None, {}))


FORGED = (
    hint("nowhere", "nobody@elsewhere.example"),
    hint("nowhere-2", "\u0142@elsewhere.example"),
    hint("nowhere-3", " nobody@elsewhere.example\n"),
    hint("..", "nobody@elsewhere.example"),
)


@pytest.mark.parametrize("envelopes", [1, 0])
def test_news_of_what_nobody_knows_is_told_of_and_holds_up_nobody(
    start: Callable[[Vendor], Firm], envelopes: int
) -> None:
    firm = start(HINTING)
    with at(firm) as desk:
        live(desk, seed=1, envelopes=envelopes)
        desk.quiet()
        forge(firm, *FORGED)

        desk.drain()

    assert len(states(firm)) == envelopes
    errors = firm.database.rows("select error from control.inbox where error is not null")
    assert len(errors) == len(FORGED)
    assert all("in vain" in row["error"] for row in errors)
    assert firm.database.value("select count(*) from control.inbox where processed_at is null") == 0


def test_where_the_vendor_refuses_us_everything_waits_on(start: Callable[[Vendor], Firm]) -> None:
    firm = start(HINTING)
    with at(firm) as desk:
        live(desk, seed=1, envelopes=2)
        desk.quiet()
        firm.connection = connect(firm.sandbox, HINTING, integration_key="no such key")
        with pytest.raises(Exception, match="refuse"):
            desk.drain()
        assert firm.database.value("select count(processed_at) from control.inbox") == 0

        firm.connection = connect(firm.sandbox, HINTING)
        assert desk.drain() > 0
    assert len(states(firm)) == 2


def test_a_drain_that_died_asks_again_for_what_has_changed_meanwhile(
    start: Callable[[Vendor], Firm], monkeypatch: pytest.MonkeyPatch
) -> None:
    firm = start(HINTING)
    with at(firm) as desk:
        name = desk.send(int(firm.sandbox.rows("Portfolio/Clients")[0]["id"]))
        desk.quiet()
        run = firm.new_run()

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as killed:
            killed.setattr(Answers, "forget", lambda self: None if not self.known() else die())
            with pytest.raises(KeyboardInterrupt):
                drain(firm.site, firm.vendor, firm.connection, run)
        desk.do("cancel", agreement_id=name, comment="a mistake")
        desk.quiet()

        drain(firm.site, firm.vendor, firm.connection, run)

    assert [state["status"] for state in states(firm).values()] == ["voided"]


def test_what_webhooks_ask_for_has_a_fence_of_its_own(start: Callable[[Vendor], Firm]) -> None:
    firm = start(HINTING)
    with at(firm) as desk:
        live(desk, seed=1, envelopes=1)
        desk.quiet()
        desk.drain()

    assert firm.database.rows("select distinct pulled from control.ledger") == [{"pulled": "pushed"}]
    subjects = [row["subject"] for row in firm.database.rows("select subject from control.writer")]
    assert subjects
    assert all(subject.endswith(":pushed") for subject in subjects)
