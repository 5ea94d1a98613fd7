"""The page of a group of dead letters: its rows, whom they concern, and the run that brings them again."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from include.control import dead_letters
from include.errors import InputRejected
from include.operations.dead_letter_group import GroupKey, plan_pull, read_group
from include.pipeline.plan import choose_tables
from include.vendors import VENDORS, named
from include.warehouse import schema
from tests.conftest import Database
from tests.operations.records import DAY, record_dead_letter

KEY = GroupKey("orion", "assets", DAY, "stage", "price: not a number")


def _add_account(database: Database, key: str, name: str) -> None:
    database.do(
        "insert into warehouse.account (account_id, vendor, account_key, name, valid_from, recorded_from, source_run_id, is_past_only)"
        " values (:id, 'orion', :key, :name, '2026-01-01', now(), 1, false)",
        id=int(key), key=key, name=name,
    )  # fmt: skip


def _describe(database: Database, key: str, **about: str) -> None:
    database.do(
        "update control.dead_letter set describes = cast(:about as jsonb) where row_key = :key",
        about=json.dumps([{"entity": "position", "key": key} | about]), key=key,
    )  # fmt: skip


@pytest.fixture(scope="module")
def web(shared_database: Database, shared_web: sa.Connection) -> sa.Connection:
    for number in range(5):
        record_dead_letter(shared_database, f"A{number}")
    record_dead_letter(shared_database, "other reason", reason="price: missing")
    record_dead_letter(shared_database, "closed")
    shared_database.do("update control.dead_letter set status = 'superseded' where row_key = 'closed'")
    shared_database.do("update control.dead_letter set row_key = null, is_money_unreadable = true where row_key = 'A4'")
    _add_account(shared_database, "17", "Doe Family Trust")
    _describe(shared_database, "A0", parent="17")
    _describe(shared_database, "A1", parent="18")
    return shared_web


def test_a_group_has_the_open_rows_with_its_reason(web: sa.Connection) -> None:
    group = read_group(web, KEY, 0, 3)
    assert (group.total, group.keyless, group.money_usd, group.money_unreadable) == (5, 1, 50, 1)
    assert [row["row_key"] for row in group.rows] == ["A0", "A1", "A2"]
    assert [row["row_key"] for row in read_group(web, KEY, 3, 3).rows] == ["A3", None]


def test_a_row_names_the_account_that_it_concerns(web: sa.Connection) -> None:
    assert [row["concerns"] for row in read_group(web, KEY, 0, 2).rows] == ["Doe Family Trust", None]


def test_an_empty_group_has_no_rows(web: sa.Connection) -> None:
    group = read_group(web, GroupKey("orion", "assets", DAY, "stage", "no such reason"), 0, 50)
    assert (group.total, group.last_id, group.rows) == (0, None, [])


def test_a_selected_group_leaves_out_dead_letters_that_the_page_did_not_show(
    web: sa.Connection, shared_database: Database
) -> None:
    group = read_group(web, KEY, 0, 50)
    loading = schema.engine(shared_database.url())
    record_dead_letter(shared_database, "later")
    shown = dead_letters.find_group(loading, group.selection)
    shared_database.do("delete from control.dead_letter where row_key = 'later'")
    assert shown == [row["dead_letter_id"] for row in group.rows]
    with pytest.raises(InputRejected, match="reload the list"):
        dead_letters.find_group(loading, group.selection | {"last_id": 0})
    loading.dispose()


def test_a_snapshot_is_pulled_for_its_business_date() -> None:
    assert plan_pull(named("orion"), "assets", DAY) == {"business_date": "2026-11-25", "tables": ["assets"]}


def test_a_nested_table_is_pulled_with_the_tables_that_its_requests_need() -> None:
    assert plan_pull(named("moneyguidepro"), "goals", DAY) == {"tables": ["households", "plan_summaries", "goals"]}


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_every_pull_is_a_valid_selection_of_tables(vendor) -> None:  # type: ignore[no-untyped-def]
    for table in vendor.requested_tables:
        plan = plan_pull(vendor, table.name, DAY)
        assert plan is not None
        assert choose_tables(vendor, plan["tables"], is_past="business_date" in plan) == plan["tables"]


def test_a_table_that_the_vendor_only_sends_can_not_be_pulled() -> None:
    assert plan_pull(named("docusign"), "no_such_table", DAY) is None
