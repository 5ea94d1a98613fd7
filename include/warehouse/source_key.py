"""Surrogate ids: every key of a vendor's entity has one id of our own, which is assigned once and never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include.canonical import Entity
from include.database.columns import read_integers
from include.database.copy import copy_in
from include.errors import BalanceError
from include.staging.sorted_keys import SortedKeys


def add(connection: sa.Connection, entity: str, vendor: str, keys: SortedKeys) -> None:
    """Assign ids to the keys that have none yet, in the caller's transaction.

    Args:
        connection: An open transaction.
        entity: Name of the entity that the keys identify.
        vendor: The vendor.
        keys: The keys.
    """
    table = pa.table({"key": keys.distinct})
    copy_in(connection, "keys", table.schema, [table])
    connection.execute(
        sa.text("""
        insert into warehouse.source_key (entity, vendor, source_key)
        select :entity, :vendor, key from keys k
        where not exists (select from warehouse.source_key s
                          where s.entity = :entity and s.vendor = :vendor and s.source_key = k.key)
        order by key collate "C"
        on conflict do nothing
        """),
        {"entity": entity, "vendor": vendor},
    )


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of some keys of one entity, in the order of the sorted keys; null for a key without an id."""

    keys: SortedKeys
    ids: pa.ChunkedArray

    @classmethod
    def find(cls, connection: sa.Connection, entity: str, vendor: str, keys: SortedKeys) -> Ids:
        """Read the ids of some keys."""
        count = len(keys.distinct)
        numbered = pa.table({"key": keys.distinct, "place": np.arange(count)})
        name = f"keys_of_{entity}"
        copy_in(connection, name, numbered.schema, [numbered])
        query = (
            f"select k.place, s.id from {name} k join warehouse.source_key s"  # noqa: S608
            " on s.entity = %(entity)s and s.vendor = %(vendor)s and s.source_key = k.key"
        )
        pairs = read_integers(connection, query, ["place", "id"], {"entity": entity, "vendor": vendor})
        connection.execute(sa.text(f"drop table {name}"))
        return cls(keys, pc.scatter(pairs["id"], pairs["place"], max_index=count - 1))

    def resolve(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the id of each key; null if it has none."""
        return pc.take(self.ids, self.keys.find(keys))


def replace_keys(rows: pa.Table, entity: Entity, ids: Mapping[str, Ids], vendor: str) -> pa.Table:
    """Return rows of a fact in which each `<entity>_key` that refers to another entity is replaced by `<entity>_id`.

    Args:
        rows: Canonical rows.
        entity: The fact.
        ids: Column of a reference -> ids of its keys.
        vendor: Context for errors.

    Raises:
        BalanceError: A key has no id.
    """
    for column, target in entity.references.items():
        resolved = ids[column].resolve(rows.column(column))
        if resolved.null_count:
            raise BalanceError(
                f"Rows refer to an unknown {target}; nothing was loaded",
                vendor=vendor, entity=entity.name, rows=resolved.null_count,
            )  # fmt: skip
        rows = rows.set_column(rows.column_names.index(column), column.replace("_key", "_id"), resolved)
    return rows
