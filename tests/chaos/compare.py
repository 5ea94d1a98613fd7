"""A side's data in comparable form: keys instead of surrogate ids, without times and run ids."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
import requests
from psycopg import sql
from psycopg.rows import dict_row

from include.canonical import ENTITIES
from include.vendors import VENDORS
from tests.faults.disturbed import DRAWN

Contents = dict[str, Counter[Any]]
Database = psycopg.Connection[dict[str, Any]]

PUSHED = ("envelope", "envelope_recipient", "envelope_event")
"""Entities whose intermediate states the disturbed side receives by webhook; only the open rows are compared."""
RECOMPUTED = ("plan_result", "goal_result")
"""Entities that a vendor computes anew for each call. Whether a second result replaces the first depends on the number of
calls since the sandbox started; only the open rows are compared, without the drawn values."""
_LEFT_OUT = {
    *("source_run_id", "run_id", "ledger_id", "finding_id", "recorded_from", "recorded_to", "requested_on"),
    *DRAWN,
    *("plan_probability_ratio", "recommended_ratio"),  # the same, as marts name them
}
_SYSTEM_FIELDS = {"Id", "OwnerId", "CreatedById", "LastModifiedById", "attributes"}
_DRAWN_WORDS = ("probab", "shortfall", "funded", "success")
_DELIVERED = {vendor.webhook.log for vendor in VENDORS if vendor.webhook and vendor.webhook.log}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.\d]*")
_FINDING = re.compile(r"finding:\d+")
_CHANCE = re.compile(r"probability of success .*")
# Views about loads name ids and times of the runs.
_MARTS = """
select table_name from information_schema.views
where table_schema = 'mart' and table_name not in ('load_source', 'record_version', 'firm') order by 1
"""
_LOADS = """
select vendor, entity, business_date, sum(produced) as produced, sum(inserted) as inserted, sum(withdrawn) as withdrawn,
       sum(money_out) as money from control.ledger where stage = 'load' and run_id = any(%s) group by 1, 2, 3
"""
_LETTERS = (
    "select vendor, table_name, business_date, stage, row_key, reasons from control.dead_letter where status = 'open'"
)
_FINDINGS = """
select vendor, rule, subject_entity, subject_id, household_id, severity, business_date_opened, details,
       case when details not like '%probability of success%' then measure end as measure
from control.finding where closed_at is null
"""
_LINKS = "select entity, id, identity_id from warehouse.identity where recorded_to is null"


def connect(url: str) -> Database:
    """Open a session as the superuser."""
    return psycopg.connect(url, row_factory=dict_row, autocommit=True)


def read(url: str, sandbox_url: str, run_ids: Sequence[str]) -> Contents:
    """Read warehouse, marts, identity, dead letters, the loads of these runs, and the org's records."""
    with connect(url) as db:
        keys = {
            row["id"]: f"{row['entity']}:{row['vendor']}:{row['source_key']}"
            for row in _rows(db, "select * from warehouse.source_key")
        }
        contents: Contents = {}
        for entity in ENTITIES:
            where = " where recorded_to is null" if entity.name in (*PUSHED, *RECOMPUTED) else ""
            contents[f"warehouse.{entity.name}"] = _count(
                keys, _rows(db, f"select * from warehouse.{entity.name}{where}")
            )
        for row in _rows(db, _MARTS):
            rows = _rows(db, f"select * from mart.{row['table_name']}")
            contents[f"mart.{row['table_name']}"] = _count(keys, [each for each in rows if not _is_delivered(each)])
        contents["identity"] = _count(keys, _rows(db, _LINKS))
        contents["findings"] = _count(keys, _rows(db, _FINDINGS))
        contents["dead letters"] = _count(keys, _rows(db, _LETTERS))
        contents["loads"] = _count(keys, db.execute(_LOADS, [list(run_ids)]).fetchall())
        objects = [row["sobject"] for row in _rows(db, "select distinct sobject from control.crm_state order by 1")]
    return contents | _read_org(sandbox_url, objects)


def find_differences(disturbed: Contents, twin: Contents, most: int = 3) -> list[str]:
    """List the tables that differ, with a few of the rows that only one side has."""
    lines = []
    for name in sorted(disturbed.keys() | twin.keys()):
        here, there = disturbed.get(name, Counter()), twin.get(name, Counter())
        for side, surplus in (("disturbed", here - there), ("twin", there - here)):
            if surplus:
                shown = "; ".join(str(dict(row)) for row in list(surplus)[:most])
                lines.append(f"{name}: {surplus.total()} rows only {side}: {shown}")
    return lines


def _rows(db: Database, query: str) -> list[dict[str, Any]]:
    return db.execute(sql.SQL(query)).fetchall()


def _count(keys: Mapping[int, str], rows: Sequence[Mapping[str, Any]]) -> Counter[Any]:
    return Counter(tuple(_plain(keys, row)) for row in rows)


def _plain(keys: Mapping[int, str], row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if name == "recorded_to":
            yield "is_closed", value is not None
        if name in _LEFT_OUT or isinstance(value, datetime) or name.endswith("_at"):
            continue
        if (name == "id" or name.endswith("_id")) and isinstance(value, int):
            yield name, ("-" if value < 0 else "") + keys.get(abs(value), "?")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield name, json.dumps(sorted(json.dumps(dict(_plain(keys, each)), default=str) for each in value))
        elif isinstance(value, (dict, list)):
            yield name, json.dumps(value, sort_keys=True, default=str)
        elif name.endswith("_key") and value is not None:
            yield name, _MOMENT.sub("(time)", str(value))
        elif isinstance(value, str):
            yield name, _CHANCE.sub("(chance)", value)
        else:
            yield name, value


def _is_delivered(row: Mapping[str, Any]) -> bool:
    """Whether a row is of a webhook-only table, which the twin lacks because it gets no webhooks."""
    return row.get("table_name") in _DELIVERED


def _read_org(sandbox_url: str, objects: Sequence[str]) -> Contents:
    """Read all records by object, without fields that the org writes; references are replaced by keys."""
    records = {name: _read_records(sandbox_url, name) for name in objects}
    keys = {row["Id"]: row.get("Tributary_Key__c") or row["Id"] for rows in records.values() for row in rows}

    def plain(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in sorted(row.items()):
            is_drawn = any(word in name.lower() for word in _DRAWN_WORDS)
            if name in _SYSTEM_FIELDS or is_drawn or _is_moment(value):
                continue
            # A finding's number depends on the order of inserts.
            text = _FINDING.sub("finding", keys.get(value, value)) if isinstance(value, str) else str(value)
            yield name, _CHANCE.sub("(chance)", text)

    return {f"org {name}": Counter(tuple(plain(row)) for row in rows) for name, rows in records.items()}


def _read_records(sandbox_url: str, name: str) -> list[dict[str, Any]]:
    response = requests.get(f"{sandbox_url}/salesforce/_admin/records/{name}", timeout=60)
    response.raise_for_status()
    return [json.loads(line) for line in response.text.splitlines()]


def _is_moment(value: object) -> bool:
    return isinstance(value, str) and len(value) > 18 and value[4:5] == "-" and value[10:11] == "T"
