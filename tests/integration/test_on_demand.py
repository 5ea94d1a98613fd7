"""One client asked for by somebody who waits: only that client, with the age of what is shown, and nobody else is touched."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from include import flow
from include.plan import keep_keyed
from include.vendors import VENDORS
from tests.conftest import Firm
from tests.faults.disturbed import contents
from tests.running_sandbox import LAST, NOW

KEYED = [vendor.name for vendor in VENDORS if any(table.over and vendor.table(table.over) for table in vendor.tables)]


def ask_for(firm: Firm, *keys: str) -> dict[str, str]:
    """A run for single clients; returns its partitions."""
    tables = keep_keyed(firm.vendor, [table.name for table in firm.vendor.tables])
    run = firm.new_run(LAST, on_demand=True, keys=keys)
    paths = firm.stage(run, *tables)
    flow.validate(firm.site, firm.vendor, paths, run, rows_only=True)
    firm.publish(run, paths)
    return paths


def households(firm: Firm) -> list[str]:
    """Clients who have a plan."""
    query = "select distinct source_key as key from warehouse.plan join warehouse.source_key on id = household_id order by 1"
    return [row["key"] for row in firm.database.rows(query)]


def others(firm: Firm, key: str) -> dict[str, Any]:
    """Every row of the warehouse but those of one client."""
    plans = "select plan_key as key from warehouse.plan join warehouse.source_key on id = household_id where source_key = :key"
    theirs = [key, *(row["key"] for row in firm.database.rows(plans, key=key))]
    found = contents(firm.database, firm.vendor)
    return {name: [row for row in rows if not any(t in str(row) for t in theirs)] for name, rows in found.items()}


@pytest.mark.parametrize("vendor", KEYED, indirect=True)
def test_only_the_chosen_client_is_asked_for_and_nobody_else_changes(firm: Firm) -> None:
    firm.day()
    key = households(firm)[0]
    before = others(firm, key)
    firm.sandbox.http.delete("/_sandbox/calls")
    ask_for(firm, key)
    asked = firm.database.rows(
        "select distinct split_part(path, '/', 2) as key from control.api_call where run_id = 'run-2' and path like '%/%'"
    )
    assert [row["key"] for row in asked] == [key]
    assert others(firm, key) == before
    assert firm.database.value("select count(*) from control.absence") == 0


@pytest.mark.parametrize("vendor", KEYED, indirect=True)
def test_the_freshness_of_the_answer_is_recorded(firm: Firm) -> None:
    firm.day()
    key = households(firm)[0]
    firm.turn_to(NOW + timedelta(days=1))
    ask_for(firm, key)
    fresh = firm.database.rows(
        "select distinct source_key as key from warehouse.plan_result r join warehouse.source_key on id = household_id"
        " where recorded_to is null and computed_on > :day", day=LAST,
    )  # fmt: skip
    assert [row["key"] for row in fresh] == [key]
