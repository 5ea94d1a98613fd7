"""Rows of the integration database, as runs record them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from include.vendors import named
from tests.conftest import Database

DAY = date(2026, 11, 25)
NOW = datetime(2026, 11, 26, 15, tzinfo=UTC)  # Thursday, 10:00 in New York: the run of this morning is due
LOADED = datetime(2026, 11, 26, 12, tzinfo=UTC)


def record_day(
    database: Database,
    day: date = DAY,
    at: datetime = LOADED,
    vendor: str = "orion",
    run: str = "run-1",
    rows: int = 100,
    **options: object,
) -> None:
    """Record that a run pulled and loaded a vendor's tables, or the one in `table`; the first has all the rows."""
    values: dict[str, Any] = {"pulled": "current", "stages": ["stage", "load"]} | options
    mapped = {entity_map.table for entity_map in named(vendor).maps}
    tables = [table.name for table in named(vendor).requested_tables if table.name in mapped]
    for number, table in enumerate([values["table"]] if "table" in values else tables):
        for stage in values["stages"]:
            fetched, loaded = (0, rows) if stage == "load" else (rows, 0)
            database.do(
                "insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at,"
                " recorded_at, fetched, staged, produced, inserted, notes) values (nextval('control.ledger_id'), :run, :vendor, :table, :entity,"
                " :day, :stage, :run || :vendor || :day, :pulled, :at, :at, :fetched, :fetched, :loaded, :loaded, :notes)",
                run=run, vendor=vendor, day=day, stage=stage, pulled=values["pulled"], at=at, table=table,
                entity="position" if stage == "load" else "", notes='{"money": "1234.50"}' if stage == "stage" else "{}",
                fetched=0 if number else fetched, loaded=0 if number else loaded,
            )  # fmt: skip


def record_check(
    database: Database, day: date = DAY, run: str = "run-1", breaks: int = 0, explained: int = 0, **options: object
) -> None:
    """Record a comparison of account totals; it passes if dead letters explain all breaks or an operator accepted it."""
    values: dict[str, object] = {
        "vendor": "orion",
        "accepted_by": None,
        "note": "",
        "check_name": "control total",
        "actual": 100,
        "at": LOADED,
    } | options
    database.do(
        "insert into control.reconciliation (run_id, vendor, business_date, check_name, expected, actual, tolerance, breaks, explained,"
        " is_passed, accepted_by, note, checked_at)"
        " values (:run, :vendor, :day, :check_name, 100, :actual, 0.01, :breaks, :explained, :passed, :accepted_by, :note, :at)",
        run=run, day=day, breaks=breaks, explained=explained, passed=breaks <= explained or values["accepted_by"] is not None, **values,
    )  # fmt: skip


def record_dead_letter(
    database: Database, key: str = "A1", day: date = DAY, reason: str = "price: not a number", **options: object
) -> None:
    """Record an open dead letter with 10 dollars."""
    values: dict[str, object] = {
        "vendor": "orion",
        "table": "assets",
        "stage": "stage",
        "run": "run-1",
        "money": 10,
    } | options
    database.do(
        "insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number,"
        " money_usd, describes) values (:run, :vendor, :table, :day, :stage, :key, array[:reason], :vendor || :day, :key, 0, :money,"
        " jsonb_build_array(jsonb_build_object('entity', 'position', 'key', cast(:key as text))))",
        key=key, day=day, reason=reason, **values,
    )  # fmt: skip


def record_rejection(
    database: Database, day: date = DAY, at: datetime = LOADED + timedelta(hours=1), vendor: str = "orion"
) -> None:
    """Record that a check rejected a day."""
    database.do(
        "insert into control.rejection (run_id, vendor, business_date, step, reason, recorded_at)"
        " values ('run-2', :vendor, :day, 'load', '17 accounts are off', :at)",
        vendor=vendor, day=day, at=at,
    )  # fmt: skip


def record_calls(
    database: Database, calls: int, failed: int = 0, at: datetime = NOW - timedelta(minutes=5), vendor: str = "orion"
) -> None:
    """Record calls of the vendor's API: the n-th took n milliseconds."""
    database.do(
        "insert into control.api_call (called_at, vendor, table_name, path, status, latency_ms, bytes, correlation_id, run_id)"
        " select :at, :vendor, 'assets', 'Portfolio/Assets', case when n <= :failed then 503 else 200 end, n, 10, 'c-' || n, 'run-1'"
        " from generate_series(1, :calls) n",
        at=at, vendor=vendor, calls=calls, failed=failed,
    )  # fmt: skip


def record_event_troubles(database: Database, text: str) -> None:
    """Record a delivery that failed, a subscriber that is disabled with an event given up, and a document that is missing; each with a text."""
    database.do(
        "insert into control.inbox (sender, body, content_hash, headers, processed_at, error) values ('docusign', '', 'h', '{}', now(), :text)",
        text=text,
    )
    database.do(
        "insert into control.inbox (sender, body, content_hash, event_id, headers, processed_at, outcome) values ('push.orion.clients', '', 'p', 'p',"
        ' \'{}\', now(), \'{"rows": 3, "dead": 1, "rejected": [{"row": 0, "reasons": ["id: not int64"]}]}\')'
    )
    database.do(
        "insert into control.outbound_subscriber (subscriber, state, reason, types, vendors, first_seen_at) values ('crm', 'disabled', :text,"
        " '{}', '{}', now())",
        text=text,
    )
    database.do(
        "with event as (insert into control.outbox (type, vendor, subject, data) values ('tributary.load.committed', 'orion', 's', '{}')"
        " returning event_number) insert into control.outbound_delivery (subscriber, event_number, subject, status, due_at, last_error)"
        " select 'crm', event_number, 's', 'dead', now(), :text from event",
        text=text,
    )
    database.do(
        "insert into control.document_try (vendor, envelope_key, kind, error) values ('docusign', 'e1', 'signed', :text)",
        text=text,
    )


def record_pairs(
    database: Database,
    first: int,
    count: int,
    name: str = "Pat Sample",
    table: str = "review",
    vendors: tuple[str, str] = ("orion", "emoney"),
) -> None:
    """Record pairs of persons with ids from `first` on, each in a household of its own, in the review queue or among the links."""
    values = {"first": first, "last": first + 2 * count - 1, "name": name, "vendors": list(vendors)}
    database.do(
        "insert into warehouse.household (household_id, vendor, household_key, name, valid_from, recorded_from, source_run_id)"
        " select 1000000 + n, (cast(:vendors as text[]))[1 + (n - :first) % 2], 'h' || n, 'Home of ' || :name, date '2026-11-20', now(), 1"
        " from generate_series(cast(:first as int), :last) n",
        **values,
    )
    database.do(
        "insert into warehouse.person (person_id, vendor, person_key, household_id, name, birth_date, phone, valid_from, recorded_from, source_run_id)"
        " select n, (cast(:vendors as text[]))[1 + (n - :first) % 2], 'p' || n, 1000000 + n, :name || ' ' || n, date '1960-01-01' + n,"
        " '860-555-0172', date '2026-11-20', now(), 1 from generate_series(cast(:first as int), :last) n",
        **values,
    )
    database.do(
        f"insert into control.identity_{table} (entity, left_id, right_id, score, agreed, differed, how, run_id)"
        " select 'person', n, n + 1, 4 - n / 1000.0, '{last name,home (telephone)}', '{birth date}', 'model', 'r'"
        " from generate_series(cast(:first as int), :last, 2) n",
        **values,
    )
