"""Webhook deliveries and pushed rows, from the inbox into the warehouse."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include import business_dates
from include.connection import Connection
from include.contract import Basic
from include.control import inbox
from include.control.inbox import Delivery
from include.errors import BalanceError, ConfigurationError, RowsFailed, TargetUnavailable
from include.pipeline import inbox as draining
from include.pipeline import vendor_day
from include.pipeline.run import Run, Site, VendorRun
from include.staging.partitions import Staging
from include.vendors.docusign import DOCUSIGN
from include.warehouse import schema
from local.postgres import Postgres
from tests.conftest import Database, new_database
from tests.extract.vendor_server import RecordedCall, Reply, listen
from tests.firm_keys import KEYRING, register_inbox_key
from tests.running_sandbox import LAST

T0 = datetime(2026, 11, 20, 15, tzinfo=UTC)
LIFE = ("created", "sent", "delivered", "completed")
STAMPS = {"created": "createdDateTime", "sent": "sentDateTime", "delivered": "deliveredDateTime"} | {
    end: f"{end}DateTime" for end in ("completed", "declined", "voided")
}


def moment(step: int) -> str:
    return (T0 + timedelta(minutes=step)).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def body(envelope: str, life: tuple[str, ...], **changes: Any) -> dict[str, Any]:
    """Build a message with an envelope's last state."""
    status, step = life[-1], len(life) - 1
    summary = {
        "envelopeId": envelope,
        "status": status,
        "emailSubject": "Advisory agreement",
        "lastModifiedDateTime": moment(step),
        "statusChangedDateTime": moment(step),
        "sender": {"userName": "Sam Sample", "email": "sam@firm.example", "userId": "u", "accountId": "a"},
        "customFields": {
            "textCustomFields": [
                {"name": "Household", "value": "orion:17"},
                {"name": "Purpose", "value": "account opening"},
            ]
        },
        "recipients": {
            "signers": [
                {
                    "recipientId": "1",
                    "name": "Ann Sample",
                    "email": "ann@client.example",
                    "routingOrder": "1",
                    "status": "completed" if status == "completed" else "sent",
                    **({"sentDateTime": moment(1)} if step else {}),
                    **({"signedDateTime": moment(3)} if status == "completed" else {}),
                }
            ],
            "carbonCopies": [
                {"recipientId": "2", "name": "Copy Sample", "email": "copy@firm.example", "status": "created"}
            ],
            "recipientCount": "2",
        },
    } | {STAMPS[each]: moment(n) for n, each in enumerate(life)}
    return {
        "event": f"envelope-{status}",
        "apiVersion": "v2.1",
        "uri": f"/restapi/v2.1/accounts/a/envelopes/{envelope}",
        "retryCount": 0,
        "configurationId": 1,
        "generatedDateTime": moment(step),
        "data": {"accountId": "a", "userId": "u", "envelopeId": envelope, "envelopeSummary": summary | changes},
    }


class Inbox:
    """A firm's database with an inbox, and its drain."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.engine = database, schema.engine(database.url())
        register_inbox_key(database)
        self.site = Site(
            self.engine,
            Staging(str(folder / "staging"), KEYRING.staging),
            KEYRING,
            clock=lambda: T0 + timedelta(days=7),
        )
        self.runs = 0

    def put(self, *bodies: dict[str, Any]) -> None:
        for each in bodies:
            raw = orjson.dumps(each)
            name = hashlib.sha256(raw).hexdigest()
            inbox.receive(self.engine, Delivery("docusign", raw, name, None, {}), KEYRING.receiving_key)

    def drain(self) -> int:
        self.runs += 1
        run = Run(f"drain-{self.runs}", LAST, business_dates.previous(LAST))
        return draining.drain(VendorRun(self.site, DOCUSIGN, Connection("http://127.0.0.1:9"), run))

    def envelopes(self) -> list[dict[str, Any]]:
        return self.database.rows("select * from warehouse.envelope where recorded_to is null order by envelope_key")

    def statuses(self) -> dict[str, str]:
        return {row["envelope_key"]: row["status"] for row in self.envelopes()}

    def errors(self) -> list[str | None]:
        rows = self.database.rows("select error from control.inbox where processed_at is not null order by inbox_id")
        return [row["error"] for row in rows]


@pytest.fixture
def box(database: Database, tmp_path: Path) -> Iterator[Inbox]:
    box = Inbox(database, tmp_path)
    yield box
    box.engine.dispose()


def test_a_delivery_becomes_an_envelope_with_its_recipients_and_its_history(box: Inbox) -> None:
    box.put(body("e1", LIFE))

    assert box.drain() == 1

    [envelope] = box.envelopes()
    assert envelope["status"] == "completed"
    assert envelope["is_final"]
    assert envelope["household_reference"] == "orion:household:17"
    assert envelope["purpose"] == "account opening"
    assert envelope["completed_at"] == T0 + timedelta(minutes=3)
    recipients = box.database.rows("select * from warehouse.envelope_recipient order by routing_order")
    assert [(r["role"], r["name"], r["status"]) for r in recipients] == [
        ("signer", "Ann Sample", "completed"),
        ("carbon_copy", "Copy Sample", "waiting"),
    ]
    events = box.database.rows("select event, actor_name from warehouse.envelope_event order by happened_at, event")
    assert [(e["event"], e["actor_name"]) for e in events] == [
        ("created", "Sam Sample"),
        ("received", "Ann Sample"),
        ("sent", "Sam Sample"),
        ("delivered", "Sam Sample"),
        ("completed", "Sam Sample"),
        ("signed", "Ann Sample"),
    ]
    assert box.errors() == [None]


@pytest.mark.parametrize("part", ["customFields", "recipients"])
@pytest.mark.parametrize("is_null", [False, True])
def test_a_row_without_a_required_part_is_requested_from_the_vendor(box: Inbox, part: str, is_null: bool) -> None:
    key = str(uuid.uuid4())
    box.put(body(key, LIFE[:3]))
    box.drain()
    whole = body(key, LIFE)["data"]["envelopeSummary"]
    short = body(key, LIFE)
    short["data"]["envelopeSummary"][part] = None
    if not is_null:
        del short["data"]["envelopeSummary"][part]
    box.put(short)

    def answer(call: RecordedCall) -> Reply:
        assert call.params["envelope_ids"] == key
        return Reply({"envelopes": [whole] if call.params["start_position"] == "0" else []})

    with listen(answer) as listener:
        run = Run("drain", LAST, business_dates.previous(LAST))
        vendor = replace(DOCUSIGN, login=Basic())
        assert draining.drain(VendorRun(box.site, vendor, Connection(listener.url, "user", "password"), run)) == 1
    [envelope] = box.envelopes()
    assert (envelope["status"], envelope["household_reference"]) == ("completed", "orion:household:17")
    rows = box.database.rows("select * from warehouse.envelope_recipient where recorded_to is null")
    assert "completed" in {row["status"] for row in rows}


def test_what_was_drained_is_not_drained_again(box: Inbox) -> None:
    box.put(body("e1", LIFE))

    assert [box.drain(), box.drain()] == [1, 0]


LIVES = {
    "e1": LIFE,
    "e2": LIFE[:3],
    "e3": ("created", "sent", "declined"),
    "e4": ("created", "sent", "delivered", "voided"),
}
MESSAGES = [body(name, life[:n]) for name, life in LIVES.items() for n in range(1, len(life) + 1)]


@pytest.fixture(scope="module")
def shared_box(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    with new_database(postgres) as database:
        box = Inbox(database, tmp_path_factory.mktemp("staging"))
        yield box
        box.engine.dispose()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10_000), copies=st.integers(1, 3), batches=st.integers(1, 4))
def test_envelopes_end_in_their_final_state_for_any_order_and_repetition(
    shared_box: Inbox, seed: int, copies: int, batches: int
) -> None:
    for table in ("envelope", "envelope_recipient", "envelope_event"):
        shared_box.database.do(f"delete from warehouse.{table}")
    shared_box.database.do("delete from control.inbox")
    messages = MESSAGES * copies
    random.Random(seed).shuffle(messages)
    size = -(-len(messages) // batches)
    for first in range(0, len(messages), size):
        shared_box.put(*messages[first : first + size])
        shared_box.drain()

    assert shared_box.statuses() == {name: life[-1] for name, life in LIVES.items()}
    signed = shared_box.database.rows(
        "select r.envelope_key from warehouse.envelope_recipient r join warehouse.envelope e"
        " on e.envelope_key = r.envelope_key and e.changed_at = r.changed_at and e.recorded_to is null"
        " where r.recorded_to is null and r.signed_at is not null"
    )
    assert [row["envelope_key"] for row in signed] == ["e1"]
    events = shared_box.database.value(
        "select count(*) from warehouse.envelope_event e where recorded_to is null and actor_name = 'Sam Sample'"
    )
    assert events == sum(len(life) for life in LIVES.values())
    assert shared_box.database.value("select count(*) from control.inbox") == len(MESSAGES)


def test_a_final_state_wins_over_a_newer_non_final_state(box: Inbox) -> None:
    box.put(body("e1", LIFE))
    box.drain()
    box.put(body("e1", LIFE[:3], lastModifiedDateTime=moment(50)))
    box.drain()

    assert box.statuses() == {"e1": "completed"}


def test_an_end_is_not_undone_within_a_batch_either(box: Inbox) -> None:
    box.put(body("e1", LIFE[:3], lastModifiedDateTime=moment(50)), body("e1", LIFE))
    box.drain()

    assert box.statuses() == {"e1": "completed"}


def test_an_unreadable_body_is_alerted_and_blocks_no_other(box: Inbox) -> None:
    box.put(
        body("e1", LIFE, createdDateTime="on Friday"),
        body("e2", LIFE),
        {"event": "envelope-sent", "data": {}},
    )

    assert box.drain() == 3

    assert box.statuses() == {"e2": "completed"}
    broken, fine, nobody = box.errors()
    assert broken == "envelopes: createdDateTime: not timestamp"
    assert fine is None
    assert nobody is not None
    dead_letters = box.database.rows("select table_name, row_key from control.dead_letter order by table_name")
    assert [(each["table_name"], each["row_key"]) for each in dead_letters] == [
        ("deliveries", "3"),
        ("envelopes", "e1"),
    ]


def test_an_unknown_recipient_list_is_reported_as_drift(box: Inbox) -> None:
    box.put(body("e1", LIFE, recipients={"signers": [], "robots": [{"recipientId": "9"}]}))
    box.drain()

    assert box.statuses() == {"e1": "completed"}
    assert "recipients.robots" in [row["field"] for row in box.database.rows("select field from control.drift")]


ENDLESS = "".join(random.Random(7).choices("abcdefghij0123456789", k=10_000))


@pytest.mark.parametrize("name", [ENDLESS, "e\0e"], ids=["endless", "with-nul"])
def test_a_delivery_with_an_invalid_id_is_alerted_and_blocks_no_other(box: Inbox, name: str) -> None:
    box.put(body("e1", LIFE), body(name, LIFE), body("e2", LIFE))

    assert [box.drain(), box.drain()] == [3, 0]

    assert box.statuses() == {"e1": "completed", "e2": "completed"}
    first, broken, last = box.errors()
    assert (first, last) == (None, None)
    assert broken is not None
    assert "envelopeId: not" in broken


def test_a_field_with_an_invalid_name_is_reported_as_drift(box: Inbox) -> None:
    box.put(body("e1", LIFE, **{"new\0field": 1, "x" * 5_000: 1}))

    box.drain()

    assert box.statuses() == {"e1": "completed"}
    fields = [row["field"] for row in box.database.rows("select field from control.drift order by 1")]
    assert fields == ["new?field", "x" * 200]


def test_a_delivery_rejected_by_the_warehouse_is_alerted_and_its_batch_is_loaded(box: Inbox) -> None:
    # The event is part of our key, which gets too long for an index; only the load notices.
    box.put(*(body(f"e{n}", LIFE) for n in range(5)), body("e5", LIFE) | {"event": ENDLESS}, body("e6", LIFE))

    with pytest.raises(RowsFailed, match="1 of 7"):
        box.drain()

    assert sorted(box.statuses()) == [f"e{n}" for n in range(7)]
    assert [error is None for error in box.errors()] == [True] * 5 + [False, True]
    assert box.drain() == 0


def test_where_no_delivery_can_be_loaded_the_fault_is_ours_and_all_wait(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise BalanceError("The database refuses the rows")

    box.put(*(body(f"e{n}", LIFE) for n in range(3)))
    with monkeypatch.context() as broken:
        broken.setattr(vendor_day, "load", refuse)
        with pytest.raises(BalanceError):
            box.drain()
    assert box.errors() == []

    assert box.drain() == 3
    assert sorted(box.statuses()) == ["e0", "e1", "e2"]


def test_what_a_load_could_not_bring_waits_on_and_is_brought_once(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    box.put(*MESSAGES)
    first = vendor_day.load

    def fails(*args: Any) -> Any:
        raise TargetUnavailable("the database went away")

    monkeypatch.setattr(vendor_day, "load", fails)
    with pytest.raises(TargetUnavailable):
        box.drain()
    assert box.errors() == []
    monkeypatch.setattr(vendor_day, "load", first)

    assert box.drain() == len(MESSAGES)
    assert box.statuses() == {name: life[-1] for name, life in LIVES.items()}


def test_every_load_of_a_drain_balances_and_counts_pending_deliveries(box: Inbox) -> None:
    box.put(*MESSAGES, *MESSAGES)
    box.drain()

    staged = box.database.rows(
        "select table_name, fetched, staged, dead from control.ledger where stage = 'stage' order by table_name"
    )
    assert [tuple(row.values()) for row in staged] == [
        ("deliveries", len(MESSAGES), len(MESSAGES), 0),
        ("envelopes", len(MESSAGES), len(MESSAGES), 0),
        ("recipients", 2 * len(MESSAGES), 2 * len(MESSAGES), 0),
    ]
    merged = box.database.value("select merged from control.ledger where stage = 'transform' and entity = 'envelope'")
    assert merged == len(MESSAGES) - len(LIVES)


def test_states_are_case_insensitive(box: Inbox) -> None:
    box.put(body("e1", LIFE, status="Completed"))
    box.drain()

    [envelope] = box.envelopes()
    assert (envelope["status"], envelope["is_final"]) == ("completed", True)


@pytest.mark.parametrize("stamp", ["completedDateTime", "sentDateTime", "lastModifiedDateTime"])
@pytest.mark.parametrize("year", ["2099", "0202"])
def test_a_future_event_is_a_dead_letter_and_alerted_with_its_delivery(box: Inbox, stamp: str, year: str) -> None:
    box.put(body("e1", LIFE, **{stamp: f"{year}-01-01T00:00:00Z"}), body("e2", LIFE))
    box.drain()

    assert box.statuses() == {"e2": "completed"}
    assert box.errors() == [f"envelopes: {stamp}: not within 1970-01-01 to extracted_at+1d", None]
    assert box.database.rows("select row_key, status from control.dead_letter") == [{"row_key": "e1", "status": "open"}]


def test_while_a_vendor_is_unreachable_dead_letters_are_recorded_and_alerted_once(box: Inbox) -> None:
    box.put(
        body("e1", LIFE, createdDateTime="on Friday"),
        body("x" * 2_000, LIFE),  # no key, so a repeat can't be recognized
        body("e2", LIFE),
        {
            "event": "envelope-sent",
            "generatedDateTime": moment(0),
            "data": {"envelopeId": "e3"},
        },  # to be requested from the vendor
    )
    for _ in range(4):
        with pytest.raises(ConfigurationError, match="lacks a credential"):
            box.drain()

    query = "select sum((data->>'count')::int) from control.outbox where type = 'tributary.dead_letter.made'"
    dead_letters = box.database.rows(
        "select table_name, row_key, status from control.dead_letter order by dead_letter_id"
    )
    assert box.database.value(query) == len(dead_letters) == len({tuple(each.values()) for each in dead_letters})
    assert {each["status"] for each in dead_letters} == {"open"}
    assert box.statuses() == {"e2": "completed"}


def test_a_single_incomplete_body_is_alerted_and_does_not_wait(box: Inbox) -> None:
    box.put(body("e1", LIFE, lastModifiedDateTime=None))
    box.put({"event": "template-created", "generatedDateTime": moment(0), "data": {"templateId": "t"}})

    assert [box.drain(), box.drain()] == [2, 0]

    assert all(box.errors())
    assert box.statuses() == {}
