"""Sends dead letters again, once the cause is mended.

The rows are pulled from the vendor again, for their own business date, and only those with a dead letter go on: through
the same reading, suite, transformation and load as any row, as a pull of its own in the ledger (`replay`). A letter
closes in the transaction that loads its row; a row that is still bad stays a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include import flow
from include.connection import Connection
from include.contract import Table, Vendor
from include.errors import ConfigurationError
from include.extract.page import Page
from include.extract.paging import Window
from include.flow import Run, Site

_OPEN = sa.text("""
select dead_letter_id, row_key, reasons from control.dead_letter
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
        is_dry: Pulls and checks, and loads nothing.

    Raises:
        ConfigurationError: The past of this table can't be asked for any more.
        TributaryError: As the steps of a day raise.
    """
    table = vendor.table(table_name)
    if run.is_past and not table.states_past:
        raise ConfigurationError(
            "The vendor can't state this table as of a past date; run the present day instead",
            vendor=vendor.name,
            table=table_name,
            business_date=run.business_date,
        )
    letters = _open_letters(site, vendor, table_name, run.business_date, ids)
    keys = [letter["row_key"] for letter in letters if letter["row_key"]]
    keyless = len(letters) - len(keys)
    if not keys:
        return Replayed(len(letters), keyless, 0, 0, 0)
    replaying = replace(run, pulled="replay", full_refresh=True, on_demand=True)
    path = flow.stage(site, vendor, table_name, connection, replaying, keep=lambda w: _only(w, table, keys))
    refused = flow.validate(site, vendor, {table_name: path}, replaying, rows_only=True)[table_name]
    manifest = site.staging.manifest(path)
    if not is_dry:
        flow.transform(site, vendor, path, replaying)
        flow.load(site, vendor, path, replaying)
    landed = manifest.staged - refused
    return Replayed(len(letters), keyless, manifest.fetched, landed, manifest.dead + refused)


def _open_letters(
    site: Site, vendor: Vendor, table: str, day: date, ids: Sequence[int] | None
) -> Sequence[sa.RowMapping]:
    values = {"vendor": vendor.name, "table": table, "day": day, "ids": None if ids is None else list(ids)}
    with site.engine.connect() as connection:
        return connection.execute(_OPEN, values).mappings().all()


def _only(windows: Iterator[Window], table: Table, keys: Sequence[str]) -> Iterator[Window]:
    """Keeps the rows whose key is among the letters'; the others are not counted as fetched."""
    wanted = pa.array(sorted(set(keys)), pa.string())
    known = set(keys)
    for window in windows:
        rows = window.page.rows
        texts = [rows.column(name).cast(pa.string()) for name in table.key]
        key = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, ":")
        kept = rows.filter(pc.is_in(key, value_set=wanted))
        dead = tuple(row for row in window.page.dead if row.key in known)
        yield Window(Page(kept, dead, window.page.undeclared), kept.num_rows + len(dead), 0)
