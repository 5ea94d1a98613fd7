"""Request a table's rows according to its shape: one response, pages, a report, one call per parent row, or nested rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pyarrow as pa

from include.contract import FanOut, Linked, Nested, Numbered, Offset, Positioned, Pushed, Report, Table, Vendor, Whole
from include.errors import ConfigurationError, LimitExceeded, PagingUnstable
from include.extract.conflict import has_unique_keys, separate
from include.extract.csv_page import CsvReader
from include.extract.fan_out import fan_out, follow
from include.extract.flatten import flatten, next_link, unwrap
from include.extract.nested import read_nested_rows
from include.extract.page import Page
from include.extract.paging import Window, only_fresh, ordered_pages
from include.extract.report import report_pages
from include.extract.session import Request, VendorSession
from include.extract.source import Source

_SWEEPS = 4
_MOST_PAGES = 100_000
# A pull may have this many times the rows of the largest loaded pull, and in any case this many rows.
_GROWTH, _ALWAYS_ALLOWED = 20, 1_000_000
P = TypeVar("P")


def most_rows(declared: int, loaded: int | None) -> int:
    """Return the maximum number of rows of a pull, which detects endless paging.

    It is 20 times the largest loaded pull, but at least a million rows and at most the vendor's limit.

    Args:
        declared: The vendor's limit.
        loaded: Rows of the largest loaded pull; None if no pull was loaded: then the vendor's limit applies.
    """
    return declared if loaded is None else min(declared, max(_ALWAYS_ALLOWED, _GROWTH * loaded))


def read_windows(
    vendor: Vendor,
    table: Table,
    params: Mapping[str, str],
    session: VendorSession,
    reader: CsvReader,
    source: Source,
) -> Iterator[Window]:
    """Request a table's rows by its shape and yield them page by page.

    Repeated rows are left out, except in a report whose rows are summed later.

    Args:
        vendor: The vendor's declaration.
        table: The table.
        params: Query parameters of the requests.
        session: The vendor's session.
        reader: Reader of the pages.
        source: Inputs that only some shapes need.

    Raises:
        PagingUnstable: Rows moved faster than they could be read, or the pages do not end.
        LimitExceeded: The pages have more rows than a pull may have, or a response is too large.
        SchemaDrift: A report does not have the declared header.
        ConfigurationError: The parent table was not pulled, the table arrives only by webhook, or the vendor rejects a request.
        VendorUnavailable, RateLimited, AuthenticationError, ClockSkew: See `VendorSession.request`.
        FatalError: A part of the parent's partition is missing or altered.
    """
    read = partial(_read, vendor, table, reader)
    bounded = partial(_limit_rows, vendor, table, source.most_rows)
    match table.shape:
        case Offset(order):

            def fetch(skip: int, top: int) -> Page:
                paged = {"$top": str(top), "$skip": str(skip), "$orderby": order}
                return session.get(table.path, {**params, **paged}, read)

            pages = ordered_pages(fetch, table.key[0], table.page_rows, vendor.connections, vendor.name, table.name)
            yield from bounded(pages, lambda window: window.fetched - window.duplicate)
        case Numbered():
            yield from _sweep_numbered(vendor, table, params, session, read, source.most_rows)
        case Positioned():
            yield from only_fresh(bounded(_page_by_position(table, params, session, read), _count_rows), table.key)
        case Linked() as shape:
            first = Request(table.path, {**params, shape.size: str(table.page_rows)})
            yield from only_fresh(
                bounded(_page_by_cursor(vendor, table, session, first, shape, read), _count_rows), table.key
            )
        case Report() as shape:
            report = report_pages(session, table, shape, params, reader, source.speed)
            yield from _drop_repeats(report, vendor, table)
        case FanOut() as shape:
            pieces = fan_out(vendor, table, shape, session, source)
            yield from only_fresh(map(reader.read, pieces), table.key)
        case Nested() as shape:
            if source.parent is None:
                raise ConfigurationError(
                    "The parent table was not pulled in this run: start a run with both tables",
                    vendor=vendor.name,
                    table=table.name,
                    parent=shape.parent,
                )
            pieces = read_nested_rows(table, shape, source.parent)
            yield from only_fresh(map(reader.read, pieces), table.key)
        case Pushed():
            raise ConfigurationError(
                "The table can't be pulled: it arrives only by webhook", vendor=vendor.name, table=table.name
            )
        case Whole():
            yield from only_fresh([session.get(table.path, params, read)], table.key)


def _read(vendor: Vendor, table: Table, reader: CsvReader, body: bytes) -> Page:
    rows = unwrap(table, body, vendor.name)
    flat = flatten(rows, vendor.name, table.name, skipped=table.skipped) if table.has_objects else rows
    return separate(reader.read(flat), table)


def _drop_repeats(pages: Iterator[Page], vendor: Vendor, table: Table) -> Iterator[Window]:
    """Yield the rows of one file without repeated rows.

    If a map of the table sums rows (the lots of a holding), rows may share a key, so all rows are yielded.
    """
    pieces = list(pages)
    if not pieces or any(each.summed for each in vendor.maps if each.table == table.name):
        yield from map(_wrap_page, pieces)
        return
    dead = tuple(row for page in pieces for row in page.dead)
    undeclared = frozenset[str]().union(*(page.undeclared for page in pieces))
    file = separate(Page(pa.concat_tables([page.rows for page in pieces]), dead, undeclared), table)
    yield from [_wrap_page(file)] if has_unique_keys(file, table) else only_fresh([file], table.key)


def _count_rows(page: Page) -> int:
    return int(page.rows.num_rows) + len(page.dead)


def _limit_rows(vendor: Vendor, table: Table, most: int, pages: Iterable[P], count: Callable[[P], int]) -> Iterator[P]:
    """Yield pages; raise LimitExceeded as soon as they have more than `most` rows in total, as `count` counts them."""
    rows = 0
    for page in pages:
        rows += count(page)
        if rows > most:
            raise LimitExceeded(
                "The pull exceeds the maximum rows of the table (`rows` of the connection's `limits`, or 20 times its largest pull):"
                " check at the vendor whether paging ends and how large the table is", vendor=vendor.name, table=table.name, rows=rows, most=most,
            )  # fmt: skip
        yield page


def _wrap_page(page: Page) -> Window:
    return Window(page, page.rows.num_rows + len(page.dead), 0)


def _sweep_numbered(
    vendor: Vendor,
    table: Table,
    params: Mapping[str, str],
    session: VendorSession,
    read: Callable[[bytes], Page],
    most: int,
) -> Iterator[Window]:
    """Read all numbered pages again and again until two consecutive sweeps have the same keys.

    One sweep is not enough: if a row is removed during it, another row can move to a page that was already read. The first sweep yields
    nothing, so a row that is removed during it is left out. The second yields its rows, and each later sweep the rows that no sweep has
    yielded. So only the keys are in memory.

    Raises:
        PagingUnstable: No two consecutive sweeps agree, or the pages do not end.
        LimitExceeded: The pages have more than `most` rows.
    """
    last_read: dict[tuple[object, ...], int] = {}  # key -> the last sweep that read it
    dead: set[str] = set()
    rows_before = -1
    for sweep in range(1, _SWEEPS + 1):
        rows, rows_again, swept_dead = 0, 0, set[str]()
        pages = _page_by_number(vendor, table, params, session, read)
        for number, page in enumerate(_limit_rows(vendor, table, most, pages, _count_rows)):
            read_in = _mark_read(page, table.key, last_read, sweep)
            fresh, known_dead = len(read_in) - read_in.count(sweep), len(swept_dead)
            swept_dead.update(row.raw for row in page.dead)
            if number and not fresh and len(swept_dead) == known_dead:
                break  # the end, or the vendor repeats its last page forever
            rows, rows_again = rows + fresh, rows_again + read_in.count(sweep - 1)
            if sweep > 1:
                yield _leave_out(page, read_in, sweep, dead)
        if rows == rows_again == rows_before or not (rows or swept_dead):
            return
        rows_before = rows
    raise PagingUnstable("No two sweeps through the pages agree", vendor=vendor.name, table=table.name)


def _mark_read(page: Page, key: tuple[str, ...], last_read: dict[tuple[object, ...], int], sweep: int) -> list[int]:
    """Record that a sweep read the rows of a page; return for each row the last sweep that had read it before, 0 for none."""
    read_in = []
    for name in zip(*(page.rows.column(column).to_pylist() for column in key), strict=True):
        read_in.append(last_read.get(name, 0))
        last_read[name] = sweep
    return read_in


def _leave_out(page: Page, read_in: list[int], sweep: int, dead: set[str]) -> Window:
    """Return a page of the second or a later sweep without the rows that an earlier one has yielded, and add its dead rows to `dead`."""
    rows = page.rows.filter(pa.array([each < 2 for each in read_in], pa.bool_()))
    repeated = page.rows.filter(pa.array([each == sweep for each in read_in], pa.bool_()))
    dead_rows = page.dead if sweep == 2 else tuple(row for row in page.dead if row.raw not in dead)
    dead.update(row.raw for row in page.dead)
    fetched = rows.num_rows + repeated.num_rows + len(dead_rows)
    kept = replace(page, rows=rows, dead=dead_rows)
    return Window(kept, fetched, repeated.num_rows, repeated if repeated.num_rows else None)


def _page_by_number(
    vendor: Vendor, table: Table, params: Mapping[str, str], session: VendorSession, read: Callable[[bytes], Page]
) -> Iterator[Page]:
    """Yield numbered pages until the caller stops, because a short page is not always the last: the vendor may limit the page size.

    Raises:
        PagingUnstable: The caller read `_MOST_PAGES` pages.
    """
    shape = table.shape
    assert isinstance(shape, Numbered)
    for number in range(1, _MOST_PAGES):
        paged = {shape.page: str(number), shape.size: str(table.page_rows)}
        yield session.get(table.path, {**params, **paged}, read)
    raise PagingUnstable("The pages do not end", vendor=vendor.name, table=table.name)


def _page_by_position(
    table: Table, params: Mapping[str, str], session: VendorSession, read: Callable[[bytes], Page]
) -> Iterator[Page]:
    """Yield pages up to the first empty one. The position of each page is the number of rows so far, even if pages are short."""
    shape, position = table.shape, 0
    assert isinstance(shape, Positioned)
    for _ in range(_MOST_PAGES):
        page = session.get(table.path, {**params, shape.start: str(position), shape.size: str(table.page_rows)}, read)
        yield page
        rows = page.rows.num_rows + len(page.dead)
        if not rows:
            return
        position += rows
    raise PagingUnstable("The pages do not end", vendor=session.vendor, table=table.name)


def _page_by_cursor(
    vendor: Vendor, table: Table, session: VendorSession, first: Request, shape: Linked, read: Callable[[bytes], Page]
) -> Iterator[Page]:
    """Yield pages by following the cursor of each page to the next one; raise PagingUnstable if a cursor repeats."""

    def read_both(body: bytes) -> tuple[Page, str | None]:
        following = next_link(body, shape.link, vendor.name, table.name)
        return read(body), following

    request, seen = first, set[str]()
    for _ in range(_MOST_PAGES):
        response = session.request(request, read_both)
        assert response is not None
        page, following = response
        yield page
        if not following:
            return
        if following in seen:
            raise PagingUnstable(
                "A cursor repeats: the pages form a loop. If retries fail, report it to the vendor",
                vendor=vendor.name,
                table=table.name,
            )
        seen.add(following)
        request = follow(first, shape, following)
    raise PagingUnstable("The pages do not end", vendor=vendor.name, table=table.name)
