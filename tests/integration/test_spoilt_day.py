"""A day of which some rows of one table can't be read leaves warehouse and Salesforce as they were, for every vendor, table and field."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include import canonical, flow, vendor_pull
from include.contract import Table
from include.crm.objects import objects
from include.extract.columns import staged_schema
from include.extract.exact_json import dump, load
from include.staging import PartWriter
from tests.conftest import Firm
from tests.crm.conftest import Crm

TIMES = {"recorded_from", "recorded_to", "source_run_id"}
COMPUTED = {"probability_ratio", "computed_at"}
"""A vendor that computes anew whenever it is asked gives another result: compared is whether there is one."""


def stored(firm: Firm) -> dict[str, set[tuple[Any, ...]]]:
    """What is in force in the warehouse, without when and by whom it was written, and what is noted as absent."""
    found = {}
    for entity in canonical.ENTITIES:
        rows = firm.database.rows(f"select * from warehouse.{entity.name} where recorded_to is null")
        found[entity.name] = {
            tuple((k, v is None if k in COMPUTED else v) for k, v in row.items() if k not in TIMES) for row in rows
        }
    absent = firm.database.rows("select vendor, entity, source_key from control.absence")
    return found | {"absence": {tuple(row.items()) for row in absent}}


def spoil(firm: Firm, table: Table, path: str, seed: int) -> int:
    """Makes some rows of a partition unreadable, each in another field; returns how many."""
    folder, manifest = firm.site.staging.folder(path), firm.site.staging.manifest(path)
    rows = pa.concat_tables([staged_schema(table).empty_table(), *(part for _, part in firm.site.staging.rows(path))])
    columns = [col for col in table.columns if col.kind == "value"]
    chosen = random.Random(seed).sample(range(rows.num_rows), min(len(columns), rows.num_rows // 2 or 1))
    lines = []
    for number, column in zip(chosen, random.Random(seed).sample(columns, len(columns)), strict=False):
        [row] = rows.slice(number, 1).to_pylist()
        raw = {col.source: row[col.name] for col in columns if row[col.name] is not None}
        key = None if column.name in table.key else ":".join(str(row[name]) for name in table.key)
        spoilt = raw | {column.source: {"unexpected": "object"}}
        lines.append(dump({"key": key, "reasons": [f"{column.source}: not readable"], "row": spoilt}) + b"\n")
    writer = PartWriter(folder, rows.schema)
    writer.write(rows.filter(pa.array([n not in set(chosen) for n in range(rows.num_rows)], pa.bool_())))
    writer.flush()
    folder.write("dead.jsonl", b"".join(lines))
    staged = rows.num_rows - len(lines)
    firm.site.staging.seal(path, replace(manifest, parts=tuple(writer.parts), staged=staged, dead=len(lines)))
    return len(lines)


def spoilt_day(firm: Firm, target: str, seed: int) -> int:
    """Runs the day again with spoilt rows of one table; returns how many."""
    run = firm.new_run(full_refresh=True)
    paths, dead = {}, 0
    for name in (name for wave in firm.vendor.waves for name in wave):
        span = vendor_pull.span_of(firm.site, run, None)
        paths[name] = vendor_pull.fetch(firm.site, firm.vendor, name, firm.connection, run, span)
        if name == target:
            dead = spoil(firm, firm.vendor.table(name), paths[name], seed)
        flow.record_staged(firm.site, firm.vendor, paths[name], run, 0.0)
    flow.validate(firm.site, firm.vendor, paths, run, rows_only=True)
    firm.publish(run, paths)
    return dead


FIELDS = ("__c", "__r", "Name")
SIMULATED = {"Tributary_Plan_Success__c", "Tributary_Success__c", "Tributary_Computed_On__c"}


def in_salesforce(crm: Crm) -> dict[str, dict[str, dict[str, Any]]]:
    """What the org holds, by object and record, without what it writes itself and what vendors compute anew."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in dict.fromkeys(wanted.sobject for wanted in objects(crm.settings)):
        lines = crm.http.get(f"/salesforce/_admin/records/{name}").content.splitlines()
        found[name] = {
            record["Id"]: {f: v is None if f in SIMULATED else v for f, v in record.items() if f.endswith(FIELDS)}
            for record in map(load, lines)
        }
    return found


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_spoilt_day_changes_nothing_that_is_stored_and_nothing_in_salesforce(firm: Firm, tmp_path: Path) -> None:
    firm.day()
    crm = Crm(firm.database, firm.sandbox, tmp_path / "work")
    crm.sync()
    before, sent_before = stored(firm), in_salesforce(crm)
    assert any(sent_before.values())
    for seed, table in enumerate(firm.vendor.asked):
        assert spoilt_day(firm, table.name, seed), table.name
        after = stored(firm)
        changed = {
            name: (before[name] - rows, rows - before[name]) for name, rows in after.items() if rows != before[name]
        }
        assert not changed, table.name
        crm.sync()
        for name, records in in_salesforce(crm).items():
            assert records == sent_before[name], (table.name, name)
    crm.engine.dispose()
