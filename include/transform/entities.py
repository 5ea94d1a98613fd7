"""Staged rows of a vendor to canonical entities, as the vendor's maps declare.

Each map of a table gives one canonical folder beside the staged parts, with a manifest of its own. The sum holds for
every map: `staged + split = produced + merged + dropped by a named rule`.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include import canonical
from include.canonical import Entity
from include.contract import Constant, Derived, EntityMap, Vendor, arrow
from include.staging.partitions import Folder, Manifest, Part, PartWriter, Staging, total
from include.staging.rows import good_rows
from include.transform.beside import Beside, read_beside
from include.transform.dead_rows import refused_letters, unreadable_letters

INCOMPLETE = "another row of it is a dead letter"
"""The rule that leaves out what is made of several rows, of which one is missing: a sum, or what another table says beside it."""
_UNCERTAIN = "@uncertain"


@dataclass
class Produced:
    """What one map gave.

    Attributes:
        entity: Name of the canonical entity.
        staged: Rows that went in, without those that validation refused.
        produced: Canonical rows.
        split: Rows beyond the first that one staged row became.
        merged: Rows that describe an entity that another row gave already.
        dropped: Rows that a named rule left out, by rule.
        money_in: Sum of the money column over all that went in; None where rows are split before there is such a column.
        money_dropped: Of it, what rules left out.
        money_held_back: Of that, what is added up of several rows of which one is a dead letter.
        money: Sum of the canonical money column; None where the entity has none.
        uncertain: Keys of descriptions whose nulls are unknown values: the row of another table that has the value is a dead letter.
        parts: Files of the canonical folder.
    """

    entity: str
    staged: int = 0
    split: int = 0
    produced: int = 0
    merged: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    money_in: Decimal | None = None
    money_dropped: Decimal = Decimal(0)
    money_held_back: Decimal = Decimal(0)
    money: Decimal | None = None
    uncertain: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


def transform(
    vendor: Vendor,
    path: str,
    staging: Staging,
    find: Callable[[str], str | None] = lambda table: None,
    find_last: Callable[[str], str | None] = lambda table: None,
) -> list[Produced]:
    """Makes the canonical entities of one validated partition.

    Args:
        vendor: The declaration.
        path: The partition's path below the staging root.
        staging: Where it is.
        find: Gives the partition of another table of the same run, for maps that read beside their own.
        find_last: Gives the partition that was loaded last of a table which the run may lack.

    Returns:
        One result for each map of the table, in the order of the declaration.

    Raises:
        ConfigurationError: A table that a map reads beside its own was not pulled.
    """
    manifest = staging.manifest(path)
    return [
        _produce(
            vendor,
            each,
            canonical.named(each.entity),
            manifest,
            path,
            staging,
            read_beside(vendor, each, staging, find, find_last),
        )
        for each in vendor.maps
        if each.table == manifest.table
    ]


def folder(staging: Staging, path: str, entity: str) -> Folder:
    """Returns where the canonical rows of a partition are."""
    return staging.folder(f"{path}/canonical/{entity}")


def produced(staging: Staging, path: str, entity: str) -> Produced:
    """Reads what a map gave."""
    raw: dict[str, Any] = json.loads(folder(staging, path, entity).read("manifest.json"))
    raw["parts"] = tuple(Part(**part) for part in raw["parts"])
    raw["dropped"] = Counter(raw["dropped"])
    raw["uncertain"] = tuple(raw["uncertain"])
    raw["money"] = None if raw["money"] is None else Decimal(raw["money"])
    raw["money_dropped"] = Decimal(raw["money_dropped"])
    raw["money_held_back"] = Decimal(raw["money_held_back"])
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


def _produce(
    vendor: Vendor,
    entity_map: EntityMap,
    entity: Entity,
    manifest: Manifest,
    path: str,
    staging: Staging,
    beside: list[Beside],
) -> Produced:
    schema = arrow.schema(entity.columns)
    target = folder(staging, path, entity.name)
    writer, result = PartWriter(target, schema), Produced(entity.name)
    source = entity_map.columns.get(entity.money) if entity.money else None
    told = source if isinstance(source, str) or (isinstance(source, Derived) and entity_map.split is None) else None
    if told:
        result.money_in = Decimal(0)
    if entity.money:
        result.money = Decimal(0)
    seen = pa.array([], pa.string())
    is_incomplete = _incomplete(vendor, entity_map, entity, path, staging)
    whole: list[pa.Table] = []
    is_newest = entity_map.merged and entity.version is not None and not entity_map.summed
    for part in good_rows(staging, path, _needed(entity_map)):
        result.staged += part.num_rows
        if told:
            result.money_in = (result.money_in or Decimal(0)) + _money(told, part)
        part = _split(part, entity_map, beside, result)
        kept = _dropped(part, entity_map, result)
        if told:
            result.money_dropped += _money(told, part) - _money(told, kept)
        part = kept
        made = _mapped(part, entity_map, entity, manifest.business_date, schema)
        if beside:
            made = _settle_uncertain(made, part.column(_UNCERTAIN), entity, result)
        if entity_map.summed or is_newest:
            whole.append(made)
            continue
        if entity_map.merged:
            made = _first_by_key(made, entity.key, seen)
            seen = pa.concat_arrays([seen, made.column(entity.key).combine_chunks()])
            result.merged += part.num_rows - made.num_rows
        _write(made, entity, result, writer)
    if whole:
        parts = pa.concat_tables(whole)
        made = _newest(parts, entity) if is_newest else _added_up(parts, entity.key, entity_map.summed)
        result.merged += parts.num_rows - made.num_rows
        _write(_hold_back(made, is_incomplete(made), entity, result), entity, result, writer)
    writer.flush()
    result.parts = tuple(writer.parts)
    # `asdict` takes a Counter for a list of pairs.
    said = asdict(result) | {"dropped": dict(result.dropped)}
    target.write("manifest.json", json.dumps(said, default=str).encode())
    return result


def _incomplete(
    vendor: Vendor, entity_map: EntityMap, entity: Entity, path: str, staging: Staging
) -> Callable[[pa.Table], pa.Array]:
    """Return a test for sums of several rows of which one is a dead letter: the sum of the others is a wrong number.

    A dead row whose key can't be read may belong to any sum of its parent.
    """
    columns = {"key": entity.key, "parent": f"{entity.parent}_key"}
    known: dict[str, set[str]] = {of: set() for of in columns}
    if entity_map.summed:
        table = vendor.table(entity_map.table)
        for find in (unreadable_letters, refused_letters):
            for about in (each for letter in find(vendor, table, path, staging) for each in letter.describes):
                of = next((of for of in columns if of in about), None)
                if of and about["entity"] == entity.name:
                    known[of].add(about[of])
    values = {columns[of]: pa.array(sorted(keys), pa.string()) for of, keys in known.items() if keys}

    def is_incomplete(made: pa.Table) -> pa.Array:
        masks = [pc.is_in(made.column(column), value_set=keys) for column, keys in values.items()]
        return functools.reduce(pc.or_, masks, pa.repeat(pa.scalar(False), made.num_rows))

    return is_incomplete


def _settle_uncertain(made: pa.Table, is_uncertain: pa.Array, entity: Entity, result: Produced) -> pa.Table:
    """Hold back rows that a dead row of another table may concern; for a description, the load keeps the stored values instead."""
    if entity.kind != "description" or entity.set_of:
        return _hold_back(made, is_uncertain, entity, result)
    result.uncertain += tuple(made.column(entity.key).filter(is_uncertain).to_pylist())
    return made


def _hold_back(made: pa.Table, is_held: pa.Array, entity: Entity, result: Produced) -> pa.Table:
    """Leave out some rows, by a named rule."""
    held_back = made.filter(is_held)
    if not held_back.num_rows:
        return made
    result.dropped[INCOMPLETE] += held_back.num_rows
    if entity.money:
        result.money_dropped += total(held_back, entity.money)
        result.money_held_back += total(held_back, entity.money)
    return made.filter(pc.invert(is_held))


def _money(source: str | Derived, part: pa.Table) -> Decimal:
    return total(pa.table({"money": evaluate(source, part)}), "money")


def _write(made: pa.Table, entity: Entity, result: Produced, writer: PartWriter) -> None:
    result.produced += made.num_rows
    if result.money is not None:
        result.money += total(made, str(entity.money))
    writer.write(made)


def _split(part: pa.Table, entity_map: EntityMap, beside: list[Beside], result: Produced) -> pa.Table:
    """Rows of other columns, made of the staged ones: what becomes of each is counted by its place."""
    if entity_map.split is None:
        return part
    made: pa.Table = entity_map.split(part, *(each.good for each in beside))
    if beside:
        is_uncertain = pa.repeat(pa.scalar(False), made.num_rows)
        for each in beside:
            concerned = each.is_uncertain(part).take(made.column("row").combine_chunks())
            if not each.found_by and "is_whole" in made.column_names:
                concerned = pc.and_not(concerned, made.column("is_whole").combine_chunks())
            is_uncertain = pc.or_(is_uncertain, concerned)
        made = made.append_column(_UNCERTAIN, is_uncertain)
    heard = pc.count_distinct(made.column("row")).as_py()
    result.split += made.num_rows - heard
    result.dropped["nothing in it"] += part.num_rows - heard
    return made


def _needed(entity_map: EntityMap) -> list[str]:
    if entity_map.split is not None:
        return list(entity_map.takes)
    needed: dict[str, None] = {}
    for source in (*entity_map.columns.values(), *entity_map.dropped.values()):
        for name in (source,) if isinstance(source, str) else getattr(source, "columns", ()):
            needed[name] = None
    return list(needed)


def _dropped(part: pa.Table, entity_map: EntityMap, result: Produced) -> pa.Table:
    for rule, derived in entity_map.dropped.items():
        gone = pc.fill_null(evaluate(derived, part), False)
        result.dropped[rule] += pc.sum(gone).as_py() or 0
        part = part.filter(pc.invert(gone))
    return part


def _mapped(part: pa.Table, entity_map: EntityMap, entity: Entity, day: date, schema: pa.Schema) -> pa.Table:
    arrays = []
    for name in schema.names:
        source = entity_map.columns.get(name)
        wanted = schema.field(name).type
        if source is not None:
            arrays.append(evaluate(source, part).cast(wanted))
        elif name == "business_date":
            arrays.append(pa.repeat(pa.scalar(day, pa.date32()), part.num_rows))
        else:
            arrays.append(pa.nulls(part.num_rows, wanted))
    return pa.Table.from_arrays(arrays, schema=schema)


def evaluate(source: str | Derived | Constant, part: pa.Table) -> pa.Array:
    """Returns a canonical column of staged rows, as a map declares its source."""
    if isinstance(source, str):
        return part.column(source).combine_chunks()
    if isinstance(source, Constant):
        return pa.repeat(pa.scalar(source.value), part.num_rows)
    return source.function(*(part.column(name).combine_chunks() for name in source.columns))


def _added_up(made: pa.Table, key: str, summed: tuple[str, ...]) -> pa.Table:
    """One row a key: the first, with some columns added up over all of them."""
    first = _first_by_key(made, key, pa.array([], pa.string()))
    if first.num_rows == made.num_rows:
        return made
    wide = made.select([key, *summed]).group_by(key, use_threads=False).aggregate([(name, "sum") for name in summed])
    place = pc.index_in(first.column(key), value_set=wide.column(key).combine_chunks())
    for name in summed:
        at = first.schema.get_field_index(name)
        values = wide.column(f"{name}_sum").take(place).cast(first.schema.field(name).type)
        first = first.set_column(at, first.schema.field(name), values)
    return first


def _newest(made: pa.Table, entity: Entity) -> pa.Table:
    """One row a key: the newest by the entity's version; an end is undone by nothing but a later reopening."""
    version = str(entity.version)
    order = [(version, "descending", "at_end")]
    if entity.final:
        ended = made.filter(made[entity.final]).group_by(entity.key).aggregate([(version, "max")])
        place = pc.index_in(made[entity.key], value_set=ended[entity.key].combine_chunks())
        ended_at = ended[f"{version}_max"].combine_chunks().take(place.combine_chunks())
        goes_on = pc.and_(pc.invert(made[entity.final]), pc.greater(made[version], ended_at))
        is_reopened = pc.fill_null(pc.greater(made[entity.reopened], ended_at), False)
        made = made.filter(pc.fill_null(pc.invert(pc.and_(goes_on, pc.invert(is_reopened))), True))
        order.append((entity.final, "descending", "at_end"))
    newest_first = made.take(pc.sort_indices(made, sort_keys=order))
    return _first_by_key(newest_first, entity.key, pa.array([], pa.string()))


def _first_by_key(made: pa.Table, key: str, seen: pa.Array) -> pa.Table:
    fresh = made.filter(pc.invert(pc.is_in(made.column(key), value_set=seen)))
    numbered = fresh.append_column("row", pa.array(range(fresh.num_rows), pa.int64()))
    first = numbered.group_by(key, use_threads=False).aggregate([("row", "min")]).column("row_min")
    return fresh.take(first.combine_chunks())
