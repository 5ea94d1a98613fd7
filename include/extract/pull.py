"""Pull one table of a vendor into a partition, with only a few pages in memory at a time."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Iterator, Set
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from include.contract import Table, Vendor
from include.errors import DataQualityError, SchemaDrift
from include.extract.csv_page import CsvReader
from include.extract.page import DeadRow, PageReader
from include.extract.paging import Window
from include.extract.repeats import Repeats
from include.extract.session import VendorSession
from include.extract.shapes import read_windows
from include.extract.source import Source
from include.sensitive import Redactor
from include.staging.files import PartWriter, total
from include.staging.partitions import Manifest, Origin, Partition, Staging
from include.staging.reference import partition_path

log = logging.getLogger(__name__)

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
# If more rows than this can't be read, and they are the majority, the fault is probably in the whole table: the pull stops.
_MOST_DEAD = 20_000


@dataclass(frozen=True, slots=True)
class Span:
    """Scope of a pull: which rows to request.

    Attributes:
        business_date: The day that the data is about.
        is_past: Whether the business date is in the past, so that only data as of that day is requested.
        first_date: First day of a request for a range of days (see `Table.dated`), the day after the previous trading day. None: the
            range is the business date only.
        selected: Keys to request; empty for all.
        is_pushed: Whether the rows arrive between the daily runs: by webhook, by API call, or by a poll for edits.
        push: Inbox id of the push that contained the rows; None if the rows are not from a push. Each row of a push must contain every
            field, so schema drift is not checked. The pull's id ends with the inbox id, so that the push can be withdrawn.
        edited_since: For tables pulled by edit window: request the rows edited since this time, minus the table's `overlap_days`. None
            requests all rows.
        origin: The run that makes the pull, for the manifest.
    """

    business_date: date
    is_past: bool = False
    first_date: date | None = None
    edited_since: datetime | None = None
    selected: tuple[str, ...] = ()
    is_pushed: bool = False
    push: int | None = None
    origin: Origin = field(default_factory=Origin)

    @property
    def pulled(self) -> str:
        """The kind of pull, as the ledger records it: pushed, historical, selected or current."""
        return (
            "pushed" if self.is_pushed else "historical" if self.is_past else "selected" if self.selected else "current"
        )


@dataclass
class _Tally:
    """The counts of a pull so far, and the checks of them."""

    vendor: Vendor
    table: Table
    reader: PageReader
    fetched: int = 0
    staged: int = 0
    duplicate: int = 0
    money: Decimal = Decimal(0)
    dead: dict[str, DeadRow] = field(default_factory=dict)
    undeclared: set[str] = field(default_factory=set)

    def add(self, window: Window) -> None:
        rows, money = window.page.rows, self.table.money
        self.fetched += window.fetched
        self.staged += rows.num_rows
        self.duplicate += window.duplicate
        self.undeclared |= window.page.undeclared
        if money:
            self.money += total(rows, money)
        for row in window.page.dead:
            # Overlapping pages repeat rows. A dead row is identified by its key and its content, because several rows may share a key (the
            # lots of a holding) and some rows have no key.
            name = _identify(row) if row.raw != "null" else f"not an object {len(self.dead)}"
            self.duplicate += name in self.dead
            self.dead[name] = row

    def settle(self, repeats: Repeats, writer: PartWriter) -> None:
        """Resolve the rows of several responses that share a key and differ, and correct the counts.

        Before this call, the first of these rows is staged, and the remaining ones count as duplicates. After it, another of them may be
        staged instead, or all of them may be dead rows.
        """
        before, money = self.staged + len(self.dead), self.table.money
        settled = repeats.settle(writer)
        self.staged += settled.added.num_rows - settled.removed.num_rows
        self.dead |= {_identify(row): row for row in settled.dead}
        self.duplicate += before - self.staged - len(self.dead)
        if money:
            self.money += total(settled.added, money) - total(settled.removed, money)

    def refuse_unseen(self) -> None:
        """Raise SchemaDrift if a declared field is missing from every row of the pull."""
        if self.fetched:
            unseen = find_missing_fields(self.table, self.reader.unseen, self.undeclared)
            self.refuse_drift(unseen, "the pull")

    def refuse_drift(self, missing: Collection[str], where: str) -> None:
        if missing:
            raise SchemaDrift(
                f"Declared fields are missing from every row of {where}: renamed or removed?", vendor=self.vendor.name,
                table=self.table.name, fields=",".join(sorted(missing)), undeclared=",".join(sorted(self.undeclared)) or None,
            )  # fmt: skip

    def refuse_mostly_dead(self) -> None:
        if len(self.dead) > _MOST_DEAD and len(self.dead) > (self.fetched - self.duplicate) / 2:
            self.refuse_unseen()
            first = next(iter(self.dead.values()))
            raise DataQualityError(
                "Too many rows can't be read", vendor=self.vendor.name, table=self.table.name,
                dead=len(self.dead), fetched=self.fetched, first="; ".join(first.reasons),
            )  # fmt: skip


def _identify(row: DeadRow) -> str:
    return f"{row.key} {row.raw}"


Keep = Callable[[Iterator[Window]], Iterator[Window]]


def pull(
    vendor: Vendor,
    table: Table,
    span: Span,
    session: VendorSession,
    staging: Staging,
    redactor: Redactor,
    now: datetime,
    source: Source,
    keep: Keep = lambda windows: windows,
) -> Partition:
    """Pull a table and stage its rows as a partition.

    Args:
        vendor: The vendor's declaration.
        table: The table to pull.
        span: Which rows to request.
        session: The vendor's session.
        staging: Store of the partition.
        redactor: Turns sensitive values into hashes and tokens.
        now: Time of the pull (`extracted_at`); an edit window ends then.
        source: Inputs that only some shapes need: keys, the parent's rows, stored responses.
        keep: Filters the rows before they are staged.

    Raises:
        PagingUnstable: Rows moved faster than they could be read.
        SchemaDrift: A declared field is missing from every row of the pull, or seems to be renamed in a page, or a report does not have the
            declared header.
        DataQualityError: Most rows can't be read.
        LimitExceeded: A response, or the number of rows, exceeds the vendor's limits.
        ConfigurationError: The vendor rejects the request, or the parent table was not pulled.
        VendorUnavailable, RateLimited, AuthenticationError, ClockSkew: See `VendorSession.request`.
        TargetUnavailable: The staging store failed.
    """
    params, window = request(vendor, table, span, now)
    reader = CsvReader(table, redactor, vendor.sentinels, vendor.zone, vendor.name)
    windows = keep(read_windows(vendor, table, params, session, reader, source))
    return stage(vendor, table, span, windows, reader, staging, now, window)


def request(vendor: Vendor, table: Table, span: Span, now: datetime) -> tuple[dict[str, str], tuple[str, str] | None]:
    """Return the query parameters of a pull, and its edit window for the manifest.

    The edit window is (from, to) as ISO times; None if the pull requests no window. In the manifest, it ends at `now`. In the query
    parameters, it ends a day after `now`.
    """
    params = {**table.params, **(table.when_past if span.is_past else {})}
    if span.selected and table.selected:
        return params | {table.selected: ",".join(span.selected)}, None
    if table.pull == "snapshot" or (table.pull == "window" and span.is_past):
        days = (
            (span.business_date,)
            if len(table.dated) == 1
            else (span.first_date or span.business_date, span.business_date)
        )
        pairs = zip(table.dated.items(), days, strict=True)
        return params | {name: day.strftime(pattern) for (name, pattern), day in pairs}, None
    if table.edited is None:
        return params, None
    zone = ZoneInfo(vendor.zone)
    since = _EARLIEST if span.edited_since is None else span.edited_since - timedelta(days=table.overlap_days)
    local = [when.astimezone(zone) for when in (since, now + timedelta(days=1))]
    bounds = [
        when.strftime(table.edited_as) if table.edited_as else when.isoformat(timespec="seconds") for when in local
    ]
    return params | dict(zip(table.edited, bounds, strict=True)), (since.isoformat(), now.isoformat())


def stage(
    vendor: Vendor,
    table: Table,
    span: Span,
    windows: Iterator[Window],
    reader: PageReader,
    staging: Staging,
    started: datetime,
    edited: tuple[str, str] | None = None,
    *,
    refuse_drift: bool = True,
) -> Partition:
    """Write rows as one partition, with its manifest last, and return the partition.

    Args:
        vendor: The vendor's declaration.
        table: The table.
        span: Which rows were requested.
        windows: The rows, page by page.
        reader: The reader that parsed the pages; it knows which declared fields no page contained.
        staging: Store of the partition.
        started: When the pull started (`extracted_at`).
        edited: Edit window that was requested, for the manifest; None if there was none.
        refuse_drift: Whether a missing declared field is an error.

    Raises:
        SchemaDrift: A declared field is missing from every row. Or the table omits no nulls, and a declared field is missing from every row of a
            page that has undeclared fields.
        DataQualityError: Most rows can't be read.
        FatalError: A part that was just written is missing or altered.
        TargetUnavailable: The staging store failed.
        TributaryError: Reading the windows failed.
    """
    pull_id = f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}" + (f"-push{span.push}" if span.push is not None else "")
    folder = staging.folder(partition_path(vendor.name, table.name, span.business_date, pull_id))
    writer, tally, repeats = PartWriter(folder, reader.schema), _Tally(vendor, table, reader), Repeats(table)
    # A few webhook bodies do not prove that a field is missing from all rows.
    refuse_drift = refuse_drift and not (span.push is not None or (span.is_pushed and table.omits_nulls))
    for window in windows:
        tally.add(window)
        # Only beside an undeclared field: a last page of few rows may lack an optional field.
        if refuse_drift and not table.omits_nulls and window.page.undeclared:
            tally.refuse_drift(window.page.absent, "a page")
        writer.write(window.page.rows)
        repeats.add(window)
        tally.refuse_mostly_dead()
        log.info("%s %s %s: %s rows", vendor.name, table.name, span.business_date, f"{tally.staged:,}")
    writer.flush()
    tally.settle(repeats, writer)
    tally.refuse_mostly_dead()
    if refuse_drift:
        tally.refuse_unseen()
    folder.write("dead.jsonl", b"".join(row.line() for row in tally.dead.values()))
    manifest = Manifest(
        vendor=vendor.name,
        table=table.name,
        business_date=span.business_date,
        pull_id=pull_id,
        pulled=span.pulled,
        extracted_at=started,
        api_version=vendor.api_version,
        contract=table.staged_hash,
        window=edited,
        fetched=tally.fetched,
        staged=tally.staged,
        duplicate=tally.duplicate,
        dead=len(tally.dead),
        money=tally.money if table.money else None,
        undeclared=tuple(sorted(tally.undeclared)),
        parts=tuple(writer.parts),
        origin=span.origin,
    )
    return staging.seal(manifest)


def find_missing_fields(table: Table, unseen: Set[str], undeclared: Collection[str]) -> set[str]:
    """Return the declared fields that count as missing from every row.

    If the vendor omits null fields, an optional field is not missing, unless no declared field was seen at all.

    Args:
        table: The declaration.
        unseen: Declared fields that no row contained (`PageReader.unseen`).
        undeclared: Fields of the rows that are not declared.
    """
    of_vendor = {col.source for col in table.columns if col.kind != "ignored" and col.source[0] not in "@^"}
    is_strange = of_vendor <= unseen and undeclared
    if table.omits_nulls and not is_strange:
        return {col.source for col in table.columns if col.required and col.source in unseen}
    return set(unseen)
