"""Staged rows of a vendor to canonical entities, as the vendor's maps declare.

Each map of a table gives one canonical folder beside the staged parts, with a manifest of its own. The sum holds for
every map: `staged + split = produced + merged + dropped by a named rule`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include import arrow, canonical
from include.canonical import Entity
from include.contract import Constant, Derived, EntityMap, Vendor
from include.staging import Folder, Manifest, Part, PartWriter, Staging, total
from include.validation.rows import good_rows


@dataclass
class Produced:
    """What one map gave.

    Attributes:
        entity: Name of the canonical entity.
        staged: Rows that went in, without those that validation refused.
        produced: Canonical rows.
        merged: Rows that describe an entity that another row gave already.
        dropped: Rows that a named rule left out, by rule.
        money_in: Sum of the money column before, where it is taken over as it is; else None.
        money: Sum of the canonical money column; None where the entity has none.
        parts: Files of the canonical folder.
    """

    entity: str
    staged: int = 0
    produced: int = 0
    merged: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    money_in: Decimal | None = None
    money: Decimal | None = None
    parts: tuple[Part, ...] = ()


def transform(vendor: Vendor, path: str, staging: Staging) -> list[Produced]:
    """Makes the canonical entities of one validated partition.

    Args:
        vendor: The declaration.
        path: The partition's path below the staging root.
        staging: Where it is.

    Returns:
        One result for each map of the table, in the order of the declaration.
    """
    manifest = staging.manifest(path)
    return [
        _produce(entity_map, canonical.named(entity_map.entity), manifest, path, staging)
        for entity_map in vendor.maps
        if entity_map.table == manifest.table
    ]


def folder(staging: Staging, path: str, entity: str) -> Folder:
    """Returns where the canonical rows of a partition are."""
    return staging.folder(f"{path}/canonical/{entity}")


def produced(staging: Staging, path: str, entity: str) -> Produced:
    """Reads what a map gave."""
    raw: dict[str, Any] = json.loads(folder(staging, path, entity).read("manifest.json"))
    raw["parts"] = tuple(Part(**part) for part in raw["parts"])
    raw["dropped"] = Counter(raw["dropped"])
    raw["money"] = None if raw["money"] is None else Decimal(raw["money"])
    raw["money_in"] = None if raw["money_in"] is None else Decimal(raw["money_in"])
    return Produced(**raw)


def rows(staging: Staging, path: str, entity: str) -> Iterator[pa.Table]:
    """Yields the canonical rows of a partition, part by part."""
    for _, part in folder(staging, path, entity).parts(produced(staging, path, entity).parts):
        yield part


def distinct(staging: Staging, path: str, entity: str, column: str) -> pa.Table:
    """Returns the different values of a key column over all parts, as a table with the column `key`."""
    keys = pa.array([], pa.string())
    for _, part in folder(staging, path, entity).parts(produced(staging, path, entity).parts, [column]):
        keys = pc.unique(pa.concat_arrays([keys, pc.unique(part.column(column)).drop_null()]))
    return pa.table({"key": keys})


def _produce(entity_map: EntityMap, entity: Entity, manifest: Manifest, path: str, staging: Staging) -> Produced:
    schema = arrow.schema(entity.columns)
    target = folder(staging, path, entity.name)
    writer, result = PartWriter(target, schema), Produced(entity.name)
    source = entity_map.columns.get(entity.money) if entity.money else None
    if isinstance(source, str):
        result.money_in = Decimal(0)
    if entity.money:
        result.money = Decimal(0)
    seen = pa.array([], pa.string())
    for part in good_rows(staging, path, _needed(entity_map)):
        result.staged += part.num_rows
        if result.money_in is not None and isinstance(source, str):
            result.money_in += total(part, source)
        part = _dropped(part, entity_map, result)
        made = _mapped(part, entity_map, entity, manifest.business_date, schema)
        if entity_map.merged:
            made = _first_by_key(made, entity.key, seen)
            seen = pa.concat_arrays([seen, made.column(entity.key).combine_chunks()])
            result.merged += part.num_rows - made.num_rows
        result.produced += made.num_rows
        if result.money is not None:
            result.money += total(made, str(entity.money))
        writer.write(made)
    writer.flush()
    result.parts = tuple(writer.parts)
    # `asdict` takes a Counter for a list of pairs.
    said = asdict(result) | {"dropped": dict(result.dropped)}
    target.write("manifest.json", json.dumps(said, default=str).encode())
    return result


def _needed(entity_map: EntityMap) -> list[str]:
    needed: dict[str, None] = {}
    for source in (*entity_map.columns.values(), *entity_map.dropped.values()):
        for name in (source,) if isinstance(source, str) else getattr(source, "columns", ()):
            needed[name] = None
    return list(needed)


def _dropped(part: pa.Table, entity_map: EntityMap, result: Produced) -> pa.Table:
    for rule, derived in entity_map.dropped.items():
        gone = pc.fill_null(_value(derived, part), False)
        result.dropped[rule] += pc.sum(gone).as_py() or 0
        part = part.filter(pc.invert(gone))
    return part


def _mapped(part: pa.Table, entity_map: EntityMap, entity: Entity, day: date, schema: pa.Schema) -> pa.Table:
    arrays = []
    for name in schema.names:
        source = entity_map.columns.get(name)
        wanted = schema.field(name).type
        if source is not None:
            arrays.append(_value(source, part).cast(wanted))
        elif name == "business_date":
            arrays.append(pa.repeat(pa.scalar(day, pa.date32()), part.num_rows))
        else:
            arrays.append(pa.nulls(part.num_rows, wanted))
    return pa.Table.from_arrays(arrays, schema=schema)


def _value(source: str | Derived | Constant, part: pa.Table) -> pa.Array:
    if isinstance(source, str):
        return part.column(source).combine_chunks()
    if isinstance(source, Constant):
        return pa.repeat(pa.scalar(source.value), part.num_rows)
    return source.function(*(part.column(name).combine_chunks() for name in source.columns))


def _first_by_key(made: pa.Table, key: str, seen: pa.Array) -> pa.Table:
    fresh = made.filter(pc.invert(pc.is_in(made.column(key), value_set=seen)))
    numbered = fresh.append_column("row", pa.array(range(fresh.num_rows), pa.int64()))
    first = numbered.group_by(key, use_threads=False).aggregate([("row", "min")]).column("row_min")
    return fresh.take(first.combine_chunks())
