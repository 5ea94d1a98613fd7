"""Faults on demand. A fault has a kind, a route and a frequency; a seed makes its random draws repeatable.

The code that applies a fault calls `take(route, kind)`:

* `front.py` applies the transport faults (`TRANSPORT`) for every vendor.
* A vendor's list endpoint applies the row faults: `ROWS` through `distort`, `rows_added` and `rows_removed` through `shift`.
* Any other kind (`token_expired`, `row_lock`, ...) is applied by the one vendor that has it.
"""

import fnmatch
import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

Row = dict[str, Any]

TRANSPORT = (
    "latency",
    "too_many_requests",
    "server_error",
    "connection_reset",
    "body_cut",
    "html_page",
    "drip",
    "bomb",
    "maintenance",
)
ROWS = ("field_added", "field_removed", "field_renamed", "field_retyped", "field_scaled", "poison")

POISON: tuple[Any, ...] = (
    "N/A",
    "",
    "1,234.56",
    "9" * 40,
    "2026-02-30T00:00:00-06:00",
    "\u0000",
    {"unexpected": "object"},
    ["unexpected", "list"],
    True,
    -1,
)
"""Values for a poisoned cell. One is drawn unless the fault's options have `value`."""


@dataclass
class Fault:
    """One active fault.

    Attributes:
        route: Path of the route, case-insensitive; `*` and `?` are wildcards.
        kind: One of TRANSPORT or ROWS, `rows_added`, `rows_removed`, or a kind of one vendor.
        seed: Seed of this fault's random draws.
        times: Maximum number of calls to affect; None means no maximum.
        after: Number of calls to skip first: 1 skips the first page.
        share: Probability, from 0 to 1, that the fault affects a row (kinds that corrupt rows) or a call (all other kinds).
        options: Options of the kind, with their defaults:

            * latency: `seconds` (1).
            * drip: `bytes` per piece (1), `seconds` between two pieces (1).
            * bomb: `bytes` after decompression (1 GiB).
            * maintenance: `status` (302), `body` (`html` by default, `json` or `empty`).
            * too_many_requests, server_error: `retry_after` (by default the response has no such header).
            * server_error: `status` (503).
            * the kinds in ROWS: `field`, `to` (field_renamed), `value` (field_added, poison), `factor` (field_scaled).
            * rows_added, rows_removed: `count` (1).

        id: Number that `Faults.add` assigns.
        hits: Number of calls affected so far.
    """

    route: str
    kind: str
    seed: int = 0
    times: int | None = None
    after: int = 0
    share: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)
    id: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError("share must be a number from 0 to 1")
        self.route = self.route.lower().rstrip("/")
        self.random = random.Random(self.seed)

    @property
    def is_row_kind(self) -> bool:
        """Return whether `share` applies to rows instead of calls."""
        return self.kind in ROWS or self.kind.startswith("row_")

    def has_route(self, path: str) -> bool:
        """Return whether `path` matches the fault's route."""
        return fnmatch.fnmatchcase(path.lower().rstrip("/"), self.route)

    def picks_row(self) -> bool:
        """Return, at random with probability `share`, whether the next row or call is affected."""
        return self.random.random() < self.share


class Faults:
    """The active faults, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._ids = itertools.count(1)

    def add(self, fault: Fault) -> int:
        """Add `fault` and return its id."""
        fault.id = next(self._ids)
        self._faults[fault.id] = fault
        return fault.id

    def remove(self, fault_id: int) -> None:
        """Remove a fault.

        Raises:
            KeyError: there is no fault with that id.
        """
        del self._faults[fault_id]

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def report(self) -> list[dict[str, Any]]:
        """Return all faults as dicts of their attributes, including `id` and `hits`."""
        return [asdict(fault) for fault in self._faults.values()]

    def take(self, route: str, kind: str) -> Fault | None:
        """Return the first fault of `kind` that affects this call of `route`, and count a hit. Return None if there is none."""
        for fault in list(self._faults.values()):
            if fault.kind == kind and fault.has_route(route) and self._strikes(fault):
                return fault
        return None

    def _strikes(self, fault: Fault) -> bool:
        if fault.times is not None and fault.hits >= fault.times:
            return False
        if fault.after > 0:
            fault.after -= 1
            return False
        if not fault.is_row_kind and not fault.picks_row():
            return False
        fault.hits += 1
        return True


def scale(value: Any, factor: Any) -> Any:
    """Multiply a number, or a number in text, by the factor. Text stays text. Return any other value unchanged."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        return value
    try:
        scaled = Decimal(str(value).replace(",", "").replace("$", "")) * Decimal(str(factor))
    except InvalidOperation:
        return value
    return format(scaled, "f") if isinstance(value, str) else scaled


def distort(faults: Faults, route: str, rows: list[Row]) -> list[Row]:
    """Return `rows` with all active faults of ROWS on `route` applied."""
    for kind in ROWS:
        if fault := faults.take(route, kind):
            rows = list(_corrupt(fault, rows))
    return rows


def shift(faults: Faults, route: str, rows: Sequence[Any], skip: int) -> Sequence[Any]:
    """Simulate a list that changes between two pages; return the changed rows.

    `skip` is the number of rows before the page. On the first page (0), nothing changes. `rows_removed` drops rows at the start of the
    list, so the caller misses rows. `rows_added` repeats rows at the start, so the caller gets rows twice.
    """
    if skip and (fault := faults.take(route, "rows_removed")):
        return rows[int(fault.options.get("count", 1)) :]
    if skip and (fault := faults.take(route, "rows_added")):
        return [*rows[: int(fault.options.get("count", 1))], *rows]
    return rows


def _corrupt(fault: Fault, rows: Iterable[Row]) -> Iterable[Row]:
    name = fault.options.get("field", "")
    for row in rows:
        if not fault.picks_row():
            yield row
        elif fault.kind == "field_added":
            yield row | {name or "brandNewField": fault.options.get("value", "new")}
        elif fault.kind == "field_removed":
            yield {key: value for key, value in row.items() if key != name}
        elif fault.kind == "field_renamed":
            yield {fault.options.get("to", f"{name}V2") if key == name else key: row[key] for key in row}
        elif fault.kind == "field_retyped":
            yield {key: _retype(value) if key == name else value for key, value in row.items()}
        elif fault.kind == "field_scaled":
            names = [name] if isinstance(name, str) else name
            yield {key: scale(value, fault.options["factor"]) if key in names else value for key, value in row.items()}
        else:
            value = fault.options["value"] if "value" in fault.options else fault.random.choice(POISON)
            yield row | {name or fault.random.choice(list(row)): value}


def _retype(value: Any) -> Any:
    """Change a value's type: text to an object, anything else to text."""
    return {"value": value} if isinstance(value, str) else str(value)
