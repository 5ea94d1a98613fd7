"""Check the rows of one vendor's files against its declaration and suites, as a run reads them, and find the line of each fault."""

from __future__ import annotations

import csv
import difflib
import io
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property

import pyarrow as pa

from include.contract import INTEGER, STRING, TIMESTAMP, Column, FanOut, Nested, Report, Table, Vendor
from include.extract.csv_page import CsvReader
from include.extract.exact_json import dump
from include.extract.flatten import flatten_row
from include.extract.nested import list_nested_rows
from include.extract.number import shape
from include.extract.page import DeadRow, Page
from include.extract.pull import find_missing_fields
from include.sensitive import Redactor
from include.staging.row_key import format_keys
from include.validation.check import Validator
from include.validation.suite import read_suite
from include.validation.view import view
from local.own_data.forms import describe_expectation, describe_type
from sandbox.own_data import Faults, Row, show

_COUNTS = {"result_format": "BASIC"}
_PLACES = {"result_format": "COMPLETE", "include_unexpected_rows": False, "return_unexpected_index_query": False}
_FILLED = {INTEGER: 0, TIMESTAMP: "2000-01-01T00:00:00Z"}
_UNREADABLE = "an object whose fields have their declared types"
_UNIQUE = "a key that no other row has, unless it is equal"
Line = tuple[int, Row]


@dataclass
class _State:
    """The state of a table's check after the rows so far.

    Attributes:
        file: The file, for faults.
        reader: The reader of the rows; it knows which fields no row has.
        undeclared: Fields that are not declared.
        keys: Day and key -> line and content of the first row.
        values: Texts of the first key column, to which other tables refer.
        references: Column -> value -> its first line.
        money: Day and key -> line and money, for a table whose money the rows of another table add up to.
        sums: Day and value of the column in `Table.agrees` -> sum of the money.
        spoiled: Values of that column in rows with a fault.
    """

    file: str
    reader: CsvReader
    undeclared: set[str] = field(default_factory=set)
    keys: dict[tuple[date | None, str], tuple[int, int]] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)
    references: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    money: dict[tuple[date | None, str], tuple[int, Decimal]] = field(default_factory=dict)
    sums: dict[tuple[date | None, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    spoiled: set[str] = field(default_factory=set)


@dataclass
class _Read:
    """One row in the form that a run reads: its line, its day, the fields of the line, its flat fields, and whether it has a fault."""

    line: int
    day: date | None
    fields: frozenset[str]
    row: Row
    is_faulty: bool = False


class VendorRows:
    """The rows of one vendor's files.

    Args:
        vendor: The declaration.
        faults: Receives the faults.
        last_day: The last day of all data; None if no row has a day.
        now: The time at which the data counts as loaded.
    """

    def __init__(self, vendor: Vendor, faults: Faults, last_day: date | None, now: datetime) -> None:
        self._vendor, self._faults, self._last_day, self._now = vendor, faults, last_day, now
        self._anchors = {"business_date": last_day or now.date(), "extracted_at": now.date()}
        self._states: dict[str, _State] = {}

    @cached_property
    def _validator(self) -> Validator:
        return Validator()

    def add(self, table: Table, file: str, lines: Sequence[tuple[int, date | None, Row]]) -> None:
        """Check some rows of a table: line, day and row of each."""
        rows = [
            _Read(line, day, frozenset(row), self._fill(table, row, each, number))
            for number, (line, day, row) in enumerate(lines)
            for each in _unwrap(table, row)
        ]
        self._check(table, file, rows)

    def finish(self) -> None:
        """After the last row, add the faults of whole tables: missing fields, references to missing rows, and sums that differ."""
        for name, state in self._states.items():
            table = self._vendor.table(name)
            self._find_missing(table, state)
            for column, parent in table.references.items():
                self._find_orphans(table, state, column, parent)
            if table.agrees and table.agrees[1] in self._states:
                self._compare_sums(table, state)

    def _fill(self, table: Table, row: Row, item: Row, number: int) -> Row:
        """Return a flat row with the fields that Tributary adds; those of the parent row are in the line if the sandbox needs them."""
        flat = flatten_row(item, table.skipped) if table.has_objects or isinstance(table.shape, FanOut) else dict(item)
        for col in table.columns:
            if col.source == "@requested_at":
                flat[col.source] = self._now.isoformat()
            elif col.source == "@nth":
                flat[col.source] = number
            elif col.source.startswith("@"):
                value = row.get(self._find_field(table, col))
                value = _FILLED.get(col.type, "0") if value is None else value
                flat[col.source] = str(value) if col.type == STRING else value
        return flat

    def _find_field(self, table: Table, col: Column) -> str:
        """Return the field of a line that holds a column: of a column of the parent row, the parent's own field."""
        while col.source.startswith("@") and table.parent:
            table = self._vendor.table(table.parent)
            found = next((each for each in table.columns if each.name == col.source[1:]), None)
            if found is None:
                break
            col = found
        return col.source

    def _check(self, table: Table, file: str, rows: list[_Read]) -> None:
        state = self._states.get(table.name) or self._states.setdefault(table.name, self._open(table, file))
        declared = {col.source for col in table.columns}
        state.undeclared |= {name for each in rows for name in each.row} - declared
        wire = [{name: value for name, value in each.row.items() if name in declared} for each in rows]
        page = _read_page(state.reader, table, wire)
        for dead in page.dead:
            self._add_dead(table, file, rows[dead.place or 0], dead)
        good = [each for each in rows if not each.is_faulty]
        if good:
            self._validate(table, file, page.rows, good)
            self._compare_keys(table, state, page.rows, good)
        self._remember(table, state, rows)
        for nested in self._vendor.tables:
            if isinstance(nested.shape, Nested) and nested.parent == table.name and good:
                inner = [
                    _Read(each.line, each.day, each.fields, row if isinstance(row, dict) else {})
                    for each, staged in zip(good, page.rows.to_pylist(), strict=True)
                    for row in list_nested_rows(nested, nested.shape, staged)
                ]
                for number, each in enumerate(inner):
                    each.row |= {"@nth": number} if any(col.source == "@nth" for col in nested.columns) else {}
                self._check(nested, file, inner)

    def _open(self, table: Table, file: str) -> _State:
        vendor = self._vendor
        redactor = Redactor(secrets.token_bytes(32))
        return _State(file, CsvReader(table, redactor, vendor.sentinels, vendor.zone, vendor.name))

    def _name(self, table: Table, col: Column) -> str:
        """Return a column's name in faults: the field of the line; of a nested row, with the fields that have the list."""
        if not isinstance(table.shape, Nested):
            return self._find_field(table, col)
        parent = self._vendor.table(table.parent)
        lists = ", ".join(dict.fromkeys(parent.named(name).source for name in table.shape.columns))
        return f"{col.source} in {lists}"

    def _add_fault(self, file: str, line: int, column: str, value: str, expected: str) -> None:
        self._faults.add(file, line, column, value, expected, is_served=True)

    def _add(self, table: Table, file: str, read: _Read, col: Column | None, expected: str) -> None:
        read.is_faulty = True
        value = read.row.get(col.source) if col else None
        text = f"the shape {shape(str(value))}" if col and col.is_secret and value is not None else show(value)
        self._add_fault(file, read.line, self._name(table, col) if col else "", text, expected)

    def _add_dead(self, table: Table, file: str, read: _Read, dead: DeadRow) -> None:
        columns = {col.source: col for col in table.columns}
        for reason in dead.reasons:
            source, _, why = reason.partition(": ")
            col = columns.get(source)
            if col is None:
                self._add(table, file, read, None, _UNREADABLE)
            else:
                self._add(table, file, read, col, "a value" if why == "missing" else describe_type(table, col))

    def _validate(self, table: Table, file: str, rows: pa.Table, good: Sequence[_Read]) -> None:
        suite = [each for each in read_suite(self._vendor.name, table.name) if each.level == "row"]
        frame, applied = view(rows, suite, self._anchors)
        counted = self._validator.check(frame, applied, _COUNTS)
        failing = [place for place, result in enumerate(counted) if not result.success]
        placed = self._validator.check(frame, [applied[place] for place in failing], _PLACES)
        named = {f"{col.name}{part}": col for col in table.columns for part in ("", "_hash", "_last4", "_form")}
        for place, result in zip(failing, placed, strict=True):
            for row in result.result["unexpected_index_list"]:
                self._add(table, file, good[int(row)], named[suite[place].staged], describe_expectation(suite[place]))

    def _compare_keys(self, table: Table, state: _State, rows: pa.Table, good: Sequence[_Read]) -> None:
        """Add a fault for each row whose key an earlier row of the same day has, with other values. Rows that a map sums may share a key."""
        is_summed = any(each.summed for each in self._vendor.maps if each.table == table.name)
        if is_summed or not all(self._is_in_line(table, table.named(name), good[0]) for name in table.key):
            return
        for key, each in zip(format_keys(rows, table.key).to_pylist(), good, strict=True):
            content = hash(dump({name: value for name, value in each.row.items() if name[0] not in "@^"}))
            line, before = state.keys.setdefault((each.day, str(key)), (each.line, content))
            if content != before:
                each.is_faulty = True
                names = ", ".join(self._name(table, table.named(name)) for name in table.key)
                self._add_fault(state.file, each.line, names, f"{key}, as in line {line}", _UNIQUE)

    def _is_in_line(self, table: Table, col: Column, read: _Read) -> bool:
        """Return whether the value of a column comes from the line itself, and is not a substitute for the parent's value."""
        return not col.source.startswith("@") or col.source == "@nth" or self._find_field(table, col) in read.fields

    def _remember(self, table: Table, state: _State, rows: Sequence[_Read]) -> None:
        key = table.named(table.key[0]).source
        summed = table.named(table.agrees[0]).source if table.agrees else ""
        for each in rows:
            state.values.add(str(each.row.get(key)))
            for column in table.references:
                col = table.named(column)
                if (value := each.row.get(col.source)) is not None and self._is_in_line(table, col, each):
                    state.references[column].setdefault(str(value), each.line)
            of = str(each.row.get(summed or key))
            if each.is_faulty:
                state.spoiled.add(of)
            elif table.money:
                amount = _read_amount(each.row.get(table.named(table.money).source))
                if table.agrees:
                    state.sums[each.day, of] += amount
                else:
                    state.money[each.day, of] = (each.line, amount)

    def _find_missing(self, table: Table, state: _State) -> None:
        for source in sorted(find_missing_fields(table, state.reader.unseen, state.undeclared)):
            near = difflib.get_close_matches(source, state.undeclared, 1)
            value = f"no row has it; {near[0]} is not declared" if near else "no row has it"
            col = next(col for col in table.columns if col.source == source)
            self._add_fault(
                state.file, 0, self._name(table, col), value, "the field in the rows; null stands for no value"
            )

    def _find_orphans(self, table: Table, state: _State, column: str, parent: str) -> None:
        if parent not in self._states:
            return
        col, known = table.named(column), self._states[parent]
        for value, line in state.references[column].items():
            if value not in known.values:
                self._add_fault(state.file, line, self._name(table, col), value, f"the key of a row in {known.file}")

    def _compare_sums(self, table: Table, state: _State) -> None:
        """Add a fault for each row of the other table whose money is not the sum of this table's money, on the last day."""
        assert table.agrees is not None
        _, name, money = table.agrees
        other, col = self._states[name], self._vendor.table(name).named(money)
        latest: dict[str, tuple[date, int, Decimal]] = {}
        for (day, key), (line, amount) in other.money.items():
            if key not in latest or (day or date.min) >= latest[key][0]:
                latest[key] = (day or date.min, line, amount)
        for key, (_, line, amount) in latest.items():
            total = state.sums.get((self._last_day, key), Decimal(0))
            if key not in state.spoiled | other.spoiled and abs(total - amount) > Decimal(
                self._vendor.total_tolerance_usd
            ):
                expected = f"the sum of its rows in {state.file} on {self._last_day}"
                self._add_fault(other.file, line, col.source, f"{amount:,.2f}, the sum is {total:,.2f}", expected)


def _unwrap(table: Table, row: Row) -> Iterator[Row]:
    """Yield the rows of a line: the line itself, unless it is a whole response with a list of rows."""
    rows = row.get(table.rows) if table.rows else None
    if not isinstance(rows, list):
        yield row
        return
    yield from (each for each in rows if isinstance(each, dict))


def _read_page(reader: CsvReader, table: Table, rows: Sequence[Row]) -> Page:
    """Read rows as a run does: those of a report as CSV, whose cells are texts, all others as JSON."""
    if not isinstance(table.shape, Report):
        return reader.read(dump(rows))
    names = [col.source for col in table.columns if col.kind != "ignored"]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows(["" if (value := row.get(name)) is None else str(value) for name in names] for row in rows)
    [page] = reader.read_file(text.getvalue().encode())
    return page


def _read_amount(value: object) -> Decimal:
    """Return the money of a row that has no fault."""
    return Decimal(str(value).translate(str.maketrans("(", "-", "$,) "))) if value is not None else Decimal(0)
