"""Replay of dead letters: a fixed row is loaded once, and its dead letter closes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from include.contract import Vendor
from include.control import dead_letters
from include.errors import BalanceError, InputRejected
from include.pipeline import vendor_day
from include.pipeline.replay import replay
from include.staging.row_key import format_keys
from include.vendors import named
from tests.conftest import Firm
from tests.running_sandbox import LAST

OPEN = "select row_key from control.dead_letter where status = 'open' order by 1"


def _run_poisoned_day(firm: Firm) -> None:
    """Run a day with some unreadable assets."""
    firm.sandbox.fault("poison", field="currentShares", value="N/A", share=0.01, seed=5)
    firm.day()


@pytest.fixture
def firm(start_firm: Callable[..., Firm]) -> Firm:
    return start_firm(after=_run_poisoned_day)


@pytest.fixture
def keys(firm: Firm) -> set[str]:
    """The unreadable assets of the day."""
    keys = {row["row_key"] for row in firm.database.rows(OPEN)}
    assert len(keys) > 3
    return keys


def _replay(firm: Firm, **options: object):  # type: ignore[no-untyped-def]
    return replay(firm.vendor_run(firm.new_run()), "assets", **options)


def test_fixed_rows_are_loaded_once(firm: Firm, keys: set[str]) -> None:
    outcome = _replay(firm)
    assert (outcome.selected, outcome.landed, outcome.still_dead) == (len(keys), len(keys), 0)
    assert firm.database.rows(OPEN) == []
    assert keys <= set(firm.held())
    again = _replay(firm)
    assert (again.selected, again.landed) == (0, 0)


def test_after_a_replay_the_day_is_as_if_nothing_had_died(firm: Firm) -> None:
    _replay(firm)
    truth = firm.sandbox.rows("Portfolio/Assets", asOfDate=str(LAST))
    assert firm.held() == {str(row["id"]): (row["currentShares"], row["currentValue"]) for row in truth}


def test_a_dry_run_reports_and_changes_nothing(firm: Firm, keys: set[str]) -> None:
    before = firm.held()
    outcome = _replay(firm, is_dry=True)
    assert outcome.landed == len(keys)
    assert {row["row_key"] for row in firm.database.rows(OPEN)} == keys
    assert firm.held() == before


def test_only_the_selected_dead_letters_are_replayed(firm: Firm, keys: set[str]) -> None:
    [chosen] = firm.database.rows("select dead_letter_id, row_key from control.dead_letter order by 1 limit 1")
    assert _replay(firm, ids=[chosen["dead_letter_id"]]).landed == 1
    assert {row["row_key"] for row in firm.database.rows(OPEN)} == keys - {chosen["row_key"]}


def test_a_row_that_is_still_invalid_has_one_open_dead_letter(firm: Firm, keys: set[str]) -> None:
    firm.sandbox.fault("poison", field="currentShares", value="N/A", share=0.01, seed=5)
    outcome = _replay(firm)
    assert (outcome.landed, outcome.still_dead) == (0, len(keys))
    assert [row["row_key"] for row in firm.database.rows(OPEN)] == sorted(keys)


def test_rows_that_do_not_add_up_are_refused_and_the_day_stays_in_force(firm: Firm, keys: set[str]) -> None:
    before, in_force = firm.held(), firm.database.rows("select * from mart.day_in_force")
    firm.sandbox.fault("field_scaled", field=["currentValue"], factor=0.5)
    with pytest.raises(BalanceError, match=r"control total: .* breaks"):
        _replay(firm)
    assert {row["row_key"] for row in firm.database.rows(OPEN)} == keys
    assert firm.held() == before
    assert firm.database.rows("select * from mart.day_in_force") == in_force


def test_a_replay_is_a_pull_of_its_own_in_the_ledger(firm: Firm, keys: set[str]) -> None:
    _replay(firm)
    rows = firm.database.rows(
        "select stage, fetched - duplicate as fetched, inserted from control.ledger where pulled = 'replay' and entity <> 'security'"
    )
    assert {row["stage"]: row["fetched"] or row["inserted"] for row in rows} == {
        "stage": len(keys), "validate": 0, "transform": 0, "load": len(keys),
    }  # fmt: skip


def test_closed_dead_letters_are_rejected_with_a_reason(firm: Firm) -> None:
    with pytest.raises(InputRejected, match=r"Some ids are not open dead letters.*ids=\[0\]"):
        _replay(firm, ids=[0])


def test_a_dry_run_leaves_no_trace(firm: Firm) -> None:
    queries = "select count(*) from control.ledger", "select count(*) from control.dead_letter where status <> 'open'"
    before = [firm.database.value(query) for query in queries]
    _replay(firm, is_dry=True)
    assert [firm.database.value(query) for query in queries] == before


def _set_field(firm: Firm, table: str, key: str, field: str, value: object) -> None:
    firm.sandbox.admin("orion/set_fields", table=table, id=int(key), set={field: value})


def _spoil_a_client(firm: Firm) -> None:
    """Make the flag of one client unreadable, and run the day."""
    key = str(next(row["id"] for row in firm.sandbox.rows("Portfolio/Clients") if row["isActive"]))
    _set_field(firm, "clients", key, "isActive", "N/A")
    firm.day()


def _go_to_monday(firm: Firm) -> None:
    monday = datetime(2026, 11, 23, 23, tzinfo=UTC)
    firm.sandbox.admin("clock", now=monday.isoformat())
    firm.sandbox.log_in()
    firm.now = monday


def test_a_description_that_died_on_an_earlier_day_lands_as_it_is_today(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm(after=_spoil_a_client, households=60)
    key = firm.database.value(OPEN)
    _go_to_monday(firm)
    _set_field(firm, "clients", key, "isActive", True)
    outcome = replay(firm.vendor_run(firm.new_run(LAST)), "clients")
    assert (outcome.selected, outcome.landed) == (1, 1)
    assert firm.database.rows(OPEN) == []
    [row] = firm.database.rows("select valid_from from warehouse.household where household_key = :key", key=key)
    assert row["valid_from"] == date(2026, 11, 23)


@pytest.mark.parametrize("backfilled", [False, True], ids=["by its edit", "by its day"])
def test_a_transaction_that_died_on_an_earlier_day_lands(start_firm: Callable[..., Firm], backfilled: bool) -> None:
    firm = start_firm()
    day = date(2026, 11, 19) if backfilled else LAST
    trades = firm.sandbox.rows("Portfolio/Transactions", startDate=str(day), endDate=str(day))
    key = str(trades[0]["id"])
    _set_field(firm, "transactions", key, "transAmount", "N/A")
    run = firm.new_run(day)
    partitions = firm.stage(run, "accounts", "transactions")
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()), rows_only=True)
    firm.publish(run, partitions)
    assert [row["row_key"] for row in firm.database.rows(OPEN)] == [key]
    _go_to_monday(firm)
    _set_field(firm, "transactions", key, "transAmount", float(trades[0]["transAmount"]))

    outcome = replay(firm.vendor_run(firm.new_run(day)), "transactions")

    assert (outcome.selected, outcome.landed) == (1, 1)
    assert firm.database.rows(OPEN) == []
    assert firm.database.value("select count(*) from warehouse.transaction where transaction_key = :key", key=key) == 1


def test_a_dead_letter_closes_when_a_later_day_loads_its_description(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm(after=_spoil_a_client, households=60)
    key = firm.database.value(OPEN)
    _set_field(firm, "clients", key, "isActive", True)
    _go_to_monday(firm)
    firm.day(date(2026, 11, 23))
    assert firm.database.rows(OPEN) == []


def test_a_dead_letter_closes_when_the_vendor_removes_its_row(firm: Firm) -> None:
    firm.database.do(
        "update control.dead_letter set row_key = 'gone' where row_key = (select min(row_key) from control.dead_letter)"
    )
    firm.day()
    assert firm.database.rows(OPEN) == []
    assert firm.database.value("select status from control.dead_letter where row_key = 'gone'") == "superseded"


def test_a_row_that_is_joined_with_another_table_is_also_loaded(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm(named("tamarac"), households=240)
    firm.day(LAST, "clients", "households")
    key = firm.database.value("select min(household_key) from warehouse.household")
    firm.sandbox.admin("tamarac/set_fields", table="households", id=key, set={"name": None})
    firm.day(LAST, "clients", "households")
    assert [row["row_key"] for row in firm.database.rows(OPEN)] == [key]
    firm.sandbox.admin("tamarac/set_fields", table="households", id=key, set={"name": "Mended Sample"})
    outcome = replay(firm.vendor_run(firm.new_run()), "households")
    assert (outcome.selected, outcome.landed) == (1, 1)
    assert firm.database.rows(OPEN) == []
    query = (
        "select name from warehouse.household where household_key = :key and recorded_to is null and valid_to is null"
    )
    assert firm.database.value(query, key=key) == "Mended Sample"


def test_rows_requested_one_by_one_are_rejected_with_a_reason(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm(named("emoney"))
    with pytest.raises(InputRejected, match=r"run the vendor's DAG again.*table=plans parent=clients"):
        replay(firm.vendor_run(firm.new_run()), "plans")


@pytest.mark.others_long
def test_what_the_form_offers_can_be_replayed(start_firm: Callable[..., Firm], vendor: Vendor) -> None:
    firm = start_firm(vendor)
    run = firm.new_run()
    partitions = firm.stage(run)
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    firm.publish(run, partitions)
    for table in [each for each in vendor.requested_tables if not each.parent]:
        _, first = next(partitions[table.name].rows(list(table.key)))
        firm.database.do(
            "insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part,"
            " row_number) values (:run, :vendor, :table, :day, 'validate', :key, '{}', :path, 'part', 0)",
            run=run.run_id, vendor=vendor.name, table=table.name, day=LAST, path=partitions[table.name].path,
            key=format_keys(first, table.key)[0].as_py(),
        )  # fmt: skip
        outcome = replay(firm.vendor_run(firm.new_run()), table.name)
        assert (table.name, outcome.selected, outcome.landed) == (table.name, 1, outcome.found)
        assert outcome.landed > 0
    assert firm.database.rows(f"{OPEN.partition(' order')[0]} and part = 'part'") == []


def test_discarding_lets_the_next_run_withdraw_what_the_dead_letter_protected(start_firm: Callable[..., Firm]) -> None:
    """The vendor spoilt a transaction and then removed it, so its window no longer contains it."""
    firm = start_firm(after=Firm.day)
    firm.database.do(
        "insert into warehouse.transaction (vendor, transaction_key, account_id, security_id, position_key, trade_date, status, flow,"
        " quantity, amount_usd, edited_at, recorded_from, source_run_id)"
        " select vendor, 'removed', account_id, security_id, position_key, trade_date, status, 'none', 0, 0, edited_at, recorded_from,"
        " source_run_id from warehouse.transaction where recorded_to is null and edited_at is not null order by edited_at limit 1"
    )  # fmt: skip
    firm.database.do(
        "insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number,"
        " describes) values ('r', 'orion', 'transactions', :day, 'stage', 'removed', '{}', 'p', 'part', 0,"
        ' \'[{"entity": "transaction", "key": "removed"}]\')',
        day=LAST,
    )
    is_held = "select recorded_to is null from warehouse.transaction where transaction_key = 'removed'"
    firm.day(full_refresh=True)
    assert firm.database.value(is_held)

    discarded = dead_letters.discard(firm.engine, [1], "removed at the vendor", "ada", "run-d", is_dry=False)

    assert discarded.released == (f"orion: transaction removed, {LAST}",)
    assert firm.database.value(is_held)
    firm.day(full_refresh=True)
    assert not firm.database.value(is_held)
