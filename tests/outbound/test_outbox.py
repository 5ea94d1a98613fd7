"""Events are written in the transaction of the change that they report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from psycopg import errors

from include.control import dead_letters, findings, ledger
from include.control.dead_letters import DeadLetter
from include.control.findings import Look
from include.control.lateness import Late, mark_alerted
from include.control.ledger import Counts, Pull
from include.errors import BalanceError
from include.outbound.outbox import CHANNEL
from include.outbound.subscriber import TYPES
from include.rules.finding import FINDINGS
from tests.outbound.conftest import Firm, subscribe

DAY = date(2026, 11, 20)
PULL = Pull("run-1", "orion", "assets", DAY, "pull-1", "current", datetime(2026, 11, 21, tzinfo=UTC))
LOADED = Counts(produced=3, inserted=1, updated=2, money_in=Decimal("1234567.89"), money_out=Decimal("1234567.89"))
NOBODY = pa.table({"subject_entity": pa.array([], pa.string()), "subject_id": pa.array([], pa.int64())})
DETAILS = "Words about 12.5% of an invented fortune"


def load(firm: Firm) -> None:
    with firm.engine.begin() as connection:
        ledger.record(connection, PULL, "stage", Counts(fetched=3, staged=3))
        ledger.record(connection, PULL, "load", LOADED, "position")


def insert_dead_letters(firm: Firm, *rows: DeadLetter, stage: str = "stage") -> None:
    with firm.engine.begin() as connection:
        dead_letters.insert(connection, PULL, stage, "orion/assets/p1", rows, own_day=True)


def settle(firm: Firm, day: date, *subjects: int, measure: str = "4321.5") -> None:
    rows = [
        {"subject_entity": "account", "subject_id": each, "household_id": 5, "representative_id": 6,
         "measure": Decimal(measure), "details": DETAILS} for each in subjects
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=FINDINGS)
    table = table.append_column("rule", pa.array(["idle_cash"] * len(rows), pa.string()))
    table = table.append_column("severity", pa.array(["warning"] * len(rows), pa.string()))
    look = Look("orion", day, datetime.combine(day, datetime.min.time(), UTC), f"run-{day}")
    with firm.engine.begin() as connection:
        findings.settle(connection, look, {"idle_cash": 0}, table, NOBODY)


def write_envelope(firm: Firm, status: str, *, key: str = "e1", completed_at: datetime | None = None) -> None:
    """Write a state of an envelope as a load does: close the previous state, open this one."""
    with firm.engine.begin() as connection:
        values = {"key": key, "status": status, "completed_at": completed_at}
        connection.execute(
            sa.text(
                "update warehouse.envelope set recorded_to = now() where envelope_key = :key and recorded_to is null"
            ),
            values,
        )
        connection.execute(
            sa.text("""
            insert into warehouse.envelope (vendor, envelope_key, subject, sender_name, sender_email, status, is_final,
                                            completed_at, recorded_from, source_run_id)
            values ('docusign', :key, 'Plan of an Invented Person', 'Invented Person', 'invented@example.com', :status,
                    :status = 'completed', :completed_at, now(), 7)
            """),
            values,
        )


def read_events(firm: Firm, type: str = "") -> list[dict[str, Any]]:
    """Read the content of events of a type."""
    return [{"subject": e["subject"], **e["data"]} for e in firm.events() if e["type"].endswith(type)]


def test_a_load_is_published_with_its_counts(quiet: Firm) -> None:
    load(quiet)
    [event] = read_events(quiet)
    assert event.pop("ledger_id") > 0
    assert event == {
        "subject": "orion/assets/2026-11-20", "vendor": "orion", "table": "assets", "entity": "position",
        "business_date": "2026-11-20", "run_id": "run-1", "pulled": "current", "produced": 3, "inserted": 1, "updated": 2,
        "unchanged": 0, "superseded": 0, "withdrawn": 0, "dead": 0, "money_usd": "1234567.89",
    }  # fmt: skip


def test_an_uncommitted_load_is_not_published(quiet: Firm) -> None:
    with quiet.engine.connect() as connection:
        ledger.record(connection, PULL, "load", LOADED, "position")
        connection.rollback()
    with pytest.raises(BalanceError), quiet.engine.begin() as connection:
        ledger.record(connection, PULL, "load", replace(LOADED, produced=4), "position")
    assert quiet.events() == []


def test_a_load_recorded_twice_is_published_once(quiet: Firm) -> None:
    load(quiet)
    load(quiet)
    assert len(read_events(quiet)) == 1


def test_dead_letters_are_published_with_reasons_and_without_content(quiet: Firm) -> None:
    insert_dead_letters(quiet, DeadLetter("KEY-1", ["price_usd: not a number", "is_active: missing"], "part-0", 0))
    [event] = read_events(quiet)
    assert event == {
        "subject": "orion/assets/2026-11-20", "vendor": "orion", "table": "assets", "business_date": "2026-11-20",
        "stage": "stage", "run_id": "run-1", "partition": "orion/assets/p1", "count": 1,
        "reasons": {"price_usd: not a number": 1, "is_active: missing": 1},
    }  # fmt: skip


def test_crm_reason_is_returned_as_code_only(quiet: Firm) -> None:
    insert_dead_letters(
        quiet, DeadLetter("KEY-1", ["DUPLICATE_VALUE:Invented Person is there already"], "part-0", 0), stage="crm"
    )
    assert read_events(quiet)[0]["reasons"] == {"DUPLICATE_VALUE": 1}


def test_twenty_thousand_dead_letters_of_a_statement_are_one_event_per_partition(quiet: Firm) -> None:
    statement = """
    insert into control.dead_letter
        (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number)
    select 'run-1', 'orion', 'assets', '2026-11-20', 'stage', n::text, array['reason ' || n % 50], 'p' || n % 2, 'part-0', n
    from generate_series(1, 20000) n on conflict (partition, part, row_number, stage) do nothing
    """
    started = time.perf_counter()
    quiet.do(statement)
    assert time.perf_counter() - started < 5
    assert [(event["partition"], event["count"], len(event["reasons"])) for event in read_events(quiet)] == [
        ("p1", 10000, 20),
        ("p0", 10000, 20),
    ]
    quiet.do(statement)
    assert len(read_events(quiet)) == 2, "dead letters that exist already cause no event"


def test_a_finding_is_published_when_it_opens_and_when_it_closes(quiet: Firm) -> None:
    settle(quiet, DAY, 1, 2)
    settle(quiet, DAY + timedelta(days=3), 2, measure="9999")
    settle(quiet, DAY + timedelta(days=4), 1, 2)
    assert [(e["type"].rsplit(".")[-1], e["subject"]) for e in quiet.events()] == [
        ("opened", "orion/idle_cash/account/1"),
        ("opened", "orion/idle_cash/account/2"),
        ("closed", "orion/idle_cash/account/1"),
        ("opened", "orion/idle_cash/account/1"),
    ]
    closed = read_events(quiet, "closed")[0]
    assert closed.pop("finding_id") == read_events(quiet, "opened")[0]["finding_id"]
    assert closed == {
        "subject": "orion/idle_cash/account/1", "vendor": "orion", "rule": "idle_cash", "severity": "warning",
        "subject_entity": "account", "subject_id": 1, "household_id": 5, "representative_id": 6,
        "business_date_opened": "2026-11-20", "business_date_closed": "2026-11-23",
    }  # fmt: skip


def test_an_envelope_is_published_once_when_completed(quiet: Firm) -> None:
    now = datetime.now(UTC)
    write_envelope(quiet, "sent")
    write_envelope(quiet, "delivered")
    assert quiet.events() == []
    write_envelope(quiet, "completed", completed_at=now - timedelta(days=400))
    write_envelope(quiet, "completed", completed_at=now)
    [event] = read_events(quiet)
    assert event == {
        "subject": "docusign/envelope/e1", "vendor": "docusign", "envelope_key": "e1", "sent_at": None,
        "completed_at": event["completed_at"], "ledger_id": 7,
    }  # fmt: skip
    assert datetime.fromisoformat(event["completed_at"]) == now - timedelta(days=400)


def test_a_reopened_envelope_is_published_again(quiet: Firm) -> None:
    for status in ("sent", "completed", "sent", "completed"):
        write_envelope(quiet, status, completed_at=datetime.now(UTC))
    assert len(read_events(quiet)) == 2


def test_an_envelope_that_comes_completed_is_news_only_while_it_is_young(quiet: Firm) -> None:
    write_envelope(quiet, "completed", key="young", completed_at=datetime.now(UTC) - timedelta(days=1))
    write_envelope(quiet, "completed", key="old", completed_at=datetime.now(UTC) - timedelta(days=30))
    assert [event["envelope_key"] for event in read_events(quiet)] == ["young"]


def test_a_missed_deadline_is_published(quiet: Firm) -> None:
    due = datetime.fromisoformat("2026-11-23T08:30:00-05:00")
    for _ in range(2):
        mark_alerted(quiet.engine, [Late("orion", "assets", DAY, "load", due)])
    assert read_events(quiet) == [
        {
            "subject": "orion/assets/2026-11-20", "vendor": "orion", "table": "assets", "business_date": "2026-11-20",
            "stage": "load", "due_at": "2026-11-23T13:30:00+00:00",
        }
    ]  # fmt: skip


def test_only_declared_types_are_published_without_names_or_texts(quiet: Firm) -> None:
    load(quiet)
    insert_dead_letters(quiet, DeadLetter("KEY-1", ["missing"], "part-0", 0))
    settle(quiet, DAY, 1)
    settle(quiet, DAY + timedelta(days=3))
    write_envelope(quiet, "completed", completed_at=datetime.now(UTC))
    mark_alerted(quiet.engine, [Late("orion", "assets", DAY, "load", datetime.now(UTC))])
    events = quiet.events()
    assert {event["type"] for event in events} == set(TYPES)
    text = json.dumps(events, default=str)
    assert not [canary for canary in ("Invented", "invented", "Words", "4321", "KEY-1") if canary in text]


def read_notifications(firm: Firm, act: Callable[[Firm], None], seconds: float) -> list[str]:
    """Act, and return the channels notified within this time."""
    with psycopg.connect(firm.database.url(), autocommit=True) as listening:
        listening.execute(f"listen {CHANNEL}")  # type: ignore[call-overload]
        act(firm)
        return [each.channel for each in listening.notifies(timeout=seconds, stop_after=1)]


def test_an_event_that_a_subscriber_wants_notifies_when_it_is_committed(quiet: Firm) -> None:
    quiet.subscribers = [subscribe("http://127.0.0.1:9/", types="tributary.load.committed", vendors="orion")]
    quiet.deliver()
    assert read_notifications(quiet, load, 5) == [CHANNEL]
    assert read_notifications(quiet, load, 0.2) == [], "the load is recorded already"


@pytest.mark.parametrize(
    "filters",
    [None, {"types": "tributary.finding.*"}, {"vendors": "docusign"}],
    ids=["no subscriber", "other types", "another vendor"],
)
def test_an_event_that_no_subscriber_wants_neither_notifies_nor_waits(
    quiet: Firm, filters: dict[str, str] | None
) -> None:
    quiet.subscribers = [] if filters is None else [subscribe("http://127.0.0.1:9/", **filters)]
    quiet.deliver()
    assert read_notifications(quiet, load, 0.2) == []
    assert len(quiet.events()) == 1
    assert not quiet.is_waiting()
    quiet.deliver()
    assert quiet.deliveries() == []


@pytest.mark.parametrize(
    "statement",
    [
        "insert into control.outbox (type, vendor, subject, data) values ('t', 'v', 's', '{}')",
        "update control.outbox set data = '{}'",
        "delete from control.outbox",
        "truncate control.outbox",
    ],
)
def test_a_task_can_not_make_or_change_an_event(quiet: Firm, statement: str) -> None:
    with psycopg.connect(quiet.database.url()) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)  # type: ignore[call-overload]
