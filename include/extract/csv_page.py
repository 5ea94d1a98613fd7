"""Read a downloaded CSV file to typed Arrow rows, in pieces of 20,000 rows. Numbers are in US notation."""

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
# Maximum bytes at the start of a file in which the header is read.
_HEAD = 65_536
# Maximum number of header names in an error, and maximum characters of each.
_MOST_NAMES, _NAME_LENGTH = 100, 60
_WORDS = {"true": "true", "1": "true", "false": "false", "0": "false"}
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError)


class CsvReader(PageReader):
    """Reader for the CSV files of one table, whose header contains the vendor's field names."""

    def read_file(self, content: bytes, most_bytes: int = DEFAULT.expanded_bytes) -> Iterator[Page]:
        """Yield a file's rows as pages, in order.

        Args:
            content: A CSV file in UTF-8, or a ZIP archive of one such file.
            most_bytes: Maximum bytes of the file in an archive.

        Raises:
            VendorUnavailable: The content is neither CSV nor a ZIP archive of one file, or it is cut short.
            SchemaDrift: The first line is not the declared header, or a line has more or fewer cells than the header.
            LimitExceeded: The file in the archive has more than `most_bytes`.
        """
        text = self._unzip(content, most_bytes)
        if text.count(b'"') % 2:  # quotes come in pairs (RFC 4180); else the rest of the file would be one cell
            raise self._make_unavailable("The file is cut short inside a quoted cell", content)
        header = _read_header(text)
        if header is None:
            raise self._make_unavailable("The file is no CSV in UTF-8", content)
        self._check_header(header)
        rows = self._name_columns(self._read_cells(text, header), header)
        self._unseen -= set(header)
        undeclared = frozenset(set(header) - self._declared - {""})
        staged = [col for col in self.table.columns if col.kind != "ignored" and col.source in header]
        for start in range(0, max(rows.num_rows, 1), _PIECE_ROWS):
            page = self._read_piece(rows.slice(start, _PIECE_ROWS), staged)
            yield Page(page.rows, page.dead, undeclared)

    def _check_header(self, header: list[str]) -> None:
        """Raise SchemaDrift if the header differs too much from the declaration.

        This is the case if the header

        - contains a name twice;
        - contains no declared name;
        - lacks a required column;
        - lacks an optional column and contains an undeclared one, because the column was probably renamed.
        """
        staged = {col.source: col.required for col in self.table.columns if col.kind != "ignored"}
        names, known = set(header) - {""}, set(header) & self._declared
        if len(names) < len([name for name in header if name]):
            raise self._make_drift("The report names a column twice", header)
        if not known:
            raise self._make_drift(_guess_header_fault(header, self._declared), header)
        missing = set(staged) - names
        if any(staged[name] for name in missing):
            raise self._make_drift("Required columns are missing from the report: renamed or removed?", header)
        if missing and names - self._declared:
            raise self._make_drift("Columns are missing from the report, and it has undeclared ones: renamed?", header)

    def _read_cells(self, text: bytes, header: list[str]) -> pa.Table:
        """Return all cells below the header as text; the columns are named 0, 1, ...

        Raises:
            VendorUnavailable: The content is not CSV in UTF-8, or its last line is cut short.
            SchemaDrift: Lines have more or fewer cells than the header (a footer, for example).
        """
        odd: list[pv.InvalidRow] = []

        def skip(row: pv.InvalidRow) -> str:
            odd.append(row)
            return "skip"

        parsing = pv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip)
        # Don't read names from the file: they may repeat or be empty.
        names = [str(place) for place in range(len(header))]
        options = pv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        reading = pv.ReadOptions(column_names=names, use_threads=False)
        try:
            rows = pv.read_csv(pa.BufferReader(text), reading, parsing, options)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise self._make_unavailable("The file is no CSV in UTF-8", text) from error
        if len(odd) == 1 and not text.endswith((b"\n", b"\r")) and odd[0].actual_columns < len(header):
            raise self._make_unavailable("The file is cut short", text)
        if odd:
            raise SchemaDrift(
                "Lines of the report have more or fewer cells than its header: lines before or after the table, or an unquoted comma?",
                **self._about, lines=len(odd), cells=odd[0].actual_columns, expected=len(header),
            )  # fmt: skip
        return rows.slice(1)

    def _name_columns(self, rows: pa.Table, header: list[str]) -> pa.Table:
        """Rename the columns to their names in the header; drop columns without a name, which must be empty (else SchemaDrift)."""
        for place, name in enumerate(header):
            if not name and rows.column(place).null_count < rows.num_rows:
                raise self._make_drift("A column of the report has cells and no name", header)
        columns = [place for place, name in enumerate(header) if name]
        return rows.select(columns).rename_columns([header[place] for place in columns])

    @property
    def _about(self) -> dict[str, str]:
        return {"vendor": self._vendor, "table": self.table.name}

    def _make_unavailable(self, message: str, content: bytes) -> VendorUnavailable:
        return VendorUnavailable(message, **self._about, bytes=len(content))

    def _make_drift(self, message: str, header: list[str]) -> SchemaDrift:
        """Return an error with the expected and the actual column names.

        If the line does not look like a header, it may be data. The error then contains its cells with masked letters and digits.
        """
        expected = [col.source for col in self.table.columns if col.kind != "ignored"]
        is_header = set(header) & self._declared or (
            len(header) * 2 >= len(expected) and not any(c.isnumeric() or c == "@" for c in "".join(header))
        )
        found = header if is_header else map(shape, header)
        listed = ",".join(name[:_NAME_LENGTH] for name in islice(found, _MOST_NAMES))
        return SchemaDrift(message, **self._about, expected=",".join(expected), found=listed)

    def _unzip(self, content: bytes, most_bytes: int) -> bytes:
        if not content.startswith(b"PK"):
            return content
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                [name] = archive.namelist()
                with archive.open(name) as file:
                    return read_member(file, most_bytes, vendor=self._vendor, table=self.table.name)
        except _BROKEN as error:
            raise VendorUnavailable(
                "The archive is cut short, or does not contain exactly one file",
                vendor=self._vendor,
                table=self.table.name,
            ) from error

    def _read_piece(self, rows: pa.Table, staged: list[Column]) -> Page:
        texts = {col.source: _strip_commas(col, rows.column(col.source).combine_chunks()) for col in staged}
        try:
            columns = [texts.get(field.name, pa.nulls(rows.num_rows)) for field in self._staged_wire]
            types = [pa.string() if field.type == WIRE else field.type for field in self._staged_wire]
            arrays = [values.cast(type_) for values, type_ in zip(columns, types, strict=True)]
            names = [field.name for field in self._staged_wire]
            found, missing = self._converter.stage(pa.StructArray.from_arrays(arrays, names))
            if not missing:
                return Page(found, (), frozenset())
        except pa.ArrowException:
            pass
        return self._read_refused(_dump_rows(texts, staged))


def _read_header(text: bytes) -> list[str] | None:
    """Return the stripped cells of the first line that is not empty; None if the content is not CSV in UTF-8 (HTML, for example)."""
    try:
        head = codecs.getincrementaldecoder("utf-8-sig")().decode(text[:_HEAD])
        lines = filter(None, csv.reader(io.StringIO(head, newline="")))
        header = [name.strip() for name in next(lines, [])]
    except (UnicodeDecodeError, csv.Error):
        return None
    return None if not header or "\0" in "".join(header) or header[0].startswith("<") else header


def _guess_header_fault(header: list[str], declared: set[str]) -> str:
    """Return the likely reason why a header contains no declared name, as the message of an error."""
    line = ",".join(header)
    for name, mark in (("semicolons", ";"), ("tabs", "\t"), ("bars", "|")):
        if {part.strip().strip('"') for part in line.split(mark)} & declared:
            return f"The report's cells are separated by {name}, expected commas"
    return "The first line of the report is not its header: other names, or lines before it?"


def _strip_commas(col: Column, texts: pa.Array) -> pa.Array:
    """Return the cells of a column without the thousands separators of integers; other columns unchanged (decimals are parsed later)."""
    return read_integers(texts) if col.type == INTEGER else texts


def _dump_rows(texts: dict[str, pa.Array], staged: list[Column]) -> bytes:
    """Convert rows to a JSON array, with decimals as strings, for the slow path that finds the faults of each row."""
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
    """Return a cell as a value that `orjson` can serialize.

    If the cell has a `json_text`, it is written as it is, without quotes. Otherwise the cell is not valid: its original text becomes a
    string, which staging reports as a fault of the row.
    """
    return text if json_text is None else orjson.Fragment(json_text)
