"""The check of our own parts: all is green if all is well, and each planted fault is named, and nothing else."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from include.check.own_parts import OwnParts, check_own_parts
from include.check.report import Finding, State
from include.check.roles import read_actual, read_expected
from include.gateway.webhooks.authenticity import Keyring as SenderKeyring
from include.gateway.webhooks.senders import SENDERS
from include.keys import register
from include.keys.keyring import Keyring
from include.pipeline.run import Site
from include.staging.partitions import Staging
from tests.check.planted import find, list_concerns
from tests.conftest import Database
from tests.firm_keys import KEYRING, write_keyring
from tests.gateway.conftest import KEYRINGS, Gateway, run_gateway

SIGNED, ECHOED = (sender.name for sender in SENDERS)


@dataclass
class Own:
    """Our own parts, and what a fault may change."""

    parts: OwnParts
    database: Database
    gateway: Gateway
    folder: Path

    def check(self) -> list[Finding]:
        return check_own_parts(self.parts)

    def change_site(self, **changes: object) -> None:
        self.parts = replace(self.parts, site=replace(self.parts.site, **changes))  # type: ignore[arg-type]

    def stage_in(self, root: Path) -> None:
        self.change_site(staging=Staging(str(root), KEYRING.staging))


@pytest.fixture
def own(database: Database, engine: sa.Engine, tmp_path: Path) -> Iterator[Own]:
    register.check(engine, KEYRING)
    site = Site(engine, Staging(str(tmp_path / "staging"), KEYRING.staging), KEYRING)
    with run_gateway(database) as gateway:
        alerts = (f"file://{tmp_path}/alerts.jsonl",)
        url = str(gateway.http.base_url).removesuffix("/")
        parts = OwnParts(site, alerts, SENDERS, lambda sender: KEYRINGS[sender.name], url, must_send_alert=True)
        yield Own(parts, database, gateway, tmp_path)


def test_all_is_green_if_all_is_well(own: Own) -> None:
    findings = own.check()
    assert {finding.subject: finding.detail for finding in findings if finding.state != "green"} == {}
    assert {"database", "keys", "staging", "alerts", "clock", f"webhook {SIGNED}", "role tributary_load"} <= {
        finding.subject for finding in findings
    }
    assert not list((own.folder / "staging").iterdir())
    assert own.gateway.read_stored() == []
    assert "Nothing is wrong" in (own.folder / "alerts.jsonl").read_text()


def test_no_alert_is_sent_unless_it_is_requested(own: Own) -> None:
    own.parts = replace(own.parts, must_send_alert=False)
    assert find(own.check(), "alerts").state == "grey"
    assert not (own.folder / "alerts.jsonl").exists()


def test_a_check_registers_no_key(database: Database, engine: sa.Engine, tmp_path: Path) -> None:
    site = Site(engine, Staging(str(tmp_path), KEYRING.staging), KEYRING)
    assert find(check_own_parts(OwnParts(site, ("file:///dev/null",))), "keys").state == "green"
    assert database.value("select count(*) from control.key") == 0


def test_the_file_of_rights_is_that_of_a_migrated_database(database: Database, engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert read_actual(connection) == read_expected()  # else: make generate


def use_wrong_hash_key(own: Own) -> None:
    keys = {key.purpose: key for key in Keyring.parse(write_keyring("another")).keys}
    own.change_site(keyring=Keyring(keys["hash"] if key.purpose == "hash" else key for key in KEYRING.keys))


def use_staging_that_is_not_writable(own: Own) -> None:
    (own.folder / "file").write_text("")
    own.stage_in(own.folder / "file" / "staging")


def turn_clock(own: Own) -> None:
    own.change_site(machine_clock=lambda: datetime.now(UTC) + timedelta(minutes=10))


def exchange_secret(own: Own) -> None:
    own.gateway.keyrings[SIGNED] = SenderKeyring.of("another-key=")


def remove_secret(own: Own) -> None:
    own.gateway.keyrings[SIGNED] = SenderKeyring()


def do(statement: str) -> Callable[[Own], None]:
    return lambda own: own.database.do(statement)


def send_alerts_to(address: str) -> Callable[[Own], None]:
    def plant(own: Own) -> None:
        own.parts = replace(own.parts, alert_urls=(address,) if address else ())

    return plant


FAULTS: tuple[tuple[str, Callable[[Own], None], str, str, State], ...] = (
    ("wrong hash key", use_wrong_hash_key, "keys", "A key differs", "red"),
    ("staging that is not writable", use_staging_that_is_not_writable, "staging", "NotADirectoryError", "red"),
    ("clock 10 minutes off", turn_clock, "clock", "0:10:00 ahead", "red"),
    ("wrong webhook secret", exchange_secret, f"webhook {SIGNED}", "HTTP 401", "red"),
    ("missing webhook secret", remove_secret, f"webhook {SIGNED}", "HTTP 404", "red"),
    ("role that reads too much", do("grant select on warehouse.person to tributary_gateway"), "role tributary_gateway", "select on relation warehouse.person", "red"),
    ("role that writes too much", do("grant delete on control.ledger to tributary_load"), "role tributary_load", "delete on relation control.ledger", "red"),
    ("role that reads too little", do("revoke select on control.check_report from tributary_web"), "role tributary_web", "lacks rights", "red"),
    ("right of every role", do("grant select on control.ledger to public"), "role PUBLIC", "select on relation control.ledger", "red"),
    ("old schema", do("comment on schema mart is 'another'"), "database", "older than this program", "red"),
    ("no alert address", send_alerts_to(""), "alerts", "no address", "amber"),
    ("wrong alert address", send_alerts_to("nothing://nowhere"), "alerts", "Unsupported", "red"),
    ("alert file that is not writable", send_alerts_to("file:///dev/null/alerts"), "alerts", "could not be written", "red"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("plant", "subject", "says", "state"), [pytest.param(*each, id=name) for name, *each in FAULTS]
)
def test_a_planted_fault_is_named_and_nothing_else(
    own: Own, plant: Callable[[Own], None], subject: str, says: str, state: State
) -> None:
    plant(own)
    findings = own.check()
    assert list_concerns(findings) == {subject: state}
    assert says in find(findings, subject).detail


def test_a_superuser_among_the_roles_is_named(own: Own) -> None:
    own.database.do("alter role tributary_api createrole")
    try:
        findings = own.check()
    finally:
        own.database.do("alter role tributary_api nocreaterole")
    assert list_concerns(findings) == {"role tributary_api": "red"}
    assert "create roles" in find(findings, "role tributary_api").detail


def test_a_gateway_behind_the_vendors_networks_is_not_checked(own: Own) -> None:
    own.gateway.keyrings[ECHOED] = SenderKeyring.of(KEYRINGS[ECHOED].secrets[0].decode(), "203.0.113.0/24")
    findings = own.check()
    assert list_concerns(findings) == {}
    assert find(findings, f"webhook {ECHOED}").state == "grey"


class AcceptsAll(http.server.BaseHTTPRequestHandler):
    """A server that accepts every delivery."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"status": "verified"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_a_gateway_that_accepts_everything_is_red(own: Own) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), AcceptsAll)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        own.parts = replace(own.parts, webhooks_url=f"http://127.0.0.1:{server.server_address[1]}")
        concerns = list_concerns(own.check())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert concerns == {f"webhook {SIGNED}": "red", f"webhook {ECHOED}": "red"}


def test_a_gateway_that_does_not_run_is_red(own: Own) -> None:
    own.parts = replace(own.parts, webhooks_url="http://127.0.0.1:9")
    assert list_concerns(own.check()) == {f"webhook {SIGNED}": "red", f"webhook {ECHOED}": "red"}
