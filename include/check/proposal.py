"""Propose settings or a declaration from a vendor's sample of one table: a JSON or CSV file.

For a declared table, the proposal is the override `columns` of the connection (`include.contract.overrides`): which of the vendor's fields hold
the columns. For any other table, it is the text of a declaration, which an engineer completes. Neither contains a value of the sample.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    QUANTITY,
    STRING,
    TIMESTAMP,
    Column,
    Table,
    Vendor,
)
from include.contract.overrides import apply_overrides
from include.errors import ConfigurationError, TributaryError
from include.extract.csv_page import CsvReader
from include.extract.exact_json import dump, load
from include.extract.flatten import flatten
from include.sensitive import Redactor

_LOOKS_ALIKE = 0.5
"""Similarity (0-1) of names from which a field may hold a column."""
_FILLED = {INTEGER: 0, TIMESTAMP: "2000-01-01T00:00:00Z"}
_SENSITIVE = re.compile(
    r"(?i)\bssn\b|social.?security|tax.?(payer)?.?id|\btin\b|account.?(number|no\b|#)|\bacct.?(no|number)"
)
_MONEY = re.compile(r"(?i)value|amount|balance|price|cost|fee|cash|premium|usd")
_DAY = re.compile(r"\d{4}-\d\d-\d\d|\d\d/\d\d/\d{4}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
_NUMBER = re.compile(r"\(?-?\$? ?\d[\d,]*(\.\d+)?\)?")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows of a sample.

    Attributes:
        rows: Flat rows: field -> value. In a CSV file, all values are texts.
        wrapped_in: Field of the response that contains the rows; empty if the response is itself the array of rows.
        csv: The file, if it is a CSV file; else empty.
    """

    rows: Sequence[Row]
    wrapped_in: str = ""
    csv: bytes = b""

    @property
    def names(self) -> list[str]:
        """The names of all fields, in the order of the first row that has them."""
        return list(dict.fromkeys(name for row in self.rows for name in row))


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal for a declared table.

    Attributes:
        columns: Staged column -> the vendor's field that seems to hold it.
        missing: Fields of staged columns that the sample lacks, and that no other field seems to hold.
        undeclared: Fields of the sample that remain undeclared.
        rows: Rows of the sample.
        faults: Why rows can't be read with the proposal applied -> number of rows; empty if all can.
    """

    table: str
    columns: Mapping[str, str]
    missing: Sequence[str]
    undeclared: Sequence[str]
    rows: int
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def override(self) -> str:
        """The setting `columns` of the connection, as JSON."""
        return json.dumps({self.table: dict(self.columns)})


def read_sample(content: bytes, name: str) -> Sample:
    """Read a sample; a file whose name ends in `.csv` is CSV, any other JSON.

    Raises:
        ConfigurationError: The file is neither, or has no rows.
    """
    try:
        sample = _read_csv(content) if name.lower().endswith(".csv") else _read_json(content)
    except (ValueError, RecursionError, TributaryError) as error:
        raise ConfigurationError(f"The sample can't be read: {type(error).__name__}", file=name) from None
    if not sample.rows:
        raise ConfigurationError("The sample has no rows: save a response that has at least one", file=name)
    return sample


def _read_csv(content: bytes) -> Sample:
    return Sample(list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")))), csv=content)


def _read_json(content: bytes) -> Sample:
    body, wrapped_in = load(content), ""
    if isinstance(body, dict):
        lists = [
            name for name, value in body.items() if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        wrapped_in = max(lists, key=lambda name: len(body[name]), default="")
    rows = body[wrapped_in] if wrapped_in else body
    flat = load(flatten(dump(rows), "", ""))
    return Sample([row for row in flat if isinstance(row, dict)], wrapped_in)


def propose_columns(vendor: Vendor, table: Table, sample: Sample) -> Proposal:
    """Propose the override `columns` for a declared table, and read the sample with it."""
    names = sample.names
    declared = {col.source for col in table.columns}
    undeclared = [name for name in names if name not in declared]
    lacking = [
        col for col in table.columns if col.kind != "ignored" and col.source not in names and col.source[0] not in "@^"
    ]
    columns = _match(table, lacking, undeclared, sample)
    changed = apply_overrides(vendor, {"columns": json.dumps({table.name: columns})}) if columns else vendor
    required = {col.source for col in lacking if col.required or not table.omits_nulls} - {
        col.source for col in lacking if col.name in columns
    }
    return Proposal(
        table.name,
        columns,
        sorted(required),
        [name for name in undeclared if name not in columns.values()],
        len(sample.rows),
        _count_faults(vendor, changed.table(table.name), sample),
    )


def _match(table: Table, lacking: Iterable[Column], names: Iterable[str], sample: Sample) -> dict[str, str]:
    """Match columns with fields by similar names, the most similar pair first; a field must fit the column's type."""
    pairs = sorted(
        ((_compare(col, name), col.name, name) for col in lacking for name in names if _fits(col, table, sample, name)),
        reverse=True,
    )
    columns: dict[str, str] = {}
    for likeness, column, name in pairs:
        if likeness >= _LOOKS_ALIKE and column not in columns and name not in columns.values():
            columns[column] = name
    return columns


def _compare(col: Column, name: str) -> float:
    """Return how similar a field's name is to that of a column (0-1): to the declared field, or to our own name."""
    plain = _plain(name)
    return max(difflib.SequenceMatcher(None, plain, _plain(each)).ratio() for each in (col.source, col.name))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", re.sub(r"_(usd|id|at|date)$", r"\1", name.lower()))


def _fits(col: Column, table: Table, sample: Sample, name: str) -> bool:
    if col.is_secret or col.type == STRING:
        return True
    values = [row[name] for row in sample.rows if row.get(name) not in (None, "")]
    return all(_is_of(col.type, value) for value in values)


def _is_of(type_name: str, value: Any) -> bool:
    text = str(value)
    if type_name == BOOLEAN:
        return isinstance(value, bool) or text.lower() in ("true", "false")
    if type_name in (DATE, TIMESTAMP):
        return bool(_DAY.match(text))
    if type_name == INTEGER:
        return not isinstance(value, bool) and bool(re.fullmatch(r"-?[\d,]+", text))
    if type_name.startswith("decimal"):
        return not isinstance(value, bool) and bool(_NUMBER.fullmatch(text.strip()) or not isinstance(value, str))
    return True


def _count_faults(vendor: Vendor, table: Table, sample: Sample) -> dict[str, int]:
    """Read the sample with the product's reader; return why rows can't be read, with the number of rows."""
    reader = CsvReader(table, Redactor(secrets.token_bytes(32)), vendor.sentinels, vendor.zone, vendor.name)
    filled = {col.source: _FILLED.get(col.type, "0") for col in table.columns if col.source[0] in "@^"}
    try:
        pages = (
            list(reader.read_file(sample.csv))
            if sample.csv
            else [reader.read(dump([{**row, **filled} for row in sample.rows]))]
        )
    except TributaryError as error:
        return {str(error): len(sample.rows)}
    counts: dict[str, int] = {}
    for row in (row for page in pages for row in page.dead):
        for reason in row.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    return counts


def declare(name: str, sample: Sample) -> str:
    """Return the text of a declaration for a table that the vendor's file does not declare."""
    columns = [(_name(source, kind), source, kind) for source in sample.names if (kind := _guess(source, sample))]
    keys = [column for column, source, _ in columns if _is_unique(source, sample)]
    lines = [
        f"{name.upper()} = Table(",
        f'    name="{name}",',
        f'    path="{name}",  # CHANGE: the path below the base URL',
        f"    key=({json.dumps(keys[0]) if keys else 'CHANGE'},),",
        *([f'    rows="{sample.wrapped_in}",'] if sample.wrapped_in else []),
        *(["    has_objects=True,"] if any("." in source for source in sample.names) else []),
        "    columns=(",
        *(_render(*each, is_key=each[0] == (keys or [""])[0]) for each in columns),
        "    ),",
        ")",
    ]
    return "\n".join(lines)


def _guess(source: str, sample: Sample) -> str:
    """Return the type name that the values of a field fit, or `sensitive`."""
    values = [row[source] for row in sample.rows if row.get(source) not in (None, "")]
    texts = [str(value).strip() for value in values]
    if _SENSITIVE.search(source) or any(re.fullmatch(r"\d{3}-\d{2}-\d{4}", text) for text in texts):
        return "sensitive"
    if not values:
        return STRING
    if all(isinstance(value, bool) for value in values):
        return BOOLEAN
    if all(_TIME.fullmatch(text) for text in texts):
        return TIMESTAMP
    if all(_DAY.fullmatch(text) for text in texts):
        return DATE
    if all(_NUMBER.fullmatch(text) for text in texts) and not any(re.match(r"0\d", text) for text in texts):
        if _MONEY.search(source):
            return MONEY
        return INTEGER if all(re.fullmatch(r"-?\d+", text) for text in texts) else QUANTITY
    return STRING


def _is_unique(source: str, sample: Sample) -> bool:
    values = [row.get(source) for row in sample.rows]
    is_id = re.search(r"(?i)(^|[^a-z])id$|Id$|key$|guid$", source) is not None
    return is_id and None not in values and len({str(value) for value in values}) == len(values)


def _name(source: str, kind: str) -> str:
    """Return a staged column's name, with its unit and origin."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", source).strip("_").lower()
    ending = {MONEY: "_usd", DATE: "_date", TIMESTAMP: "_at", QUANTITY: "_quantity"}.get(kind, "")
    stem = re.sub(r"_(date|at|on|time|usd|quantity)$", "", plain) if ending else plain
    return f"is_{plain.removeprefix('is_')}" if kind == BOOLEAN else f"{stem}{ending}"


def _render(name: str, source: str, kind: str, *, is_key: bool) -> str:
    if kind == "sensitive":
        return f'        sensitive("{name}", {json.dumps(source)}),'
    constant = {
        INTEGER: "INTEGER", STRING: "STRING", BOOLEAN: "BOOLEAN", DATE: "DATE", TIMESTAMP: "TIMESTAMP", MONEY: "MONEY", QUANTITY: "QUANTITY",
    }[kind]  # fmt: skip
    required = ", required=True" if is_key else ""
    return f'        column("{name}", {json.dumps(source)}, {constant}{required}),'
