"""Pushed records: whether they have the shape of a table's rows. What their values mean is looked at when they are staged."""

from __future__ import annotations

from typing import Any

import orjson

from include.contract import Table
from include.gateway.api.reading import key_fields
from include.gateway.bounds import MAX_DEPTH
from include.gateway.problem import Refusal

MAX_BYTES = 16 * 1024 * 1024
MAX_ROWS = 10_000
MAX_VALUES = 2_000_000


def check_records(table: Table, body: bytes) -> int:
    """Returns how many rows a body has.

    Raises:
        Refusal: 422, it is no array of some thousand objects that have the table's key.
    """
    rows = _read(body)
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_ROWS:
        raise Refusal(422, f"The body must be an array of 1 to {MAX_ROWS} rows")
    keys = [field.split(".") if table.is_nested else [field] for field in key_fields(table)]
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise Refusal(422, f"{number}: a row must be an object")
        if missing := [".".join(key) for key in keys if not _has(row, key)]:
            raise Refusal(422, f"{number}: a row needs {', '.join(missing)}")
        if _is_deeper(row, MAX_DEPTH if table.is_nested else 1):
            raise Refusal(422, f"{number}: a row of this table is not nested so deep")
    return len(rows)


def _read(body: bytes) -> Any:
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise Refusal(422, f"A body may have {MAX_VALUES} values")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal(422, "The body is no JSON in UTF-8, or nested too deep") from None


def _has(row: Any, key: list[str]) -> bool:
    for name in key:
        if not isinstance(row, dict) or row.get(name) is None:
            return False
        row = row[name]
    return True


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(each, depth - 1) for each in inner)
