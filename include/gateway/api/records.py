"""Pushed records: which rows have the shape of a table's rows. The notation of their texts is checked when they are staged."""

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
    """What is known of pushed rows before they are staged.

    Attributes:
        accepted: How many have the shape of the table's rows.
        rejected: The others, as `describe_rejected` returns them.
    """

    accepted: int
    rejected: list[dict[str, Any]]


def check_records(table: Table, body: bytes) -> Checked:
    """Returns which rows of a body are rejected, and why.

    Raises:
        Refusal: 422, it is no array of some thousand rows, none of them is accepted, or more are rejected than are named.
    """
    rows = _read(body)
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_ROWS:
        raise Refusal(422, f"The body must be an array of 1 to {MAX_ROWS} rows")
    rejected = []
    for place, row in enumerate(rows):
        if _is_deeper(row, MAX_DEPTH):
            raise Refusal(422, f"Row {place} is nested deeper than {MAX_DEPTH}")
        if reasons := _faults(table, row):
            rejected.append(describe_rejected(place, reasons))
    if len(rejected) == len(rows):
        raise _refuse(f"No row is accepted, and nothing was kept. {_summary(rejected)}", rejected)
    if len(rejected) > MOST_REJECTED:
        told = f"More than {MOST_REJECTED} rows are rejected, and nothing was kept. {_summary(rejected)}"
        raise _refuse(told, rejected)
    return Checked(len(rows) - len(rejected), rejected)


def describe_rejected(place: int, reasons: list[str]) -> dict[str, Any]:
    """Return a rejected row as callers see it: its place in the body, and which fields are wrong, never a value."""
    fields = [reason.partition(": ")[0] for reason in reasons if ": " in reason]
    return {"row": place, "fields": fields, "reasons": reasons}


def _faults(table: Table, row: Any) -> list[str]:
    if not isinstance(row, dict):
        return ["the row is not an object"]
    if table.is_nested:
        row = flatten_row(row, table.skipped)
        expand(table, row)
    return find_faults(table, row)


def _refuse(detail: str, rejected: list[dict[str, Any]]) -> Refusal:
    return Refusal(422, detail, members={"rejected": rejected[:MOST_REJECTED]})


def _summary(rejected: list[dict[str, Any]]) -> str:
    return "; ".join(f"Row {each['row']}: {', '.join(each['reasons'])}" for each in rejected[:_SHOWN])


def _read(body: bytes) -> Any:
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise Refusal(422, f"A body may have {MAX_VALUES} values")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal(422, "The body is no JSON in UTF-8, or nested too deep") from None


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(each, depth - 1) for each in inner)
