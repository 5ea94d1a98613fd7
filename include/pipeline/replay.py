"""Replay dead letters after their cause is fixed.

A replay pulls the rows from the vendor again, keeps only the rows that have a dead letter, and processes them through the same steps as
any row. The ledger records it as a separate pull (`replay`). A dead letter closes in the transaction that loads its row. If the row is
still bad, its dead letter stays open.

The request depends on the kind of table:

snapshot    the same business date
window      rows edited since the start of the dead letter's window; or the business date, if it was pulled as a past date
full        the current rows, with the latest closed day as the business date
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include import business_dates
from include.contract import Table
from include.errors import InputRejected
from include.extract.paging import Window
from include.extract.pull import Span
from include.pipeline import pull, vendor_day
from include.pipeline.run import VendorRun
from include.staging.partitions import Partition
from include.staging.row_key import format_keys

_OPEN = sa.text("""
select dead_letter_id, row_key, partition from control.dead_letter
where vendor = :vendor and table_name = :table and business_date = :day and status = 'open'
  and (cast(:ids as bigint[]) is null or dead_letter_id = any(:ids))
order by dead_letter_id
""")


@dataclass(frozen=True, slots=True)
class Replayed:
    """Outcome of the replay of one table and day.

    Attributes:
        selected: Open dead letters to replay.
        keyless: Selected dead letters whose key could not be read. Only a new run of the day can load them.
        found: Rows with a dead letter that the vendor returned again.
        landed: Rows that were loaded, so that their dead letters closed; in a dry run, rows that would be.
        still_dead: Rows that are still bad.
    """

    selected: int
    keyless: int
    found: int
    landed: int
    still_dead: int


def replay(
    vendor_run: VendorRun, table_name: str, ids: Sequence[int] | None = None, *, is_dry: bool = False
) -> Replayed:
    """Replay the open dead letters of one table and business date.

    Args:
        vendor_run: The vendor's run; its business date is that of the dead letters.
        table_name: The table.
        ids: Ids of the dead letters; None for all open ones.
        is_dry: Whether to only pull and check the rows, without recording or loading anything.

    Raises:
        InputRejected: An id is not an open dead letter of this table and day, or the table's rows are requested per row of a parent table.
        TributaryError: Any error of the steps in `include.pipeline.vendor_day`.
    """
    vendor = vendor_run.vendor
    table = vendor.table(table_name)
    if table.parent:
        raise InputRejected(
            "Rows of this table are requested per parent row and can't be replayed: run the vendor's DAG again, for these clients or all",
            vendor=vendor.name,
            table=table_name,
            parent=table.parent,
        )
    dead_letters = _list_open(vendor_run, table_name, ids)
    done = Replayed(len(dead_letters), sum(each["row_key"] is None for each in dead_letters), 0, 0, 0)
    replaying = vendor_run.copy_with(full_refresh=True, on_demand=True, is_replay=True)
    if table.pull == "full":
        today = business_dates.latest_closed(vendor_run.site.clock())
        replaying = replaying.copy_with(business_date=today, previous_date=business_dates.previous(today))
    if dead_letters and not is_dry:
        for beside in sorted({name for each in vendor.maps if each.table == table_name for name in each.beside}):
            vendor_day.validate(replaying, [vendor_day.stage(replaying, beside)], rows_only=True)
    for span, some in _plan_pulls(replaying, table, dead_letters):
        keys = [each["row_key"] for each in some]
        partition = pull.fetch(replaying, table_name, span, partial(_filter, table=table, keys=keys))
        refused = _check(replaying, partition) if is_dry else _process(replaying, partition)
        manifest = partition.manifest
        done = replace(
            done,
            found=done.found + manifest.fetched,
            landed=done.landed + manifest.staged - refused,
            still_dead=done.still_dead + manifest.dead + refused,
        )
    return done


def _list_open(vendor_run: VendorRun, table: str, ids: Sequence[int] | None) -> Sequence[sa.RowMapping]:
    facts = {"vendor": vendor_run.vendor.name, "table": table, "day": vendor_run.run.business_date}
    with vendor_run.site.engine.connect() as connection:
        rows = connection.execute(_OPEN, facts | {"ids": None if ids is None else list(ids)}).mappings().all()
    if unknown := set(ids or ()) - {row["dead_letter_id"] for row in rows}:
        raise InputRejected(
            "Some ids are not open dead letters of this table and day: reload the list", **facts, ids=sorted(unknown)
        )
    return rows


def _plan_pulls(
    vendor_run: VendorRun, table: Table, dead_letters: Sequence[sa.RowMapping]
) -> Iterator[tuple[Span, list[dict[str, Any]]]]:
    """Yield each span to pull, with the dead letters that it covers; dead letters without a key are left out."""

    @cache  # many dead letters belong to one partition
    def find_window(path: str) -> tuple[str, str] | None:
        return vendor_run.site.open(path).manifest.window if table.pull == "window" else None

    known: list[dict[str, Any]] = []
    for each in dead_letters:
        if each["row_key"] is not None:
            window = find_window(each["partition"])
            known.append({**each, "since": None if window is None else datetime.fromisoformat(window[0])})
    # If a dead letter of a window table has no bounds of the edit time, its row was pulled by business date, as a past date.
    for is_dated, group in groupby(
        sorted(known, key=lambda each: each["since"] is None), lambda each: each["since"] is None
    ):
        selected = list(group)
        span = pull.span_of(vendor_run.site, vendor_run.run, None)
        if table.pull == "window":
            since = None if is_dated else min(map(itemgetter("since"), selected))
            span = replace(span, is_past=is_dated, edited_since=since)
        yield span, selected


def _check(vendor_run: VendorRun, partition: Partition) -> int:
    """Validate the rows of a partition without recording anything; return the number of rows that validation refused."""
    from include.validation.check import validate_day

    return validate_day(vendor_run.vendor, {partition.table: partition}, {}, rows_only=True)[partition.table].refused


def _process(vendor_run: VendorRun, partition: Partition) -> int:
    """Record, validate, transform and load the rows of a partition; return the number of rows that validation refused."""
    vendor_day.record_staged(vendor_run, partition, 0.0)
    refused = vendor_day.validate(vendor_run, [partition], rows_only=True)[partition.table]
    vendor_day.transform(vendor_run, partition)
    vendor_day.publish(vendor_run, [partition])
    return refused


def _filter(windows: Iterator[Window], table: Table, keys: Sequence[str]) -> Iterator[Window]:
    """Yield the windows with only those rows whose key is one of `keys`; other rows are not counted as fetched."""
    key_array = pa.array(sorted(set(keys)), pa.string())
    key_set = set(keys)

    def select(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.is_in(format_keys(rows, table.key), value_set=key_array))

    for window in windows:
        rows = select(window.page.rows)
        repeated = None if window.repeated is None else select(window.repeated)
        duplicate = 0 if repeated is None else repeated.num_rows
        dead = tuple(row for row in window.page.dead if row.key in key_set)
        page = replace(window.page, rows=rows, dead=dead)
        yield Window(page, rows.num_rows + len(dead) + duplicate, duplicate, repeated)
