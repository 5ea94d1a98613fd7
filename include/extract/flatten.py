"""Turn responses into JSON arrays of flat rows: take the rows out of the response, flatten nested objects, number repeated keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

from include.contract import Table
from include.errors import VendorUnavailable
from include.extract.exact_json import dump, load


def unwrap(table: Table, body: bytes, vendor: str) -> bytes:
    """Return the rows of a response as unparsed JSON: the content of the field `table.rows`.

    If the table declares no such field, or the response is already an array, return the response unchanged.

    Raises:
        VendorUnavailable: The response is not a JSON object, or lacks the field.
    """
    if not table.rows or body.lstrip().startswith(b"["):
        return body
    rows = read_envelope(body, vendor, table.name).get(table.rows)
    if rows is None:
        raise VendorUnavailable("The response has no rows", vendor=vendor, table=table.name, field=table.rows)
    return bytes(rows)


def read_envelope(body: bytes, vendor: str, table: str) -> dict[str, msgspec.Raw]:
    """Return the fields of a JSON object, with unparsed values.

    Raises:
        VendorUnavailable: The body is not a JSON object.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise VendorUnavailable("The response is not a JSON object", vendor=vendor, table=table) from error


def next_link(body: bytes, link: str, vendor: str, table: str) -> str | None:
    """Return the link to the next page from the field `link`, such as `page.nextCursor`; None if the field is absent or null.

    Raises:
        VendorUnavailable: The response is not a JSON object, or the link is not a string.
    """
    *parents, last = link.split(".")
    fields = read_envelope(body, vendor, table)
    for name in parents:
        fields = read_envelope(bytes(fields[name]), vendor, table) if name in fields else {}
    try:
        return msgspec.json.decode(fields[last], type=str | None) if last in fields else None
    except msgspec.MsgspecError as error:
        raise VendorUnavailable(
            "The link to the next page is not a string", vendor=vendor, table=table, field=link
        ) from error


def flatten(
    body: bytes,
    vendor: str,
    table: str,
    added: Mapping[str, str] | None = None,
    change: Callable[[dict[str, Any]], None] = lambda row: None,
    skipped: Collection[str] = (),
) -> bytes:
    """Flatten rows and return them as a JSON array: `{"a": {"b": 1}}` becomes `{"a.b": 1}`, and a list becomes its JSON text.

    Numbers stay exact. An element that is not an object stays unchanged.

    Args:
        body: JSON: an array of objects, or one object.
        vendor: Context for errors.
        table: Context for errors.
        added: Fields to add to every row.
        change: Called with every flat row, which it may modify.
        skipped: Fields to leave out; see `Table.skipped`.

    Raises:
        VendorUnavailable: The body is not JSON, or nested too deep.
    """
    try:
        read = load(body)
        rows = []
        for row in read if isinstance(read, list) else [read]:
            if isinstance(row, dict):
                row = flatten_row(row, skipped) | dict(added or {})
                change(row)
            rows.append(row)
        return dump(rows)
    except (ValueError, TypeError, RecursionError) as error:
        raise VendorUnavailable(
            "The response is not JSON, or nested too deep", vendor=vendor, table=table, bytes=len(body)
        ) from error


def number_rows(body: bytes, table: Table) -> bytes:
    """Number the flat rows of one response whose other key columns are equal: 1, 2, ... in the field `@nth`; return all rows.

    If the table does not declare `@nth`, return the body unchanged. The rows are numbered in the order of their values, column by
    column, and not in the vendor's order. So the same rows get the same numbers in every pull.
    """
    if not any(col.source == "@nth" for col in table.columns):
        return body
    rows = load(body)
    sources = [col.source for col in table.columns if col.kind == "value"]
    shared = [source for name in table.key if (source := table.named(name).source) != "@nth"]
    places = Counter[tuple[str, ...]]()
    objects = (row for row in rows if isinstance(row, dict))
    for row in sorted(objects, key=lambda row: [str(row.get(source)) for source in sources]):
        places[key := tuple(str(row.get(source)) for source in shared)] += 1
        row["@nth"] = places[key]
    return dump(rows)


def flatten_row(row: Mapping[str, Any], skipped: Collection[str] = ()) -> dict[str, Any]:
    """Flatten one row as `flatten` does, without the fields in `skipped` (see `Table.skipped`)."""
    return dict(_iterate_leaves(row, "", skipped))


def _iterate_leaves(row: Mapping[str, Any], path: str, skipped: Collection[str]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if f"{path}{name}" in skipped:
            continue
        if isinstance(value, dict):
            yield from _iterate_leaves(value, f"{path}{name}.", skipped)
        elif isinstance(value, list):
            yield f"{path}{name}", dump([_drop_skipped(each, skipped) for each in value] if skipped else value).decode()
        else:
            yield f"{path}{name}", value


def _drop_skipped(item: Any, skipped: Collection[str]) -> Any:
    return {name: value for name, value in item.items() if name not in skipped} if isinstance(item, dict) else item
