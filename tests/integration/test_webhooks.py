"""Webhooks of both e-signature vendors, from the sandbox's own sender through the gateway and the inbox into the warehouse.

The truth is a day of the same vendor, pulled into a database of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from include.contract import Vendor
from include.control import inbox
from include.control.answers import Answers
from include.control.inbox import Delivery
from include.pipeline.inbox import NO_KEY, drain
from local.postgres import Postgres
from tests.conftest import Firm, connect
from tests.firm_keys import KEYRING
from tests.integration.desk import SIGNING, open_desk, play_envelopes, pull_truth, read_states
from tests.running_sandbox import NOW

HINTING = next(each for each in SIGNING if each.webhook is not None and not each.webhook.row)
every = pytest.mark.parametrize("vendor", SIGNING, ids=lambda vendor: vendor.name)


@pytest.fixture
def start(start_firm: Callable[..., Firm]) -> Callable[[Vendor], Firm]:
    return lambda vendor: start_firm(vendor, households=6)


@every
def test_data_from_disturbed_webhooks_matches_the_vendor(
    vendor: Vendor, start: Callable[[Vendor], Firm], postgres: Postgres, tmp_path: Path
) -> None:
    firm = start(vendor)
    with open_desk(firm) as desk:
        desk.do("disturb", copies=3, shuffle=10, seed=3)
        play_envelopes(desk, seed=1)
        desk.quiet()
        assert desk.drain() > 0

    states_read = read_states(firm)
    assert len(states_read) == 4
    with pull_truth(firm, postgres, tmp_path) as expected:
        assert states_read == {name: expected[name] for name in states_read}
    assert firm.database.value("select count(*) from control.dead_letter") == 0
    assert firm.database.value("select count(*) from control.inbox where error is not null") == 0


@every
def test_after_four_days_without_us_the_poll_finds_what_webhooks_lost(
    vendor: Vendor, start: Callable[[Vendor], Firm], postgres: Postgres, tmp_path: Path
) -> None:
    firm = start(vendor)
    with open_desk(firm) as desk:
        play_envelopes(desk, seed=2)
        desk.quiet()
        desk.drain()
        desk.close()
        play_envelopes(desk, seed=3)
        firm.turn_to(NOW + timedelta(days=4))
        firm.sandbox.log_in()  # tokens have expired
        play_envelopes(desk, seed=4)
        desk.open()

        firm.day(firm.now.date())
        desk.drain()

    with pull_truth(firm, postgres, tmp_path) as expected:
        assert read_states(firm) == expected
    assert len(read_states(firm)) >= 12


def test_a_poll_is_not_sent_again_what_has_not_changed(start: Callable[[Vendor], Firm]) -> None:
    firm = start(HINTING)
    with open_desk(firm) as desk:
        play_envelopes(desk, seed=1)
    query = """
        select status, count(*) from control.api_call where vendor = :vendor and path like 'agreements/%' and path not like '%/%/%/%'
        group by 1 order by 1
    """
    firm.day(firm.now.date())
    before, known = read_states(firm), firm.database.rows(query, vendor=HINTING.name)
    firm.database.do("delete from control.api_call")
    firm.database.do("update control.known_answer set requested_at = requested_at - interval '1 hour'")
    firm.day(firm.now.date())
    assert read_states(firm) == before
    again = {row["status"]: row["count"] for row in firm.database.rows(query, vendor=HINTING.name)}
    assert again.get(304, 0) > 0
    assert again.get(200, 0) == 0, known


def hint(agreement: str, sender: str) -> bytes:
    """Build a notification about an agreement, as any sender could who knows the client id."""
    notification = {
        "event": "AGREEMENT_CREATED",
        "eventDate": "2026-11-20T10:00:00Z",
        "webhookNotificationId": agreement,
    }
    return orjson.dumps(notification | {"agreement": {"id": agreement, "senderEmail": sender}})


def forge(firm: Firm, *hints: bytes) -> None:
    for body in hints:
        inbox.receive(
            firm.engine,
            Delivery(firm.vendor.name, body, hashlib.sha256(body).hexdigest(), None, {}),
            KEYRING.receiving_key,
        )


FORGED = (
    hint("nowhere", "nobody@elsewhere.example"),
    hint("nowhere-2", "\u0142@elsewhere.example"),
    hint("nowhere-3", " nobody@elsewhere.example\n"),
    hint("..", "nobody@elsewhere.example"),
)


@pytest.mark.parametrize("envelopes", [1, 0])
def test_events_of_unknown_records_are_alerted_and_block_no_other(
    start: Callable[[Vendor], Firm], envelopes: int
) -> None:
    firm = start(HINTING)
    with open_desk(firm) as desk:
        play_envelopes(desk, seed=1, envelopes=envelopes)
        desk.quiet()
        forge(firm, *FORGED)

        desk.drain()

    assert len(read_states(firm)) == envelopes
    errors = firm.database.rows("select error from control.inbox where error is not null")
    assert len(errors) == len(FORGED)
    assert sum("lookup failed" in row["error"] for row in errors) == len(FORGED) - 1
    assert sum(row["error"] == NO_KEY for row in errors) == 1
    assert firm.database.value("select count(*) from control.inbox where processed_at is null") == 0


def test_where_the_vendor_refuses_us_everything_waits_on(start: Callable[[Vendor], Firm]) -> None:
    firm = start(HINTING)
    with open_desk(firm) as desk:
        play_envelopes(desk, seed=1, envelopes=2)
        desk.quiet()
        firm.connection = connect(firm.sandbox, HINTING, integration_key="no such key")
        with pytest.raises(Exception, match="refuse"):
            desk.drain()
        assert firm.database.value("select count(processed_at) from control.inbox") == 0

        firm.connection = connect(firm.sandbox, HINTING)
        assert desk.drain() > 0
    assert len(read_states(firm)) == 2


def test_a_killed_drain_requests_changed_rows_again(
    start: Callable[[Vendor], Firm], monkeypatch: pytest.MonkeyPatch
) -> None:
    firm = start(HINTING)
    with open_desk(firm) as desk:
        name = desk.send(int(firm.sandbox.rows("Portfolio/Clients")[0]["id"]))
        desk.quiet()
        run = firm.new_run()

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as killed:
            killed.setattr(Answers, "forget", lambda self: None if not self.list_known() else die())
            with pytest.raises(KeyboardInterrupt):
                drain(firm.vendor_run(run))
        desk.do("cancel", agreement_id=name, comment="a mistake")
        desk.quiet()

        drain(firm.vendor_run(run))

    assert [state["status"] for state in read_states(firm).values()] == ["voided"]


def test_webhook_requests_have_their_own_fence(start: Callable[[Vendor], Firm]) -> None:
    firm = start(HINTING)
    with open_desk(firm) as desk:
        play_envelopes(desk, seed=1, envelopes=1)
        desk.quiet()
        desk.drain()

    assert firm.database.rows("select distinct pulled from control.ledger") == [{"pulled": "pushed"}]
    subjects = [row["subject"] for row in firm.database.rows("select subject from control.writer")]
    assert subjects
    assert all(subject.endswith(":pushed") for subject in subjects)
