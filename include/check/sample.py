"""Pull a small sample of a vendor's tables with the product's own requests, parsers and staging, into a folder that is deleted again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import islice

from include.contract import FanOut, Linked, Numbered, Offset, Positioned, Report, Table, Vendor, Whole
from include.control.answers import Answers
from include.errors import TributaryError
from include.extract.csv_page import CsvReader
from include.extract.fan_out import list_keys
from include.extract.pull import Span, find_missing_fields, request, stage
from include.extract.session import VendorSession
from include.extract.shapes import read_windows
from include.extract.source import Keys, Source
from include.pipeline.run import VendorRun
from include.staging.partitions import Partition, Staging

ROWS = 100
"""Maximum number of rows that a page of a sample requests."""
PARENTS = 5
"""Maximum number of parent rows for which a table with one call per parent row is requested."""
_REPORT_DAYS = 30
"""Days whose edits a sample requests from a report, which has no pages."""


@dataclass(frozen=True, slots=True)
class TableSample:
    """The sample of one table.

    Attributes:
        table: The declaration, with the requests of a sample.
        partition: The staged rows; None if the table could not be pulled.
        page_rows: Number of rows that the page was requested with; 0 if the table has no pages.
        missing: Declared fields that are missing from every row.
        error: Why the table could not be pulled; None if it could.
        skipped: Why the table was not requested; empty if it was.
    """

    table: Table
    partition: Partition | None = None
    page_rows: int = 0
    missing: frozenset[str] = field(default_factory=frozenset)
    error: TributaryError | None = None
    skipped: str = ""


@contextmanager
def open_staging(vendor_run: VendorRun) -> Iterator[Staging]:
    """Open a staging folder on this machine that is deleted at the end. Its files are encrypted like those of every staging folder."""
    site = vendor_run.site
    with tempfile.TemporaryDirectory(prefix="tributary-check-") as folder:
        yield Staging(folder, site.keyring.staging, redactor=site.redactor)


def shorten(vendor: Vendor) -> Vendor:
    """Return the declaration with requests of a sample: one page of at most `ROWS` rows of each table."""
    return replace(vendor, tables=tuple(map(_shorten_table, vendor.tables)))


def _shorten_table(table: Table) -> Table:
    shape, size = table.shape, min(table.page_rows, ROWS)
    if isinstance(shape, Numbered):  # a pull reads all pages twice
        return replace(table, shape=Whole(), params={**table.params, shape.page: "1", shape.size: str(size)})
    if isinstance(shape, FanOut):  # without stored ETags, which a sample must not replace
        params = {**table.params, shape.pages.size: str(size)} if shape.pages else table.params
        return replace(table, shape=replace(shape, pages=None, is_conditional=False), params=params)
    return replace(table, page_rows=size)


def pull_samples(
    vendor_run: VendorRun,
    vendor: Vendor,
    session: VendorSession,
    staging: Staging,
    day: date,
    grants: Sequence[Keys],
    begin: Callable[[Table], None],
) -> Iterator[TableSample]:
    """Pull a sample of each table, parents before children, and yield it.

    Args:
        vendor_run: The run.
        vendor: The declaration from `shorten`.
        session: An open session.
        staging: From `open_staging`.
        day: Business date of the snapshots.
        grants: The grants whose login works, for tables with one call per grant.
        begin: Called before the requests of each table.
    """
    done: dict[str, Partition] = {}
    for table in vendor.requested_tables:
        parent = done.get(table.parent)
        if table.parent and (parent is None or not parent.manifest.staged):
            yield TableSample(
                table, skipped=f"no row of {table.parent} could be read, and this table is requested by them"
            )
            continue
        begin(table)
        try:
            keys = _choose_keys(vendor, table, parent, grants)
            if isinstance(table.shape, FanOut) and not keys:
                yield TableSample(table, skipped=f"no row of {table.parent or 'the grants'} in the sample leads to it")
                continue
            sample = _pull(vendor_run, vendor, table, session, staging, day, Inputs(parent, keys))
        except TributaryError as error:
            yield TableSample(table, error=error)
            continue
        assert sample.partition is not None
        done[table.name] = sample.partition
        yield sample


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs that only some shapes need: the parent's partition and the keys of a fan-out."""

    parent: Partition | None
    keys: Sequence[Keys]


def _choose_keys(vendor: Vendor, table: Table, parent: Partition | None, grants: Sequence[Keys]) -> Sequence[Keys]:
    if not isinstance(table.shape, FanOut):
        return ()
    if not table.parent:
        return grants[:PARENTS]
    return list_keys(table, table.shape, vendor.table(table.parent), parent, (), is_keyed=False)[:PARENTS]


def _pull(
    vendor_run: VendorRun,
    vendor: Vendor,
    table: Table,
    session: VendorSession,
    staging: Staging,
    day: date,
    inputs: Inputs,
) -> TableSample:
    site, run_id = vendor_run.site, vendor_run.run.run_id
    answers = Answers(site.engine, run_id, vendor.name, table.name, site.keyring.staging, table.hash, site.clock)
    source = Source(inputs.keys, inputs.parent, answers, site.redactor, site.clock, site.speed)
    now = site.clock()
    since = now - timedelta(days=_REPORT_DAYS) if isinstance(table.shape, Report) else None
    span = Span(day, first_date=day, edited_since=since, origin=vendor_run.run.origin)
    params, _ = request(vendor, table, span, now)
    reader = CsvReader(table, site.redactor, vendor.sentinels, vendor.zone, vendor.name)
    try:
        windows = islice(read_windows(vendor, table, params, session, reader, source), 1)
        partition = stage(vendor, table, span, windows, reader, staging, now, refuse_drift=False)
    finally:
        answers.forget()
    missing = find_missing_fields(table, reader.unseen, partition.manifest.undeclared)
    is_paged = isinstance(vendor_run.vendor.table(table.name).shape, (Linked, Numbered, Offset, Positioned))
    page_rows = min(vendor_run.vendor.table(table.name).page_rows, ROWS) if is_paged else 0
    return TableSample(table, partition, page_rows, frozenset(missing) if partition.manifest.fetched else frozenset())
