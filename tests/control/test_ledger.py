"""The ledger: a step that does not balance can't be written, and rows are never changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from include.control import ledger
from include.control.ledger import Counts, Pull
from include.errors import BalanceError
from include.warehouse import schema
from tests.conftest import Database

AT = datetime(2026, 11, 21, 6, tzinfo=UTC)
NOW = AT + timedelta(days=9)
PULL = Pull("run-1", "sample", "assets", date(2026, 11, 20), "pull-1", "current", AT, AT)


@pytest.fixture
def connection(shared_database: Database) -> Iterator[sa.Connection]:
    """A transaction that is rolled back."""
    engine = schema.engine(shared_database.url())
    with engine.connect() as opened:
        yield opened
    engine.dispose()


BALANCED = {
    "stage": Counts(fetched=10, staged=7, duplicate=2, dead=1),
    "validate": Counts(staged=10, produced=8, dead=2),
    "transform": Counts(staged=10, split=2, produced=7, merged=4, dropped=1),
    "load": Counts(produced=15, inserted=1, updated=2, unchanged=3, superseded=4, dead=5, withdrawn=99),
    "crm": Counts(sent=10, created=1, updated=2, failed=3, unprocessed=4),
}
SUMMED = [(stage, name) for stage, counts in BALANCED.items()
          for name in Counts.__dataclass_fields__ if name not in ("withdrawn", "notes", "seconds") and getattr(counts, name)]  # fmt: skip


@pytest.mark.parametrize("stage", BALANCED)
def test_a_step_that_adds_up_is_written(connection: sa.Connection, stage: str) -> None:
    ledger.record(connection, PULL, stage, BALANCED[stage])
    row = ledger.find(connection, PULL, stage)
    assert {name: row[name] for name in Counts.__dataclass_fields__} == {
        name: getattr(BALANCED[stage], name) for name in Counts.__dataclass_fields__
    }


@pytest.mark.parametrize(("stage", "name"), SUMMED)
@pytest.mark.parametrize("by", [1, -1])
def test_a_step_that_is_one_row_off_is_refused(connection: sa.Connection, stage: str, name: str, by: int) -> None:
    counts: Any = replace(BALANCED[stage], **{name: getattr(BALANCED[stage], name) + by})  # type: ignore[arg-type]
    with pytest.raises(BalanceError, match="does not balance"):
        ledger.record(connection, PULL, stage, counts)


@pytest.mark.parametrize(
    ("money_in", "money_out"),
    [("1.00", "1.01"), ("0.00", "0.01"), (None, "0.00"), ("0.00", None), ("90071992547409.93", "90071992547409.92")],
)
@pytest.mark.parametrize("stage", BALANCED)
def test_a_step_that_is_a_cent_off_is_refused(
    connection: sa.Connection, stage: str, money_in: str | None, money_out: str | None
) -> None:
    amounts = [None if money is None else Decimal(money) for money in (money_in, money_out)]
    with pytest.raises(BalanceError):
        ledger.record(connection, PULL, stage, replace(BALANCED[stage], money_in=amounts[0], money_out=amounts[1]))


def test_the_error_names_the_step_and_its_counts(connection: sa.Connection) -> None:
    with pytest.raises(
        BalanceError, match=r"vendor=sample table=assets business_date=2026-11-20 stage=stage .*'fetched': 3"
    ):
        ledger.record(connection, PULL, "stage", Counts(fetched=3))


def _write_unbalanced(connection: sa.Connection) -> None:
    connection.execute(sa.text("insert into control.drift (vendor, table_name, field) values ('v', 't', 'f')"))
    ledger.record(connection, PULL, "stage", Counts(fetched=1))


def test_what_was_written_beside_an_unbalanced_step_is_rolled_back(database: Database) -> None:
    engine = schema.engine(database.url())
    with engine.connect() as connection, pytest.raises(BalanceError), connection.begin():
        _write_unbalanced(connection)
    engine.dispose()
    assert database.rows("select from control.drift") == []


def test_a_step_written_twice_keeps_its_first_row(connection: sa.Connection) -> None:
    first = ledger.record(connection, PULL, "stage", Counts(fetched=1, staged=1))
    assert ledger.record(connection, PULL, "stage", Counts(fetched=2, staged=2)) == first
    assert ledger.find(connection, PULL, "stage")["fetched"] == 1


def test_each_pull_entity_and_stage_has_a_row_of_its_own(connection: sa.Connection) -> None:
    ids = {
        ledger.record(connection, PULL, "load", Counts(), "position"),
        ledger.record(connection, PULL, "load", Counts(), "security"),
        ledger.record(connection, PULL, "transform", Counts(), "position"),
        ledger.record(connection, replace(PULL, pull_id="pull-2"), "load", Counts(), "position"),
    }
    assert len(ids) == 4
    assert ledger.find(connection, replace(PULL, pull_id="pull-3"), "load", "position") == {}


def test_a_row_may_carry_an_id_taken_before(connection: sa.Connection) -> None:
    taken = ledger.take_id(connection)
    assert ledger.take_id(connection) > taken
    assert ledger.record(connection, PULL, "load", Counts(), "position", taken) == taken


def test_only_a_newer_pull_of_the_same_day_counts_as_newer(connection: sa.Connection) -> None:
    newer = replace(PULL, pull_id="pull-2", extracted_at=AT + timedelta(seconds=1))
    for other in (
        replace(newer, pull_id="replay", pulled="replay"),
        replace(newer, pull_id="other day", business_date=date(2026, 11, 19)),
        replace(newer, pull_id="other table", table_name="accounts"),
        replace(newer, pull_id="other vendor", vendor="else"),
    ):
        ledger.record(connection, other, "load", Counts())
    ledger.record(connection, newer, "stage", Counts())
    assert ledger.find_newer_load(connection, PULL) is None
    ledger.record(connection, newer, "load", Counts())
    assert ledger.find_newer_load(connection, PULL) == newer.extracted_at
    assert ledger.find_newer_load(connection, newer) is None


def test_a_window_that_ends_in_the_future_is_never_the_last_one(database: Database) -> None:
    engine = schema.engine(database.url())
    with engine.begin() as connection:
        ledger.record(connection, PULL, "load", Counts())
        ahead = replace(PULL, pull_id="ahead", window_to=NOW + timedelta(days=30))
        ledger.record(connection, ahead, "load", Counts())
    assert ledger.find_last_window(engine, "sample", "assets", NOW) == AT
    engine.dispose()


def test_the_largest_pull_that_was_loaded_is_known(database: Database) -> None:
    engine = schema.engine(database.url())
    assert ledger.find_most_fetched(engine, "sample", "assets") is None
    with engine.begin() as connection:
        for n, fetched in enumerate((10, 30, 20)):
            ledger.record(
                connection, replace(PULL, pull_id=f"pull-{n}"), "stage", Counts(fetched=fetched, staged=fetched)
            )
        for n in (0, 2):
            ledger.record(connection, replace(PULL, pull_id=f"pull-{n}"), "load", Counts())
    assert ledger.find_most_fetched(engine, "sample", "assets") == 20
    engine.dispose()


def test_the_last_window_is_that_of_the_newest_loaded_current_pull(database: Database) -> None:
    engine = schema.engine(database.url())
    assert ledger.find_last_window(engine, "sample", "assets", NOW) is None
    later = AT + timedelta(days=1)
    with engine.begin() as connection:
        ledger.record(connection, PULL, "load", Counts())
        staged = replace(PULL, pull_id="only staged", window_to=later)
        ledger.record(connection, staged, "stage", Counts())
        ledger.record(connection, replace(staged, pull_id="historical", pulled="historical"), "load", Counts())
        ledger.record(connection, replace(staged, pull_id="replay", pulled="replay"), "load", Counts())
    assert ledger.find_last_window(engine, "sample", "assets", NOW) == AT
    with engine.begin() as connection:
        ledger.record(connection, replace(staged, pull_id="pull-2"), "load", Counts())
    assert ledger.find_last_window(engine, "sample", "assets", NOW) == later
    engine.dispose()


def test_a_day_is_compared_with_the_two_loaded_before_it_however_long_ago(database: Database) -> None:
    engine = schema.engine(database.url())
    days = [date(2026, 2, 20), date(2026, 5, 20), date(2026, 8, 20), date(2026, 10, 20)]
    for day in days:
        pull = replace(PULL, run_id=f"run-{day}", pull_id=f"pull-{day}", business_date=day)
        with engine.begin() as connection:
            ledger.record(connection, pull, "stage", BALANCED["stage"])
            if day != days[-1]:  # that one was staged, and rejected
                ledger.record(connection, pull, "load", BALANCED["load"], "position")
    partitions = ledger.find_earlier_partitions(engine, PULL)
    assert partitions == [f"sample/assets/{day}/pull-{day}" for day in (days[2], days[1])]
    engine.dispose()


@pytest.mark.parametrize("firm_hash", ["", "4711abc"])
def test_a_step_records_the_firm_s_folder_in_force(shared_database: Database, firm_hash: str) -> None:
    engine = schema.engine(shared_database.url(), firm_hash)
    with engine.connect() as connection:
        ledger.record(connection, PULL, "stage", BALANCED["stage"])
        assert ledger.find(connection, PULL, "stage")["firm_hash"] == (firm_hash or None)
    engine.dispose()


# --- a run of another DAG that has the same id ---

LIVE = replace(PULL, pull_id="pull-live", pulled="pushed")


def test_each_run_finds_its_own_partition_beside_a_run_of_the_same_id(database: Database) -> None:
    engine = schema.engine(database.url())
    with engine.begin() as connection:
        for pull in (PULL, LIVE):
            ledger.record(connection, pull, "stage", BALANCED["stage"])
    for pull in (PULL, LIVE):
        path = ledger.find_staged_partition(
            engine, PULL.run_id, PULL.vendor, PULL.table_name, is_pushed=pull.pulled == "pushed"
        )
        assert path == f"sample/assets/2026-11-20/{pull.pull_id}"
    engine.dispose()


def test_a_rejected_day_does_not_count_as_loaded_because_a_run_of_the_same_id_loaded_pushed_rows(
    database: Database,
) -> None:
    engine = schema.engine(database.url())
    with engine.begin() as connection:
        ledger.record(connection, PULL, "stage", BALANCED["stage"])
        ledger.record(connection, LIVE, "load", BALANCED["load"], "position")
    later = replace(PULL, run_id="run-2", pull_id="pull-2", business_date=date(2026, 11, 23))
    assert ledger.find_earlier_partitions(engine, later) == []
    with engine.begin() as connection:
        ledger.record(connection, PULL, "load", BALANCED["load"], "position")
    assert ledger.find_earlier_partitions(engine, later) == ["sample/assets/2026-11-20/pull-1"]
    engine.dispose()
