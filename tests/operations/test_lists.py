"""Every list can be read by the role of the pages, page by page, filtered and sorted."""

from __future__ import annotations

from datetime import date

import pytest
import sqlalchemy as sa

from include.operations.listing import Listing, read_list
from include.operations.lists import (
    ACTIVITY,
    DEAD_LETTER_ROWS,
    DEAD_LETTERS,
    DELIVERIES,
    FINDINGS,
    GIVEN_UP_EVENTS,
    GROUPS,
    MISSING_DOCUMENTS,
    REJECTED_DELIVERIES,
)
from include.warehouse import schema
from tests.conftest import Database
from tests.operations.records import DAY, record_day, record_dead_letter, record_event_troubles

LISTS = [listing for group in GROUPS.values() for listing in group]


@pytest.fixture(scope="module")
def web(shared_database: Database, shared_web: sa.Connection) -> sa.Connection:
    for number in range(5):
        record_dead_letter(shared_database, f"A{number}", reason="price: not a number")
    record_dead_letter(shared_database, "A9", date(2026, 11, 24), reason="<b>bold</b>")
    record_dead_letter(shared_database, "T1", vendor="tamarac", table="holdings")
    record_event_troubles(shared_database, "HTTP 503")
    record_day(shared_database, table="clients", stages=["load"])
    return shared_web


@pytest.mark.parametrize("listing", LISTS, ids=lambda listing: listing.name)
def test_a_list_can_be_read_by_the_role_of_the_pages(web: sa.Connection, listing: Listing) -> None:
    page = read_list(web, listing, {}, 0, 50)
    assert page.total >= len(page.rows)
    assert set(page.choices) == set(listing.filters)
    for row in page.rows:
        assert set(row) - {"lineage"} == {column.name for column in listing.columns}
        assert ("lineage" in row) == listing.has_lineage


@pytest.mark.parametrize("listing", LISTS, ids=lambda listing: listing.name)
def test_filters_are_columns_of_the_list(listing: Listing) -> None:
    assert set(listing.filters) <= {column.name for column in listing.columns}


def test_the_most_severe_findings_are_first(web: sa.Connection, shared_database: Database) -> None:
    shared_database.do(
        "insert into control.finding (vendor, rule, subject_entity, subject_id, severity, measure, details, business_date_opened,"
        " opened_run_id, business_date_seen, seen_run_id)"
        " select 'orion', 'rule', 'account', n, severity, 1, '', :day, 'r', :day, 'r'"
        " from unnest(array['info', 'critical', 'warning']) with ordinality each (severity, n)",
        day=DAY,
    )
    page = read_list(web, FINDINGS, {}, 0, 50)
    assert [row["severity"] for row in page.rows] == ["critical", "warning", "info"]


def test_dead_letters_are_grouped_by_table_day_and_reason(web: sa.Connection) -> None:
    page = read_list(web, DEAD_LETTERS, {"vendor": "orion"}, 0, 50)
    assert [(row["business_date"], row["reasons"], row["dead_letters"], row["money_usd"]) for row in page.rows] == [
        (date(2026, 11, 24), "<b>bold</b>", 1, 10),
        (DAY, "price: not a number", 5, 50),
    ]


def test_filters_select_rows_by_text(web: sa.Connection) -> None:
    selected = {"vendor": "orion", "business_date": "2026-11-25", "status": "open", "unknown": "ignored"}
    page = read_list(web, DEAD_LETTER_ROWS, selected, 0, 50)
    assert {row["row_key"] for row in page.rows} == {f"A{number}" for number in range(5)}
    assert page.total == 5


def test_pages_continue_where_the_last_one_ended(web: sa.Connection) -> None:
    pages = [read_list(web, DEAD_LETTER_ROWS, {}, offset, 3) for offset in (0, 3, 6)]
    ids = [row["dead_letter_id"] for page in pages for row in page.rows]
    assert len(ids) == 7
    assert ids == sorted(ids, reverse=True)


def test_a_filter_can_not_inject_sql(web: sa.Connection) -> None:
    assert read_list(web, DEAD_LETTER_ROWS, {"vendor": "' or true --"}, 0, 50).total == 0


def test_a_selected_value_is_always_offered(web: sa.Connection) -> None:
    page = read_list(web, DEAD_LETTER_ROWS, {"reasons": "no longer among them"}, 0, 50)
    assert page.rows == []
    assert page.choices["reasons"][-1] == "no longer among them"


def test_a_filter_offers_the_newest_dates_first(web: sa.Connection) -> None:
    assert read_list(web, DEAD_LETTER_ROWS, {}, 0, 50).choices["business_date"][:2] == ["2026-11-25", "2026-11-24"]


def test_rejected_deliveries_say_what_was_rejected_and_why(web: sa.Connection) -> None:
    page = read_list(web, REJECTED_DELIVERIES, {}, 0, 50)
    assert [(row["sender"], row["rejected"], row["rejected_rows"], row["reason"]) for row in page.rows] == [
        ("push.orion.clients", "some rows", 1, "id: not int64"),
        ("docusign", "the whole delivery", None, "HTTP 503"),
    ]


@pytest.mark.parametrize("listing", [GIVEN_UP_EVENTS, MISSING_DOCUMENTS], ids=lambda listing: listing.name)
def test_what_failed_is_listed_with_its_error(web: sa.Connection, listing: Listing) -> None:
    [row] = read_list(web, listing, {}, 0, 50).rows
    assert row.get("last_error", row.get("error")) == "HTTP 503"


def test_the_timeline_says_who_did_what_in_words_and_filters_by_vendor(web: sa.Connection) -> None:
    page = read_list(web, ACTIVITY, {"vendor": "orion"}, 0, 50)
    assert [(row["who"], row["action"], row["subject"]) for row in page.rows] == [
        ("run run-1", "loaded", "orion clients 2026-11-25")
    ]
    assert read_list(web, ACTIVITY, {"vendor": "tamarac"}, 0, 50).rows == []


def test_rows_of_the_same_time_are_on_one_page_each(database: Database) -> None:
    """Rows that one transaction inserts have the same time."""
    database.do(
        "insert into control.inbox (sender, body, content_hash, headers, received_at) select 'docusign', '', 'h' || n, '{}', now()"
        " from generate_series(1, 1170) n"
    )
    engine = schema.engine(database.url("tributary_web"))
    with engine.connect() as connection:
        pages = [read_list(connection, DELIVERIES, {}, offset, 50) for offset in range(0, 1200, 50)]
    engine.dispose()
    shown = [row["inbox_id"] for page in pages for row in page.rows]
    assert len(set(shown)) == len(shown) == 1170
