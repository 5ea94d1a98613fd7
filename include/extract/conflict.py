"""Rows of one answer that share a key and differ: nothing says which of them is right, so each is a dead letter.

Rows that share a key and do not differ are the same row twice, a duplicate. What one answer holds was so at one moment. Rows of two
answers may differ because of an edit between them, and stay what they were: the first counts. So may the views that several
calls of a fan-out give of one row, and the lots of a holding, which have one key and are added up later: neither is looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from include.contract import Table
from include.extract.exact_json import dump
from include.extract.page import DeadRow, Page


def separate(page: Page, table: Table) -> Page:
    """Makes rows of an answer that share a key and differ dead rows, whose reason names the fields that differ."""
    if has_unique_keys(page, table):
        return page
    keys = page.rows.select(list(table.key))
    dead: list[DeadRow] = []
    alive = [True] * keys.num_rows
    originals = original_places(page)
    for places in _repeated(keys):
        rows = page.rows.take(places).to_pylist()
        differing = [name for name in page.rows.column_names if any(row[name] != rows[0][name] for row in rows[1:])]
        if differing:
            reasons = [f"{field}: differs among rows of this key" for field in _sources(differing, table)]
            dead += [as_dead(row, reasons, table, originals[at]) for row, at in zip(rows, places, strict=True)]
            for place in places:
                alive[place] = False
    conflicting = frozenset(str(row.key) for row in dead)
    rows_left = page.rows.filter(pa.array(alive, pa.bool_()))
    return replace(page, rows=rows_left, dead=(*page.dead, *dead), conflicting=conflicting)


def has_unique_keys(page: Page, table: Table) -> bool:
    """Whether no two rows of a page have one key."""
    keys = page.rows.select(list(table.key))
    return bool(keys.group_by(list(table.key), use_threads=False).aggregate([]).num_rows == keys.num_rows)


def _repeated(keys: pa.Table) -> Iterator[list[int]]:
    """The places of rows that share a key, key by key."""
    places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, key in enumerate(zip(*(column.to_pylist() for column in keys.columns), strict=True)):
        places[key].append(place)
    return (each for each in places.values() if len(each) > 1)


def original_places(page: Page) -> list[int]:
    """Returns for each row of a page that is alive where it was before its dead rows, which know their places, were taken out."""
    dead = {row.place for row in page.dead}
    return [place for place in range(page.rows.num_rows + len(page.dead)) if place not in dead]


def as_dead(row: dict[str, Any], reasons: Sequence[str], table: Table, place: int) -> DeadRow:
    """Returns a staged row as a dead one; what is sensitive is left out, since only its hash is known."""
    raw = {col.source: row[col.name] for col in table.columns if col.kind == "value" and row[col.name] is not None}
    key = ":".join(str(row[name]) for name in table.key)
    return DeadRow(key, tuple(reasons), dump(raw).decode(), place)


def _sources(names: Sequence[str], table: Table) -> list[str]:
    """The vendor's names of staged columns, each once."""
    sources = {f"{col.name}{part}": col.source for col in table.columns for part in ("", "_hash", "_last4")}
    return list(dict.fromkeys(sources[name] for name in names))
