"""A whole firm: two days from the vendor's sandbox, and their findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from include.control.findings import Tally
from include.rules.evaluation import evaluate_all
from include.rules.policy import Policy
from include.rules.snapshot import Snapshot, find_present_days, read_snapshot
from include.vendors import named
from local.postgres import Postgres
from tests.conftest import Firm, new_database
from tests.rules.oracle import expect
from tests.running_sandbox import LAST, run_sandbox

MONDAY = date(2026, 11, 23)
# Tight thresholds, so that a firm of forty households has findings of every rule.
POLICY = Policy.of({"aum_move_percent": 1, "aum_move_floor_usd": 1000, "large_flow_floor_usd": 500, "large_flow_percent": 1,
                    "excess_cash_floor_usd": 1000, "excess_cash_percent": 3, "flow_review_days": 30})  # fmt: skip


@dataclass
class Evaluated:
    """A firm with a Friday and a Monday, each loaded and evaluated; on Monday one account was closed."""

    firm: Firm
    snapshots: dict[date, Snapshot]
    tallies: dict[date, dict[str, Tally]]
    closed: dict[str, Any]

    def findings(self, where: str = "true") -> list[dict[str, Any]]:
        return self.firm.database.rows(f"select * from control.finding where {where} order by finding_id")


@pytest.fixture(scope="module")
def evaluated(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluated]:
    folder = tmp_path_factory.mktemp("evaluated")
    with new_database(postgres) as database, run_sandbox(folder / "sandbox") as sandbox:
        firm = Firm(named("orion"), sandbox, database, folder)
        firm.site = replace(firm.site, speed=1000.0)
        firm.day(LAST)
        snapshots, tallies = {LAST: read(firm)}, {LAST: evaluate(firm)}
        sandbox.admin("clock", now=f"{MONDAY}T23:00:00Z")
        firm.now = datetime.fromisoformat(f"{MONDAY}T23:00:00Z")
        sandbox.log_in()
        accounts = sandbox.rows("Portfolio/Accounts")
        closed = next(a for a in accounts if a["isActive"] and a["sleeveType"] == "None")
        sandbox.admin("orion/close_account", account_id=closed["id"], date=str(MONDAY))
        firm.day(MONDAY, full_refresh=True)
        snapshots[MONDAY], tallies[MONDAY] = read(firm), evaluate(firm)
        yield Evaluated(firm, snapshots, tallies, closed)
        firm.engine.dispose()


def read(firm: Firm) -> Snapshot:
    with firm.engine.connect() as connection:
        [day] = find_present_days(connection)
        return read_snapshot(connection, day)


def evaluate(firm: Firm) -> dict[str, Tally]:
    return evaluate_all(firm.engine, POLICY, "rules")[firm.vendor.name]


def test_what_is_open_after_a_day_is_what_plain_python_finds_in_its_snapshot(evaluated: Evaluated) -> None:
    rows = evaluated.findings(f"business_date_seen = '{MONDAY}' and closed_at is null")
    expected = expect(evaluated.snapshots[MONDAY], POLICY)
    assert {(row["rule"], row["subject_id"]) for row in rows} == set(expected)
    new = {(r["rule"], r["subject_id"]): r["measure"] for r in rows if r["business_date_opened"] == MONDAY}
    assert new == {key: measure for key, measure in expected.items() if key in new}
    assert len({rule for rule, _ in expected}) >= 5


def test_assets_are_those_of_the_marts(evaluated: Evaluated) -> None:
    """Rules and marts report the same assets for each household."""
    snapshot = evaluated.snapshots[MONDAY]
    ours = snapshot.sum_owned(snapshot.held, "held_usd")
    marts = evaluated.firm.database.rows(
        "select household_id, aum_usd from mart.aum_by_household where business_date = :day", day=MONDAY
    )
    held_usd = {row["household_id"]: row["held_usd"] for row in ours.to_pylist() if row["held_usd"]}
    assert held_usd == {row["household_id"]: row["aum_usd"] for row in marts if row["aum_usd"]}


def test_flows_are_those_of_the_marts(evaluated: Evaluated) -> None:
    snapshot = evaluated.snapshots[MONDAY]
    [mart] = evaluated.firm.database.rows("select sum(net_flow_usd) as flow from mart.net_flows where trade_date > :day - 92",
                                       day=MONDAY)  # fmt: skip
    counted = set(snapshot.accounts["account_id"].to_pylist())
    flows = [row["amount_usd"] for row in snapshot.flows.to_pylist() if row["account_id"] in counted]
    assert abs(sum(flows, Decimal(0)) - mart["flow"]) <= Decimal("0.01") * len(flows)
    assert flows


def test_a_closed_account_is_a_finding_for_its_representative(evaluated: Evaluated) -> None:
    [row] = evaluated.findings("rule = 'account_closed'")
    query = "select * from warehouse.account where account_key = :key and valid_to is null and recorded_to is null"
    [account] = evaluated.firm.database.rows(query, key=str(evaluated.closed["id"]))
    assert {name: row[name] for name in ("subject_id", "household_id", "representative_id")} == {
        "subject_id": account["account_id"], "household_id": account["household_id"],
        "representative_id": account["representative_id"],
    }  # fmt: skip
    assert row["details"].startswith(f"Closed on {MONDAY}. Value on {LAST}: $")
    assert "account_closed" not in evaluated.tallies[LAST], "the first day has no earlier day to compare with"


def test_a_sound_vendor_has_no_finding_about_data(evaluated: Evaluated) -> None:
    assert evaluated.findings("rule in ('roll_forward_break', 'household_total_broken', 'account_unowned')") == []


def test_details_name_no_person_and_no_account(evaluated: Evaluated) -> None:
    people = evaluated.firm.database.rows(
        "select name from warehouse.person union select name from warehouse.household"
    )
    numbers = evaluated.firm.database.rows("select account_number_last4 as name from warehouse.account")
    words = " ".join(row["details"] for row in evaluated.findings())
    assert people
    assert not [row["name"] for row in people if row["name"] and row["name"] in words]
    assert not [row["name"] for row in numbers if row["name"] and f"x{row['name']}" in words]


def test_evaluating_the_day_again_writes_nothing(evaluated: Evaluated) -> None:
    before = evaluated.findings()
    again = evaluate(evaluated.firm)
    assert {rule for rule, tally in again.items() if tally.opened or tally.changed or tally.closed} == set()
    assert evaluated.findings() == before
