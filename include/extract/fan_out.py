"""Request a table with one call per parent row, in parallel within the vendor's rate budget. Each response is stored at once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from include.contract import FanOut, Linked, Table, Vendor
from include.errors import ConfigurationError, LimitExceeded, PagingUnstable
from include.extract.flatten import flatten, next_link, number_rows, unwrap
from include.extract.session import Request, VendorSession
from include.extract.source import Keys, Source
from include.sensitive import mask_values
from include.staging.partitions import Partition

log = logging.getLogger(__name__)

SEPARATOR = "|"
"""Separator of the parts of a selected key. The parts are sorted by the names of their columns."""
_LOG_EVERY = 100
_MOST_PAGES = 10_000


def list_keys(
    table: Table,
    shape: FanOut,
    parent: Table,
    parent_rows: Partition | None,
    selected: Sequence[str],
    *,
    is_keyed: bool,
) -> list[Keys]:
    """Return the keys to request, one per call. Each key maps columns of the parent table to their values, as text.

    If keys of the parent are selected, these are returned. Otherwise the keys of the parent's partition are returned, sorted and without
    duplicates.

    Args:
        table: The table to request.
        shape: The table's fan-out.
        parent: The parent table.
        parent_rows: Partition of the parent in this run; None if the parent was not pulled.
        selected: Keys that an operator or a delivery selected; empty for all.
        is_keyed: Whether the selected keys are keys of the parent, rather than of a table above it.

    Raises:
        ConfigurationError: The parent was not pulled and no key of it is selected, or a selected key has the wrong number of parts.
    """
    names = sorted({*re.findall(r"{(\w+)}", "".join((table.path, *shape.headers.values()))), *table.carried})
    if selected and is_keyed and set(parent.key) <= set(names):
        return [_split_key(key, names, table) for key in selected]
    if parent_rows is None:
        raise ConfigurationError("The parent table was not pulled in this run", table=table.name, parent=parent.name)
    keys: dict[tuple[str, ...], Keys] = {}
    for _, rows in parent_rows.rows([*names, *filter(None, [shape.only])]):
        for row in rows.to_pylist():
            if not shape.only or row[shape.only]:
                keys[tuple(str(row[name]) for name in names)] = {name: str(row[name]) for name in names}
    return [keys[key] for key in sorted(keys)]


def _split_key(key: str, names: Sequence[str], table: Table) -> Keys:
    values = key.split(SEPARATOR)
    if len(values) != len(names):
        expected = SEPARATOR.join(names)
        raise ConfigurationError(
            "A selected key has the wrong number of parts", table=table.name, expected=expected, parts=len(values)
        )
    return dict(zip(names, values, strict=True))


def fan_out(
    vendor: Vendor,
    table: Table,
    shape: FanOut,
    session: VendorSession,
    source: Source,
) -> Iterator[bytes]:
    """Request every key of `source` that has no stored response; then yield the rows of the responses to all keys as JSON arrays.

    Stored ETags are sent only in a routine run that has no stored response yet, so not in a retry. The reason: some vendors also return
    "not modified" to calls that come too often.

    Raises:
        ConfigurationError: A key would change the path of the request (`..`), or the vendor rejects the request.
        VendorUnavailable, RateLimited: A request still failed after retries. The responses stored so far stay stored.
        PagingUnstable: The pages of one call form a loop.
        LimitExceeded: A response, or the pages of one call, are larger than the vendor's limits allow.
        AuthenticationError, ClockSkew: See `VendorSession.request`.
    """
    answers = source.answers
    wanted = {_name(each): each for each in source.keys}
    known = answers.list_known() & wanted.keys()
    pending = {name: each for name, each in wanted.items() if name not in known}
    log.info("%s %s: %s to request, %s already stored", vendor.name, table.name, len(pending), len(known))
    etags = answers.take_etags(pending) if shape.is_conditional and source.is_routine and not known else {}
    declared = {col.source for col in table.columns}
    hidden = {col.source for col in table.columns if col.is_secret}
    clear = {col.source for col in table.columns if col.kind == "value"} - hidden

    hashed = {col.source for col in table.columns if col.hashed}
    keys = {table.named(name).source for name in table.key}
    free = {col.source for col in table.columns if table.has_free_text(col)}

    def hide(row: dict[str, Any]) -> None:
        own = [str(value) for name, value in row.items() if name in hidden and value is not None]
        for name, value in row.items():
            if name in hidden and value is not None:
                row[name] = source.redactor.token_key(value) if name in hashed else source.redactor.token(value)
            elif name in clear:
                masked = mask_values(value, *(own if name in free else ()))
                row[name] = None if name in keys and masked != value else masked  # a masked key could be another row's
            else:
                row[name] = None  # may be sensitive; the name is kept to report schema drift

    def fetch(name: str, each: Keys) -> None:
        def read(body: bytes) -> bytes:
            context = {f"@{column}": value for column, value in each.items()} | {
                "@requested_at": source.clock().isoformat()
            }
            added = {name: value for name, value in context.items() if name in declared}
            rows = flatten(unwrap(table, body, vendor.name), vendor.name, table.name, added, hide, table.skipped)
            return number_rows(rows, table)

        if any(value and not value.strip(".") for value in each.values()):
            raise ConfigurationError("Refusing a path-traversal key", vendor=vendor.name, table=table.name)
        path = table.path.format_map({column: quote(value, safe="") for column, value in each.items()})
        headers = {header: value.format_map(each) for header, value in shape.headers.items()}
        size = {shape.pages.size: str(table.page_rows)} if shape.pages else {}
        first = Request(
            path,
            {**table.params, **size},
            bucket=shape.bucket,
            grant=each.get("grant", ""),
            missing=shape.missing if shape.parent else (),
            headers=headers,
        )
        if not shape.is_conditional:
            answers.keep(name, _request_all_pages(vendor, table, session, first, shape.pages, read))
            return
        etag = etags.get(name, "")
        response = session.request_if_changed(first, etag, read)
        if response is None:
            if answers.keep_known(name, etag):
                return
            response = session.request_if_changed(first, "", read)
        assert response is not None
        rows, etag = response
        answers.keep(name, rows or b"[]", etag)

    with ThreadPoolExecutor(vendor.connections, thread_name_prefix="fan-out") as pool:
        running = [pool.submit(fetch, name, each) for name, each in pending.items()]
        try:
            for n, future in enumerate(running, 1):
                future.result()
                if n % _LOG_EVERY == 0:
                    log.info("%s %s: %s of %s", vendor.name, table.name, n, len(running))
        finally:
            for future in running:
                future.cancel()
    yield from answers.pieces(wanted)


def _request_all_pages(
    vendor: Vendor,
    table: Table,
    session: VendorSession,
    first: Request,
    pages: Linked | None,
    read: Callable[[bytes], bytes],
) -> bytes:
    """Request all pages of one call and return their rows as one JSON array.

    Raises:
        LimitExceeded: The pages have too many bytes, or do not end.
        PagingUnstable: A cursor repeats.
        TributaryError: A request failed; see `VendorSession.request`.
    """

    def read_both(body: bytes) -> tuple[bytes, str | None]:
        return read(body), next_link(body, pages.link, vendor.name, table.name) if pages else None

    parts, request, seen, size = list[bytes](), first, set[str](), 0
    while (response := session.request(request, read_both)) is not None:
        rows, following = response
        parts.append(rows.strip()[1:-1])
        size += len(parts[-1]) + 1
        if size > session.limits.expanded_bytes or len(seen) > _MOST_PAGES:
            raise LimitExceeded(
                "Paging of one call does not end", vendor=vendor.name, table=table.name, pages=len(seen) + 1
            )
        if not following or pages is None:
            break
        if following in seen:
            raise PagingUnstable("A cursor repeats: the pages form a loop", vendor=vendor.name, table=table.name)
        seen.add(following)
        request = follow(first, pages, following)
    return b"[" + b",".join(filter(None, parts)) + b"]"


def follow(first: Request, shape: Linked, following: str) -> Request:
    """Return the request for the next page.

    Args:
        first: The request for the first page.
        shape: The paging.
        following: The link that the last page contained: a cursor, or the whole URL of the next page.
    """
    if not shape.cursor:
        return replace(first, path=following, params={})
    return replace(first, params={**first.params, shape.cursor: following})


def _name(each: Keys) -> str:
    return "/".join(quote(value, safe="") for value in each.values())
