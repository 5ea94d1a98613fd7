"""How a table's rows are asked for: in pages, as a report, or one call for each row of another table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

import pyarrow as pa

from include.contract import FanOut, Inside, Linked, Numbered, Offset, Positioned, Pushed, Report, Table, Vendor, Whole
from include.contract.limits import DEFAULT
from include.control.answers import Answers
from include.errors import ConfigurationError, LimitExceeded, PagingUnstable
from include.extract.conflict import has_unique_keys, separate
from include.extract.csv_page import CsvReader
from include.extract.fan_out import Keys, fan_out, follow
from include.extract.flatten import flatten, next_link, unwrap
from include.extract.inside import rows_inside
from include.extract.page import Page
from include.extract.paging import Window, only_fresh, ordered_pages
from include.extract.report import report_pages
from include.extract.session import Ask, VendorSession
from include.sensitive import Redactor
from include.staging.partitions import Staging

_SWEEPS = 4
_MOST_PAGES = 100_000
# A table that has been loaded may grow so many times at once, and to so many rows in any case.
_GROWTH, _ALWAYS_ALLOWED = 20, 1_000_000
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Source:
    """What a fan-out or a report needs beside the session.

    Attributes:
        keys: What a fan-out asks for.
        staged: Partition of the table that this one is over; None where there is none.
        answers: What a fan-out was answered so far.
        staging: Where partitions are.
        redactor: Hides sensitive values.
        clock: Tells when a row was asked for.
        speed: How many times faster than the wall clock the vendor's minutes pass.
        is_routine: Whether nobody has news or a doubt: then what has not changed need not be sent again.
        most_rows: Rows after which a pull is taken for one that never ends.
    """

    keys: Sequence[Keys]
    staged: str | None
    answers: Answers
    staging: Staging
    redactor: Redactor
    clock: Callable[[], datetime]
    speed: float = 1.0
    is_routine: bool = False
    most_rows: int = DEFAULT.rows


def most_rows(declared: int, loaded: int | None) -> int:
    """How many rows a pull may bring: what is declared, or less where an earlier pull shows what is normal.

    Args:
        declared: The vendor's limit.
        loaded: Rows of the largest pull that was loaded; None where there is none.
    """
    return declared if loaded is None else min(declared, max(_ALWAYS_ALLOWED, _GROWTH * loaded))


def windows_of(
    vendor: Vendor,
    table: Table,
    params: Mapping[str, str],
    session: VendorSession,
    reader: CsvReader,
    source: Source,
) -> Iterator[Window]:
    """Yields a table's rows; raises as `VendorSession.ask` does, and:

    Raises:
        PagingUnstable: Rows moved faster than they could be read.
        LimitExceeded: The pages bring more rows than a pull may have.
    """
    read = partial(_read, vendor, table, reader)
    bounded = partial(_bounded, vendor, table, source.most_rows)
    match table.shape:
        case Offset(order):

            def fetch(skip: int, top: int) -> Page:
                paged = {"$top": str(top), "$skip": str(skip), "$orderby": order}
                return session.get(table.path, {**params, **paged}, read)

            pages = ordered_pages(fetch, table.key[0], table.page_rows, vendor.connections, vendor.name, table.name)
            yield from bounded(pages, lambda window: window.fetched - window.duplicate)
        case Numbered():
            yield from only_fresh(_settled(vendor, table, params, session, read, source.most_rows), table.key)
        case Positioned():
            yield from only_fresh(bounded(_positioned(table, params, session, read), _rows_in), table.key)
        case Linked() as shape:
            first = Ask(table.path, {**params, shape.size: str(table.page_rows)})
            yield from only_fresh(bounded(_linked(vendor, table, session, first, shape, read), _rows_in), table.key)
        case Report() as shape:
            report = report_pages(session, table, shape, params, reader, source.speed)
            yield from _only_once(report, vendor, table)
        case FanOut() as shape:
            pieces = fan_out(
                vendor, table, shape, source.keys, session, source.answers, source.redactor, source.clock,
                is_routine=source.is_routine,
            )  # fmt: skip
            yield from only_fresh(map(reader.read, pieces), table.key)
        case Inside() as shape:
            if source.staged is None:
                raise ConfigurationError(
                    "The table that this one is in was not pulled",
                    vendor=vendor.name,
                    table=table.name,
                    over=shape.over,
                )
            pieces = rows_inside(table, shape, source.staged, source.staging)
            yield from only_fresh(map(reader.read, pieces), table.key)
        case Pushed():
            raise ConfigurationError("Only webhooks bring this table", vendor=vendor.name, table=table.name)
        case Whole():
            yield from only_fresh([session.get(table.path, params, read)], table.key)


def _read(vendor: Vendor, table: Table, reader: CsvReader, body: bytes) -> Page:
    rows = unwrap(table, body, vendor.name)
    flat = flatten(rows, vendor.name, table.name, skipped=table.skipped) if table.is_nested else rows
    return separate(reader.read(flat), table)


def _only_once(pages: Iterator[Page], vendor: Vendor, table: Table) -> Iterator[Window]:
    """The rows of one file, each once; all of them where the table holds lots, which have one key and are added up later."""
    pieces = list(pages)
    if not pieces or any(each.summed for each in vendor.maps if each.table == table.name):
        yield from map(_whole, pieces)
        return
    dead = tuple(row for page in pieces for row in page.dead)
    undeclared = frozenset[str]().union(*(page.undeclared for page in pieces))
    file = separate(Page(pa.concat_tables([page.rows for page in pieces]), dead, undeclared), table)
    yield from [_whole(file)] if has_unique_keys(file, table) else only_fresh([file], table.key)


def _rows_in(page: Page) -> int:
    return int(page.rows.num_rows) + len(page.dead)


def _bounded(vendor: Vendor, table: Table, most: int, pages: Iterable[P], count: Callable[[P], int]) -> Iterator[P]:
    """Let pages pass until they have more than `most` rows."""
    rows = 0
    for page in pages:
        rows += count(page)
        if rows > most:
            raise LimitExceeded(
                "The pages bring more rows than a pull of this table may have: they do not end, or the table has grown; then raise"
                " `rows` of the connection's `limits`", vendor=vendor.name, table=table.name, rows=rows, most=most,
            )  # fmt: skip
        yield page


def _whole(page: Page) -> Window:
    return Window(page, page.rows.num_rows + len(page.dead), 0)


def _settled(
    vendor: Vendor,
    table: Table,
    params: Mapping[str, str],
    session: VendorSession,
    read: Callable[[bytes], Page],
    most: int,
) -> list[Page]:
    """All numbered pages. A row that is removed shifts the others past a page's edge: so they are read until two sweeps agree."""
    before: set[tuple[object, ...]] | None = None
    for _ in range(_SWEEPS):
        keys, pages = set[tuple[object, ...]](), list[Page]()
        for page in _bounded(vendor, table, most, _numbered(vendor, table, params, session, read), _rows_in):
            fresh = set(zip(*(page.rows.column(name).to_pylist() for name in table.key), strict=True)) - keys
            if pages and not fresh and not page.dead:
                break  # nothing follows, or the vendor gives its last page for ever
            keys |= fresh
            pages.append(page)
        if keys == before or not (keys or pages[0].dead):
            return pages
        before = keys
    raise PagingUnstable("No two sweeps over the pages agree", vendor=vendor.name, table=table.name)


def _numbered(
    vendor: Vendor, table: Table, params: Mapping[str, str], session: VendorSession, read: Callable[[bytes], Page]
) -> Iterator[Page]:
    """Pages without end. A short one says nothing: the vendor may give no longer ones."""
    shape = table.shape
    assert isinstance(shape, Numbered)
    for number in range(1, _MOST_PAGES):
        paged = {shape.page: str(number), shape.size: str(table.page_rows)}
        yield session.get(table.path, {**params, **paged}, read)
    raise PagingUnstable("The pages do not end", vendor=vendor.name, table=table.name)


def _positioned(
    table: Table, params: Mapping[str, str], session: VendorSession, read: Callable[[bytes], Page]
) -> Iterator[Page]:
    """Pages up to the first empty one, each behind the rows that came so far; the vendor may give fewer than were asked for."""
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


def _linked(
    vendor: Vendor, table: Table, session: VendorSession, first: Ask, shape: Linked, read: Callable[[bytes], Page]
) -> Iterator[Page]:
    """Follows what each page says of the next; one that leads in a circle is a failure."""

    def read_both(body: bytes) -> tuple[Page, str | None]:
        following = next_link(body, shape.link, vendor.name, table.name)
        return read(body), following

    question, seen = first, set[str]()
    for _ in range(_MOST_PAGES):
        answered = session.ask(question, read_both)
        assert answered is not None
        page, following = answered
        yield page
        if not following:
            return
        if following in seen:
            raise PagingUnstable("The pages lead in a circle", vendor=vendor.name, table=table.name)
        seen.add(following)
        question = follow(first, shape, following)
    raise PagingUnstable("The pages do not end", vendor=vendor.name, table=table.name)
