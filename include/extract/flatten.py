"""Answers that are no plain array of flat rows, made into one: rows inside an envelope, objects inside rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from include.contract import Table
from include.errors import VendorUnavailable
from include.extract.exact_json import dump, load


def unwrap(table: Table, body: bytes, vendor: str) -> bytes:
    """Cuts the array of rows out of an envelope, as it is written.

    Raises:
        VendorUnavailable: The answer is no JSON object with that field.
    """
    if not table.rows or body.lstrip().startswith(b"["):
        return body
    found = envelope(body, vendor, table.name).get(table.rows)
    if found is None:
        raise VendorUnavailable("The answer holds no rows", vendor=vendor, table=table.name, field=table.rows)
    return bytes(found)


def envelope(body: bytes, vendor: str, table: str) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object, unread; raises VendorUnavailable where it is none."""
    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise VendorUnavailable("The answer is no JSON object", vendor=vendor, table=table) from error


def flatten(
    body: bytes,
    vendor: str,
    table: str,
    added: Mapping[str, str] | None = None,
    change: Callable[[dict[str, Any]], None] = lambda row: None,
) -> bytes:
    """Makes rows flat: `{"a": {"b": 1}}` becomes `{"a.b": 1}`, and a list the text of its JSON. Numbers stay exact.

    Args:
        body: An array of objects, or one object.
        vendor: Named in errors.
        table: Named in errors.
        added: Fields that every row gets.
        change: Is shown every flat row, and may change it.

    Raises:
        VendorUnavailable: The body is no JSON.
    """
    try:
        read = load(body)
        rows = []
        for row in read if isinstance(read, list) else [read]:
            if isinstance(row, dict):
                row = flat(row) | dict(added or {})
                change(row)
            rows.append(row)
        return dump(rows)
    except (ValueError, TypeError, RecursionError) as error:
        raise VendorUnavailable(
            "The answer is no JSON, or nested too deep", vendor=vendor, table=table, bytes=len(body)
        ) from error


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose fields are no objects."""
    return dict(_leaves(row, ""))


def _leaves(row: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        elif isinstance(value, list):
            yield f"{path}{name}", dump(value).decode()
        else:
            yield f"{path}{name}", value
