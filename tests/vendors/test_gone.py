"""What a vendor's whole pull has no more is noted as absent, whatever else the vendor's table holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.contract import Vendor
from include.vendors.emoney import EMONEY
from include.vendors.moneyguidepro import MONEYGUIDEPRO
from include.vendors.tamarac import TAMARAC
from include.warehouse import schema
from tests.conftest import Database
from tests.extract.answering import Answer, RecordedCall, Reply
from tests.vendors.answered import NOW, Answers, answering, changed, goldens, run_day

Gone = Callable[[Vendor, Answers | Answer], list[tuple[str, str]]]


@pytest.fixture
def gone(database: Database, tmp_path: Path) -> Gone:
    """Loads the goldens, then a vendor's other answers a day later; gives what is absent then, as (entity, key)."""

    def load(vendor: Vendor, then: Answers | Answer) -> list[tuple[str, str]]:
        engine = schema.engine(database.url())
        run_day(engine, tmp_path / "before", vendor, goldens(vendor)).load()
        assert database.rows("select * from control.absence") == []
        run_day(engine, tmp_path / "then", vendor, then, now=NOW + timedelta(hours=1)).load()
        engine.dispose()
        rows = database.rows("select entity, source_key from control.absence order by 1, 2")
        return [(row["entity"], row["source_key"]) for row in rows]

    return load


def readable() -> Answers:
    """eMoney's goldens without the plan that has no id: it might be any plan, and whose goals are gone nobody could say."""

    def leave_out(held: dict[str, Any]) -> None:
        for path, rows in held.items():
            held[path] = [row for row in rows if row.get("planId")]

    return changed(goldens(EMONEY), "plans", leave_out)


def without_last(held: dict[str, Any]) -> None:
    """Takes the last goal from among the expenses of the plan that has most."""
    most = max(held, key=lambda path: len(held[path]))
    held[most] = [row for row in held[most] if row["expenseId"] != "1001004"]


def test_goal_that_was_deleted_is_gone_and_the_plan_s_retirement_stays(gone: Gone, database: Database) -> None:
    [(entity, key)] = gone(EMONEY, changed(readable(), "expenses", without_last))
    assert (entity, key.rpartition(":")[2]) == ("goal", "1001004")
    still = database.rows("select g.goal_key from mart.goal_health join warehouse.goal g using (goal_id)")
    assert still
    assert key not in {row["goal_key"] for row in still}


def test_expense_that_is_no_goal_any_more_is_gone_as_a_goal(gone: Gone) -> None:
    def take_back(held: dict[str, Any]) -> None:
        for row in (row for rows in held.values() for row in rows if row["expenseId"] == "1001004"):
            row["isGoal"] = False

    assert [entity for entity, _ in gone(EMONEY, changed(readable(), "expenses", take_back))] == ["goal"]


def test_plan_that_is_not_calculated_yet_keeps_its_retirement(gone: Gone) -> None:
    answer = answering(EMONEY, goldens(EMONEY))

    def wait(asked: RecordedCall) -> Reply:
        return Reply({}, 409) if asked.path.endswith("/montecarlo") else answer(asked)

    assert gone(EMONEY, wait) == []


def test_client_that_was_deleted_is_gone_with_all_that_is_its_own(gone: Gone, database: Database) -> None:
    answers = changed(readable(), "clients", lambda rows: rows.pop(0))
    assert {entity for entity, _ in gone(EMONEY, answers)} == {
        "goal", "household", "outside_account", "person", "plan",
    }  # fmt: skip
    for mart in ("plan_freshness", "goal_health", "plan_assets", "net_worth"):
        names = {row["household_name"] for row in database.rows(f"select household_name from mart.{mart}")}
        assert "Gus Example" not in names, mart


def test_goal_is_not_gone_while_a_plan_that_has_no_id_may_be_its_own(gone: Gone) -> None:
    assert gone(EMONEY, changed(goldens(EMONEY), "expenses", without_last)) == []


def test_nothing_below_a_row_that_cannot_be_read_is_gone(gone: Gone) -> None:
    def spoil(rows: list[Any]) -> None:
        rows[0]["dateOfBirth"] = "soon"

    assert gone(EMONEY, changed(goldens(EMONEY), "clients", spoil)) == []


def test_nothing_inside_a_row_that_cannot_be_read_is_gone(gone: Gone) -> None:
    def spoil(held: dict[str, Any]) -> None:
        held[next(iter(held))]["categories"] = "not a list"

    assert gone(MONEYGUIDEPRO, changed(goldens(MONEYGUIDEPRO), "plan_summaries", spoil)) == []


def test_plan_of_a_household_that_has_none_any_more_is_gone(gone: Gone) -> None:
    answers = changed(goldens(MONEYGUIDEPRO), "households", lambda rows: rows.pop(0))
    assert ("plan", "70001") in gone(MONEYGUIDEPRO, answers)


def test_account_is_missing_also_where_groups_are_listed_among_accounts(gone: Gone) -> None:
    answers = changed(goldens(TAMARAC), "accounts", lambda held: held["items"].pop(0))
    assert [key for entity, key in gone(TAMARAC, answers) if entity == "account"] == ["TA100"]
