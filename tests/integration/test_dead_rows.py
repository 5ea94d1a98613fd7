"""A row that can't be read takes nothing with it: what it may describe is neither withdrawn nor closed, whatever its fault."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa

from include import canonical, transform
from include.contract import Table
from include.dead_rows import ANY, _describe
from include.extract.page import staged_schema
from include.staging import PartWriter
from include.validation.rows import FAULTS, write_faults
from include.vendors import named
from tests.conftest import Firm


def test_unreadable_rows_take_no_good_position_out(start_firm: Callable[..., Firm]) -> None:
    """Tamarac's rows are keyed by description, its positions by CUSIP."""
    firm = start_firm(named("tamarac"))
    firm.day()
    before, aum = firm.held(), firm.database.value("select sum(aum_usd) from mart.aum_by_household")
    firm.sandbox.admin(
        "faults",
        route="/tamarac/api/reports/AccountHoldingsAV/file",
        kind="poison",
        field="Quantity",
        value="N/A",
        share=0.02,
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


def described_rows(
    firm: Firm, table: Table, path: str, rows: pa.Table, number: int
) -> dict[str, set[tuple[str, str | None]]]:
    """What the one row describes: the canonical keys, with their parents, that come of it alone, by entity."""
    single = f"{path}-only-{number}"
    writer = PartWriter(firm.site.staging.folder(single), rows.schema)
    writer.write(rows.slice(number, 1))
    writer.flush()
    manifest = replace(firm.site.staging.manifest(path), parts=tuple(writer.parts), staged=1, fetched=1, dead=0)
    firm.site.staging.seal(single, manifest)
    firm.site.staging.folder(single).write("dead.jsonl", b"")
    write_faults(firm.site.staging, single, FAULTS.empty_table())
    find = lambda other: next((p for p in firm.paths.values() if p.split("/")[1] == other), None)  # type: ignore[attr-defined]  # noqa: E731
    made: dict[str, set[tuple[str, str | None]]] = {}
    for result in transform.transform(firm.vendor, single, firm.site.staging, find):
        entity = canonical.named(result.entity)
        for part in transform.rows(firm.site.staging, single, entity.name):
            parents = part.column(f"{entity.parent}_key").to_pylist() if entity.parent else [None] * part.num_rows
            made.setdefault(entity.name, set()).update(zip(part.column(entity.key).to_pylist(), parents, strict=True))
    return made


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


def test_whatever_field_is_unreadable_its_row_protects_what_it_describes(firm: Firm) -> None:
    """Every field of some rows of every table: unreadable on the wire, or refused by the suite."""
    run = firm.new_run()
    firm.paths = firm.stage(run)  # type: ignore[attr-defined]
    cases = 0
    for name, path in firm.paths.items():  # type: ignore[attr-defined]
        table = firm.vendor.table(name)
        write_faults(firm.site.staging, path, FAULTS.empty_table())
    for name, path in firm.paths.items():  # type: ignore[attr-defined]
        table = firm.vendor.table(name)
        parts = [rows for _, rows in firm.site.staging.rows(path)]
        rows = pa.concat_tables([staged_schema(table).empty_table(), *parts])
        for number in random.Random(1).sample(range(rows.num_rows), min(3, rows.num_rows)):
            expected = described_rows(firm, table, path, rows, number)
            row = rows.slice(number, 1)
            for faults in [*({col.name} for col in table.columns if col.kind == "value"), {ANY}]:
                [about] = _describe(firm.vendor, table, row, [faults])
                for entity, made in expected.items():
                    for key, parent in made:
                        assert covers(about["describes"], entity, key, parent), (name, faults, entity, key)
                        cases += 1
    assert cases
    print(f"{firm.vendor.name}: {cases} cases")
