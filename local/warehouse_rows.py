"""The rows of a warehouse in comparable form: keys instead of surrogate ids, without times and run ids."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from include.canonical import ENTITIES

Contents = dict[str, Counter[Any]]
"""Table -> its rows, each with the number of its occurrences."""
Database = psycopg.Connection[dict[str, Any]]

PUSHED = ("envelope", "envelope_recipient", "envelope_event")
"""Entities whose intermediate states one side may receive by webhook; only the open rows are compared."""
RECOMPUTED = ("plan_result", "goal_result")
"""Entities that a vendor recomputes for each call. Whether a second result replaces the first depends on the number of
calls since the sandbox started; only the open rows are compared, without the drawn values."""
DRAWN = {"probability_ratio", "probability_text", "shortfall_year", "shortfall_usd", "funded_ratio"}
"""Columns that a vendor recomputes for each call, and the time of the call."""
_LEFT_OUT = {
    *("source_run_id", "run_id", "ledger_id", "finding_id", "recorded_from", "recorded_to", "requested_on"),
    *DRAWN,
    *("plan_probability_ratio", "recommended_ratio"),  # the same, as marts name them
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.\d]*")
CHANCE = re.compile(r"probability of success .*")


def connect(url: str) -> Database:
    """Open a session."""
    return psycopg.connect(url, row_factory=dict_row, autocommit=True)


def read_rows(db: Database, query: str) -> list[dict[str, Any]]:
    """Return the rows of a query."""
    return db.execute(sql.SQL(query)).fetchall()


def read_keys(db: Database) -> dict[int, str]:
    """Return the key of each surrogate id."""
    rows = read_rows(db, "select id, entity, vendor, source_key from warehouse.source_key")
    return {row["id"]: f"{row['entity']}:{row['vendor']}:{row['source_key']}" for row in rows}


def read_warehouse(db: Database, keys: Mapping[int, str]) -> Contents:
    """Read the rows of all entities."""
    contents: Contents = {}
    for entity in ENTITIES:
        where = " where recorded_to is null" if entity.name in (*PUSHED, *RECOMPUTED) else ""
        rows = read_rows(db, f"select * from warehouse.{entity.name}{where}")  # noqa: S608
        contents[f"warehouse.{entity.name}"] = count_rows(keys, rows)
    return contents


def count_rows(keys: Mapping[int, str], rows: Sequence[Mapping[str, Any]]) -> Counter[Any]:
    """Bring rows into comparable form, and count the equal ones."""
    return Counter(tuple(_plain(keys, row)) for row in rows)


def find_differences(sides: Mapping[str, Contents], most: int = 3) -> list[str]:
    """List the tables that differ between two sides, which have names, with a few of the rows that only one side has."""
    (first, here), (second, there) = sides.items()
    lines = []
    for table in sorted(here.keys() | there.keys()):
        ours, theirs = here.get(table, Counter()), there.get(table, Counter())
        for side, surplus in ((first, ours - theirs), (second, theirs - ours)):
            if surplus:
                shown = "; ".join(str(dict(row)) for row in list(surplus)[:most])
                lines.append(f"{table}: {surplus.total()} rows only {side}: {shown}")
    return lines


def _plain(keys: Mapping[int, str], row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if name == "recorded_to":
            yield "is_closed", value is not None
        if name in _LEFT_OUT or isinstance(value, datetime) or name.endswith("_at"):
            continue
        if (name == "id" or name.endswith("_id")) and isinstance(value, int):
            yield name, ("-" if value < 0 else "") + keys.get(abs(value), "?")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield name, json.dumps(sorted(json.dumps(dict(_plain(keys, each)), default=str) for each in value))
        elif isinstance(value, (dict, list)):
            yield name, json.dumps(value, sort_keys=True, default=str)
        elif name.endswith("_key") and value is not None:
            yield name, _MOMENT.sub("(time)", str(value))
        elif isinstance(value, str):
            yield name, CHANCE.sub("(chance)", value)
        else:
            yield name, value
