"""Transform a vendor's staged rows to canonical entities, as its maps declare.

Each map of a table writes one canonical folder next to the staged parts, with its own manifest. Every map balances:
`staged + split = produced + merged + dropped by a named rule`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
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
from include.contract import BINARY, Constant, Derived, EntityMap, Vendor, arrow
from include.staging.files import Folder, Part, Parts, PartWriter, total
from include.staging.partitions import Partition
from include.staging.sorted_keys import SortedKeys
from include.transform.beside import Beside, Find, read_beside
from include.transform.dead_rows import read_refused_dead_letters, read_unreadable_dead_letters
from include.transform.merged import keep_first, keep_newest, sum_by_key

INCOMPLETE = "another row of it is a dead letter"
"""Name of the rule that drops an incomplete canonical row: it is computed from several rows, such as the lots of a holding, and one of these
is a dead letter."""
_UNCERTAIN = "@uncertain"
_DIGESTED_ROWS = 65_536
"""Rows that a digest takes at once: each time they are copied, and a summed map writes a whole day at once."""
SEALED = "_sealed"
"""End of the name of a column with sealed values."""


@dataclass
class Produced:
    """Result of one map: counts, money and files.

    Attributes:
        entity: Name of the canonical entity.
        staged: Input rows; rows that validation refused are not included.
        produced: Canonical rows.
        split: Additional rows: a staged row that is split into three rows adds two.
        merged: Rows merged into another row with the same key.
        dropped: Name of a rule -> rows that it dropped.
        money_in: Sum of the money column over the input rows; None if the entity has no money, or if the map's `split` computes it.
        money_dropped: The part of `money_in` that rules dropped.
        money_held_back: The part of `money_dropped` that the rule `INCOMPLETE` dropped.
        money: Sum of the canonical money column; None if the entity has none.
        uncertain: For an entity with history: keys of the rows whose nulls are unknown values, because the values are in a row of another
            table, and that row is a dead letter.
        parts: Files of the canonical folder.
        sealed: Names of the values that the rows also contain in sealed form, such as `tax_id`.
        digest: For snapshots: digest of the rows, in hex. Equal digests mean equal rows; equal rows may have different digests.
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
    sealed: tuple[str, ...] = ()
    digest: str = ""


def transform(
    vendor: Vendor, partition: Partition, find: Find = lambda table: None, find_last: Find = lambda table: None
) -> list[Produced]:
    """Produce the canonical entities of one validated partition.

    Args:
        vendor: The declaration.
        partition: The partition.
        find: Returns the partition that the same run staged of another table, for maps that read other tables.
        find_last: Returns the last loaded partition of an optional table, if the run did not pull it.

    Returns:
        One result per map of the table, in the order of the declaration.

    Raises:
        DataQualityError: A table that a map requires was not pulled.
    """
    return [
        _produce(vendor, each, canonical.named(each.entity), partition, read_beside(vendor, each, find, find_last))
        for each in vendor.maps
        if each.table == partition.table
    ]


class Canonical:
    """The canonical rows that a map produced from a partition; opens the files of an earlier `transform`.

    Args:
        folder: The partition's folder.
        entity: Name of the entity.

    Attributes:
        result: Counts, money and files.

    Raises:
        FileNotFoundError: The partition was not transformed.
    """

    def __init__(self, folder: Folder, entity: str) -> None:
        folder = _folder_of(folder, entity)
        self.result = _parse_result(json.loads(folder.read("manifest.json")))
        self.result.uncertain = tuple(map(folder.redactor.lift, self.result.uncertain))
        self._parts = Parts(folder, self.result.parts)
        self._keys: dict[str, SortedKeys] = {}

    def rows(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows, part by part.

        Args:
            columns: Columns to read; None for all.

        Raises:
            FatalError: A part is missing, or its checksum differs from the manifest.
        """
        for _, rows in self._parts.read(columns):
            yield rows

    def sort_keys(self, column: str) -> SortedKeys:
        """Return the distinct values of a key column over all parts."""
        if column not in self._keys:
            keys, further = pa.array([], pa.string()), list[pa.Array]()
            for _, rows in self._parts.read([column]):
                further.append(pc.unique(rows.column(column)).drop_null())
                # Not for each part: that would take the time of all keys each time.
                if sum(map(len, further)) > len(keys):
                    keys, further = SortedKeys(pa.concat_arrays([keys, *further])).distinct, []
            self._keys[column] = SortedKeys(pa.concat_arrays([keys, *further]))
        return self._keys[column]


def _folder_of(folder: Folder, entity: str) -> Folder:
    return folder.below(f"canonical/{entity}")


def _parse_result(raw: dict[str, Any]) -> Produced:
    raw["parts"] = tuple(Part(**part) for part in raw["parts"])
    raw["dropped"] = Counter(raw["dropped"])
    raw["uncertain"] = tuple(raw["uncertain"])
    raw["sealed"] = tuple(raw.get("sealed", ()))
    raw["money"] = None if raw["money"] is None else Decimal(raw["money"])
    raw["money_dropped"] = Decimal(raw["money_dropped"])
    raw["money_held_back"] = Decimal(raw["money_held_back"])
    raw["money_in"] = None if raw["money_in"] is None else Decimal(raw["money_in"])
    return Produced(**raw)


def _produce(
    vendor: Vendor, entity_map: EntityMap, entity: Entity, partition: Partition, beside: list[Beside]
) -> Produced:
    production = _Production(entity_map, entity, partition, beside)
    is_incomplete = _make_incomplete_test(vendor, entity_map, entity, partition)
    for part in partition.good_rows(_list_needed(entity_map)):
        production.add(part)
    production.finish(is_incomplete)
    return production.result


class _Production:
    """The canonical rows of one map, and their counts in `result`."""

    def __init__(self, entity_map: EntityMap, entity: Entity, partition: Partition, beside: list[Beside]) -> None:
        self._map, self._entity, self._beside = entity_map, entity, beside
        self._day = partition.manifest.business_date
        sealed = tuple(name for name in entity_map.columns if name.endswith(SEALED))
        self._schema = arrow.schema(entity.columns | dict.fromkeys(sealed, BINARY))
        self._target = _folder_of(partition.folder, entity.name)
        # A late attempt of a stopped task writes beside the parts that a reader may have begun to read.
        self._output = _Output(PartWriter(self._target, self._schema, f"{secrets.token_hex(4)}-"), entity)
        source = entity_map.columns.get(entity.money) if entity.money else None
        is_read = isinstance(source, str) or (isinstance(source, Derived) and entity_map.split is None)
        self._money_source = source if is_read and not isinstance(source, Constant) else None
        self.result = Produced(
            entity.name,
            money_in=Decimal(0) if self._money_source else None,
            money=Decimal(0) if entity.money else None,
            sealed=tuple(name.removesuffix(SEALED) for name in sealed),
        )
        self._seen = pa.array([], pa.string())
        self._is_newest = entity_map.merged and entity.version is not None and not entity_map.summed
        self._whole: list[pa.Table] = []

    def add(self, part: pa.Table) -> None:
        """Write the rows of a part of the partition, or gather them if all rows of a key are needed."""
        result, key = self.result, self._entity.key
        result.staged += part.num_rows
        part = self._split_and_drop(part)
        mapped = _map_columns(part, self._map, self._day, self._schema)
        if self._beside:
            mapped = _settle_uncertain(mapped, part.column(_UNCERTAIN), self._entity, result)
        if self._map.summed or self._is_newest:
            self._whole.append(mapped)
            return
        if self._map.merged:
            mapped = keep_first(mapped, key, self._seen)
            self._seen = pa.concat_arrays([self._seen, mapped.column(key).combine_chunks()])
            result.merged += part.num_rows - mapped.num_rows
        self._output.write(mapped, result)

    def finish(self, is_incomplete: Callable[[pa.Table], pa.Array]) -> None:
        """Write the gathered rows, and the manifest."""
        entity, result = self._entity, self.result
        if self._whole:
            parts = pa.concat_tables(self._whole)
            mapped = keep_newest(parts, entity) if self._is_newest else sum_by_key(parts, entity, self._map.summed)
            result.merged += parts.num_rows - mapped.num_rows
            self._output.write(_hold_back(mapped, is_incomplete(mapped), entity, result), result)
        self._output.finish(result)
        # `asdict` breaks a Counter.
        manifest_fields = asdict(result) | {"dropped": dict(result.dropped)}
        self._target.write("manifest.json", json.dumps(manifest_fields, default=str).encode())

    def _split_and_drop(self, part: pa.Table) -> pa.Table:
        """Return the rows to map, and count those that the map's rules drop, with their money."""
        source, result = self._money_source, self.result
        if source:
            result.money_in = (result.money_in or Decimal(0)) + _sum_money(source, part)
        part = _split(part, self._map, self._beside, result)
        remaining = _drop(part, self._map, result)
        if source:
            result.money_dropped += _sum_money(source, part) - _sum_money(source, remaining)
        return remaining


def _make_incomplete_test(
    vendor: Vendor, entity_map: EntityMap, entity: Entity, partition: Partition
) -> Callable[[pa.Table], pa.Array]:
    """Return a function that returns, for each summed row, whether its sum may lack a dead row.

    - A dead row with a readable key is missing from the sum of that key.
    - If only its parent (the account of a position) can be read, every sum of this parent is incomplete.
    - If neither can be read, it is ignored here: reconciliation compares the sum with the account value that the vendor states.
    """
    columns = {"key": entity.key, "parent": f"{entity.parent}_key"}
    known: dict[str, set[str]] = {of: set() for of in columns}
    if entity_map.summed:
        table = vendor.table(entity_map.table)
        for find in (read_unreadable_dead_letters, read_refused_dead_letters):
            for about in (each for dead_letter in find(vendor, table, partition) for each in dead_letter.describes):
                of = next((of for of in columns if of in about), None)
                if of and about["entity"] == entity.name:
                    known[of].add(about[of])
    values = {columns[of]: pa.array(sorted(keys), pa.string()) for of, keys in known.items() if keys}

    def is_incomplete(rows: pa.Table) -> pa.Array:
        masks = [pc.is_in(rows.column(column), value_set=keys) for column, keys in values.items()]
        return functools.reduce(pc.or_, masks, pa.repeat(pa.scalar(False), rows.num_rows))

    return is_incomplete


def _settle_uncertain(rows: pa.Table, is_uncertain: pa.Array, entity: Entity, result: Produced) -> pa.Table:
    """Hold back the rows that may refer to a dead row of another table; return the others.

    The row of a description is held back only if the description is a set. Otherwise its key is added to `result.uncertain`, and the load
    keeps the stored value wherever the row has a null.
    """
    if entity.kind != "description" or entity.set_of:
        return _hold_back(rows, is_uncertain, entity, result)
    result.uncertain += tuple(rows.column(entity.key).filter(is_uncertain).to_pylist())
    return rows


def _hold_back(rows: pa.Table, is_uncertain: pa.Array, entity: Entity, result: Produced) -> pa.Table:
    """Drop the uncertain rows by the rule `INCOMPLETE`, and count them in `result`; return the others."""
    held_back = rows.filter(is_uncertain)
    if not held_back.num_rows:
        return rows
    result.dropped[INCOMPLETE] += held_back.num_rows
    if entity.money:
        result.money_dropped += total(held_back, entity.money)
        result.money_held_back += total(held_back, entity.money)
    return rows.filter(pc.invert(is_uncertain))


def _sum_money(source: str | Derived, part: pa.Table) -> Decimal:
    return total(pa.table({"money": evaluate(source, part)}), "money")


class _Output:
    """Writes the canonical rows of one map, and counts them in the result."""

    def __init__(self, writer: PartWriter, entity: Entity) -> None:
        self._writer, self._money = writer, entity.money
        self._digest = hashlib.sha256() if entity.kind == "snapshot" else None

    def write(self, rows: pa.Table, result: Produced) -> None:
        result.produced += rows.num_rows
        if result.money is not None:
            result.money += total(rows, str(self._money))
        if self._digest is not None:
            for batch in rows.to_batches(max_chunksize=_DIGESTED_ROWS):
                self._digest.update(batch.serialize())
        self._writer.write(rows)

    def finish(self, result: Produced) -> None:
        self._writer.flush()
        result.parts = tuple(self._writer.parts)
        result.digest = self._digest.hexdigest() if self._digest is not None else ""


def _split(part: pa.Table, entity_map: EntityMap, beside: list[Beside], result: Produced) -> pa.Table:
    """Split staged rows into zero or more rows each, as the map declares; without a split, return them unchanged.

    Counts the additional rows in `result.split`, and staged rows that became no row in `result.dropped`.
    """
    if entity_map.split is None:
        return part
    split_rows: pa.Table = entity_map.split(part, *(each.good for each in beside))
    if beside:
        is_uncertain = pa.repeat(pa.scalar(False), split_rows.num_rows)
        for each in beside:
            concerned = each.is_uncertain(part).take(split_rows.column("row").combine_chunks())
            if not each.found_by and "is_whole" in split_rows.column_names:
                concerned = pc.and_not(concerned, split_rows.column("is_whole").combine_chunks())
            is_uncertain = pc.or_(is_uncertain, concerned)
        split_rows = split_rows.append_column(_UNCERTAIN, is_uncertain)
    sources = pc.count_distinct(split_rows.column("row")).as_py()
    result.split += split_rows.num_rows - sources
    result.dropped["nothing in it"] += part.num_rows - sources
    return split_rows


def _list_needed(entity_map: EntityMap) -> list[str]:
    if entity_map.split is not None:
        return list(entity_map.takes)
    needed: dict[str, None] = {}
    for source in (*entity_map.columns.values(), *entity_map.dropped.values()):
        for name in (source,) if isinstance(source, str) else getattr(source, "columns", ()):
            needed[name] = None
    return list(needed)


def _drop(part: pa.Table, entity_map: EntityMap, result: Produced) -> pa.Table:
    for rule, derived in entity_map.dropped.items():
        is_dropped = pc.fill_null(evaluate(derived, part), False)
        result.dropped[rule] += pc.sum(is_dropped).as_py() or 0
        part = part.filter(pc.invert(is_dropped))
    return part


def _map_columns(part: pa.Table, entity_map: EntityMap, day: date, schema: pa.Schema) -> pa.Table:
    arrays = []
    for name in schema.names:
        source = entity_map.columns.get(name)
        target = schema.field(name).type
        if source is not None:
            arrays.append(evaluate(source, part).cast(target))
        elif name == "business_date":
            arrays.append(pa.repeat(pa.scalar(day, pa.date32()), part.num_rows))
        else:
            arrays.append(pa.nulls(part.num_rows, target))
    return pa.Table.from_arrays(arrays, schema=schema)


def evaluate(source: str | Derived | Constant, part: pa.Table) -> pa.Array:
    """Compute a canonical column from staged rows; `source` is a staged column, a function of staged columns, or a constant."""
    if isinstance(source, str):
        return part.column(source).combine_chunks()
    if isinstance(source, Constant):
        return pa.repeat(pa.scalar(source.value), part.num_rows)
    return source.function(*(part.column(name).combine_chunks() for name in source.columns))
