"""An on-demand refresh of one client: only that client's rows change, and their age is known."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from include.errors import TargetUnavailable
from include.pipeline import vendor_day
from include.pipeline.plan import keep_keyed
from include.staging.partitions import Partition
from include.vendors import VENDORS
from tests.conftest import Firm
from tests.faults.disturbed import contents
from tests.running_sandbox import LAST, NOW

KEYED = [
    vendor.name for vendor in VENDORS if any(table.parent and vendor.table(table.parent) for table in vendor.tables)
]
SIGNING = [vendor.name for vendor in VENDORS if any(each.entity == "envelope" for each in vendor.maps)]
PLANNING = [name for name in KEYED if name not in SIGNING]


def request_refresh(firm: Firm, *keys: str) -> dict[str, str]:
    """Run a refresh for single clients, or envelopes; return its partitions."""
    tables = keep_keyed(firm.vendor, [table.name for table in firm.vendor.requested_tables])
    run = firm.new_run(LAST, on_demand=True, keys=keys)
    partitions = firm.stage(run, *tables)
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()), rows_only=True)
    firm.publish(run, partitions)
    return partitions


def households(firm: Firm) -> list[str]:
    """List the clients that have a plan."""
    query = "select distinct source_key as key from warehouse.plan join warehouse.source_key on id = household_id order by 1"
    return [row["key"] for row in firm.database.rows(query)]


def envelopes(firm: Firm) -> list[str]:
    """List the request keys of open envelopes: with the sender, where the vendor needs it."""
    query = "select envelope_key as key, sender_email from warehouse.envelope where recorded_to is null"
    rows = firm.database.rows(f"{query} and status in ('sent', 'delivered') order by 1")
    keyed = firm.vendor.table(firm.vendor.keyed) if firm.vendor.keyed else None
    return [f"{row['key']}|{row['sender_email']}" if keyed and not keyed.selected else row["key"] for row in rows]


def read_requested_keys(firm: Firm) -> set[str]:
    """Read the keys that the second run requested: from its paths, or from the responses where keys are parameters."""
    query = "select distinct split_part(path, '/', 2) as key from control.api_call where run_id = 'run-2' and path like '%/%'"
    return {row["key"] for row in firm.database.rows(query)}


def read_staged_keys(firm: Firm, partitions: dict[str, Partition]) -> set[str]:
    """Read the keys of staged rows that were requested by key."""
    keys = set[str]()
    for table in firm.vendor.requested_tables:
        if table.selected:
            [key] = table.key
            keys |= {row[key] for _, part in partitions[table.name].rows() for row in part.to_pylist()}
    return keys


def read_others(firm: Firm, key: str) -> dict[str, Any]:
    """Read every row of the warehouse except those of one client."""
    plans = "select plan_key as key from warehouse.plan join warehouse.source_key on id = household_id where source_key = :key"
    theirs = [key, *(row["key"] for row in firm.database.rows(plans, key=key))]
    tables = contents(firm.database, firm.vendor)
    return {name: [row for row in rows if not any(t in str(row) for t in theirs)] for name, rows in tables.items()}


@pytest.mark.parametrize("vendor", KEYED, indirect=True)
def test_only_the_selected_client_is_requested_and_changed(loaded_firm: Firm) -> None:
    chosen = (envelopes if loaded_firm.vendor.name in SIGNING else households)(loaded_firm)[0]
    key = chosen.split("|")[0]
    before = read_others(loaded_firm, key)
    loaded_firm.sandbox.http.delete("/_sandbox/calls")
    partitions = request_refresh(loaded_firm, chosen)
    assert read_requested_keys(loaded_firm) | read_staged_keys(loaded_firm, partitions) == {key}
    assert read_others(loaded_firm, key) == before
    assert loaded_firm.database.value("select count(*) from control.absence") == 0


def void(firm: Firm, key: str) -> None:
    """Void an envelope at the vendor."""
    if firm.vendor.name == "docusign":
        firm.sandbox.admin("docusign/void", envelope_id=key, reason="Sample")
    else:
        firm.sandbox.admin("adobe_sign/cancel", agreement_id=key)


@pytest.mark.parametrize("vendor", SIGNING, indirect=True)
def test_requested_clients_are_current_and_all_others_unchanged(loaded_firm: Firm) -> None:
    chosen = envelopes(loaded_firm)[:3]
    keys = [key.split("|")[0] for key in chosen]
    for key in keys:
        void(loaded_firm, key)
    request_refresh(loaded_firm, *chosen[:2])
    query = "select envelope_key as key, status from warehouse.envelope where recorded_to is null and envelope_key = any(:keys)"
    statuses = {row["key"]: row["status"] for row in loaded_firm.database.rows(query, keys=keys)}
    assert [statuses[key] == "voided" for key in keys] == [True, True, False]


@pytest.mark.parametrize("vendor", PLANNING, indirect=True)
def test_the_freshness_of_the_response_is_recorded(loaded_firm: Firm) -> None:
    key = households(loaded_firm)[0]
    loaded_firm.turn_to(NOW + timedelta(days=1))
    request_refresh(loaded_firm, key)
    fresh = loaded_firm.database.rows(
        "select distinct source_key as key from warehouse.plan_result r join warehouse.source_key on id = household_id"
        " where recorded_to is null and computed_on > :day", day=LAST,
    )  # fmt: skip
    assert [row["key"] for row in fresh] == [key]


@pytest.mark.parametrize(
    "vendor", [PLANNING[0], *(pytest.param(name, marks=pytest.mark.long) for name in PLANNING[1:])], indirect=True
)
def test_clients_load_during_a_days_load_without_rejection(loaded_firm: Firm) -> None:
    keys = households(loaded_firm)[:2]
    runs = [loaded_firm.new_run(LAST), *(loaded_firm.new_run(LAST, on_demand=True, keys=(key,)) for key in keys)]
    table = next(each.table for each in loaded_firm.vendor.maps if each.entity == "plan_result")
    tables = [each.name for each in loaded_firm.vendor.requested_tables]
    staged = [
        (run, loaded_firm.stage(run, *(keep_keyed(loaded_firm.vendor, tables) if run.keys else tables))) for run in runs
    ]
    for run, partitions in staged:
        vendor_day.validate(loaded_firm.vendor_run(run), list(partitions.values()), rows_only=bool(run.keys))
        vendor_day.transform(loaded_firm.vendor_run(run), partitions[table])
    waiting = """
        select count(*) from pg_stat_activity where usename = 'tributary_load' and datname = current_database()
        and wait_event_type = 'Lock'
    """
    with psycopg.connect(loaded_firm.database.admin_url) as connection, ThreadPoolExecutor(len(runs)) as pool:
        connection.execute("lock table warehouse.plan_result in access exclusive mode")
        loads = []
        for run, partitions in staged:
            loads.append(pool.submit(vendor_day.load, loaded_firm.vendor_run(run), partitions[table]))
            while loaded_firm.database.value(waiting) < len(loads) and not any(load.done() for load in loads):
                time.sleep(0.05)
        connection.rollback()
    for (run, partitions), load in zip(staged, loads, strict=True):
        # If two runs conflict on a row, one of them retries; both succeed.
        assert isinstance(load.exception(), TargetUnavailable | None)
        assert "plan_result" in vendor_day.load(loaded_firm.vendor_run(run), partitions[table])
