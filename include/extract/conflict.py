"""Turn rows of one response that share a key but differ into dead rows, because it is unknown which of them is right.

Rows that share a key and do not differ are duplicates. `include.extract.repeats` compares rows of several responses. Rows of a report
that are summed later, such as the lots of a holding, are not compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.contract import Table
from include.extract.exact_json import dump
from include.extract.page import DeadRow, Page
from include.staging.row_key import format_keys


def separate(page: Page, table: Table) -> Page:
    """Return the page with all rows that share a key but differ turned into dead rows; their reasons name the differing fields."""
    if has_unique_keys(page, table):
        return page
    keys = page.rows.select(list(table.key))
    dead: list[DeadRow] = []
    alive = [True] * keys.num_rows
    originals = find_original_places(page)
    for places in group_shared(keys):
        rows = page.rows.take(places)
        reasons = find_differences(rows.to_pylist(), table)
        if reasons:
            dead += make_dead_rows(rows, [reasons] * len(places), table, [originals[place] for place in places])
            for place in places:
                alive[place] = False
    if not dead:
        return page
    is_alive = pa.array(alive, pa.bool_())
    conflicting = page.rows.filter(pc.invert(is_alive))
    return replace(page, rows=page.rows.filter(is_alive), dead=(*page.dead, *dead), conflicting=conflicting)


def list_compared(table: Table, names: Sequence[str]) -> list[str]:
    """Return those of the given columns that are compared between rows: the columns with the vendor's data.

    Columns that come from the request, such as its time or the key of the parent row, are left out. So are sealed values: sealing the same
    value again gives other bytes, and its hash is compared.

    Args:
        table: The table's declaration.
        names: Names of staged columns.
    """
    requested = {col.name for col in table.columns if col.source.startswith("@") and col.source != "@in"}
    sealed = {f"{col.name}_sealed" for col in table.columns if col.kind == "retained"}
    return [name for name in names if name not in requested | sealed]


def find_differences(rows: Sequence[Mapping[str, Any]], table: Table) -> list[str]:
    """Return one reason per field in which some rows differ; empty if they are equal.

    Args:
        rows: Staged rows that share a key; at least one.
        table: The table's declaration.
    """
    names = list_compared(table, list(rows[0]))
    differing = [name for name in names if any(row[name] != rows[0][name] for row in rows[1:])]
    return [f"{field}: differs among rows of this key" for field in _sources(differing, table)]


def has_unique_keys(page: Page, table: Table) -> bool:
    """Return whether no two rows of a page share a key."""
    keys = page.rows.select(list(table.key))
    return bool(keys.group_by(list(table.key), use_threads=False).aggregate([]).num_rows == keys.num_rows)


def group_shared(keys: pa.Table) -> Iterator[list[int]]:
    """Yield, for each key that several rows share, the indexes of these rows.

    Args:
        keys: The key columns of the rows.
    """
    places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, key in enumerate(zip(*(column.to_pylist() for column in keys.columns), strict=True)):
        places[key].append(place)
    return (each for each in places.values() if len(each) > 1)


def find_original_places(page: Page) -> list[int]:
    """Return, for each row of `page.rows`, its index in the original page, which also contained the dead rows."""
    dead = {row.place for row in page.dead}
    return [place for place in range(page.rows.num_rows + len(page.dead)) if place not in dead]


def make_dead_rows(
    rows: pa.Table, reasons: Sequence[Sequence[str]], table: Table, places: Sequence[int | None]
) -> list[DeadRow]:
    """Convert staged rows to dead rows. Sensitive columns are left out, because only their hashes are known.

    Args:
        rows: The staged rows.
        reasons: The reasons of each row.
        table: The table's declaration.
        places: Index of each row in its page; None if unknown.
    """
    keys = format_keys(rows, table.key).to_pylist()
    values = [col for col in table.columns if col.kind == "value"]
    raw = [{col.source: row[col.name] for col in values if row[col.name] is not None} for row in rows.to_pylist()]
    return [
        DeadRow(key, tuple(why), dump(row).decode(), place)
        for key, why, row, place in zip(keys, reasons, raw, places, strict=True)
    ]


def _sources(names: Sequence[str], table: Table) -> list[str]:
    """Return the vendor's field names of staged columns, without duplicates."""
    sources = {f"{col.name}{part}": col.source for col in table.columns for part in ("", "_hash", "_last4", "_form")}
    return list(dict.fromkeys(sources[name] for name in names))
