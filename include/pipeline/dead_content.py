"""Copy the content of dead letters from the encrypted staging folder to the database, masked, so that the Operations pages can show it.

The pages have no key of the staging folder. So a task reads the rows, and stores their cells for two days (`control.dead_letter_content`):

- a sensitive value: the start of its hash and its last four characters
- a cell at fault, a number, or a true/false value: as the vendor sent it, but only the last four digits of a tax id, or of a
  number of eight or more digits, because a vendor that shifts columns may have put an account number there
- a cell of the row's key: as the vendor sent it
- any other value, such as a name, an address or a date: its shape only
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import orjson
import sqlalchemy as sa

from include.contract import BOOLEAN, INTEGER, Table
from include.errors import InputRejected
from include.extract.columns import staged_schema
from include.extract.exact_json import dump, load
from include.pipeline.run import VendorRun
from include.sensitive import describe_shape, describe_token, mask_digits
from include.staging.partitions import Partition
from include.transform.dead_rows import find_expected_column

_FIND = sa.text("""
select dead_letter_id, table_name, partition, part, row_number, reasons from control.dead_letter
where vendor = :vendor and dead_letter_id = any(:ids) and status = 'open' and stage <> 'crm' order by partition, part, row_number
""")
_STORE = sa.text("""
insert into control.dead_letter_content (dead_letter_id, cells, run_id) values (:dead_letter_id, cast(:cells as jsonb), :run_id)
on conflict (dead_letter_id) do update set cells = excluded.cells, run_id = excluded.run_id, shown_at = clock_timestamp()
""")
_LONG_NUMBER = re.compile(r"(?<![\d.])\d{4,}(\d{4})(?![\d.])", re.ASCII)
_LONGEST = 200
"""Maximum number of characters of a cell."""

_DeadLetters = Sequence[sa.RowMapping]
_Cells = list[dict[str, Any]]


def store_content(vendor_run: VendorRun, ids: Sequence[int]) -> int:
    """Store the masked content of open dead letters of a vendor; return how many.

    Raises:
        InputRejected: None of them is an open dead letter of the vendor.
        FatalError: A partition is incomplete, or is not the one that was staged.
    """
    site, vendor = vendor_run.site, vendor_run.vendor
    with site.engine.connect() as connection:
        dead_letters = connection.execute(_FIND, {"vendor": vendor.name, "ids": list(ids)}).mappings().all()
    if not dead_letters:
        raise InputRejected("None of these dead letters is still open: reload the list", vendor=vendor.name)
    rows = [
        {"dead_letter_id": dead_letter_id, "cells": orjson.dumps(cells).decode(), "run_id": vendor_run.run.run_id}
        for path, group in groupby(dead_letters, lambda each: str(each["partition"]))
        for dead_letter_id, cells in _read_partition(vendor_run, site.open(path), list(group))
    ]
    with site.engine.begin() as connection:
        connection.execute(_STORE, rows)
    return len(rows)


def _read_partition(
    vendor_run: VendorRun, partition: Partition, dead_letters: _DeadLetters
) -> Iterator[tuple[int, _Cells]]:
    """Yield the id of each dead letter of a partition, and the masked cells of its row."""
    table = vendor_run.vendor.table(partition.table)
    wanted = {(letter["part"], letter["row_number"]): letter for letter in dead_letters}
    unreadable = [letter for letter in dead_letters if letter["part"] == "dead.jsonl"]
    lines = partition.read_dead_lines() if unreadable else []
    for letter in unreadable:
        row = load(lines[letter["row_number"]])["row"]
        yield letter["dead_letter_id"], _mask_unreadable(table, row or {}, letter["reasons"])
    if len(unreadable) == len(dead_letters):
        return
    names = staged_schema(table).names
    for faults, rows in partition.refused_rows(names):
        for fault, row in zip(faults.to_pylist(), rows.to_pylist(), strict=True):
            if found := wanted.get((fault["part"], fault["row_number"])):
                bad = {find_expected_column(each, names) for each in fault["expectations"]}
                yield found["dead_letter_id"], _mask_staged(table, row, bad)


def _mask_unreadable(table: Table, row: dict[str, Any], reasons: Sequence[str]) -> _Cells:
    """Mask a row in the vendor's notation. A reason names the vendor's field: `<field>: ...`."""
    bad = {reason.partition(":")[0] for reason in reasons}
    columns = {column.source: column for column in table.columns}
    missing = [name for name in columns if name in bad and name not in row]
    cells = []
    for name in [*(name for name in row if name in columns), *missing]:
        column = columns[name]
        is_shown = _is_plain(column.type) or name in bad
        cells.append(_cell(name, row.get(name), is_key=column.name in table.key, is_shown=is_shown, is_bad=name in bad))
    return cells


def _mask_staged(table: Table, row: dict[str, Any], bad: set[str]) -> _Cells:
    """Mask a row that was read, and that validation refused."""
    shown = {column.name for column in table.columns if _is_plain(column.type)}
    shown |= {f"{column.name}_last4" for column in table.columns if column.kind == "sensitive"}
    return [
        _cell(name, value, is_key=name in table.key, is_shown=name in shown or name in bad, is_bad=name in bad)
        for name, value in row.items()
    ]


def _is_plain(type_name: str) -> bool:
    return type_name in (INTEGER, BOOLEAN) or type_name.startswith("decimal")


def _cell(name: str, value: Any, *, is_key: bool, is_shown: bool, is_bad: bool) -> dict[str, Any]:
    text = "" if value is None else value if isinstance(value, str) else dump(value).decode().strip('"')
    return {"name": name, "text": _mask(text, is_key=is_key, is_shown=is_shown)[:_LONGEST], "is_bad": is_bad}


def _mask(text: str, *, is_key: bool, is_shown: bool) -> str:
    if described := describe_token(text):
        return described
    if is_key:
        return text
    return _LONG_NUMBER.sub(r"****\1", str(mask_digits(text))) if is_shown else describe_shape(text)
