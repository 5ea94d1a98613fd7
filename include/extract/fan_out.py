"""Request a table with one call per parent row, in parallel within the vendor's rate budget. Each response is stored at once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import quote

from include.contract import Column, FanOut, Linked, Table, Vendor
from include.errors import ConfigurationError, LimitExceeded, PagingUnstable
from include.extract.flatten import flatten, next_link, number_rows, unwrap
from include.extract.session import Request, VendorSession
from include.extract.source import Keys, Source
from include.sensitive import Redactor, mask_values
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
            "A selected key has the wrong number of parts: enter each key as in `expected`",
            table=table.name,
            expected=expected,
            parts=len(values),
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
    requested = {_name(each): each for each in source.keys}
    known = answers.list_known() & requested.keys()
    pending = {name: each for name, each in requested.items() if name not in known}
    log.info("%s %s: %s to request, %s already stored", vendor.name, table.name, len(pending), len(known))
    etags = answers.take_etags(pending) if shape.is_conditional and source.is_routine and not known else {}
    calls = _Calls(vendor, table, shape, session, source)
    with ThreadPoolExecutor(vendor.connections, thread_name_prefix="fan-out") as pool:
        running = [pool.submit(calls.store, name, each, etags.get(name, "")) for name, each in pending.items()]
        try:
            for n, future in enumerate(running, 1):
                future.result()
                if n % _LOG_EVERY == 0:
                    log.info("%s %s: %s of %s", vendor.name, table.name, n, len(running))
        finally:
            for future in running:
                future.cancel()
    yield from answers.pieces(requested)


@dataclass(frozen=True, slots=True)
class _Calls:
    """The calls of one fan-out; see `fan_out`. Its threads share it."""

    vendor: Vendor
    table: Table
    shape: FanOut
    session: VendorSession
    source: Source

    def store(self, name: str, keys: Keys, etag: str) -> None:
        """Request the rows of one parent row and store them under a name.

        With an ETag, the response that is stored with it is used again if the vendor has not changed it.
        """
        answers, first, read = self.source.answers, self._build_request(keys), partial(self._read, keys)
        if not self.shape.is_conditional:
            answers.keep(name, self._request_all_pages(first, read))
            return
        response = self.session.request_if_changed(first, etag, read)
        if response is None:
            if answers.keep_known(name, etag):
                return
            response = self.session.request_if_changed(first, "", read)
        assert response is not None
        rows, etag = response
        answers.keep(name, rows or b"[]", etag)

    def _build_request(self, keys: Keys) -> Request:
        """Return the request for the rows, or for their first page; raise ConfigurationError if a key would change its path."""
        table, shape = self.table, self.shape
        if any(value and not value.strip(".") for value in keys.values()):
            raise ConfigurationError("Refusing a path-traversal key", vendor=self.vendor.name, table=table.name)
        return Request(
            table.path.format_map({column: quote(value, safe="") for column, value in keys.items()}),
            {**table.params, **({shape.pages.size: str(table.page_rows)} if shape.pages else {})},
            bucket=shape.bucket,
            grant=keys.get("grant", ""),
            missing=shape.missing if shape.parent else (),
            headers={header: value.format_map(keys) for header, value in shape.headers.items()},
        )

    def _read(self, keys: Keys, body: bytes) -> bytes:
        """Return the rows of a response as a JSON array of flat, redacted rows, with the declared fields that Tributary adds."""
        table, vendor, declared = self.table, self.vendor.name, {col.source: col for col in self.table.columns}
        context = {f"@{column}": value for column, value in keys.items()}
        context["@requested_at"] = self.source.clock().isoformat()
        added = {source: value for source, value in context.items() if source in declared}
        redact = partial(_redact, table, declared, self.source.redactor)
        rows = unwrap(table, body, vendor)
        return number_rows(flatten(rows, vendor, table.name, added, redact, table.skipped), table)

    def _request_all_pages(self, first: Request, read: Callable[[bytes], bytes]) -> bytes:
        """Request all pages of one call and return their rows as one JSON array.

        Raises:
            LimitExceeded: The pages have too many bytes, or do not end.
            PagingUnstable: A cursor repeats.
            TributaryError: A request failed; see `VendorSession.request`.
        """
        vendor, table, pages = self.vendor.name, self.table.name, self.shape.pages

        def read_both(body: bytes) -> tuple[bytes, str | None]:
            return read(body), next_link(body, pages.link, vendor, table) if pages else None

        parts, request, seen, size = list[bytes](), first, set[str](), 0
        while (response := self.session.request(request, read_both)) is not None:
            rows, following = response
            parts.append(rows.strip()[1:-1])
            size += len(parts[-1]) + 1
            if size > self.session.limits.expanded_bytes or len(seen) > _MOST_PAGES:
                raise LimitExceeded(
                    "Paging of one call does not end: report it to the vendor",
                    vendor=vendor,
                    table=table,
                    pages=len(seen) + 1,
                )
            if not following or pages is None:
                break
            if following in seen:
                raise PagingUnstable(
                    "A cursor repeats: the pages form a loop. If retries fail, report it to the vendor",
                    vendor=vendor,
                    table=table,
                )
            seen.add(following)
            request = follow(first, pages, following)
        return b"[" + b",".join(filter(None, parts)) + b"]"


def _redact(table: Table, declared: Mapping[str, Column], redactor: Redactor, row: dict[str, Any]) -> None:
    """Replace the values of a flat row, in place, by what may be stored.

    Sensitive values become tokens, and are masked in the other texts. Undeclared and ignored fields become null: they may be sensitive,
    and only their names are needed, to report schema drift.
    """
    own = [
        str(value) for name, value in row.items() if name in declared and declared[name].is_secret and value is not None
    ]
    for name, value in row.items():
        row[name] = _redact_value(table, declared.get(name), redactor, value, own)


def _redact_value(table: Table, col: Column | None, redactor: Redactor, value: object, own: Sequence[str]) -> object:
    """Return what may be stored of the value of a column, or of an undeclared field; `own` are the sensitive values of its row."""
    if value is None or col is None:
        return None
    if col.is_secret:
        return redactor.token_key(value) if col.hashed else redactor.token(value)
    if col.kind != "value":
        return None
    masked = mask_values(value, *(own if table.has_free_text(col) else ()))
    return None if col.name in table.key and masked != value else masked  # a masked key could be another row's


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
