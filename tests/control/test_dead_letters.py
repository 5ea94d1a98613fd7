"""Dead letters: each row that could not be loaded has one open dead letter, until it is loaded or fails again."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from include.control import dead_letters
from include.control.dead_letters import DeadLetter
from include.control.ledger import Pull
from include.errors import InputRejected
from include.warehouse import schema
from tests.conftest import Database

PULL = Pull("run-1", "sample", "assets", date(2026, 11, 20), "pull-1", "current", datetime(2026, 11, 21, tzinfo=UTC))
LATER = replace(PULL, run_id="run-2", pull_id="pull-2", extracted_at=datetime(2026, 11, 21, 1, tzinfo=UTC))


@pytest.fixture
def connection(shared_database: Database) -> Iterator[sa.Connection]:
    """A transaction that is rolled back."""
    engine = schema.engine(shared_database.url())
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def make_dead_letter(key: str | None, number: int = 0) -> DeadLetter:
    return DeadLetter(key, ["price_usd: not a number"], "part-00000.parquet", number)


def read_dead_letters(connection: sa.Connection) -> list[tuple[Any, ...]]:
    rows = connection.execute(
        sa.text("select row_key, status, partition, replayed_by from control.dead_letter order by dead_letter_id")
    )
    return [tuple(row) for row in rows]


def test_a_dead_letter_has_location_and_reason(connection: sa.Connection) -> None:
    dead_letters.insert(connection, PULL, "stage", "p1", [make_dead_letter("A", 7)], own_day=True)
    row = connection.execute(sa.text("select * from control.dead_letter")).mappings().one()
    assert (row["partition"], row["part"], row["row_number"]) == ("p1", "part-00000.parquet", 7)
    assert (row["reasons"], row["stage"], row["run_id"]) == (["price_usd: not a number"], "stage", "run-1")


def test_burying_again_changes_nothing(connection: sa.Connection) -> None:
    for _ in range(2):
        dead_letters.insert(
            connection, PULL, "stage", "p1", [make_dead_letter("A"), make_dead_letter(None, 1)], own_day=True
        )
    assert read_dead_letters(connection) == [("A", "open", "p1", None), (None, "open", "p1", None)]


def test_dead_letters_are_inserted_in_chunks(connection: sa.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """If every row of a table dies, a single statement would exhaust memory and exceed PostgreSQL's limit of parameters."""
    monkeypatch.setattr(dead_letters, "_BATCH_SIZE", 2)
    dead_letters.insert(connection, PULL, "stage", "p1", (make_dead_letter(str(n), n) for n in range(5)), own_day=True)
    counts = connection.scalars(sa.text("select (data ->> 'count')::int from control.outbox order by event_number"))
    assert list(counts) == [2, 2, 1]
    assert [(key, status) for key, status, _, _ in read_dead_letters(connection)] == [
        (str(n), "open") for n in range(5)
    ]


def test_dead_letters_are_found_by_long_keys(connection: sa.Connection) -> None:
    """Without the index, each row that dies again would scan all open dead letters of its table."""
    long = "".join(random.Random(1).choices(string.printable, k=5000))
    dead_letters.insert(
        connection,
        PULL,
        "stage",
        "p1",
        [make_dead_letter(long), make_dead_letter(long[:-1], 1), make_dead_letter("B", 2)],
        own_day=True,
    )
    dead_letters.insert(connection, LATER, "stage", "p2", [make_dead_letter(long)], own_day=True)
    assert [(key, status) for key, status, _, _ in read_dead_letters(connection)] == [
        *[(long, "open"), (long[:-1], "open"), ("B", "open")],
    ]
    connection.execute(sa.text("set local enable_seqscan = off"))
    values = asdict(PULL) | dead_letters._of_rows(["B", long]) | {"own_day": True, "partition": "p3"}
    plan = connection.scalars(sa.text(f"explain {dead_letters._SUPERSEDE.text}"), values)
    assert [line for line in plan if "Index Cond" in line and '"left"(row_key, 200) = ANY' in line]


def test_a_row_rejected_again_for_the_same_reasons_keeps_its_dead_letter(connection: sa.Connection) -> None:
    dead_letters.insert(
        connection, PULL, "stage", "p1", [make_dead_letter("A"), make_dead_letter("B", 1)], own_day=True
    )
    dead_letters.insert(connection, LATER, "stage", "p2", [make_dead_letter("A")], own_day=True)
    assert read_dead_letters(connection) == [("A", "open", "p2", None), ("B", "open", "p1", None)]


def test_a_row_rejected_for_other_reasons_gets_a_new_dead_letter(connection: sa.Connection) -> None:
    dead_letters.insert(connection, PULL, "stage", "p1", [make_dead_letter("A")], own_day=True)
    other = replace(make_dead_letter("A"), reasons=["another field"])
    dead_letters.insert(connection, LATER, "stage", "p2", [other], own_day=True)
    assert read_dead_letters(connection) == [("A", "superseded", "p1", "run-2"), ("A", "open", "p2", None)]


def test_an_older_pull_closes_no_dead_letter_of_a_newer_one(connection: sa.Connection) -> None:
    dead_letters.insert(
        connection,
        LATER,
        "stage",
        "p2",
        [make_dead_letter("A"), make_dead_letter("B", 1), make_dead_letter(None, 2)],
        own_day=True,
    )
    dead_letters.insert(connection, PULL, "stage", "p1", [make_dead_letter("C")], own_day=True)
    assert dead_letters.close_loaded(connection, PULL, ["A"], own_day=True, partition="p1") == 0
    assert dead_letters.supersede_rest(connection, PULL, "p1", own_day=True) == 0
    assert [status for _, status, _, _ in read_dead_letters(connection)] == ["open"] * 4


def test_a_newer_pull_closes_the_dead_letters_of_an_older_one(connection: sa.Connection) -> None:
    dead_letters.insert(
        connection, PULL, "stage", "p1", [make_dead_letter("A"), make_dead_letter(None, 1)], own_day=True
    )
    assert dead_letters.supersede_rest(connection, LATER, "p2", own_day=True) == 2


def test_corrected_day_closes_dead_letters_that_a_wrong_clock_dated_ahead(connection: sa.Connection) -> None:
    ahead = replace(PULL, extracted_at=datetime.now(UTC) + timedelta(hours=60))
    dead_letters.insert(connection, ahead, "stage", "p1", [make_dead_letter("A")], own_day=True)
    assert dead_letters.supersede_rest(connection, LATER, "p2", own_day=True) == 1


def test_a_row_that_can_not_be_named_supersedes_nothing(connection: sa.Connection) -> None:
    dead_letters.insert(connection, PULL, "stage", "p1", [make_dead_letter(None)], own_day=True)
    dead_letters.insert(connection, LATER, "stage", "p2", [make_dead_letter(None)], own_day=True)
    assert [row[1] for row in read_dead_letters(connection)] == ["open", "open"]
    assert dead_letters.find_open_keys(connection, PULL, own_day=True) == []


@pytest.mark.parametrize(
    "other", [{"vendor": "else"}, {"table_name": "accounts"}, {"business_date": date(2026, 11, 19)}]
)
def test_dead_letters_of_other_days_tables_and_vendors_remain(connection: sa.Connection, other: dict[str, Any]) -> None:
    dead_letters.insert(connection, PULL, "stage", "p1", [make_dead_letter("A")], own_day=True)
    elsewhere = replace(LATER, **other)
    assert dead_letters.find_open_keys(connection, elsewhere, own_day=True) == []
    dead_letters.insert(connection, elsewhere, "stage", "p2", [make_dead_letter("A")], own_day=True)
    assert dead_letters.close_loaded(connection, elsewhere, ["A"], own_day=True) == 1
    assert dead_letters.find_open_keys(connection, PULL, own_day=True) == ["A"]


def test_a_dead_letter_closes_when_its_row_is_loaded(connection: sa.Connection) -> None:
    dead_letters.insert(
        connection, PULL, "stage", "p1", [make_dead_letter("A"), make_dead_letter("B", 1)], own_day=True
    )
    assert dead_letters.close_loaded(connection, LATER, ["A", "C"], own_day=True) == 1
    assert read_dead_letters(connection) == [("A", "replayed", "p1", "run-2"), ("B", "open", "p1", None)]
    assert dead_letters.find_open_keys(connection, PULL, own_day=True) == ["B"]
    assert dead_letters.close_loaded(connection, LATER, ["A"], own_day=True) == 0


def test_a_closed_dead_letter_has_its_closing_time(connection: sa.Connection) -> None:
    dead_letters.insert(
        connection, PULL, "stage", "p1", [make_dead_letter("A"), make_dead_letter("B", 1)], own_day=True
    )
    dead_letters.close_loaded(connection, LATER, ["A"], own_day=True)
    times = connection.execute(sa.text("select row_key, closed_at >= died_at from control.dead_letter order by 1"))
    assert [tuple(row) for row in times] == [("A", True), ("B", None)]


# --- discarding ---


def insert(engine: sa.Engine, *rows: DeadLetter, stage: str = "validate", pull: Pull = PULL) -> list[int]:
    """Insert dead letters; return the ids of all in the table."""
    with engine.begin() as connection:
        numbered = [replace(each, row_number=n) for n, each in enumerate(rows)]
        dead_letters.insert(connection, pull, stage, pull.pull_id, numbered, own_day=True)
        return list(connection.scalars(sa.text("select dead_letter_id from control.dead_letter order by 1")))


def describe(key: str | None, *about: dict[str, str], money: str | None = None) -> DeadLetter:
    return replace(make_dead_letter(key), describes=about, money_usd=None if money is None else Decimal(money))


def test_discarding_records_user_and_reason_and_reports_releases(database: Database, engine: sa.Engine) -> None:
    first, second, third = insert(
        engine,
        describe("A", {"entity": "position", "key": "1:A"}, {"entity": "security", "key": "A"}, money="1200.50"),
        describe("A", {"entity": "position", "key": "1:A"}, {"entity": "position", "parent": "1"}, {"entity": "*"}),
        describe("B", {"entity": "security", "key": "A"}),
    )

    discarded = dead_letters.discard(engine, [first, second], " a test account ", "ada", "run-9", is_dry=False)

    assert str(discarded).splitlines() == [
        "2 dead letters with $1,200.50:",
        f"- {first} sample.assets 2026-11-20 A: price_usd: not a number",
        f"- {second} sample.assets 2026-11-20 A: price_usd: not a number",
        "Released, so that the next run may withdraw it: 3",
        "- sample: any assets, 2026-11-20",
        "- sample: position 1:A, 2026-11-20",
        "- sample: any position of 1, 2026-11-20",
    ]
    rows = database.rows(
        "select dead_letter_id, status, discard_reason, discarded_by, replayed_by, closed_at is not null as is_closed"
        " from control.dead_letter order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        (first, "discarded", "a test account", "ada", "run-9", True),
        (second, "discarded", "a test account", "ada", "run-9", True),
        (third, "open", None, None, None, False),
    ]


def test_a_dry_run_of_discarding_changes_nothing(database: Database, engine: sa.Engine) -> None:
    ids = insert(engine, describe("A", {"entity": "position", "key": "A"}))
    before = database.rows("select * from control.dead_letter")
    dry = dead_letters.discard(engine, ids, "why", "ada", "run-9", is_dry=True)
    assert database.rows("select * from control.dead_letter") == before
    assert dead_letters.discard(engine, ids, "why", "ada", "run-9", is_dry=False) == dry


def test_what_salesforce_refused_releases_nothing(engine: sa.Engine) -> None:
    ids = insert(engine, make_dead_letter("A"), stage="crm")
    assert dead_letters.discard(engine, ids, "why", "ada", "run-9", is_dry=True).released == ()


def test_the_task_that_discards_may_be_tried_again_and_another_run_may_not(engine: sa.Engine) -> None:
    ids = insert(engine, make_dead_letter("A"))
    first = dead_letters.discard(engine, ids, "why", "ada", "run-9", is_dry=False)
    assert dead_letters.discard(engine, ids, "why", "ada", "run-9", is_dry=False) == first
    with pytest.raises(InputRejected, match=rf"not open; nothing was discarded \[ids=\[{ids[0]}\]\]"):
        dead_letters.discard(engine, ids, "why", "ada", "run-10", is_dry=False)


@pytest.mark.parametrize(
    ("ids", "reason", "why"),
    [((), "why", "enter the ids"), ((1,), " ", "reason for discarding is empty"), ((1, 99), "why", r"\[ids=\[99\]\]")],
)
def test_nothing_is_discarded_without_ids_and_a_reason_or_where_one_is_not_open(
    database: Database, engine: sa.Engine, ids: tuple[int, ...], reason: str, why: str
) -> None:
    assert insert(engine, make_dead_letter("A")) == [1]
    with pytest.raises(InputRejected, match=why):
        dead_letters.discard(engine, ids, reason, "ada", "run-9", is_dry=False)
    assert database.value("select status from control.dead_letter") == "open"


def test_a_row_rejected_after_a_discard_gets_a_new_dead_letter(engine: sa.Engine) -> None:
    ids = insert(engine, make_dead_letter("A"))
    dead_letters.discard(engine, ids, "why", "ada", "run-9", is_dry=False)
    assert insert(engine, make_dead_letter("A")) == ids  # the same pull
    assert len(insert(engine, make_dead_letter("A"), pull=LATER)) == 2
