"""Edits in the vendor's system between two days end in the right state, and the next day reconciles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from include.vendors import named
from local.postgres import Postgres
from tests.conftest import Firm, new_database
from tests.integration import truth
from tests.running_sandbox import LAST, run_sandbox

MONDAY = date(2026, 11, 23)


@dataclass
class Edited:
    """A firm with a Friday, some edits on Monday morning, and a Monday; ids are the vendor's."""

    firm: Firm
    reversed: dict[str, Any]
    corrected: dict[str, Any]
    moved: dict[str, Any]
    closed: dict[str, Any]
    renamed: dict[str, Any]
    new_household: int

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        return self.firm.database.rows(query, **values)


def edit(firm: Firm) -> dict[str, Any]:
    """Make one edit of each kind, to different accounts and households."""
    sandbox = firm.sandbox
    accounts = [a for a in sandbox.rows("Portfolio/Accounts") if a["isActive"] and a["sleeveType"] == "None"]
    buys = [t for t in sandbox.rows("Portfolio/Transactions") if (t["typeCode"], t["status"]) == ("BUY", "Complete")]
    buys = list({t["accountId"]: t for t in buys if t["accountId"] in {a["id"] for a in accounts}}.values())
    moved, closed = [a for a in accounts if a["id"] not in {t["accountId"] for t in buys[:2]}][:2]
    target = next(
        r
        for r in sandbox.rows("Portfolio/Registrations")
        if r["clientId"] not in (moved["clientId"], closed["clientId"])
    )
    renamed = next(c for c in sandbox.rows("Portfolio/Clients") if c["id"] != target["clientId"])
    sandbox.admin("orion/reverse_transaction", transaction_id=buys[0]["id"])
    sandbox.admin("orion/correct_transaction", transaction_id=buys[1]["id"], quantity=3, price=10)
    sandbox.admin("orion/move_account", account_id=moved["id"], registration_id=target["id"])
    sandbox.admin("orion/close_account", account_id=closed["id"], date=str(MONDAY))
    sandbox.admin("orion/rename_household", client_id=renamed["id"], name="Renamed Sample")
    return {
        "reversed": buys[0], "corrected": buys[1], "moved": moved, "closed": closed, "renamed": renamed,
        "new_household": target["clientId"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def edited(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edited]:
    folder = tmp_path_factory.mktemp("edits")
    with new_database(postgres) as database, run_sandbox(folder / "sandbox") as sandbox:
        firm = Firm(named("orion"), sandbox, database, folder)
        firm.day(LAST)
        # Monday is closed at the vendor, so that an account can close on it.
        sandbox.admin("clock", now=f"{MONDAY}T23:00:00Z")
        firm.now = datetime.fromisoformat(f"{MONDAY}T23:00:00Z")
        sandbox.log_in()
        edits = edit(firm)
        firm.day(MONDAY, full_refresh=True)
        truth.export(firm, LAST, MONDAY)
        yield Edited(firm, **edits)
        firm.engine.dispose()


def states(edited: Edited, transaction: dict[str, Any]) -> list[tuple[str, Decimal, Decimal]]:
    rows = edited.rows(
        "select status, quantity, amount_usd from warehouse.transaction where transaction_key = :key order by recorded_from",
        key=str(transaction["id"]),
    )
    return [(row["status"], row["quantity"], row["amount_usd"]) for row in rows]


def test_a_reversed_trade_keeps_both_states(edited: Edited) -> None:
    trade = edited.reversed
    units = (trade["noUnits"], trade["transAmount"])
    assert states(edited, trade) == [("posted", *units), ("reversed", *units)]


def test_a_corrected_trade_keeps_both_states(edited: Edited) -> None:
    trade = edited.corrected
    assert states(edited, trade) == [("posted", trade["noUnits"], trade["transAmount"]), ("posted", 3, 30)]


def test_the_units_of_the_day_reconcile_with_what_became_known(edited: Edited) -> None:
    """Trades of weeks ago were reversed and corrected; the roll-forward counts them as recorded since Friday."""
    checks = edited.rows("select * from control.reconciliation where business_date = :day", day=MONDAY)
    assert {c["check_name"]: (c["breaks"], c["explained"], c["is_passed"]) for c in checks} == {
        "control total": (0, 0, True),
        "roll-forward": (0, 0, True),
        "owners' shares": (0, 0, True),
    }


def test_positions_of_the_day_are_what_the_transactions_come_to(edited: Edited) -> None:
    ours = "select position_key, quantity, market_value_usd from warehouse.position where business_date = :day and recorded_to is null"
    theirs = "select asset, units, dollars from truth.holding where business_date = :day"
    assert truth.find_differences(edited.firm.database, ours, theirs, day=MONDAY) == []


def test_a_moved_account_counts_for_the_old_household_before_and_the_new_one_after(edited: Edited) -> None:
    owners = edited.rows(
        "select k.source_key, valid_from, valid_to from warehouse.account_owner o"
        " join warehouse.source_key k on k.id = o.household_id"
        " join warehouse.source_key a on a.id = o.account_id and a.source_key = :account"
        " where recorded_to is null order by valid_from",
        account=str(edited.moved["id"]),
    )
    assert [tuple(row.values()) for row in owners] == [
        (str(edited.moved["clientId"]), LAST, MONDAY),
        (str(edited.new_household), MONDAY, None),
    ]
    counted = edited.rows(
        "select business_date, count(*) as rows, count(distinct position_key) as positions, min(k.source_key) as household"
        " from mart.holding_as_known('infinity') h join warehouse.source_key k on k.id = h.household_id"
        " join warehouse.source_key a on a.id = h.account_id and a.source_key = :account group by 1 order by 1",
        account=str(edited.moved["id"]),
    )
    assert [(row["business_date"], row["household"]) for row in counted] == [
        (LAST, str(edited.moved["clientId"])),
        (MONDAY, str(edited.new_household)),
    ]
    assert all(row["rows"] == row["positions"] > 0 for row in counted)


def test_a_closed_account_is_empty_and_has_a_finding(edited: Edited) -> None:
    [account] = edited.rows(
        "select status, is_active, close_date from warehouse.account"
        " where account_key = :key and valid_to is null and recorded_to is null",
        key=str(edited.closed["id"]),
    )
    assert account == {"status": "Closed", "is_active": False, "close_date": MONDAY}
    positions = edited.rows(
        "select distinct quantity from warehouse.position join warehouse.source_key on id = account_id"
        " where source_key = :key and business_date = :day and recorded_to is null",
        key=str(edited.closed["id"]),
        day=MONDAY,
    )
    assert [row["quantity"] for row in positions] == [0]
    assert edited.firm.database.value("select closed from mart.openings_and_closings where day = :day", day=MONDAY) == 1


def test_a_renamed_household_has_each_name_on_its_own_days(edited: Edited) -> None:
    names = edited.rows(
        "select business_date, household_name from mart.aum_by_household join warehouse.source_key on id = household_id"
        " where source_key = :key and entity = 'household' order by 1",
        key=str(edited.renamed["id"]),
    )
    assert [tuple(row.values()) for row in names] == [(LAST, edited.renamed["name"]), (MONDAY, "Renamed Sample")]


def test_only_what_changed_has_a_new_version(edited: Edited) -> None:
    changed = edited.rows(
        "select household_key from warehouse.household where valid_to is not null and recorded_to is null"
    )
    assert str(edited.renamed["id"]) in {row["household_key"] for row in changed}
    versions = edited.rows(
        "select account_key, count(*) from warehouse.account where recorded_to is null group by 1 having count(*) > 1"
    )
    assert {row["account_key"] for row in versions} == {str(edited.moved["id"]), str(edited.closed["id"])}


def test_assets_under_management_of_the_day_to_the_cent(edited: Edited) -> None:
    ours = (
        "select k.source_key, household_name, aum_usd from mart.aum_by_household"
        " join warehouse.source_key k on k.id = household_id where business_date = :day"
    )
    theirs = "select household, name, sum(dollars) from truth.counted where business_date = :day group by 1, 2"
    assert truth.find_differences(edited.firm.database, ours, theirs, day=MONDAY) == []
