"""An unreadable row affects no other: the facts and versions that it may describe are neither withdrawn nor closed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa

from include import canonical
from include.contract import Table
from include.control.dead_letters import DeadLetter
from include.extract.columns import staged_schema
from include.extract.exact_json import dump
from include.staging.files import PartWriter
from include.staging.partitions import FAULTS, Partition
from include.transform import entities
from include.transform.dead_rows import read_unreadable_dead_letters
from include.vendors import named
from tests.conftest import Firm


def test_unreadable_rows_take_no_good_position_out(start_firm: Callable[..., Firm]) -> None:
    """Tamarac's rows are keyed by description, its positions by CUSIP."""
    firm = start_firm(named("tamarac"), after=Firm.day)
    before, aum = firm.held(), firm.database.value("select sum(aum_usd) from mart.aum_by_household")
    firm.sandbox.admin(
        "faults",
        route="/tamarac/api/reports/AccountHoldingsAV/file",
        kind="poison",
        field="Quantity",
        value="N/A",
        share=0.01,
        seed=3,
    )
    counts = firm.day()
    dead = firm.database.rows("select * from control.dead_letter where status = 'open'")
    assert dead
    assert counts["position"].withdrawn == 0
    assert firm.held() == before
    assert firm.database.value("select sum(aum_usd) from mart.aum_by_household") == aum
    assert all(row["money_usd"] is not None for row in dead)
    [stage] = firm.database.rows(
        "select dead, dead_money_usd, dead_money_unreadable from control.ledger where stage = 'stage' and dead > 0"
    )
    assert stage["dead_money_usd"] == sum((row["money_usd"] for row in dead), Decimal(0))
    assert (stage["dead"], stage["dead_money_unreadable"]) == (len(dead), 0)
    [lacks] = firm.database.rows("select * from mart.completeness where mart = 'aum_by_household'")
    assert (lacks["dead_letters"], lacks["dead_money_usd"]) == (len(dead), stage["dead_money_usd"])


def find_described_keys(
    firm: Firm, table: Table, partitions: dict[str, Partition], rows: pa.Table, number: int
) -> dict[str, set[tuple[str, str | None]]]:
    """Return the canonical keys, with parents, that one row alone produces, by entity; not those that it only names."""
    manifest = partitions[table.name].manifest
    manifest = replace(manifest, pull_id=f"{manifest.pull_id}-only-{number}")
    folder = firm.site.staging.folder(manifest.path)
    writer = PartWriter(folder, rows.schema)
    writer.write(rows.slice(number, 1))
    writer.flush()
    single = firm.site.staging.seal(replace(manifest, parts=tuple(writer.parts), staged=1, fetched=1, dead=0))
    folder.write("dead.jsonl", b"")
    single.write_faults(FAULTS.empty_table())
    keys: dict[str, set[tuple[str, str | None]]] = {}
    only_named = {each.entity for each in firm.vendor.maps if each.table == table.name and each.is_partial}
    for result in entities.transform(firm.vendor, single, partitions.get):
        entity = canonical.named(result.entity)
        if entity.name in only_named:
            continue
        for part in entities.Canonical(single.folder, entity.name).rows():
            parents = part.column(f"{entity.parent}_key").to_pylist() if entity.parent else [None] * part.num_rows
            keys.setdefault(entity.name, set()).update(zip(part.column(entity.key).to_pylist(), parents, strict=True))
    return keys


def covers(describes: tuple[dict[str, str], ...], entity: str, key: str, parent: str | None) -> bool:
    """Whether a dead letter protects a canonical row."""
    for about in describes:
        if about["entity"] not in (entity, "*"):
            continue
        if "key" not in about and "parent" not in about:
            return True
        if "key" in about and (key == about["key"] or key.startswith(about["key"] + ":")):
            return True
        if parent is not None and about.get("parent") == parent:
            return True
    return False


def make_dead_letter(
    firm: Firm, table: Table, partition: Partition, row: dict[str, Any], column: str | None
) -> DeadLetter:
    """Build the dead letter of a row with one unreadable field; without a column, of a row that is not an object."""
    raw = {col.source: row[col.name] for col in table.columns if col.kind == "value" and row[col.name] is not None}
    if column is None:
        line = {"key": None, "reasons": ["the row is not an object"], "row": None}
    else:
        source = table.named(column).source
        line = {"key": None, "reasons": [f"{source}: not readable"], "row": raw | {source: {"unexpected": "object"}}}
    manifest = replace(partition.manifest, pull_id=f"{partition.manifest.pull_id}-dead-{column}")
    single = firm.site.staging.seal(manifest)
    single.folder.write("dead.jsonl", dump(line) + b"\n")
    [dead_letter] = read_unreadable_dead_letters(firm.vendor, table, single)
    return dead_letter


def test_whatever_field_is_unreadable_its_row_protects_what_it_describes(firm: Firm) -> None:
    """Makes each field of some rows of every table unreadable on the wire."""
    partitions = firm.stage(firm.new_run())
    for partition in partitions.values():
        partition.write_faults(FAULTS.empty_table())
    cases = 0
    for name, partition in partitions.items():
        table = firm.vendor.table(name)
        parts = [rows for _, rows in partition.rows()]
        rows = pa.concat_tables([staged_schema(table).empty_table(), *parts])
        for number in random.Random(1).sample(range(rows.num_rows), min(3, rows.num_rows)):
            expected = find_described_keys(firm, table, partitions, rows, number)
            [row] = rows.slice(number, 1).to_pylist()
            for column in [*(col.name for col in table.columns if col.kind == "value"), None]:
                dead_letter = make_dead_letter(firm, table, partition, row, column)
                for entity, keys in expected.items():
                    for key, parent in keys:
                        assert covers(dead_letter.describes, entity, key, parent), (name, column, entity, key)
                        cases += 1
    assert cases > 10
