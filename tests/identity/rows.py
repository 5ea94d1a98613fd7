"""Records of persons, written as rows; an omitted field is null."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pyarrow as pa

from include.identity.link import Linked
from include.identity.record import DECISIONS, PERSONS

Row = Mapping[str, Any]

ADAM: Row = {
    "first_name": "Adam", "last_name": "Specimen", "birth_date": date(1951, 3, 14), "email": "adam@mail.example",
    "phone": "(402) 555-0101", "street": "12 North Example St", "city": "Omaha", "state_code": "NE", "postal_code": "68102",
}  # fmt: skip
BEA: Row = {**ADAM, "first_name": "Beatrice", "birth_date": date(1953, 10, 2), "email": "bea@mail.example"}
"""Adam's wife."""


def persons(*rows: Row) -> pa.Table:
    """Build the records 1, 2, ..., each of its own vendor unless the row names one."""
    records = [{"record_id": at, "vendor": f"vendor {at}", **row} for at, row in enumerate(rows, start=1)]
    return pa.Table.from_pylist(records, schema=PERSONS)


def decisions(*rows: tuple[int, int, bool]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(DECISIONS.names, each, strict=True)) for each in rows], schema=DECISIONS)


def people(linked: Linked) -> dict[int, int]:
    """Map each record to its person."""
    return dict(zip(*(column.to_pylist() for column in linked.clusters.columns), strict=True))


def pairs(table: pa.Table) -> set[tuple[int, int]]:
    return set(zip(table["left"].to_pylist(), table["right"].to_pylist(), strict=True))
