"""A downloaded CSV file to typed Arrow rows, piece by piece; numbers may carry thousands commas, dollars and percent signs."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from decimal import Decimal

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from include.contract import BOOLEAN, DATE, STRING, TIMESTAMP, Column
from include.errors import VendorUnavailable
from include.extract.bounded import read_member
from include.extract.page import Page, PageReader, wire_type
from include.limits import DEFAULT

_PIECE_ROWS = 20_000
_NUMBER = r"^-?\d+(\.\d+)?$"
_WORDS = {"true": "true", "1": "true", "false": "false", "0": "false"}
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError)


class CsvReader(PageReader):
    """Reads the files of one table; a header is the vendor's own name of a field."""

    def read_file(self, content: bytes, most_bytes: int = DEFAULT.expanded_bytes) -> Iterator[Page]:
        """Yields a file's rows as pages, in order.

        Raises:
            VendorUnavailable: It is neither CSV nor a whole ZIP archive of one file.
            LimitExceeded: The file in the archive has more than `most_bytes`.
        """
        text = self._unzipped(content, most_bytes)
        if text.count(b'"') % 2:  # they come in pairs (RFC 4180): the rest of a cut file would be one cell
            raise VendorUnavailable("The file is cut short inside a text", vendor=self._vendor, table=self.table.name)
        try:
            header = pv.open_csv(pa.BufferReader(text)).schema.names
            options = pv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
            )
            rows = pv.read_csv(pa.BufferReader(text), convert_options=options, parse_options=_PARSE)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise VendorUnavailable(
                "The file is no CSV, or is cut short", vendor=self._vendor, table=self.table.name, bytes=len(content)
            ) from error
        if len(set(header)) < len(header):
            raise VendorUnavailable("The file names a column twice", vendor=self._vendor, table=self.table.name)
        self._unseen -= set(header)
        undeclared = frozenset(set(header) - self._declared)
        staged = [col for col in self.table.columns if col.kind != "ignored" and col.source in header]
        for start in range(0, max(rows.num_rows, 1), _PIECE_ROWS):
            page = self._piece(rows.slice(start, _PIECE_ROWS), staged)
            yield Page(page.rows, page.dead, undeclared)

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
            arrays = [values.cast(field.type) for values, field in zip(given, self._staged_wire, strict=True)]
            found, missing = self._staged(pa.StructArray.from_arrays(arrays, fields=list(self._staged_wire)))
            if not missing:
                return Page(found, (), frozenset())
        except pa.ArrowException:
            pass
        return self._read_refused(_as_json(texts, staged))


_PARSE = pv.ParseOptions(newlines_in_values=True)


def _plain(col: Column, texts: pa.Array) -> pa.Array:
    """A number without its ornaments, `(12.50)` as `-12.50`; a text as it is."""
    if col.type in (STRING, DATE, TIMESTAMP, BOOLEAN):
        return texts
    bare = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), r"[$,%]", "")
    return pc.replace_substring_regex(bare, r"^\((.*)\)$", r"-\1")


def _as_json(texts: dict[str, pa.Array], staged: list[Column]) -> bytes:
    """The rows as JSON, where a number is one if it looks like one: for the slow road, which names what is wrong."""
    fields = []
    for col in staged:
        values = texts[col.source].to_pylist()
        if wire_type(col) == pa.bool_():
            values = [_fragment(_WORDS.get((value or "").lower()), value) for value in values]
        elif wire_type(col) != pa.string():
            looks = pc.match_substring_regex(texts[col.source], _NUMBER).to_pylist()
            values = [_fragment(str(Decimal(v)) if ok else None, v) for v, ok in zip(values, looks, strict=True)]
        fields.append(values)
    names = [col.source for col in staged]
    return orjson.dumps([dict(zip(names, row, strict=True)) for row in zip(*fields, strict=True)])


def _fragment(json_text: str | None, text: str | None) -> object:
    """What stands in JSON for a cell: its value where it is one, else its text, of which somebody is told."""
    return text if json_text is None else orjson.Fragment(json_text)
