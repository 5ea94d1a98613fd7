"""Reads: freshness from the ledger, findings and dead letters in pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.business_dates import previous
from include.control import lateness, ledger
from include.control.ledger import Counts, Pull
from include.gateway.api.reading import read_freshness
from include.gateway.api.scopes import Permission
from include.vendors import VENDORS
from tests.conftest import Database
from tests.gateway.api.conftest import Api, read_body, read_problem

VENDOR = next(vendor for vendor in VENDORS if set(vendor.due) >= {"stage", "load"})
TABLE = next(table for table in VENDOR.requested_tables if any(each.table == table.name for each in VENDOR.maps)).name
MORNING = datetime(2026, 11, 25, 15, tzinfo=UTC)
DUE = date(2026, 11, 24)
ALL = Permission("token:mule", "status:read", None)


def record(
    engine: sa.Engine, day: date, pulled: str = "current", rows: int = 3, pull: str = "p1", stage: str = "load"
) -> None:
    of = Pull("r1", VENDOR.name, TABLE, day, pull, pulled, datetime(2026, 11, 25, 11, tzinfo=UTC))
    with engine.begin() as connection:
        ledger.record(connection, of, "stage", Counts(fetched=rows, staged=rows))
        if stage == "load":
            ledger.record(connection, of, "load", Counts(produced=rows, inserted=rows), "household")


def read_fresh(engine: sa.Engine, now: datetime = MORNING) -> dict[str, Any]:
    return next(
        each for each in read_freshness(engine, now, ALL) if (each["vendor"], each["table"]) == (VENDOR.name, TABLE)
    )


# --- freshness ---


def test_newest_loaded_day_is_returned(engine: sa.Engine, database: Database) -> None:
    record(engine, DUE, rows=7, pull="p2")
    record(engine, previous(DUE), rows=9, pull="p1")
    freshness = read_fresh(engine)
    assert (freshness["business_date"], freshness["rows"], freshness["is_late"], freshness["due_date"]) == (
        DUE,
        7,
        False,
        DUE,
    )


def test_day_that_is_staged_and_not_loaded_is_not_in(engine: sa.Engine, database: Database) -> None:
    record(engine, DUE, stage="stage")
    freshness = read_fresh(engine)
    assert (freshness["business_date"], freshness["is_late"]) == (None, True)


@pytest.mark.parametrize("pulled", ["selected", "pushed", "replay"])
def test_some_rows_of_a_day_are_not_the_day(engine: sa.Engine, database: Database, pulled: str) -> None:
    record(engine, DUE, pulled)
    assert read_fresh(engine)["business_date"] is None


def test_before_it_is_due_nothing_is_late(engine: sa.Engine, database: Database) -> None:
    due_at = read_fresh(engine)["due_at"]
    assert not read_fresh(engine, due_at - timedelta(seconds=1))["is_late"]
    assert read_fresh(engine, due_at)["is_late"]


def test_nothing_is_late_of_a_vendor_that_the_firm_no_longer_uses(engine: sa.Engine, database: Database) -> None:
    record(engine, previous(DUE))
    assert read_fresh(engine)["is_late"]
    database.do("insert into control.unused_vendor values ('orion')")
    assert not read_fresh(engine)["is_late"]


@pytest.mark.parametrize("hours", range(0, 24 * 9, 13))
def test_late_matches_the_alerts(engine: sa.Engine, database: Database, hours: int) -> None:
    record(engine, DUE)
    for vendor in VENDORS:  # no data is due from a vendor that was never pulled
        with engine.begin() as connection:
            of = Pull("r0", vendor.name, "any", date(2025, 1, 2), "p0", "current", datetime(2025, 1, 2, tzinfo=UTC))
            ledger.record(connection, of, "stage", Counts())
    database.do("update control.ledger set recorded_at = '2025-01-02'")
    now = MORNING + timedelta(hours=hours)
    late = {(each["vendor"], each["table"]) for each in read_freshness(engine, now, ALL) if each["is_late"]}
    alerts = [
        each for vendor in VENDORS for each in lateness.find_late(engine, vendor, now, MORNING - timedelta(days=90))
    ]
    mapped = {(vendor.name, entity.table) for vendor in VENDORS for entity in vendor.maps}
    assert late == {(e.vendor, e.table) for e in alerts if (e.stage == "load") == ((e.vendor, e.table) in mapped)}


def test_every_requested_table_is_listed_once(api: Api) -> None:
    items = read_body(api.get("/freshness"), 200)["items"]
    assert [(each["vendor"], each["table"]) for each in items] == [
        (v.name, t.name) for v in VENDORS for t in v.requested_tables
    ]


# --- lists ---


def find(database: Database, number: int, **other: Any) -> None:
    values = {
        "vendor": "v", "rule": "excess_cash", "severity": "info", "household_id": 7, "measure": "12345678901234567890.1234",
        "closed": None,
    } | other  # fmt: skip
    database.do(
        """insert into control.finding (vendor, rule, subject_entity, subject_id, household_id, severity, measure, details,
           business_date_opened, opened_run_id, business_date_seen, seen_run_id, business_date_closed, closed_run_id, closed_at)
           values (:vendor, :rule, 'account', :number, :household_id, :severity, :measure, 'Cash', '2026-11-23', 'r', '2026-11-23',
           'r', cast(:closed as date), cast(:closed as text), cast(:closed as timestamptz))""",
        number=number,
        **values,
    )


def die(database: Database, number: int, **other: Any) -> None:
    values = {"vendor": "v", "table": "t", "day": "2026-11-23", "status": "open", "stage": "stage"} | other
    values |= {"reasons": other.get("reasons", ["a: is missing"])}
    database.do(
        """insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part,
           row_number, status) values ('r', :vendor, :table, :day, :stage, 'k', :reasons, 'p', 'dead.jsonl', :number, :status)""",
        number=number,
        **values,
    )


def walk(api: Api, path: str, **params: Any) -> list[list[dict[str, Any]]]:
    pages, cursor = [], {}
    while True:
        page = read_body(api.get(path, **params, **cursor), 200)
        pages.append(page["items"])
        if page["next"] is None:
            return pages
        cursor = {"cursor": page["next"]}


@pytest.mark.parametrize(("path", "make"), [("/findings", find), ("/dead-letters", die)])
def test_the_audit_trail_shows_which_items_a_caller_got(
    api: Api, database: Database, path: str, make: Callable[..., None]
) -> None:
    for number in range(3):
        make(database, number)
    ids = [row["id"] for row in read_body(api.get(path, limit=2), 200)["items"]]
    [entry] = database.rows("select * from control.audit order by entry_id desc limit 1")
    assert (entry["action"], entry["subject"], entry["database_user"]) == ("api.read", path[1:], "tributary_api")
    assert entry["details"] == {"ids": ids}


@pytest.mark.parametrize(("path", "make"), [("/findings", find), ("/dead-letters", die)])
def test_pages_hold_each_row_once_the_newest_first(
    api: Api, database: Database, path: str, make: Callable[..., None]
) -> None:
    for number in range(7):
        make(database, number)
    pages = walk(api, path, limit=3)
    assert [len(page) for page in pages] == [3, 3, 1]
    ids = [row["id"] for page in pages for row in page]
    assert ids == sorted(set(ids), reverse=True)
    assert walk(api, path, limit=7) == [[row for page in pages for row in page]]


def test_row_that_comes_between_two_pages_moves_none(api: Api, database: Database) -> None:
    for number in range(4):
        die(database, number)
    first = read_body(api.get("/dead-letters", limit=2), 200)
    die(database, 9)
    second = read_body(api.get("/dead-letters", limit=2, cursor=first["next"]), 200)
    assert len({row["id"] for row in first["items"] + second["items"]}) == 4


@pytest.mark.parametrize(
    "cursor", ["x", "bm90aGluZzox", "cnVuczox", "ZmluZGluZ3M6LTE", "ZmluZGluZ3M6OTk5OTk5OTk5OTk5OTk5OTk5OTk"]
)
def test_cursor_that_is_none_is_refused(api: Api, cursor: str) -> None:
    read_problem(api.get("/findings", cursor=cursor), 422)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cursor=st.text(st.sampled_from("ABCabc019_-"), max_size=70))
def test_no_cursor_makes_us_stumble(api: Api, cursor: str) -> None:
    assert api.get("/findings", cursor=cursor).status_code in (200, 422)


@pytest.mark.parametrize(
    ("params", "numbers"),
    [
        ({}, {1, 2, 3, 4}), ({"vendor": "v2"}, {2}), ({"rule": "plan_old"}, {3}), ({"severity": "critical"}, {4}),
        ({"household_id": 8}, {1}), ({"state": "open"}, {1, 2, 3}), ({"state": "closed"}, {4}), ({"vendor": "v2", "severity": "critical"}, set()),
        ({"since": "2030-01-01T00:00:00Z"}, set()), ({"since": "2026-01-01T00:00:00+02:00"}, {1, 2, 3, 4}),
    ],
    ids=str,
)  # fmt: skip
def test_findings_are_filtered(api: Api, database: Database, params: dict[str, Any], numbers: set[int]) -> None:
    find(database, 1, household_id=8)
    find(database, 2, vendor="v2")
    find(database, 3, rule="plan_old")
    find(database, 4, severity="critical", closed="2026-11-24")
    assert {row["subject_id"] for row in read_body(api.get("/findings", **params), 200)["items"]} == numbers


def test_closed_finding_is_news(api: Api, database: Database) -> None:
    find(database, 1, closed="2031-01-01")
    assert read_body(api.get("/findings", since="2030-12-31T00:00:00Z"), 200)["items"]


def test_measure_is_exact(api: Api, database: Database) -> None:
    find(database, 1)
    assert read_body(api.get("/findings"), 200)["items"][0]["measure"] == "12345678901234567890.1234"


@pytest.mark.parametrize(
    ("params", "count"),
    [({}, 3), ({"vendor": "v2"}, 1), ({"table": "t2"}, 1), ({"status": "open"}, 2), ({"business_date": "2026-11-20"}, 1),
     ({"business_date": "2026-11-21"}, 0)],
    ids=str,
)  # fmt: skip
def test_dead_letters_are_filtered(api: Api, database: Database, params: dict[str, Any], count: int) -> None:
    die(database, 1, vendor="v2")
    die(database, 2, table="t2", day="2026-11-20")
    die(database, 3, status="replayed")
    assert len(read_body(api.get("/dead-letters", **params), 200)["items"]) == count


def test_dead_letter_has_its_reason_but_no_content(api: Api, database: Database) -> None:
    die(database, 1)
    [dead_letter] = read_body(api.get("/dead-letters"), 200)["items"]
    assert (dead_letter["key"], dead_letter["reasons"]) == ("k", ["a: is missing"])
    assert not dead_letter.keys() & {"partition", "part", "row_number", "content"}


def test_crm_reason_is_returned_as_code_only(api: Api, database: Database) -> None:
    die(database, 1, stage="crm", reasons=["DUPLICATE_VALUE:Invented Person is there already", "an odd one"])
    [dead_letter] = read_body(api.get("/dead-letters"), 200)["items"]
    assert dead_letter["reasons"] == ["DUPLICATE_VALUE", "an odd one"]
    with psycopg.connect(database.url("tributary_api")) as db, pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute("select reasons from control.dead_letter")


@pytest.mark.parametrize(
    "params",
    [{"limit": 0}, {"limit": 501}, {"limit": "x"}, {"vendor": "V"}, {"vendor": "a\x00b"}, {"rule": "'"}, {"since": "yesterday"},
     {"since": "2026-11-23T00:00:00"}, {"severity": "loud"}, {"household_id": 2**70}],
    ids=str,
)  # fmt: skip
def test_invalid_query_is_rejected(api: Api, params: dict[str, Any]) -> None:
    read_problem(api.get("/findings", **params), 422)


# --- missing resources, and an unavailable database ---


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/runs/", 404), ("DELETE", "/runs", 405), ("PUT", "/findings", 405)],
)
def test_missing_resource_returns_a_problem(api: Api, method: str, path: str, status: int) -> None:
    response = api.http.request(method, path, headers=api.bearer())
    read_problem(response, status)


def test_unavailable_database_is_reported_without_details(run: Callable[..., Api]) -> None:
    api = run(url="postgresql://tributary_api:only-for-tests@127.0.0.1:1/nowhere")
    for response in (api.get("/findings"), api.post("/runs", {"vendor": VENDOR.name}), api.get("/freshness")):
        reason = read_problem(response, 503)
        assert "only-for-tests" not in reason
        assert int(response.headers["Retry-After"]) > 0


def test_rejected_method_lists_the_allowed_methods(api: Api) -> None:
    assert api.http.delete("/runs", headers=api.bearer()).headers["Allow"] == "GET, POST"
