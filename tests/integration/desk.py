"""Users of an e-signature vendor whose webhooks reach our gateway; the resulting states, and those that the vendor states."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import uvicorn

from include.contract.webhook import Sender
from include.extract.login import LoginContext, log_in
from include.gateway.webhooks.app import create_app
from include.gateway.webhooks.authenticity import Keyring
from include.gateway.webhooks.senders import SENDERS
from include.pipeline.inbox import drain
from include.vendors import VENDORS
from include.warehouse import schema
from local.one_envelope import subscribe
from local.postgres import Postgres
from local.processes import find_free_port
from tests.conftest import Firm, new_database
from tests.firm_keys import KEYRING, register_inbox_key

SIGNING = [vendor for vendor in VENDORS if vendor.webhook is not None]


class Desk:
    """Users of a vendor, and our gateway, which may be down."""

    def __init__(self, firm: Firm) -> None:
        self.firm, self.name, self.port = firm, firm.vendor.name, find_free_port()
        self._sender = next(each for each in SENDERS if each.name == self.name)
        register_inbox_key(firm.database)
        self._engine = schema.engine(firm.database.url("tributary_gateway"))
        self.url = f"http://127.0.0.1:{self.port}/{self._sender.path}"
        self._server: uvicorn.Server | None = None
        self.open()

    def keyring(self, sender: Sender) -> Keyring:
        extra = self.firm.connection.extra
        return Keyring.of(extra.get("connect_hmac_key", extra.get("client_id", "")), "127.0.0.0/8")

    def open(self) -> None:
        app = create_app(lambda: self._engine, SENDERS, self.keyring, lambda: KEYRING.receiving_key)
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
            subscribe(self.firm.vendor.login, self.firm.connection, self.url)
            return
        with requests.Session() as http:
            token = log_in(self.firm.vendor.login, LoginContext(http, self.firm.connection, (5, 20)))
            events = {"includeDetailedInfo": True}
            webhook = {
                "name": "Tributary", "scope": "ACCOUNT", "state": "ACTIVE", "webhookUrlInfo": {"url": self.url},
                "webhookSubscriptionEvents": ["AGREEMENT_ALL"],
                "webhookConditionalParams": {"webhookAgreementEvents": events},
            }  # fmt: skip
            http.post(f"{token.url}/webhooks", json=webhook, headers=token.headers, timeout=20).raise_for_status()

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
        return drain(self.firm.vendor_run(run))


@contextmanager
def open_desk(firm: Firm) -> Iterator[Desk]:
    desk = Desk(firm)
    try:
        desk.subscribe()
        yield desk
    finally:
        desk.end()


def play_envelopes(desk: Desk, seed: int, envelopes: int = 4) -> None:
    """Send envelopes; some are signed by all, some by one, some declined, and some wait."""
    draw = random.Random(seed)
    households = [row["id"] for row in desk.firm.sandbox.rows("Portfolio/Clients")]
    for n in range(envelopes):
        name = desk.send(int(draw.choice(households)))
        if n % 4 == 1:
            desk.refuse(name)
        elif n % 4 != 3:
            desk.sign(name)


def read_states(firm: Firm) -> dict[str, dict[str, Any]]:
    """Read every envelope with its current recipients, without times and runs of writing."""
    envelopes: dict[str, dict[str, Any]] = {}
    for row in firm.database.rows("select * from warehouse.envelope where recorded_to is null"):
        envelopes[row["envelope_key"]] = {
            k: v for k, v in row.items() if k not in ("recorded_from", "recorded_to", "source_run_id")
        }
    for row in firm.database.rows(
        "select r.envelope_key, r.envelope_recipient_key, r.status, r.signed_at from warehouse.envelope_recipient r"
        " where recorded_to is null order by 2"
    ):
        envelopes[row["envelope_key"]].setdefault("recipients", []).append(tuple(row.values()))
    return envelopes


@contextmanager
def pull_truth(firm: Firm, postgres: Postgres, folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Pull all envelopes of the vendor into a database of their own; yield their states."""
    with new_database(postgres) as database:
        other = Firm(firm.vendor, firm.sandbox, database, folder / "truth")
        other.now, other._started = firm.now, firm._started
        other.day(firm.now.date())
        yield read_states(other)
        other.engine.dispose()
