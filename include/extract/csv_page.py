"""A downloaded CSV file to typed Arrow rows, piece by piece; a number is one in US notation."""

from __future__ import annotations

import codecs
import csv
import io
import zipfile
import zlib
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from include.contract import BOOLEAN, INTEGER, Column
from include.contract.limits import DEFAULT
from include.errors import SchemaDrift, VendorUnavailable
from include.extract.bounded import read_member
from include.extract.number import WIRE, read_integers, shape
from include.extract.page import Page, PageReader

_PIECE_ROWS = 20_000
# Of a file, in bytes: its header is in there.
_HEAD = 65_536
# Of a header that is shown: how many names, and characters of each.
_MOST_NAMES, _NAME_LENGTH = 100, 60
_WORDS = {"true": "true", "1": "true", "false": "false", "0": "false"}
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError)


class CsvReader(PageReader):
    """Reads the files of one table; a header is the vendor's own name of a field."""

    def read_file(self, content: bytes, most_bytes: int = DEFAULT.expanded_bytes) -> Iterator[Page]:
        """Yields a file's rows as pages, in order.

        Raises:
            VendorUnavailable: It is neither CSV nor a whole ZIP archive of one file.
            SchemaDrift: Its first line is not the header that is declared, or a line has more or fewer cells.
            LimitExceeded: The file in the archive has more than `most_bytes`.
        """
        text = self._unzipped(content, most_bytes)
        if text.count(b'"') % 2:  # they come in pairs (RFC 4180): the rest of a cut file would be one cell
            raise self._broken("The file is cut short inside a text", content)
        header = _header_of(text)
        if header is None:
            raise self._broken("The file is no CSV in UTF-8", content)
        self._check_header(header)
        rows = self._named(self._cells(text, header), header)
        self._unseen -= set(header)
        undeclared = frozenset(set(header) - self._declared - {""})
        staged = [col for col in self.table.columns if col.kind != "ignored" and col.source in header]
        for start in range(0, max(rows.num_rows, 1), _PIECE_ROWS):
            page = self._piece(rows.slice(start, _PIECE_ROWS), staged)
            yield Page(page.rows, page.dead, undeclared)

    def _check_header(self, header: list[str]) -> None:
        """Refuses a header that lacks a required column, or any column where it has one that nobody declared."""
        staged = {col.source: col.required for col in self.table.columns if col.kind != "ignored"}
        names, known = set(header) - {""}, set(header) & self._declared
        if len(names) < len([name for name in header if name]):
            raise self._drift("The report names a column twice", header)
        if not known:
            raise self._drift(_guess(header, self._declared), header)
        missing = set(staged) - names
        if any(staged[name] for name in missing):
            raise self._drift("Required columns are not in the report: renamed or removed?", header)
        if missing and names - self._declared:
            raise self._drift("Columns are not in the report, and others are: renamed?", header)

    def _cells(self, text: bytes, header: list[str]) -> pa.Table:
        """Reads all cells as texts; a line of more or fewer cells than the header is cut off, or a footer."""
        odd: list[pv.InvalidRow] = []

        def skip(row: pv.InvalidRow) -> str:
            odd.append(row)
            return "skip"

        parsing = pv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip)
        # The names that the file itself gives are not read: two may be alike, or empty.
        names = [str(place) for place in range(len(header))]
        options = pv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        reading = pv.ReadOptions(column_names=names, use_threads=False)
        try:
            rows = pv.read_csv(pa.BufferReader(text), reading, parsing, options)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise self._broken("The file is no CSV in UTF-8", text) from error
        if len(odd) == 1 and not text.endswith((b"\n", b"\r")) and odd[0].actual_columns < len(header):
            raise self._broken("The file is cut short", text)
        if odd:
            raise SchemaDrift(
                "Lines of the report have more or fewer cells than its header: lines before or behind the table, or a comma"
                " outside of quotes?",
                **self._about, lines=len(odd), cells=odd[0].actual_columns, expected=len(header),
            )  # fmt: skip
        return rows.slice(1)

    def _named(self, rows: pa.Table, header: list[str]) -> pa.Table:
        """The columns by their names; one without a name is left out, if it is empty."""
        for place, name in enumerate(header):
            if not name and rows.column(place).null_count < rows.num_rows:
                raise self._drift("A column of the report has cells and no name", header)
        kept = [place for place, name in enumerate(header) if name]
        return rows.select(kept).rename_columns([header[place] for place in kept])

    @property
    def _about(self) -> dict[str, str]:
        return {"vendor": self._vendor, "table": self.table.name}

    def _broken(self, message: str, content: bytes) -> VendorUnavailable:
        return VendorUnavailable(message, **self._about, bytes=len(content))

    def _drift(self, message: str, header: list[str]) -> SchemaDrift:
        """What was expected, and what is there: by name where it looks like a header, else by its shape alone."""
        expected = [col.source for col in self.table.columns if col.kind != "ignored"]
        is_header = set(header) & self._declared or (
            len(header) * 2 >= len(expected) and not any(c.isnumeric() or c == "@" for c in "".join(header))
        )
        found = header if is_header else map(shape, header)
        listed = ",".join(name[:_NAME_LENGTH] for name in islice(found, _MOST_NAMES))
        return SchemaDrift(message, **self._about, expected=",".join(expected), found=listed)

    def _unzipped(self, content: bytes, most_bytes: int) -> bytes:
        if not content.startswith(b"PK"):
            return content
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                [name] = archive.namelist()
                with archive.open(name) as file:
                    return read_member(file, most_bytes, vendor=self._vendor, table=self.table.name)
        except _BROKEN as error:
            raise VendorUnavailable(
                "The archive is cut short, or holds not one file", vendor=self._vendor, table=self.table.name
            ) from error

    def _piece(self, rows: pa.Table, staged: list[Column]) -> Page:
        texts = {col.source: _plain(col, rows.column(col.source).combine_chunks()) for col in staged}
        try:
            given = [texts.get(field.name, pa.nulls(rows.num_rows)) for field in self._staged_wire]
            types = [pa.string() if field.type == WIRE else field.type for field in self._staged_wire]
            arrays = [values.cast(type_) for values, type_ in zip(given, types, strict=True)]
            names = [field.name for field in self._staged_wire]
            found, missing = self._converter.stage(pa.StructArray.from_arrays(arrays, names))
            if not missing:
                return Page(found, (), frozenset())
        except pa.ArrowException:
            pass
        return self._read_refused(_as_json(texts, staged))


def _header_of(text: bytes) -> list[str] | None:
    """The cells of the first line, less the blanks around them; None where it is no text, or a page of HTML."""
    try:
        head = codecs.getincrementaldecoder("utf-8-sig")().decode(text[:_HEAD])
        lines = filter(None, csv.reader(io.StringIO(head, newline="")))
        header = [name.strip() for name in next(lines, [])]
    except (UnicodeDecodeError, csv.Error):
        return None
    return None if not header or "\0" in "".join(header) or header[0].startswith("<") else header


def _guess(header: list[str], declared: set[str]) -> str:
    """Says why no name of a header may be known."""
    line = ",".join(header)
    for name, mark in (("semicolons", ";"), ("tabs", "\t"), ("bars", "|")):
        if {part.strip().strip('"') for part in line.split(mark)} & declared:
            return f"The report's cells are parted by {name}, expected commas"
    return "The first line of the report is not its header: other names, or lines before it?"


def _plain(col: Column, texts: pa.Array) -> pa.Array:
    """A whole number without its commas; every other cell as it is: a decimal is read with its page."""
    return read_integers(texts) if col.type == INTEGER else texts


def _as_json(texts: dict[str, pa.Array], staged: list[Column]) -> bytes:
    """The rows as JSON, decimals as the texts that they are: for the slow road, which names what is wrong."""
    fields = []
    for col in staged:
        values = texts[col.source].to_pylist()
        if col.type == BOOLEAN:
            values = [_fragment(_WORDS.get((value or "").lower()), value) for value in values]
        elif col.type == INTEGER:
            looks = pc.match_substring_regex(texts[col.source], r"^-?\d+$").to_pylist()
            values = [_fragment(str(Decimal(v)) if ok else None, v) for v, ok in zip(values, looks, strict=True)]
        fields.append(values)
    names = [col.source for col in staged]
    return orjson.dumps([dict(zip(names, row, strict=True)) for row in zip(*fields, strict=True)])


def _fragment(json_text: str | None, text: str | None) -> object:
    """What stands in JSON for a cell: its value where it is one, else its text, of which somebody is told."""
    return text if json_text is None else orjson.Fragment(json_text)
