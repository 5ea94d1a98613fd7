"""What the tests need to know of a vendor: what it states, what users change there, and what a day is killed in.

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
"""Key -> values that the vendor states."""
Keys = Callable[..., list[str]]
"""Entity, vendor and an optional condition -> keys of open rows."""


@dataclass(frozen=True)
class Edit:
    """A change at the sandbox: `POST /_sandbox/<path>`."""

    path: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Matter:
    """The tables of a vendor that tests compare, change and interrupt.

    Attributes:
        facts: The table with most of the day's work.
        people: A table of descriptions, whose changes are versions.
        events: A table of dated rows.
        rows: Rows of a page and of a part, so few that there are several of each.
        state: Requests what the vendor states by other means than ours.
        query: Selects the same from the warehouse, the key first.
        correct: Changes at the vendor what the database holds.
        draw_edits: Draws what users change there before a day is pulled.
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
