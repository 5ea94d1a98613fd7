"""A day with unreadable rows of one table leaves warehouse and Salesforce unchanged, for every vendor, table and field."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include import canonical
from include.crm.objects.portfolio import list_mappings
from include.extract.exact_json import load
from include.vendors import named
from tests.conftest import Firm
from tests.crm.conftest import KEY_FIELD, Crm
from tests.integration.spoiling import run_spoilt

TIMES = {"recorded_from", "recorded_to", "source_run_id"}
COMPUTED = {"probability_ratio", "computed_at"}
"""Values that a vendor computes anew for every call; only their presence is compared."""


def read_warehouse(firm: Firm) -> dict[str, set[tuple[Any, ...]]]:
    """Read the open rows of the warehouse, without times and runs of writing, and the absent keys."""
    facts = {}
    for entity in canonical.ENTITIES:
        rows = firm.database.rows(f"select * from warehouse.{entity.name} where recorded_to is null")
        facts[entity.name] = {
            tuple((k, v is None if k in COMPUTED else v) for k, v in row.items() if k not in TIMES) for row in rows
        }
    absent = firm.database.rows("select vendor, entity, source_key from control.absence")
    return facts | {"absence": {tuple(row.items()) for row in absent}}


def spoilt_day(firm: Firm, target: str, seed: int) -> int:
    """Run the day again with spoilt rows of one table, each in another field; return their number."""
    columns = [col.name for col in firm.vendor.table(target).columns if col.kind == "value"]

    def choose(rows: pa.Table) -> dict[int, list[str]]:
        chosen = random.Random(seed).sample(range(rows.num_rows), min(len(columns), rows.num_rows // 2 or 1))
        fields = random.Random(seed).sample(columns, len(columns))
        return {number: [name] for number, name in zip(chosen, fields, strict=False)}

    return run_spoilt(firm, firm.new_run(full_refresh=True), target, choose, rows_only=True)


FIELDS = ("__c", "__r", "Name")
SIMULATED = {"Tributary_Plan_Success__c", "Tributary_Success__c", "Tributary_Computed_On__c"}


def read_org(crm: Crm) -> dict[str, dict[str, dict[str, Any]]]:
    """Read the org's records by object and id, without fields that the org writes or vendors compute anew."""
    records: dict[str, dict[str, dict[str, Any]]] = {}
    for name in dict.fromkeys(mapping.sobject for mapping in list_mappings(crm.settings)):
        lines = crm.http.get(f"/salesforce/_admin/records/{name}").content.splitlines()
        records[name] = {
            record["Id"]: {f: v is None if f in SIMULATED else v for f, v in record.items() if f.endswith(FIELDS)}
            for record in map(load, lines)
        }
    return records


def load_households(firm: Firm) -> None:
    """Load the day of a vendor with households, without which Salesforce gets no envelopes, if the firm's own vendor has none."""
    if all(each.entity != "household" for each in firm.vendor.maps):
        other = Firm(named("orion"), firm.sandbox, firm.database, firm.folder / "households")
        other.day()
        other.engine.dispose()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_spoilt_day_changes_nothing_that_is_stored_and_nothing_in_salesforce(firm: Firm, tmp_path: Path) -> None:
    load_households(firm)
    firm.day()
    crm = Crm(firm.database, firm.sandbox, tmp_path / "work")
    crm.sync()
    before, sent_before = read_warehouse(firm), read_org(crm)
    sent_keys = [record.get(KEY_FIELD, "") for records in sent_before.values() for record in records.values()]
    assert [key for key in sent_keys if f":{firm.vendor.name}:" in key]
    for seed, table in enumerate(firm.vendor.requested_tables):
        assert spoilt_day(firm, table.name, seed), table.name
        after = read_warehouse(firm)
        changed = {
            name: (before[name] - rows, rows - before[name]) for name, rows in after.items() if rows != before[name]
        }
        assert not changed, table.name
        crm.sync()
        for name, records in read_org(crm).items():
            assert records == sent_before[name], (table.name, name)
    crm.engine.dispose()
