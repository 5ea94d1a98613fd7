"""A vendor's test facts: the tables to compare, the edits to make, and the tables in which a day is killed.

Each vendor declares one `Matter` in `tests/vendors/<name>/matter.py`, beside its goldens.
"""

from __future__ import annotations

import importlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from include.extract.session import VendorSession
    from tests.conftest import Database, Firm
    from tests.running_sandbox import Sandbox

Stated = dict[str, tuple[Any, ...]]
"""Key -> the vendor's values."""
Keys = Callable[..., list[str]]
"""Entity, vendor and an optional condition -> keys of open rows."""


@dataclass(frozen=True)
class Edit:
    """An edit at the sandbox: `POST /_sandbox/<path>`."""

    path: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Matter:
    """The tables of a vendor that tests compare, edit and interrupt.

    Attributes:
        facts: The table with most of the day's work.
        people: A table of descriptions, whose changes are versions.
        events: A table of dated rows.
        rows: Rows per page and per part; few, so that there are several of each.
        state: Reads the vendor's values by other requests than the product's.
        query: Selects the same values from the warehouse, the key first.
        correct: Edits at the vendor a row that the database holds.
        draw_edits: Draws the edits of users at the vendor before a day is pulled.
    """

    facts: str
    people: str
    events: str
    rows: int
    state: Callable[[Firm, VendorSession], Stated]
    query: str
    correct: Callable[[Sandbox, Database], None]
    draw_edits: Callable[[random.Random, Keys], list[Edit]]


def matter_of(name: str) -> Matter:
    """Return the matter that a vendor's folder declares."""
    matter: Matter = importlib.import_module(f"tests.vendors.{name}.matter").MATTER
    return matter


def read_json(body: bytes) -> Any:
    """Parse a body with exact decimals."""
    return json.loads(body, parse_float=Decimal)


def find_keys(database: Database, entity: str, vendor: str, where: str = "true") -> list[str]:
    """Return the keys of a vendor's open rows."""
    query = f"select {entity}_key as key from warehouse.{entity} where vendor = :vendor and recorded_to is null and {where} order by 1"
    return [row["key"] for row in database.rows(query, vendor=vendor)]
