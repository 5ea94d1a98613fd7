"""A vendor-day from first request to reconciled warehouse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from include import canonical
from include.contract import FanOut, Vendor
from tests.conftest import Firm, holding
from tests.integration.both_sides import read_both_sides
from tests.running_sandbox import LAST, NOW

BEFORE = date(2026, 11, 19)


def is_drawn(vendor: Vendor, table_name: str) -> bool:
    """Whether the vendor computes the table's values anew for every call, so that they always differ."""
    table = vendor.table(table_name)
    shape = table.shape
    return (isinstance(shape, FanOut) and bool(shape.bucket)) or (bool(table.parent) and is_drawn(vendor, table.parent))


@pytest.fixture
def loaded_firm(start_firm: Callable[..., Firm], vendor: Vendor) -> Firm:
    """A firm that is large enough for every kind of household, with its last day loaded, for every vendor in turn."""
    return start_firm(vendor, after=Firm.day, households=40)


def test_a_day_holds_what_the_vendor_states(loaded_firm: Firm) -> None:
    theirs, ours = read_both_sides(loaded_firm)
    assert len(theirs) >= 10
    assert ours == theirs


@pytest.mark.others_long
def test_the_same_day_twice_changes_nothing(loaded_firm: Firm) -> None:
    again = loaded_firm.day()
    drawn = {
        entity_map.entity for entity_map in loaded_firm.vendor.maps if is_drawn(loaded_firm.vendor, entity_map.table)
    }
    same = {name: counts for name, counts in again.items() if name not in drawn}
    assert {name: (c.inserted, c.updated, c.withdrawn) for name, c in same.items()} == dict.fromkeys(same, (0, 0, 0))
    assert all(c.unchanged == c.produced for c in same.values())
    assert sum(c.produced for c in same.values()) > 0
    assert all((again[name].inserted, again[name].withdrawn) == (0, 0) for name in drawn)


@pytest.mark.others_long
def test_every_step_of_a_day_is_in_the_ledger(loaded_firm: Firm) -> None:
    steps = loaded_firm.database.rows("select stage, count(*) as rows from control.ledger group by 1")
    requested = {table.name for table in loaded_firm.vendor.requested_tables}
    tables, entities = len(requested), sum(each.table in requested for each in loaded_firm.vendor.maps)
    assert {s["stage"]: s["rows"] for s in steps} == {
        "stage": tables, "validate": tables, "transform": entities, "load": entities,
    }  # fmt: skip


@holding
def test_consecutive_days_roll_forward(start_firm: Callable[..., Firm], vendor: Vendor) -> None:
    firm = start_firm(vendor)
    firm.turn_to(NOW - timedelta(days=1))
    firm.day(BEFORE)
    firm.turn_to(NOW)
    firm.day(LAST)
    first, second = firm.database.rows(
        "select * from control.reconciliation where check_name = 'roll-forward' order by business_date"
    )
    assert "never loaded" in first["note"]
    assert (second["breaks"], second["is_passed"], second["note"]) == (0, True, "")


@holding
def test_every_table_of_money_has_its_control_total_at_every_step(loaded_firm: Firm) -> None:
    with_money = {each.entity for each in loaded_firm.vendor.maps if canonical.named(each.entity).money}
    steps = loaded_firm.database.rows(
        "select entity, stage, money_in from control.ledger where entity = any(:known)", known=list(with_money)
    )
    assert {(step["entity"], step["stage"]) for step in steps if step["money_in"] is not None} == {
        (entity, stage) for entity in with_money for stage in ("transform", "load")
    }


@holding
def test_a_position_has_its_cost(loaded_firm: Firm) -> None:
    query = "select count(*) from warehouse.position where recorded_to is null and cost_basis_usd"
    assert loaded_firm.database.value(f"{query} > 0") > 10
    assert loaded_firm.database.value(f"{query} is null") == 0


@holding
def test_a_past_day_writes_no_past_version_of_a_description(loaded_firm: Firm) -> None:
    loaded = loaded_firm.day(BEFORE)
    assert loaded["position"].inserted > 0
    assert loaded_firm.database.value("select count(*) from warehouse.account where valid_from <> :day", day=LAST) == 0
