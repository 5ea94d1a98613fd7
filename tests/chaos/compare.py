"""A side's data in comparable form: its warehouse, marts, identity, dead letters, loads, and the org's records."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests

from include.vendors import VENDORS
from local.warehouse_rows import CHANCE, Contents, connect, count_rows, read_keys, read_rows, read_warehouse

_SYSTEM_FIELDS = {"Id", "OwnerId", "CreatedById", "LastModifiedById", "attributes"}
_DRAWN_WORDS = ("probab", "shortfall", "funded", "success")
_DELIVERED = {vendor.webhook.log for vendor in VENDORS if vendor.webhook and vendor.webhook.log}
# The number of a finding, and the name that an org numbers by itself (`Alert-000000054`), depend on the order of inserts.
_FINDING = re.compile(r"finding:\d+")
_AUTO_NUMBER = re.compile(r"[A-Za-z]+-\d{7,}")
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


def read(url: str, sandbox_url: str, run_ids: Sequence[str]) -> Contents:
    """Read warehouse, marts, identity, dead letters, the loads of these runs, and the org's records."""
    with connect(url) as db:
        keys = read_keys(db)
        contents = read_warehouse(db, keys)
        for row in read_rows(db, _MARTS):
            rows = read_rows(db, f"select * from mart.{row['table_name']}")
            contents[f"mart.{row['table_name']}"] = count_rows(keys, [each for each in rows if not _is_delivered(each)])
        contents["identity"] = count_rows(keys, read_rows(db, _LINKS))
        contents["findings"] = count_rows(keys, read_rows(db, _FINDINGS))
        contents["dead letters"] = count_rows(keys, read_rows(db, _LETTERS))
        contents["loads"] = count_rows(keys, db.execute(_LOADS, [list(run_ids)]).fetchall())
        objects = [row["sobject"] for row in read_rows(db, "select distinct sobject from control.crm_state order by 1")]
    return contents | _read_org(sandbox_url, objects)


def _is_delivered(row: Mapping[str, Any]) -> bool:
    """Whether a row is of a webhook-only table, which the twin lacks because it gets no webhooks."""
    return row.get("table_name") in _DELIVERED


def _read_org(sandbox_url: str, objects: Sequence[str]) -> Contents:
    """Read all records by object, without fields that the org writes; references are replaced by keys."""
    records = {name: _read_records(sandbox_url, name) for name in objects}
    keys = {row["Id"]: row.get("Tributary_Key__c") or row["Id"] for rows in records.values() for row in rows}
    return {f"org {name}": Counter(tuple(list_compared(row, keys)) for row in rows) for name, rows in records.items()}


def list_compared(row: Mapping[str, Any], keys: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an org's record that must be equal on both sides, with keys in place of ids."""
    for name, value in sorted(row.items()):
        is_drawn = any(word in name.lower() for word in _DRAWN_WORDS)
        is_numbered = name == "Name" and _AUTO_NUMBER.fullmatch(str(value))
        if name in _SYSTEM_FIELDS or is_drawn or is_numbered or _is_moment(value):
            continue
        text = _FINDING.sub("finding", keys.get(value, value)) if isinstance(value, str) else str(value)
        yield name, CHANCE.sub("(chance)", text)


def _read_records(sandbox_url: str, name: str) -> list[dict[str, Any]]:
    response = requests.get(f"{sandbox_url}/salesforce/_admin/records/{name}", timeout=60)
    response.raise_for_status()
    return [json.loads(line) for line in response.text.splitlines()]


def _is_moment(value: object) -> bool:
    return isinstance(value, str) and len(value) > 18 and value[4:5] == "-" and value[10:11] == "T"
