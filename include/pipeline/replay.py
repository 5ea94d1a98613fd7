"""Sends dead letters again, once the cause is mended.

The rows are pulled from the vendor again, and only those with a dead letter go on: through the same reading, suite,
transformation and load as any row, as a pull of its own in the ledger (`replay`). A letter closes in the transaction that
loads its row; a row that is still bad stays a dead letter.

What is asked for is what the letter's own pull asked for: of a snapshot its day, of a window its edits or its day's
trades. A description is asked for as it is now, for today.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include import business_dates
from include.connection import Connection
from include.contract import Table, Vendor
from include.errors import InputRejected
from include.extract.paging import Window
from include.extract.pull import Span
from include.pipeline import pull, vendor_day
from include.pipeline.run import Run, Site

_OPEN = sa.text("""
select dead_letter_id, row_key, partition from control.dead_letter
where vendor = :vendor and table_name = :table and business_date = :day and status = 'open'
  and (cast(:ids as bigint[]) is null or dead_letter_id = any(:ids))
order by dead_letter_id
""")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the letters of one table and day.

    Attributes:
        asked: Open letters that were chosen.
        keyless: Of these, those whose key could not be read: only a new run of the day brings them.
        found: Rows that the vendor still has.
        landed: Letters that closed, or in a dry run would.
        still_dead: Rows that are bad again.
    """

    asked: int
    keyless: int
    found: int
    landed: int
    still_dead: int


def replay(
    site: Site,
    vendor: Vendor,
    table_name: str,
    connection: Connection,
    run: Run,
    ids: Sequence[int] | None = None,
    *,
    is_dry: bool = False,
) -> Replayed:
    """Replays the open dead letters of one table and business date.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        table_name: Which table.
        connection: Address and credentials.
        run: Names the run; its business date is the letters'.
        ids: Only these letters; None takes all open ones.
        is_dry: Pulls and checks; records and loads nothing.

    Raises:
        InputRejected: A dead letter is not open in this table and day, or the table's rows are requested per row of another.
        TributaryError: As the steps of a day raise.
    """
    table = vendor.table(table_name)
    if table.over:
        raise InputRejected(
            "Rows of this table are requested one by one: run the vendor's DAG again, for these clients or for all",
            vendor=vendor.name,
            table=table_name,
            over=table.over,
        )
    letters = _open_letters(site, vendor, run, table_name, ids)
    done = Replayed(len(letters), sum(letter["row_key"] is None for letter in letters), 0, 0, 0)
    replaying = replace(run, full_refresh=True, on_demand=True, is_replay=True)
    if table.pull == "full":
        today = business_dates.latest_closed(site.clock())
        replaying = replace(replaying, business_date=today, previous_date=business_dates.previous(today))
    if letters and not is_dry:
        for beside in sorted({name for each in vendor.maps if each.table == table_name for name in each.beside}):
            path = vendor_day.stage(site, vendor, beside, connection, replaying)
            vendor_day.validate(site, vendor, {beside: path}, replaying, rows_only=True)
    for span, some in _asked(site, table, replaying, letters):
        keys = [letter["row_key"] for letter in some]
        path = pull.fetch(
            site,
            vendor,
            table_name,
            connection,
            replaying,
            span,
            lambda w, k=keys: _only(w, table, k),  # type: ignore[misc]
        )
        refused = _check(site, vendor, path) if is_dry else _land(site, vendor, path, replaying)
        manifest = site.staging.manifest(path)
        done = replace(
            done,
            found=done.found + manifest.fetched,
            landed=done.landed + manifest.staged - refused,
            still_dead=done.still_dead + manifest.dead + refused,
        )
    return done


def _open_letters(
    site: Site, vendor: Vendor, run: Run, table: str, ids: Sequence[int] | None
) -> Sequence[sa.RowMapping]:
    facts = {"vendor": vendor.name, "table": table, "day": run.business_date}
    with site.engine.connect() as connection:
        letters = connection.execute(_OPEN, facts | {"ids": None if ids is None else list(ids)}).mappings().all()
    if unknown := set(ids or ()) - {letter["dead_letter_id"] for letter in letters}:
        raise InputRejected("Not open dead letters of this table and day", **facts, ids=sorted(unknown))
    return letters


def _asked(
    site: Site, table: Table, run: Run, letters: Sequence[sa.RowMapping]
) -> Iterator[tuple[Span, list[dict[str, Any]]]]:
    """What to ask the vendor for, and the letters that it may bring."""
    known: list[dict[str, Any]] = []
    for letter in letters:
        if letter["row_key"] is not None:
            window = site.staging.manifest(letter["partition"]).window if table.pull == "window" else None
            known.append({**letter, "since": None if window is None else datetime.fromisoformat(window[0])})
    # A window's letter without edit bounds was pulled by its day, as a past one.
    for is_dated, some in groupby(
        sorted(known, key=lambda each: each["since"] is None), lambda each: each["since"] is None
    ):
        chosen = list(some)
        span = pull.span_of(site, run, None)
        if table.pull == "window":
            since = None if is_dated else min(map(itemgetter("since"), chosen))
            span = replace(span, is_past=is_dated, edited_since=since)
        yield span, chosen


def _check(site: Site, vendor: Vendor, path: str) -> int:
    """Looks at the rows as the day's validation does; returns how many it would refuse."""
    from include.validation.check import validate_day

    table = path.split("/")[1]
    return validate_day(vendor, {table: path}, site.staging, {}, rows_only=True)[table].refused


def _land(site: Site, vendor: Vendor, path: str, run: Run) -> int:
    """Takes the rows through every step; returns how many were refused."""
    table = path.split("/")[1]
    vendor_day.record_staged(site, vendor, path, run, 0.0)
    refused = vendor_day.validate(site, vendor, {table: path}, run, rows_only=True)[table]
    vendor_day.transform(site, vendor, path, run)
    vendor_day.publish(site, vendor, [path], run)
    return refused


def _only(windows: Iterator[Window], table: Table, keys: Sequence[str]) -> Iterator[Window]:
    """Keeps the rows whose key is among the letters'; the others are not counted as fetched."""
    wanted = pa.array(sorted(set(keys)), pa.string())
    known = set(keys)

    def select(rows: pa.Table) -> pa.Table:
        texts = [rows.column(name).cast(pa.string()) for name in table.key]
        key = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, ":")
        return rows.filter(pc.is_in(key, value_set=wanted))

    for window in windows:
        rows = select(window.page.rows)
        repeated = None if window.repeated is None else select(window.repeated)
        duplicate = 0 if repeated is None else repeated.num_rows
        dead = tuple(row for row in window.page.dead if row.key in known)
        page = replace(window.page, rows=rows, dead=dead)
        yield Window(page, rows.num_rows + len(dead) + duplicate, duplicate, repeated)
