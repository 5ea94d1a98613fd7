"""Read one page of JSON to typed Arrow rows, without a Python object per cell.

The fast path reads a whole page in one pass: `pyarrow.json` parses it with the explicit schema of the contract, and
`include.extract.columns` converts the values to their declared types, column by column. A page with an undeclared field or a bad
value takes the slow path. It bisects the page until each bad row is isolated. The bad rows become dead rows, whose reasons name the
fields that could not be read. A row that has only undeclared fields in place of the staged ones is bad, even if no field is required: it
is an error message of the vendor, for example.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from include.contract import INTEGER, STRING, Column, Table
from include.contract.arrow import arrow_type
from include.errors import VendorUnavailable
from include.extract import number
from include.extract.columns import ColumnConverter, wire_type
from include.extract.exact_json import dump, split_array
from include.sensitive import Redactor, mask_digits, mask_tax_ids, mask_values
from include.staging.row_key import format_keys

# Placeholder for a decimal that can't be read: a JSON value that is never a decimal.
REFUSED = False
# Maximum length of the name of an undeclared field.
_NAME_LENGTH = 200
# The beginning of a page shows whether it has blanks around colons: `{"id": 1}` or `{"id":1}`.
_SPACED = re.compile(rb'"(?:\s+:|:\s)')
_BEGINNING = 65_536
_FIELD = b'{"items":'
_FOREIGN = "absent, and the row has only undeclared fields: an error message in place of a row?"
# A number with a small exponent: read as `number.WIRE`, one of over 114 decimals makes Arrow 26 read memory that is not its own, and crash.
# Without the exponent it has at most 76, because Arrow refuses numbers of more digits first.
_TINY = re.compile(rb"[eE]-0*(?:[3-9]\d|\d{3,})[\s,}\]]")


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A row that could not be read, or that shares a key with a row that differs.

    Attributes:
        key: The row's key as text, in the format of `include.staging.row_key`; None if it can't be read.
        reasons: The faults, one per field, without the value.
        raw: The row as JSON text, with the declared fields only. Sensitive values are tokens, and tax ids are masked.
        place: Index of the row in its page, from 0; None if unknown.
    """

    key: str | None
    reasons: tuple[str, ...]
    raw: str
    place: int | None = None

    def line(self) -> bytes:
        """Return the row as a line of the file `dead.jsonl`: a JSON object with the fields key, reasons and row."""
        line = {"key": self.key, "reasons": self.reasons, "row": orjson.Fragment(self.raw)}
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one response, or of one piece of a file.

    Attributes:
        rows: The good rows, with the staged columns, in the vendor's order.
        dead: Rows that could not be read, or that share a key with another row and differ.
        undeclared: Names of fields that the contract does not declare.
        conflicting: The rows among the dead rows that share a key and differ, with the staged columns; None if there are none.
        absent: Declared fields, without the ignored ones, that no row of the response contained. Empty for a file, whose header is checked.
    """

    rows: pa.Table
    dead: tuple[DeadRow, ...]
    undeclared: frozenset[str]
    conflicting: pa.Table | None = None
    absent: frozenset[str] = frozenset()


class PageReader:
    """Reader for the pages of one table.

    Args:
        table: The table's declaration.
        redactor: Turns sensitive values into hashes and tokens.
        sentinels: Prefixes of date texts that mean null.
        zone: Time zone of times without an offset.
        vendor: Context for errors.
    """

    def __init__(
        self, table: Table, redactor: Redactor, sentinels: tuple[str, ...] = (), zone: str = "UTC", vendor: str = ""
    ) -> None:
        self.table = table
        self._vendor = vendor
        self._redactor = redactor
        self._converter = ColumnConverter(table, redactor, sentinels, zone)
        self.schema = self._converter.schema
        self._wire = pa.struct([(c.source, wire_type(c)) for c in table.columns])
        self._staged_wire = pa.struct([(c.source, wire_type(c)) for c in table.columns if c.kind != "ignored"])
        self._declared = {c.source for c in table.columns}
        self._decimals = [c for c in table.columns if c.type.startswith("decimal") and c.kind == "value"]
        self._staged = {c.source for c in table.columns if c.kind != "ignored"}
        self._unseen = set(self._staged)
        self._stated = {source for source in self._staged if source[0] not in "@^"}

    @property
    def unseen(self) -> set[str]:
        """Declared fields, without the ignored ones, that no page has contained so far."""
        return set(self._unseen)

    def read(self, body: bytes) -> Page:
        """Read one page: a JSON array of objects. Bad rows become dead rows of the result.

        Raises:
            VendorUnavailable: The body is not a JSON array (an HTML page, a truncated body).
        """
        absent = frozenset(field for field in self._staged if not _has_name(field, body))
        self._unseen &= absent
        if not body.lstrip().startswith(b"["):
            raise self._unreadable(body)
        try:
            rows, missing = self._converter.stage(self._parse_page(body))
        except pa.ArrowException:
            missing = True
        return replace(self._read_refused(body) if missing else Page(rows, (), frozenset()), absent=absent)

    def _parse_page(self, body: bytes) -> pa.StructArray:
        """Parse a page; a decimal field that the page writes as a JSON string is read as text.

        Otherwise Arrow would convert such a string by its own rules, not by those of `include.extract.number`. The beginning of the page
        shows which fields are strings. If the rows have as many texts as the page has strings, no other field is one.

        Raises:
            pa.ArrowException: A row is bad, has a field that is not declared, or may have a number that Arrow must not read.
        """
        if (b"e-" in body or b"E-" in body) and _TINY.search(body):  # the pattern alone takes longer
            raise pa.ArrowInvalid("a number may have more decimals than Arrow can read")
        beginning = body[:_BEGINNING]
        is_spaced = _SPACED.search(beginning) is not None
        texts = self._find_texts(beginning, is_spaced)
        with suppress(pa.ArrowException):  # it is raised again below, unless another field turns out to be a string
            rows = self._parse(body, self._read_as(texts), "error")
            strings = body.count(b':"') + body.count(b': "')
            if sum(len(a) - a.null_count for a in rows.flatten() if pa.types.is_string(a.type)) == strings:
                return rows
        return self._parse(body, self._read_as(self._find_texts(body, is_spaced)), "error")

    def _find_texts(self, body: bytes, is_spaced: bool) -> set[str]:
        """Return the decimal fields that are JSON strings."""
        names = [(col.source, b'"%s"' % col.source.encode()) for col in self._decimals]
        return {
            name
            for name, field in names
            if field + b':"' in body
            or field + b': "' in body
            or (is_spaced and re.search(re.escape(field) + rb'\s*:\s*"', body))
        }

    def _read_as(self, texts: set[str]) -> pa.StructType:
        """Return the types in which to read a page, with some fields as texts."""
        return (
            pa.struct([(f.name, pa.string() if f.name in texts else f.type) for f in self._wire])
            if texts
            else self._wire
        )

    def _parse(self, body: bytes, fields: pa.StructType, unexpected: Literal["error", "ignore"]) -> pa.StructArray:
        """Parse an array of objects into these fields.

        Args:
            body: The JSON array.
            fields: Names and types of the fields.
            unexpected: Whether a field that is not in `fields` is an error or ignored.

        Raises:
            pa.ArrowException: The body is not valid, a value does not fit its type, or there is an unexpected field.
        """
        data = _wrap(body)
        options = pj.ParseOptions(
            explicit_schema=pa.schema([("items", pa.list_(fields))]),
            unexpected_field_behavior=unexpected,
            # Support for line breaks between values is slow, so enable it only if the body contains any (strings escape theirs).
            newlines_in_values=b"\n" in body,
        )
        read = pj.read_json(
            pa.BufferReader(data),
            read_options=pj.ReadOptions(use_threads=False, block_size=data.size + 1),
            parse_options=options,
        )
        return read.column("items").combine_chunks().flatten()

    # --- the slow path: a page with unexpected content ---

    def _read_refused(self, body: bytes) -> Page:
        try:
            texts, objects = split_array(body)
        except (ValueError, IndexError, RecursionError) as error:
            raise self._unreadable(body) from error
        numbers = self._numbers(objects)
        refused = {n for n, changed in numbers.items() if any(value is REFUSED for value in changed.values())}
        refused |= {n for n, row in enumerate(objects) if isinstance(row, dict) and self._is_foreign(row)}
        texts = [
            _replace_numbers(text, row, numbers.get(n))
            for n, (text, row) in enumerate(zip(texts, objects, strict=True))
        ]
        undeclared = {name for row in objects if isinstance(row, dict) for name in row} - self._declared
        undeclared = {_clean_name(name) for name in undeclared}
        good: list[pa.Table] = []
        dead: list[int] = []
        self._bisect(texts, [n for n in range(len(texts)) if n not in refused], good, dead)
        rows = pa.concat_tables(good) if good else self.schema.empty_table()
        places = sorted({*dead, *refused})
        dead_rows = tuple(replace(self._make_dead_row(objects[n], numbers.get(n, {})), place=n) for n in places)
        return Page(rows, dead_rows, frozenset(undeclared))

    def _numbers(self, rows: Sequence[object]) -> dict[int, dict[str, object]]:
        """Convert the decimals that Arrow must not read: numbers in JSON strings, and those with over 38 decimals.

        Returns:
            Row index -> field -> converted value, or `REFUSED` if the value is invalid. Only rows with such a decimal are included.
        """
        changed: dict[int, dict[str, object]] = {}
        for col in self._decimals:
            target, values = arrow_type(col.type), [r.get(col.source) if isinstance(r, dict) else None for r in rows]
            texts = number.texts_of(values)
            if texts.null_count < len(texts):
                read = number.read_texts(texts, target, is_rounded=col.rounded).to_pylist()
                for n in pc.indices_nonzero(texts.is_valid()).to_pylist():
                    changed.setdefault(n, {})[col.source] = REFUSED if read[n] is None else read[n]
            for n, value in enumerate(values):
                if number.is_long(value):
                    near = number.nearest(value, target)
                    is_refused = near is None or not (col.rounded or near == value)
                    changed.setdefault(n, {})[col.source] = REFUSED if is_refused else near
        return changed

    def _unreadable(self, body: bytes) -> VendorUnavailable:
        return VendorUnavailable(
            "The response is not a JSON array; the body may be cut short",
            vendor=self._vendor or None,
            table=self.table.name,
            bytes=len(body),
        )

    def _bisect(self, texts: list[str], places: list[int], good: list[pa.Table], dead: list[int]) -> None:
        """Read rows; if that fails, read each half of them, and so on, until each part can be read or is one bad row.

        Args:
            texts: JSON text of every row of the page.
            places: Indexes of the rows to read.
            good: Receives the rows that can be read, in order.
            dead: Receives the indexes of the bad rows.
        """
        if not places:
            return
        rows = self._read_rows([texts[n] for n in places])
        if rows is not None:
            good.append(rows)
        elif len(places) == 1:
            dead += places
        else:
            middle = len(places) // 2
            self._bisect(texts, places[:middle], good, dead)
            self._bisect(texts, places[middle:], good, dead)

    def _read_rows(self, texts: Iterable[str]) -> pa.Table | None:
        """Return the staged rows of these JSON texts; None if one of the rows is bad."""
        try:
            body = b"[" + ",".join(texts).encode() + b"]"
            rows, missing = self._converter.stage(self._parse(body, self._staged_wire, "ignore"))
        except pa.ArrowException:
            return None
        return None if missing else rows

    def _make_dead_row(self, row: object, numbers: dict[str, object]) -> DeadRow:
        if not isinstance(row, dict):
            return DeadRow(None, ("the row is not an object",), "null")
        staged = [col for col in self.table.columns if col.kind != "ignored"]
        faults = self._faults(row, numbers)
        own = [str(row[col.source]) for col in staged if col.is_secret and row.get(col.source) is not None]
        raw: dict[str, object] = {}
        for col in staged:
            if col.source not in row:
                continue
            value = row[col.source]
            if isinstance(value, str) and numbers.get(col.source, REFUSED) is not REFUSED:
                value = numbers[col.source]
            if col.is_secret and value is not None:
                raw[col.source] = (
                    self._redactor.token_key(value)
                    if col.hashed
                    else self._redactor.token(value, has_form=col.has_form)
                )
            else:
                mask = mask_digits if col.name in faults else mask_values
                raw[col.source] = mask(value, *(own if self.table.has_free_text(col) else ()))
        key = None if faults.keys() & set(self.table.key) else self._read_key(row)
        return DeadRow(key, tuple(faults.values()) or ("the row could not be read",), _to_json(raw))

    def _read_key(self, row: dict[str, object]) -> str:
        """Return the key of a row as text; all key columns of the row must be readable."""
        columns = [self.table.named(name) for name in self.table.key]
        read = self._parse(
            b"[" + _to_json({col.source: row.get(col.source) for col in columns}).encode() + b"]",
            self._staged_wire,
            "ignore",
        )
        values = {col.name: self._converter.convert(col, read.field(col.source)) for col in columns}
        return str(format_keys(pa.table(values), self.table.key)[0].as_py())

    def _is_foreign(self, row: dict[str, object]) -> bool:
        """Return whether a row has undeclared fields and none of the staged fields that the vendor sends."""
        return not (row.keys() & self._stated or row.keys() <= self._declared)

    def _faults(self, row: dict[str, object], numbers: dict[str, object]) -> dict[str, str]:
        """Return the faults of a row: staged column name -> reason. A reason never contains the value."""
        if self._is_foreign(row):
            return {c.name: f"{c.source}: {_FOREIGN}" for c in self.table.columns if c.source in self._stated}
        refused = {source for source, value in numbers.items() if value is REFUSED}
        staged = [col for col in self.table.columns if col.kind != "ignored"]
        others = _to_json({name: value for name, value in (row | numbers).items() if name not in refused})
        is_rest_good = bool(refused) and self._read_rows([others]) is not None
        faults: dict[str, str] = {}
        for col in staged:
            value = row.get(col.source)
            if value is None:
                if col.required:
                    faults[col.name] = f"{col.source}: missing"
            elif col.source in refused or not (is_rest_good or self._is_readable(col, numbers.get(col.source, value))):
                faults[col.name] = f"{col.source}: {self._reason(col, value)}"
        return faults

    def _is_readable(self, col: Column, value: object) -> bool:
        body = b"[" + _to_json({col.source: value}).encode() + b"]"
        try:
            self._converter.convert(col, self._parse(body, self._staged_wire, "ignore").field(col.source))
        except pa.ArrowException:
            return False
        return True

    def _reason(self, col: Column, value: object) -> str:
        if col in self._decimals:
            return number.fault(value, col.type, arrow_type(col.type))
        if col.type == INTEGER and isinstance(value, str):
            return f"not {col.type}: {number.shape(value)}"
        return f"not {'a key' if col.type == STRING and col.name in self.table.key else col.type}"


def _has_name(name: str, body: bytes) -> bool:
    """Return whether JSON contains a field of this name. A value that reads like the name does not count."""
    quoted = b'"%s"' % name.encode()
    return quoted in body and (quoted + b":" in body or re.search(re.escape(quoted) + rb"\s+:", body) is not None)


class _Scratch(threading.local):
    """Memory of a thread that holds one page at a time. New memory for each page would take longer than the copy itself."""

    memory = bytearray()


_scratch = _Scratch()


def _wrap(array: bytes) -> pa.Buffer:
    """Return an object that has a JSON array as its field `items`. The thread's next call overwrites it: Arrow has copied the values by then."""
    end = len(_FIELD) + len(array)
    if len(_scratch.memory) <= end:
        _scratch.memory = bytearray(end + 1)
        _scratch.memory[: len(_FIELD)] = _FIELD
    _scratch.memory[len(_FIELD) : end] = array
    _scratch.memory[end] = ord("}")
    return pa.py_buffer(memoryview(_scratch.memory)[: end + 1])


def _replace_numbers(text: str, row: object, numbers: dict[str, object] | None) -> str:
    """Return the JSON text of a row with its numbers replaced by the converted ones; the text unchanged if there are none."""
    return _to_json(row | numbers) if numbers and isinstance(row, dict) else text


def _clean_name(name: str) -> str:
    """Return a field's name in a form that the database and a page can show: valid UTF-8, without NUL or tax id, limited in length."""
    return mask_tax_ids(name.encode("utf-8", "replace").decode().replace("\0", "?"))[:_NAME_LENGTH]


def _to_json(row: dict[str, object]) -> str:
    return dump(row).decode()
