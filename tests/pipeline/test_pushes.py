"""Pushed records, from the inbox into the warehouse, and their withdrawal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
import sqlalchemy as sa

from include import business_dates
from include.connection import Connection
from include.control import ledger
from include.control.ledger import Counts, Pull
from include.gateway.api import request_queue
from include.gateway.api.reading import read_push
from include.gateway.api.request_queue import Attempt
from include.gateway.api.scopes import Permission
from include.keys import register
from include.pipeline import pushes as draining
from include.pipeline.run import Run, VendorRun
from include.staging.reference import partition_path
from include.vendors import named
from tests.conftest import Database
from tests.firm_keys import KEYRING
from tests.pipeline.test_inbox import Inbox
from tests.running_sandbox import LAST

NOTHING = {col.source: None for col in named("orion").table("clients").columns}
IGNORED = [col.source for col in named("orion").table("clients").columns if col.kind == "ignored"]
CLIENTS = [
    NOTHING | {"id": 901, "name": "Pushed Sample", "isActive": True},
    NOTHING | {"id": 902, "name": "Other Sample", "isActive": True},
]


class Pushes(Inbox):
    """An inbox of rows that a caller pushed for a table of the portfolio system."""

    extra: Mapping[str, str] = {}
    attempts = 0

    def push(self, rows: object, table: str = "clients", vendor: str = "orion") -> str:
        """Push rows; return the push's id."""
        raw, key = orjson.dumps(rows), KEYRING.receiving_key
        return request_queue.push(self.engine, self.attempt(raw), vendor, table, raw, key).request_id

    def withdraw(self, push: str) -> None:
        request_queue.withdraw(self.engine, self.attempt(b""), push)

    def attempt(self, body: bytes) -> Attempt:
        self.attempts += 1
        return Attempt.of("token:mule", f"attempt-{self.attempts}", "x", body)

    def drain(self, name: str = "orion") -> int:
        self.runs += 1
        run = Run(f"drain-{self.runs}", LAST, business_dates.previous(LAST))
        connection, vendor = Connection("http://127.0.0.1:9", extra=self.extra), named(name)
        return draining.drain(vendor, VendorRun(self.site, vendor, connection, run))


@pytest.fixture
def pushes(database: Database, tmp_path: Path) -> Iterator[Pushes]:
    pushes = Pushes(database, tmp_path)
    yield pushes
    pushes.engine.dispose()


def households(pushes: Pushes) -> list[tuple[str, str]]:
    rows = pushes.database.rows(
        "select household_key, name from warehouse.household where recorded_to is null and valid_to is null order by 1"
    )
    return [(row["household_key"], row["name"]) for row in rows]


def test_rows_that_a_caller_pushed_are_in_the_warehouse_once(pushes: Pushes) -> None:
    pushes.push(CLIENTS)
    pushes.push([*CLIENTS, CLIENTS[0]])

    assert pushes.drain() == 2

    assert households(pushes) == [("901", "Pushed Sample"), ("902", "Other Sample")]
    assert pushes.errors() == [None, None]


@pytest.mark.parametrize("began", [timedelta(seconds=-30), timedelta(seconds=30)])
def test_a_push_replaces_rows_of_earlier_pulls_only(pushes: Pushes, began: timedelta) -> None:
    """After an outage, a push may be drained after the load of a pull that began later."""
    push, received_at = pushes.push(CLIENTS[:1]), datetime.now(UTC)
    pushes.site = replace(pushes.site, clock=lambda: received_at + timedelta(minutes=2))
    pull = Pull("daily", "orion", "clients", LAST, "daily", "current", received_at + began)
    with pushes.engine.begin() as connection:
        ledger.record(connection, pull, "load", Counts(), "household")
    pushes.drain()
    is_loaded = began < timedelta(0)
    assert households(pushes) == ([("901", "Pushed Sample")] if is_loaded else [])
    shown = outcome_of(pushes, push)
    assert (shown["state"], shown["error"]) == (("processed", None) if is_loaded else ("error", draining.SUPERSEDED))


def test_pushed_record_that_is_older_than_the_stored_one_is_counted_as_outdated(pushes: Pushes) -> None:
    pushes.site = replace(pushes.site, clock=lambda: datetime.now(UTC))
    pushes.push(CLIENTS[:1])
    pushes.drain()
    late = pushes.push([CLIENTS[0] | {"name": "Earlier Sample"}, CLIENTS[1]])
    pushes.database.do(
        "update control.inbox set received_at = received_at - interval '1 hour' where processed_at is null"
    )
    pushes.drain()
    assert households(pushes) == [("901", "Pushed Sample"), ("902", "Other Sample")]
    shown = outcome_of(pushes, late)
    assert (shown["state"], shown["rows"], shown["outdated"]) == ("processed", 2, 1)


def test_body_of_a_push_is_removed_when_it_is_drained(pushes: Pushes) -> None:
    pushes.push(CLIENTS)
    pushes.push({"id": 1})
    assert pushes.database.value("select count(*) from control.inbox where body <> ''") == 2

    pushes.drain()

    assert pushes.database.value("select count(*) from control.inbox where body <> ''") == 0


def test_body_of_a_push_that_was_altered_is_kept_as_evidence(pushes: Pushes) -> None:
    pushes.push(CLIENTS)
    pushes.database.do("update control.inbox set body = body || '!'")
    altered = pushes.database.value("select body from control.inbox")

    assert pushes.drain() == 1

    assert pushes.database.value("select body from control.inbox") == altered
    [error] = pushes.errors()
    assert error is not None
    assert error.startswith("A message in the inbox was altered or moved")


def test_an_unreadable_pushed_row_is_alerted_and_the_others_are_loaded(pushes: Pushes) -> None:
    pushes.push([NOTHING | {"id": "nine", "name": "Broken", "isActive": True}, *CLIENTS])
    pushes.push({"id": 1})
    pushes.push(CLIENTS[:1])

    assert pushes.drain() == 3

    assert [name for _, name in households(pushes)] == ["Pushed Sample", "Other Sample"]
    first, second, third = pushes.errors()
    assert first == "clients: id: not int64: aaaa, and 0 more of 3"
    assert second is not None
    assert "not a JSON array" in second
    assert third is None


def test_a_pushed_number_in_us_notation_is_loaded(pushes: Pushes) -> None:
    texts = ["1234.56", "1,234.56", "$1,234.56", 1234.56]
    pushes.push([CLIENTS[0] | {"id": n, "aum": text} for n, text in enumerate(texts)])
    pushes.drain()

    [pull] = pushes.database.rows("select distinct business_date, pull_id from control.ledger where stage = 'stage'")
    partition = pushes.site.staging.open(partition_path("orion", "clients", *pull.values()))
    values = [value for _, rows in partition.rows() for value in rows.column("aum_usd").to_pylist()]
    assert values == [Decimal("1234.56")] * 4
    assert pushes.errors() == [None]


@pytest.mark.parametrize(
    ("text", "shape"),
    [("1.234,56", "9.999,99"), ("12,34", "99,99"), ("1 234.56", "9 999.99"), ("1'234.56", "9'999.99")],
)
def test_a_pushed_number_in_another_notation_is_rejected_with_its_shape(pushes: Pushes, text: str, shape: str) -> None:
    pushes.push([CLIENTS[0] | {"aum": text}, CLIENTS[1]])
    pushes.drain()

    assert [name for _, name in households(pushes)] == ["Other Sample"]
    [row] = pushes.database.rows("select outcome from control.inbox")
    [rejected] = row["outcome"]["rejected"]
    assert rejected == {"row": 0, "reasons": [f"aum: not decimal(20,2): {shape}"]}
    dead_letters = pushes.database.rows("select row_key, status from control.dead_letter")
    assert dead_letters == [{"row_key": "901", "status": "open"}]


def test_a_pushed_row_that_leaves_a_field_out_is_dead_and_overwrites_nothing(pushes: Pushes) -> None:
    pushes.push(CLIENTS)
    pushes.drain()
    partial = {name: value for name, value in CLIENTS[0].items() if name != "name"}
    pushes.push([partial, CLIENTS[1] | {"name": "New Sample"}, {"id": 903}])
    pushes.drain()

    assert households(pushes) == [("901", "Pushed Sample"), ("902", "New Sample")]
    [outcome] = pushes.database.rows("select outcome, error from control.inbox order by inbox_id desc limit 1")
    rejected = outcome["outcome"].pop("rejected")
    assert outcome == {
        "outcome": {"rows": 3, "dead": 2, "outdated": 0},
        "error": "clients: name: absent, and 1 more of 3",
    }
    assert rejected[0] == {"row": 0, "reasons": ["name: absent"]}
    assert (rejected[1]["row"], len(rejected[1]["reasons"])) == (2, len(NOTHING) - len(IGNORED) - 1)
    dead_letters = pushes.database.rows("select row_key, status from control.dead_letter order by row_key")
    assert [tuple(row.values()) for row in dead_letters] == [("901", "open"), ("903", "open")]


def test_a_rejected_row_that_is_pushed_whole_is_loaded_and_its_dead_letter_closed(pushes: Pushes) -> None:
    pushes.push([{"id": 901, "name": "Pushed Sample"}, CLIENTS[1]])
    pushes.push(CLIENTS)
    pushes.drain()

    assert households(pushes) == [("901", "Pushed Sample"), ("902", "Other Sample")]
    assert pushes.database.rows("select status from control.dead_letter") == [{"status": "replayed"}]


def test_pushed_rows_that_share_a_key_and_differ_are_named_by_their_place(pushes: Pushes) -> None:
    pushes.push([{"id": 1}, *CLIENTS, CLIENTS[0] | {"name": "Another Sample"}])
    pushes.drain()

    assert [name for _, name in households(pushes)] == ["Other Sample"]
    [row] = pushes.database.rows("select outcome from control.inbox")
    places = [each["row"] for each in row["outcome"]["rejected"]]
    assert sorted(places) == [0, 1, 3]


def test_pushed_rows_are_read_by_declared_names_where_the_connection_names_columns_otherwise(pushes: Pushes) -> None:
    pushes.extra = {"columns": '{"clients": {"name": "Client Name"}}'}
    pushes.push(CLIENTS)
    pushes.drain()

    assert [name for _, name in households(pushes)] == ["Pushed Sample", "Other Sample"]


def test_a_pushed_row_of_a_day_that_cannot_be_is_dead_and_named_by_its_place(pushes: Pushes) -> None:
    pushes.push([{"id": 1}, CLIENTS[0], CLIENTS[1] | {"createdDate": "2099-01-01T00:00:00Z"}])
    pushes.drain()

    assert [name for _, name in households(pushes)] == ["Pushed Sample"]
    [row] = pushes.database.rows("select outcome from control.inbox")
    assert [each["row"] for each in row["outcome"]["rejected"]] == [0, 2]
    assert row["outcome"]["rejected"][1]["reasons"][0].startswith("createdDate: not within 1")


@pytest.mark.parametrize(
    ("field", "value"),
    [("createdDate", '"9999-12-31T23:59:59-05:00"'), ("createdDate", '"0000-05-05"'), ("aum", "1e-" + "9" * 20)],
)
def test_a_pushed_value_that_python_can_not_hold_is_dead_and_does_not_stop_the_other_rows(
    pushes: Pushes, field: str, value: str
) -> None:
    rows = orjson.dumps([CLIENTS[0] | {field: "VALUE"}, CLIENTS[1]]).decode().replace('"VALUE"', value)
    pushes.push(orjson.Fragment(rows))
    pushes.drain()

    assert [name for _, name in households(pushes)] == ["Other Sample"]
    [row] = pushes.database.rows("select outcome from control.inbox")
    [rejected] = row["outcome"]["rejected"]
    assert (rejected["row"], rejected["reasons"][0].partition(": ")[0]) == (0, field)


def test_a_pushed_row_that_the_suite_refuses_is_dead_and_named_by_its_place(pushes: Pushes) -> None:
    pushes.push([{"id": 1}, CLIENTS[0], CLIENTS[1] | {"name": "N" * 256}])
    pushes.drain()

    assert [name for _, name in households(pushes)] == ["Pushed Sample"]
    [row] = pushes.database.rows("select outcome from control.inbox")
    assert (row["outcome"]["dead"], [each["row"] for each in row["outcome"]["rejected"]]) == (2, [0, 2])
    assert row["outcome"]["rejected"][1]["reasons"][0].startswith("name: expect_column_value_lengths_to_be_between")
    assert pushes.database.value("select count(*) from control.dead_letter where stage = 'validate'") == 1


# --- withdrawals ---


def outcome_of(pushes: Pushes, push: str) -> dict[str, Any]:
    """Return the push as the API shows it."""
    return read_push(pushes.engine, Permission("token:mule", "status:read", None), UUID(push))


def test_push_that_needs_a_table_never_pulled_is_an_error_and_blocks_no_other(pushes: Pushes) -> None:
    tables = {
        table: dict.fromkeys(col.source for col in named("tamarac").table(table).columns)
        for table in ("accounts", "transactions")
    }
    account = {"accountId": "A1", "accountType": "Individual", "status": "Open"}
    trade = {
        "Transaction ID": "T1",
        "Account ID": "A1",
        "Trade Date": "2026-11-20",
        "Entry Date": "2026-11-20",
        "Type": "Buy",
    }
    trade |= {"Quantity": "1", "Status": "Posted"}
    pushes.push([tables["accounts"] | account], "accounts", "tamarac")
    pushes.push([tables["transactions"] | trade], "transactions", "tamarac")

    assert pushes.drain("tamarac") == 2

    [of_accounts, of_transactions] = pushes.errors()
    assert "No rows of a table that this one needs" in (of_accounts or "")
    assert of_transactions is None


def test_push_that_is_withdrawn_before_it_is_drained_is_never_loaded(pushes: Pushes) -> None:
    push = pushes.push(CLIENTS)
    pushes.withdraw(push)

    assert pushes.drain() == 2

    assert households(pushes) == []
    shown = outcome_of(pushes, push)
    assert (shown["state"], shown["error"]) == ("withdrawn", "Withdrawn before it was loaded")
    assert (shown["withdrawn"], shown["restored"], shown["superseded"]) == (0, 0, 0)
    assert pushes.database.value("select count(*) from control.inbox where body <> ''") == 0
    assert pushes.database.value("select count(*) from control.ledger") == 0


def test_withdrawal_of_a_loaded_push_restores_what_was_there(pushes: Pushes) -> None:
    pushes.push(CLIENTS[:1])
    pushes.drain()
    push = pushes.push([CLIENTS[0] | {"name": "Wrong Sample"}, CLIENTS[1]])
    pushes.drain()
    assert [name for _, name in households(pushes)] == ["Wrong Sample", "Other Sample"]

    pushes.withdraw(push)
    assert outcome_of(pushes, push)["state"] == "processed"
    assert pushes.drain() == 1

    assert households(pushes) == [("901", "Pushed Sample")]
    shown = outcome_of(pushes, push)
    assert (shown["state"], shown["withdrawn"], shown["restored"], shown["superseded"]) == ("withdrawn", 2, 1, 0)


def test_push_after_the_withdrawn_one_stays(pushes: Pushes) -> None:
    wrong = pushes.push([CLIENTS[0] | {"name": "Wrong Sample"}])
    pushes.withdraw(wrong)
    pushes.push(CLIENTS)
    pushes.drain()
    assert [name for _, name in households(pushes)] == ["Pushed Sample", "Other Sample"]


def test_withdrawal_that_is_repeated_is_processed_once(pushes: Pushes) -> None:
    push = pushes.push(CLIENTS)
    pushes.drain()
    for _ in range(2):
        pushes.withdraw(push)
    assert pushes.drain() == 1
    pushes.withdraw(push)
    assert pushes.drain() == 0
    assert households(pushes) == []


def test_rejected_rows_of_a_withdrawn_push_are_discarded(pushes: Pushes) -> None:
    push = pushes.push([{"id": 901, "name": "Broken"}, CLIENTS[1]])
    pushes.drain()
    pushes.withdraw(push)
    pushes.drain()
    rows = pushes.database.rows("select status, discarded_by, discard_reason from control.dead_letter")
    assert [tuple(row.values()) for row in rows] == [("discarded", "token:mule", "The push was withdrawn")]


def test_audit_trail_shows_request_and_outcome_of_a_withdrawal(pushes: Pushes) -> None:
    push = pushes.push(CLIENTS)
    pushes.drain()
    pushes.withdraw(push)
    pushes.drain()
    rows = pushes.database.rows(
        "select action, subject, details from control.audit where action like 'api.withdr%' order by entry_id"
    )
    assert [row["action"] for row in rows] == ["api.withdrawal_requested", "api.withdrawn"]
    assert {row["subject"] for row in rows} == {"withdraw.orion.clients"}
    assert rows[0]["details"] == {"event_id": push, "headers": {"caller": "token:mule"}}
    assert rows[1]["details"]["outcome"] == {"withdrawn": 2, "restored": 0, "superseded": 0}


def test_withdrawal_of_a_push_that_another_replaced_counts_its_records_as_superseded(pushes: Pushes) -> None:
    push = pushes.push(CLIENTS)
    pushes.drain()
    pushes.push([CLIENTS[0] | {"name": "Newer Sample"}])
    pushes.drain()

    pushes.withdraw(push)
    assert pushes.drain() == 1

    assert households(pushes) == [("901", "Newer Sample")]
    shown = outcome_of(pushes, push)
    assert (shown["withdrawn"], shown["restored"], shown["superseded"]) == (1, 0, 1)


def dispose_of_old(pushes: Pushes, event: str) -> None:
    """Make the processed deliveries of an event old, and dispose of what is due."""
    pushes.database.do(
        "update control.inbox set processed_at = now() - interval '91 days' where event_id = :event and processed_at is not null",
        event=event,
    )
    pushes.database.do("select control.dispose('r1', 'control.inbox', interval '90 days', 100)")


def test_push_is_not_disposed_of_while_its_withdrawal_is_pending(pushes: Pushes) -> None:
    push = pushes.push(CLIENTS)
    pushes.drain()
    pushes.withdraw(push)

    dispose_of_old(pushes, push)

    assert pushes.drain() == 1
    assert households(pushes) == []


def test_withdrawal_without_its_push_is_an_error_and_blocks_no_other(pushes: Pushes) -> None:
    lost, push = pushes.push(CLIENTS[:1]), pushes.push(CLIENTS[1:])
    pushes.drain()
    pushes.withdraw(lost)
    pushes.withdraw(push)
    pushes.database.do("delete from control.inbox where event_id = :lost and sender like 'push.%'", lost=lost)

    assert pushes.drain() == 2

    assert pushes.errors() == [None, draining.NO_PUSH, None]
    assert households(pushes) == [("901", "Pushed Sample")]


def test_withdrawal_does_not_restore_a_withdrawn_push_that_the_inbox_no_longer_has(pushes: Pushes) -> None:
    pushes.push(CLIENTS[:1])
    pushes.drain()
    first, second = [pushes.push([CLIENTS[0] | {"name": name}]) for name in ("Wrong Sample", "Other Wrong Sample")]
    pushes.drain()
    pushes.withdraw(first)
    pushes.drain()
    dispose_of_old(pushes, first)
    assert pushes.database.value("select count(*) from control.inbox where event_id = :first", first=first) == 0

    pushes.withdraw(second)
    pushes.drain()

    assert households(pushes) == [("901", "Pushed Sample")]


def test_withdrawal_waits_for_a_rotation_of_the_hash_key(pushes: Pushes) -> None:
    push = pushes.push(CLIENTS)
    pushes.drain()
    pushes.withdraw(push)
    waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    with ThreadPoolExecutor(1) as pool:
        # A session that no load has used: a new writer ends the session of the previous one.
        with sa.create_engine(pushes.engine.url, poolclass=sa.NullPool).begin() as rotation:
            register.exclude_writers(rotation)
            drained = pool.submit(pushes.drain)
            while not drained.done() and not pushes.database.value(waits):
                time.sleep(0.01)
            assert not drained.done()
        assert drained.result() == 1


def test_vendor_of_each_kind_of_sender() -> None:
    senders = ["push.orion.clients", "withdraw.orion.clients", "docusign", "/event/Tributary_Refresh__e"]
    assert [draining.vendor_of(each) for each in senders] == [
        "orion",
        "orion",
        "docusign",
        "/event/Tributary_Refresh__e",
    ]
