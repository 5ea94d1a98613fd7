"""Answers that are no plain array of flat rows, made into one: rows inside an envelope, objects inside rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
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


def next_link(body: bytes, link: str, vendor: str, table: str) -> str | None:
    """What an answer says of the next page, in a field such as `page.nextCursor`; None where there is none.

    Raises:
        VendorUnavailable: The answer is no JSON object, or what it says is no text.
    """
    *way, last = link.split(".")
    fields = envelope(body, vendor, table)
    for name in way:
        fields = envelope(bytes(fields[name]), vendor, table) if name in fields else {}
    try:
        return msgspec.json.decode(fields[last], type=str | None) if last in fields else None
    except msgspec.MsgspecError as error:
        raise VendorUnavailable(
            "The link to the next page is no text", vendor=vendor, table=table, field=link
        ) from error


def flatten(
    body: bytes,
    vendor: str,
    table: str,
    added: Mapping[str, str] | None = None,
    change: Callable[[dict[str, Any]], None] = lambda row: None,
    skipped: Collection[str] = (),
) -> bytes:
    """Makes rows flat: `{"a": {"b": 1}}` becomes `{"a.b": 1}`, and a list the text of its JSON. Numbers stay exact.

    Args:
        body: An array of objects, or one object.
        vendor: Named in errors.
        table: Named in errors.
        added: Fields that every row gets.
        change: Is shown every flat row, and may change it.
        skipped: Objects that are left behind whole.

    Raises:
        VendorUnavailable: The body is no JSON.
    """
    try:
        read = load(body)
        rows = []
        for row in read if isinstance(read, list) else [read]:
            if isinstance(row, dict):
                row = flat(row, skipped) | dict(added or {})
                change(row)
            rows.append(row)
        return dump(rows)
    except (ValueError, TypeError, RecursionError) as error:
        raise VendorUnavailable(
            "The answer is no JSON, or nested too deep", vendor=vendor, table=table, bytes=len(body)
        ) from error


def numbered(body: bytes, table: Table) -> bytes:
    """Tells flat rows of one answer apart that share a key but for `@nth`, if that is declared: gives each its place, from 1.

    Their order is that of what they say, column by column, and not the vendor's: the same rows have the same places each time.
    """
    if not any(col.source == "@nth" for col in table.columns):
        return body
    rows = load(body)
    told = [col.source for col in table.columns if col.kind == "value"]
    shared = [source for name in table.key if (source := table.named(name).source) != "@nth"]
    places = Counter[tuple[str, ...]]()
    objects = (row for row in rows if isinstance(row, dict))
    for row in sorted(objects, key=lambda row: [str(row.get(source)) for source in told]):
        places[key := tuple(str(row.get(source)) for source in shared)] += 1
        row["@nth"] = places[key]
    return dump(rows)


def flat(row: Mapping[str, Any], skipped: Collection[str] = ()) -> dict[str, Any]:
    """A row whose fields are no objects; those of `skipped` are left out whole, in the objects of a list, too."""
    return dict(_leaves(row, "", skipped))


def _leaves(row: Mapping[str, Any], path: str, skipped: Collection[str]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if f"{path}{name}" in skipped:
            continue
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.", skipped)
        elif isinstance(value, list):
            yield f"{path}{name}", dump([_without(each, skipped) for each in value] if skipped else value).decode()
        else:
            yield f"{path}{name}", value


def _without(item: Any, skipped: Collection[str]) -> Any:
    return {name: value for name, value in item.items() if name not in skipped} if isinstance(item, dict) else item
