"""Check which pushed rows have the shape of the table. The notation of text values, such as dates, is checked later, by staging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from include.contract import Table
from include.extract.flatten import flatten_row
from include.extract.pushed import MOST_REJECTED, expand, find_faults
from include.gateway.bounds import MAX_DEPTH
from include.gateway.problem import Refusal

MAX_BYTES = 16 * 1024 * 1024
MAX_ROWS = 10_000
MAX_VALUES = 2_000_000
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Checked:
    """Result of the check of pushed rows.

    Attributes:
        accepted: Number of rows that have the shape of the table.
        rejected: The other rows, as `describe_rejected` returns them.
    """

    accepted: int
    rejected: list[dict[str, Any]]


def check_records(table: Table, body: bytes) -> Checked:
    """Check the rows of a body; return the number accepted and the rejected rows with reasons.

    Raises:
        Refusal: 422, the body is invalid or too large (not JSON, not an array of 1 to `MAX_ROWS` rows, nested deeper than `MAX_DEPTH`,
            more than `MAX_VALUES` values), no row is accepted, or more than `MOST_REJECTED` rows are rejected.
    """
    rows = _read(body)
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_ROWS:
        raise Refusal(422, f"The body must be an array of 1 to {MAX_ROWS} rows")
    rejected = []
    for place, row in enumerate(rows):
        if _is_deeper(row, MAX_DEPTH):
            raise Refusal(422, f"Row {place} is nested deeper than {MAX_DEPTH} levels")
        if reasons := _faults(table, row):
            rejected.append(describe_rejected(place, reasons))
    if len(rejected) == len(rows):
        raise _refusal(f"All rows are rejected; nothing was stored. {_summary(rejected)}", rejected)
    if len(rejected) > MOST_REJECTED:
        detail = f"More than {MOST_REJECTED} rows are rejected; nothing was stored. {_summary(rejected)}"
        raise _refusal(detail, rejected)
    return Checked(len(rows) - len(rejected), rejected)


def describe_rejected(place: int, reasons: list[str]) -> dict[str, Any]:
    """Return a rejected row for callers: its position in the body, the invalid fields and the reasons; never a value."""
    fields = [reason.partition(": ")[0] for reason in reasons if ": " in reason]
    return {"row": place, "fields": fields, "reasons": reasons}


def _faults(table: Table, row: Any) -> list[str]:
    if not isinstance(row, dict):
        return ["the row is not an object"]
    if table.has_objects:
        row = flatten_row(row, table.skipped)
        expand(table, row)
    return find_faults(table, row)


def _refusal(detail: str, rejected: list[dict[str, Any]]) -> Refusal:
    return Refusal(422, detail, members={"rejected": rejected[:MOST_REJECTED]})


def _summary(rejected: list[dict[str, Any]]) -> str:
    return "; ".join(f"Row {each['row']}: {', '.join(each['reasons'])}" for each in rejected[:_SHOWN])


def _read(body: bytes) -> Any:
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise Refusal(422, f"The body has more than {MAX_VALUES} values")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal(422, "The body is not valid JSON in UTF-8, or is nested too deep") from None


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(each, depth - 1) for each in inner)
