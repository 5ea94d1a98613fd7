"""One call for each row of another table, several at once under the vendor's budget; what was answered is kept at once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from include.contract import FanOut, Linked, Table, Vendor
from include.control.answers import Answers
from include.errors import ConfigurationError, LimitExceeded, PagingUnstable
from include.extract.flatten import flatten, next_link, numbered, unwrap
from include.extract.session import Ask, VendorSession
from include.sensitive import Redactor
from include.staging.partitions import Staging

log = logging.getLogger(__name__)

Keys = Mapping[str, str]
SEPARATOR = "|"
"""Between the parts of a key that somebody chooses, in the order of their columns' names, where it has several."""
_TELL_EVERY = 100
_MOST_PAGES = 10_000


def keys_of(
    table: Table,
    shape: FanOut,
    parent: Table,
    staged: str | None,
    chosen: Sequence[str],
    staging: Staging,
    *,
    is_keyed: bool,
) -> list[Keys]:
    """What a fan-out asks for: one mapping of column to value for each call, in order.

    Args:
        table: Fans out.
        shape: How.
        parent: The table that it is over.
        staged: Partition of that table in this run; None where it was not pulled.
        chosen: Keys of the parent that somebody chose, instead of a partition.
        staging: Where partitions are.
        is_keyed: Whether these are keys of the parent, and not of a table above it.

    Raises:
        ConfigurationError: Neither is there.
    """
    names = sorted({*re.findall(r"{(\w+)}", "".join((table.path, *shape.headers.values()))), *table.carried})
    if chosen and is_keyed and set(parent.key) <= set(names):
        return [_chosen(key, names, table) for key in chosen]
    if staged is None:
        raise ConfigurationError("The table that this one is over was not pulled", table=table.name, over=parent.name)
    found: dict[tuple[str, ...], Keys] = {}
    for _, rows in staging.rows(staged, [*names, *filter(None, [shape.only])]):
        for row in rows.to_pylist():
            if not shape.only or row[shape.only]:
                found[tuple(str(row[name]) for name in names)] = {name: str(row[name]) for name in names}
    return [found[key] for key in sorted(found)]


def _chosen(key: str, names: Sequence[str], table: Table) -> Keys:
    values = key.split(SEPARATOR)
    if len(values) != len(names):
        asked = SEPARATOR.join(names)
        raise ConfigurationError(
            "A key that was chosen is not whole", table=table.name, expected=asked, parts=len(values)
        )
    return dict(zip(names, values, strict=True))


def fan_out(
    vendor: Vendor,
    table: Table,
    shape: FanOut,
    keys: Iterable[Keys],
    session: VendorSession,
    answers: Answers,
    redactor: Redactor,
    clock: Callable[[], datetime],
    *,
    is_routine: bool = False,
) -> Iterator[bytes]:
    """Asks for every key that was not answered yet, then yields all rows as JSON arrays.

    A routine run asks for what has an ETag on condition that it has changed. One that has news does not, nor one that tries again:
    a vendor may also say that nothing has changed where it is asked too often.

    Raises:
        TributaryError: As `VendorSession.ask` raises; what was answered before is kept.
    """
    known = answers.known()
    wanted = {name: each for each in keys if (name := _name(each)) not in known}
    log.info("%s %s: %s to ask for, %s answered before", vendor.name, table.name, len(wanted), len(known))
    etags = answers.take_etags(wanted) if shape.is_conditional and is_routine and not known else {}
    declared = {col.source for col in table.columns}
    hidden = {col.source for col in table.columns if col.kind == "sensitive"}
    kept = {col.source for col in table.columns if col.kind == "value"} | hidden

    def hide(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name not in kept:
                row[name] = None  # nobody knows what it holds; that it was there is told
            elif name in hidden and value is not None:
                row[name] = redactor.token(value)

    def ask(name: str, each: Keys) -> None:
        def read(body: bytes) -> bytes:
            told = {f"@{column}": value for column, value in each.items()} | {"@asked_at": clock().isoformat()}
            added = {source: value for source, value in told.items() if source in declared}
            rows = flatten(unwrap(table, body, vendor.name), vendor.name, table.name, added, hide, table.skipped)
            return numbered(rows, table)

        if any(value and not value.strip(".") for value in each.values()):
            raise ConfigurationError("A key of dots would lead elsewhere", vendor=vendor.name, table=table.name)
        path = table.path.format_map({column: quote(value, safe="") for column, value in each.items()})
        headers = {header: value.format_map(each) for header, value in shape.headers.items()}
        size = {shape.pages.size: str(table.page_rows)} if shape.pages else {}
        first = Ask(
            path,
            {**table.params, **size},
            bucket=shape.bucket,
            grant=each.get("grant", ""),
            missing=shape.missing,
            headers=headers,
        )
        if not shape.is_conditional:
            answers.keep(name, _whole(vendor, table, session, first, shape.pages, read))
            return
        etag = etags.get(name, "")
        told = session.ask_whether_changed(first, etag, read)
        if told is None:
            if answers.keep_known(name, etag):
                return
            told = session.ask_whether_changed(first, "", read)
        assert told is not None
        rows, etag = told
        answers.keep(name, rows or b"[]", etag)

    with ThreadPoolExecutor(vendor.connections, thread_name_prefix="fan-out") as pool:
        running = [pool.submit(ask, name, each) for name, each in wanted.items()]
        try:
            for n, future in enumerate(running, 1):
                future.result()
                if n % _TELL_EVERY == 0:
                    log.info("%s %s: %s of %s", vendor.name, table.name, n, len(running))
        finally:
            for future in running:
                future.cancel()
    yield from answers.pieces()


def _whole(
    vendor: Vendor,
    table: Table,
    session: VendorSession,
    first: Ask,
    pages: Linked | None,
    read: Callable[[bytes], bytes],
) -> bytes:
    """The rows of an answer, of all its pages where it has some, as one JSON array."""

    def read_both(body: bytes) -> tuple[bytes, str | None]:
        return read(body), next_link(body, pages.link, vendor.name, table.name) if pages else None

    parts, question, seen, size = list[bytes](), first, set[str](), 0
    while (answered := session.ask(question, read_both)) is not None:
        rows, following = answered
        parts.append(rows.strip()[1:-1])
        size += len(parts[-1]) + 1
        if size > session.limits.expanded_bytes or len(seen) > _MOST_PAGES:
            raise LimitExceeded(
                "The pages of one call's answer do not end", vendor=vendor.name, table=table.name, pages=len(seen) + 1
            )
        if not following or pages is None:
            break
        if following in seen:
            raise PagingUnstable("The pages lead in a circle", vendor=vendor.name, table=table.name)
        seen.add(following)
        question = follow(first, pages, following)
    return b"[" + b",".join(filter(None, parts)) + b"]"


def follow(first: Ask, shape: Linked, following: str) -> Ask:
    """The question for the next page."""
    if not shape.cursor:
        return replace(first, path=following, params={})
    return replace(first, params={**first.params, shape.cursor: following})


def _name(each: Keys) -> str:
    return "/".join(quote(value, safe="") for value in each.values())
