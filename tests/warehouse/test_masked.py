"""Analysts read masked views only. A canary in each text and each birth date of the warehouse shows what reaches them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from tests.conftest import Database

BORN = "1961-02-03"
NOT_PERSONAL = {
    "vendor", "entity", "status", "role", "event", "goal_type", "policy_type", "portfolio_type", "risk_model", "registration_type", "registration_kind", "entity_kind", "account_type",
    "custodian", "institution", "management_style", "transaction_type", "type_code", "flow", "purpose", "scenario", "version", "ticker", "cusip",
    "asset_class", "security_type", "state_code", "country", "category", "gender", "security.name", "template.name",
}  # fmt: skip
"""Columns of the warehouse whose texts analysts may read; `<table>.<column>` for one table only."""
WITHOUT_CLIENTS = {"completeness", "day_in_force", "freshness", "load_source", "deal", "deal_stage"}
"""Marts that the canaries do not fill: they show runs, or opportunities of Salesforce."""
FIXED = {
    ("transaction", "status"): "posted", ("transaction", "flow"): "contribution", ("envelope", "status"): "sent", ("account_owner", "role"): "primary", ("envelope_recipient", "role"): "signer",
    ("plan_result", "scenario"): "current", ("portfolio", "portfolio_type"): "current",
}  # fmt: skip
"""Texts that a mart compares."""


def _mark(table: str, column: str) -> str:
    return f"Kanari<{table}.{column}>"


def _make_value(table: str, column: str, type_: str) -> Any:
    """Return a value of a column: ids that all refer to one another, and canaries."""
    known = {
        "valid_to": None, "recorded_to": None, "business_date": "2026-11-20", "valid_from": "2026-01-01", "recorded_from": "2026-11-20",
        "birth_date": BORN, "is_past_only": False, "is_deleted": False, "is_archived": False, "entity": "person",
    }  # fmt: skip
    if column in known:
        return known[column]
    if type_ in ("text", "character varying"):
        return FIXED.get((table, column), _mark(table, column))
    return {"boolean": True, "date": "2026-11-19", "timestamp with time zone": "2026-11-20", "jsonb": "{}"}.get(
        type_, 1
    )


def _plant(database: Database) -> None:
    columns = database.rows(
        "select c.relname as table_name, attname as name, format_type(atttypid, null) as type from pg_class c"
        " join pg_attribute on attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = '' and attidentity = ''"
        " where relnamespace = to_regnamespace('warehouse') and relkind in ('r', 'p') and not relispartition"
        " and relname not in ('crm_change', 'sealed_value', 'source_key')"
    )
    tables: dict[str, dict[str, Any]] = {}
    for row in columns:
        tables.setdefault(row["table_name"], {})[row["name"]] = _make_value(row["table_name"], row["name"], row["type"])
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("select warehouse.ensure_month('2026-11-20')")
        for table, values in tables.items():
            statement = sql.SQL("insert into warehouse.{} ({}) values ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() for _ in values),
            )
            connection.execute(statement, list(values.values()))
        connection.execute(
            "insert into control.finding (vendor, rule, subject_entity, subject_id, household_id, severity, measure, details,"
            " business_date_opened, opened_run_id, opened_at, business_date_seen, seen_run_id)"
            " values ('v', 'cash', 'person', 1, 1, 'info', 1, 'Kanari<finding.details>', '2026-11-19', 'r', '2026-11-20', '2026-11-20', 'r')"
        )


@pytest.fixture(scope="module")
def analyst(shared_database: Database) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    _plant(shared_database)
    url = shared_database.url("tributary_analyst")
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def readable(analyst: psycopg.Connection[dict[str, Any]]) -> list[str]:
    """Every relation outside of the system's own of which the role may read any column."""
    query = (
        "select format('%s.%s', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')"
        " and has_any_column_privilege(c.oid, 'select') order by 1"
    )
    return [row["name"] for row in analyst.execute(query)]


def test_analyst_reads_masked_views_only(readable: list[str]) -> None:
    assert {name.partition(".")[0] for name in readable} == {"masked_warehouse", "masked_mart"}
    assert {"masked_warehouse.person", "masked_warehouse.position", "masked_mart.aum_by_household"} < set(readable)


def test_no_personal_text_reaches_an_analyst(analyst: psycopg.Connection[dict[str, Any]], readable: list[str]) -> None:
    leaks, empty = set(), set()
    for name in readable:
        rows = analyst.execute(sql.SQL("select * from {}").format(sql.Identifier(*name.split(".")))).fetchall()
        if not rows:
            empty.add(name)
        for row in rows:
            for column, value in row.items():
                text = json.dumps(value, default=str)
                marks = set(re.findall(r"Kanari<([^>]*)>", text))
                marks = {mark for mark in marks if not {mark, mark.partition(".")[2]} & NOT_PERSONAL}
                leaks |= {(name, column, mark) for mark in marks}
                if BORN in text:
                    leaks.add((name, column, BORN))
    assert leaks == set()
    assert {name.partition(".")[2] for name in empty} <= WITHOUT_CLIENTS


def test_masks_keep_initial_year_area_and_state(analyst: psycopg.Connection[dict[str, Any]]) -> None:
    [row] = analyst.execute("select * from masked_warehouse.person").fetchall()
    assert (row["name"], row["email"], row["phone"], row["street"]) == ("K.", "***", "***", "***")
    assert (str(row["birth_date"]), row["postal_code"]) == ("1961-01-01", "Kan")
    assert row["state_code"] == _mark("person", "state_code")
    assert not {"tax_id_hash", "tax_id_last4", "person_key", "cross_references", "city"} & row.keys()


def test_masked_mart_has_the_sums_of_the_mart(
    analyst: psycopg.Connection[dict[str, Any]], shared_database: Database
) -> None:
    [masked] = analyst.execute("select * from masked_mart.aum_by_household").fetchall()
    [clear] = shared_database.rows("select * from mart.aum_by_household")
    assert masked == clear | {"household_name": "K."}
    assert clear["aum_usd"] == 1


def test_free_text_documents_keys_and_hashes_are_left_out(shared_database: Database) -> None:
    query = (
        "select attname as name, format_type(atttypid, null) as type from pg_class c join pg_attribute on attrelid = c.oid and attnum > 0"
        " where relnamespace in (to_regnamespace('masked_warehouse'), to_regnamespace('masked_mart')) and relkind = 'v'"
    )
    columns = shared_database.rows(query)
    assert {row["type"] for row in columns}.isdisjoint({"jsonb", "text[]", "bytea", "daterange"})
    names = {row["name"] for row in columns}
    assert not [name for name in names if name.endswith(("_key", "_hash", "_last4"))]
    assert names.isdisjoint(
        {"details", "description", "reason", "subject", "wording", "city", "cross_references", "household_reference"}
    )


@pytest.mark.parametrize(
    "statement",
    [
        "select name from warehouse.person",
        "select * from mart.aum_by_household",
        "select * from mart.person_as_one('infinity')",
        "select * from control.audit",
        "create table mine (a int)",
    ],
)
def test_analyst_reads_nothing_in_clear_and_writes_nothing(
    analyst: psycopg.Connection[dict[str, Any]], statement: str
) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        analyst.execute(statement)  # type: ignore[call-overload]
