"""What the sandbox reads of anybody's data, and a look through it before anything is served: `docs/own_data.md`."""

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from sandbox.emoney import rows as emoney_rows
from sandbox.firm.records import Table
from sandbox.moneyguidepro import rows as moneyguidepro_rows
from sandbox.nitrogen import rows as nitrogen_rows
from sandbox.orion.dataset import ORION_TABLES
from sandbox.orion.query import read_moment
from sandbox.tamarac.folder import read_day
from sandbox.tamarac.rows import IDS

_LONG = re.compile(rb"\d{19}")
Needed = Mapping[str, tuple[str, ...]]


def _needed(tables: Mapping[str, Table]) -> Needed:
    return {name: tuple(dict.fromkeys((each.key, each.id, *each.hidden))) for name, each in tables.items()}


TABLES: Mapping[str, Needed] = {
    "orion": dict.fromkeys(ORION_TABLES, ("id",)) | {"additional_accounts": ("clientId", "accountId")},
    "tamarac": {name: (id_,) for name, id_ in IDS.items()}
    | {"holdings": ("As Of Date",), "transactions": ("Entry Date", "Trade Date")},
    "emoney": _needed(emoney_rows.TABLES),
    "moneyguidepro": _needed(moneyguidepro_rows.TABLES),
    "nitrogen": {**_needed(nitrogen_rows.TABLES), "clients": ("household", "id", "advisor_user_id")},
    "docusign": {"envelopes": ("envelopeId", "status"), "templates": ("templateId", "name")},
    "adobe_sign": {
        "users": ("id", "email", "isAccountAdmin"),
        "agreements": ("id", "name", "status", "createdDate", "senderEmail", "participantSetsInfo"),
        "library_documents": ("id", "sharingMode", "creatorEmail"),
    },
}
"""Vendor -> table, which is the file `<vendor>/<table>.jsonl` -> fields that each of its lines must have."""

_READ: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "orion": {
        "id": operator.index,
        "asOfDate": lambda text: date.fromisoformat(text[:10]),
        "createdDate": read_moment,
        "editedDate": read_moment,
    },
    "tamarac": dict.fromkeys(("As Of Date", "Entry Date", "Trade Date"), read_day),
}
"""Vendor -> field that the sandbox itself reads where a line has it -> how."""


def count_rows(folder: Path) -> dict[str, dict[str, int]]:
    """Return the rows of every file, by vendor and table; a vendor without a folder is not there, nor a table without a file.

    Raises:
        ValueError: a line can't be served; with file and line.
    """
    return {
        vendor: {
            table: _count(path, needed, _READ.get(vendor, {}))
            for table, needed in tables.items()
            if (path := folder / vendor / f"{table}.jsonl").is_file()
        }
        for vendor, tables in TABLES.items()
        if (folder / vendor).is_dir()
    }


def describe(folder: Path) -> Iterator[str]:
    """Yield what is served from `folder` and what is not, a vendor a line; raises as `count_rows` does."""
    counted = count_rows(folder)
    for vendor, rows in counted.items():
        found = ", ".join(f"{table} {count:,}" for table, count in rows.items()) or "no table"
        missing = ", ".join(table for table in TABLES[vendor] if table not in rows)
        yield f"{vendor}: {found}" + (f"; empty, for want of a file: {missing}" if missing else "")
    yield "invented: " + (", ".join(vendor for vendor in TABLES if vendor not in counted) or "nothing")
    read = {folder / vendor / f"{table}.jsonl" for vendor, rows in counted.items() for table in rows}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in read)
    if files:
        yield "not read: " + ", ".join(str(path.relative_to(folder)) for path in files[:10])


def _count(path: Path, needed: tuple[str, ...], readers: Mapping[str, Callable[[Any], Any]]) -> int:
    rows = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                rows += 1
                if fault := _find_fault(line, needed, readers):
                    raise ValueError(f"{path}, line {number}: {fault}")
    return rows


def _find_fault(line: bytes, needed: tuple[str, ...], readers: Mapping[str, Callable[[Any], Any]]) -> str:
    """Return why a line can't be served; empty where it can."""
    try:
        row = orjson.loads(line)
    except ValueError as error:
        return f"not JSON: {error}"
    if not isinstance(row, dict):
        return "not a JSON object"
    for name in needed:
        if row.get(name) is None:
            return f"no {name}"
    if _LONG.search(line):
        for name, value in json.loads(line, parse_float=str).items():
            if _has_wide(value):
                return f"{name}: an integer beyond 64 bits"
    for name, read in readers.items():
        try:
            if row.get(name) is not None:
                read(row[name])
        except (ValueError, TypeError) as error:
            return f"{name}: {error}"
    return ""


def _has_wide(value: Any) -> bool:
    """Whether there is an integer in it that the sandbox can't write as JSON."""
    if isinstance(value, dict | list):
        return any(map(_has_wide, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64
