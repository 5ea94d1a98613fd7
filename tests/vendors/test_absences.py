"""Soft deletes: keys missing from a full pull are recorded as absent, also where several entities share a table."""

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
from tests.extract.vendor_server import Answer, RecordedCall, Reply
from tests.vendors.golden_day import NOW, Responses, change_response, goldens, reply_from, run_day

FindAbsent = Callable[[Vendor, Responses | Answer], list[tuple[str, str]]]


@pytest.fixture
def find_absent(database: Database, tmp_path: Path) -> FindAbsent:
    """Loads the goldens, then other responses an hour later; returns the absent keys as (entity, key)."""

    def load(vendor: Vendor, then: Responses | Answer) -> list[tuple[str, str]]:
        engine = schema.engine(database.url())
        run_day(engine, tmp_path / "before", vendor, goldens(vendor)).load()
        assert database.rows("select * from control.absence") == []
        run_day(engine, tmp_path / "then", vendor, then, now=NOW + timedelta(hours=1)).load()
        engine.dispose()
        rows = database.rows("select entity, source_key from control.absence order by 1, 2")
        return [(row["entity"], row["source_key"]) for row in rows]

    return load


def drop_plans_without_id() -> Responses:
    """Return eMoney's goldens without the plan that has no id: while it is unreadable, no plan's goals can be absent."""

    def leave_out(body: dict[str, Any]) -> None:
        for path, rows in body.items():
            body[path] = [row for row in rows if row.get("planId")]

    return change_response(goldens(EMONEY), "plans", leave_out)


def remove_last_goal(body: dict[str, Any]) -> None:
    """Remove the last goal from the plan with the most expenses."""
    most = max(body, key=lambda path: len(body[path]))
    body[most] = [row for row in body[most] if row["expenseId"] != "1001004"]


def test_goal_that_was_deleted_is_absent_and_the_plan_s_retirement_stays(
    find_absent: FindAbsent, database: Database
) -> None:
    [(entity, key)] = find_absent(EMONEY, change_response(drop_plans_without_id(), "expenses", remove_last_goal))
    assert (entity, key.rpartition(":")[2]) == ("goal", "1001004")
    still = database.rows("select g.goal_key from mart.goal_health join warehouse.goal g using (goal_id)")
    assert still
    assert key not in {row["goal_key"] for row in still}


def test_expense_that_is_no_longer_a_goal_is_absent_as_a_goal(find_absent: FindAbsent) -> None:
    def take_back(body: dict[str, Any]) -> None:
        for row in (row for rows in body.values() for row in rows if row["expenseId"] == "1001004"):
            row["isGoal"] = False

    assert [
        entity for entity, _ in find_absent(EMONEY, change_response(drop_plans_without_id(), "expenses", take_back))
    ] == ["goal"]


def test_plan_that_is_not_calculated_yet_keeps_its_retirement(find_absent: FindAbsent) -> None:
    respond = reply_from(EMONEY, goldens(EMONEY))

    def wait(call: RecordedCall) -> Reply:
        return Reply({}, 409) if call.path.endswith("/montecarlo") else respond(call)

    assert find_absent(EMONEY, wait) == []


def test_client_that_was_deleted_is_absent_with_all_its_rows(find_absent: FindAbsent, database: Database) -> None:
    responses = change_response(drop_plans_without_id(), "clients", lambda rows: rows.pop(0))
    assert {entity for entity, _ in find_absent(EMONEY, responses)} == {
        "goal", "household", "outside_account", "person", "plan",
    }  # fmt: skip
    for mart in ("plan_freshness", "goal_health", "plan_assets", "net_worth"):
        names = {row["household_name"] for row in database.rows(f"select household_name from mart.{mart}")}
        assert "Gus Example" not in names, mart


def test_goal_is_not_absent_while_a_plan_without_an_id_may_be_its_own(find_absent: FindAbsent) -> None:
    assert find_absent(EMONEY, change_response(goldens(EMONEY), "expenses", remove_last_goal)) == []


def test_nothing_below_an_unreadable_row_is_absent(find_absent: FindAbsent) -> None:
    def spoil(rows: list[Any]) -> None:
        rows[0]["dateOfBirth"] = "soon"

    assert find_absent(EMONEY, change_response(goldens(EMONEY), "clients", spoil)) == []


def test_nothing_inside_an_unreadable_row_is_absent(find_absent: FindAbsent) -> None:
    def spoil(body: dict[str, Any]) -> None:
        body[next(iter(body))]["categories"] = "not a list"

    assert find_absent(MONEYGUIDEPRO, change_response(goldens(MONEYGUIDEPRO), "plan_summaries", spoil)) == []


def test_plan_of_a_household_that_lost_it_is_absent(find_absent: FindAbsent) -> None:
    responses = change_response(goldens(MONEYGUIDEPRO), "households", lambda rows: rows.pop(0))
    assert ("plan", "70001") in find_absent(MONEYGUIDEPRO, responses)


def test_account_is_missing_also_where_groups_are_listed_among_accounts(find_absent: FindAbsent) -> None:
    responses = change_response(goldens(TAMARAC), "accounts", lambda body: body["items"].pop(0))
    assert [key for entity, key in find_absent(TAMARAC, responses) if entity == "account"] == ["TA100"]
