"""Every report of every vendor, with its header and lines changed as exports are: the same rows, or drift; never fewer rows."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from typing import Any

import pytest

from include.contract import BOOLEAN, DATE, INTEGER, TIMESTAMP, Report, Table, Vendor
from include.errors import SchemaDrift
from include.extract.csv_page import CsvReader
from include.vendors import VENDORS
from tests.extract.vendor_server import REDACTOR

REPORTS = [(vendor, table) for vendor in VENDORS for table in vendor.tables if isinstance(table.shape, Report)]
CELLS = {BOOLEAN: "true", DATE: "11/20/2026", INTEGER: "{n}", TIMESTAMP: "2026-11-20T10:00:00Z"}


def cell(type_: str, n: int) -> str:
    text = f"{n},234.50" if type_.startswith("decimal") else CELLS.get(type_, "text, {n}")
    return text.format(n=n)


def lines_of(table: Table) -> list[list[str]]:
    """Return a header and five rows."""
    rows = [[cell(col.type, n) for col in table.columns] for n in range(1, 6)]
    return [[col.source for col in table.columns], *rows]


def written(lines: list[list[str]], delimiter: str = ",", quoting: Any = csv.QUOTE_MINIMAL, end: str = "\n") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(lines)
    return file.getvalue()


def read(vendor: Vendor, table: Table, text: str) -> tuple[list[dict[str, Any]], int]:
    reader = CsvReader(table, REDACTOR, vendor.sentinels, vendor.zone, vendor.name)
    pages = list(reader.read_file(text.encode()))
    return [row for page in pages for row in page.rows.to_pylist()], sum(len(page.dead) for page in pages)


def changed(table: Table) -> Iterator[tuple[str, str]]:
    """Return the layouts in which a report may arrive, by name."""
    header, *rows = lines = lines_of(table)
    plain = written(lines)
    for place, name in enumerate(header):
        for other in (
            f"{name} USD",
            name.upper(),
            name.lower(),
            f" {name}",
            f"{name}  ",
            f"\u00a0{name}",
            "",
            name + "\u200b",
        ):
            yield f"{name!r} as {other!r}", written([[*header[:place], other, *header[place + 1 :]], *rows])
        yield f"{name!r} twice", written([[*line, line[place]] for line in lines])
        yield (
            f"{name!r} in place of another",
            written([[*header[:place], header[place - 1], *header[place + 1 :]], *rows]),
        )
        yield f"without {name!r}", written([[*line[:place], *line[place + 1 :]] for line in lines])
        yield f"without the name {name!r}", written([[*header[:place], *header[place + 1 :]], *rows])
    chance = random.Random(7)
    for n in range(20):
        order = chance.sample(range(len(header)), len(header))
        yield f"order {n}", written([[line[place] for place in order] for line in lines])
    for delimiter in ";\t|^":
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
            yield f"delimiter {delimiter!r} {quoting}", written(lines, delimiter, quoting)
            yield f"header alone, delimiter {delimiter!r} {quoting}", written([header], delimiter, quoting)
    for mark in ("", "\ufeff"):
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
            for end in ("\n", "\r\n", "\r"):
                for before in ("", end, end * 2):
                    yield (
                        f"layout {mark!r} {quoting} {end!r} {before!r}",
                        mark + before + written(lines, ",", quoting, end),
                    )
    width = len(header)
    for preamble in (
        ["Holdings"],
        ["As of", "11/20/2026"],
        ["Holdings", *[""] * (width - 1)],
        [""] * width,
        ["x"] * width,
    ):
        for end in ("\n", "\n\n", "\r\n"):
            yield f"preamble {preamble} {end!r}", ",".join(preamble) + end + plain
    for footer in (["Total"], ["5 rows", ""], ["Total", *[""] * (width - 1)], [""] * width, ["Total"] * (width + 1)):
        for before in ("", "\n"):
            yield f"footer {footer} {before!r}", plain + before + ",".join(footer) + "\n"
    yield "blanks behind each line", written([[*line, ""] for line in lines])
    yield "cells behind each line", written([[*header, ""], *([*row, "x"] for row in rows)])
    yield "no header", written(rows)
    yield "all renamed", written([[f"Column {n}" for n in range(width)], *rows])
    yield "all renamed, no row", written([[f"Column {n}" for n in range(width)]])
    yield "upper case", written([[name.upper() for name in header], *rows])
    yield "lower case", written([[name.lower() for name in header], *rows])
    yield "header twice", written([header, *lines])
    yield "header again at the end", written([*lines, header])


@pytest.mark.parametrize(("vendor", "table"), REPORTS, ids=lambda each: each.name)
def test_report_gives_the_same_rows_however_it_is_laid_out_or_is_drift(vendor: Vendor, table: Table) -> None:
    """An optional column that is missing is null in each row; a line that is not a row is a dead letter."""
    expected, _ = read(vendor, table, written(lines_of(table)))
    assert len(expected) == 5
    cases, refused = list(changed(table)), dict[str, str]()
    for name, text in cases:
        try:
            rows, dead = read(vendor, table, text)
        except SchemaDrift as drift:
            refused[name] = str(drift)
            continue
        assert len(rows) == 5, name
        assert dead in (0, 1), name
        if not name.startswith("without "):
            assert rows == expected, name
            continue
        lost = {col.name for col in table.columns if name == f"without {col.source!r}" and not col.required}
        for row, full in zip(rows, expected, strict=True):
            assert {key for key in row if row[key] != full[key]} <= lost | {
                f"{n}{part}" for n in lost for part in ("_hash", "_last4")
            }
    assert len(cases) > 200
    assert 0 < len(refused) < len(cases)
    assert not [name for name, message in refused.items() if " expected=" not in message]


def test_every_vendor_that_makes_reports_is_in_the_corpus() -> None:
    assert {vendor.name for vendor, _ in REPORTS} == {"tamarac"}
