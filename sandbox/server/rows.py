"""Rows in an API's responses: tuples over a list of field names, and JSON that keeps every digit of a decimal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import orjson


class Missing:
    """Type of MISSING."""


MISSING = Missing()
"""Marks a field that a row does not have (not the same as null)."""


class Rows(NamedTuple):
    """Rows of one table: `values[n][i]` belongs to `fields[i]`. In ascending order of `id`."""

    fields: tuple[str, ...]
    values: Sequence[tuple[Any, ...]]

    def positions(self) -> dict[str, int]:
        """Return the position of every field."""
        return {name: position for position, name in enumerate(self.fields)}

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return every row as a dict without its missing fields."""
        return [
            {name: value for name, value in zip(self.fields, row, strict=True) if value is not MISSING}
            for row in self.values
        ]


class Source(Protocol):
    """Source of a vendor's rows: a generated firm or data from files."""

    @property
    def closed_through(self) -> date:
        """Return the last day that the vendor has closed."""
        ...

    def find_rows(self, table: str, as_of: date | None = None) -> Rows:
        """Return a table: as of the end of a day if the table is dated, otherwise as it is now."""
        ...

    def find_additional_accounts(self, client_id: int) -> set[int]:
        """Return ids of other households' accounts that this household also sees."""
        ...


@dataclass(frozen=True)
class Shape:
    """A documented object: its field names, in order."""

    fields: tuple[str, ...]

    @cached_property
    def _blank(self) -> dict[str, Any]:
        return dict.fromkeys(self.fields)

    def fill(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """Return a row with the `known` fields, and null in all others."""
        return tuple((self._blank | values).values())


def dump(value: Any) -> bytes:
    """Return `value` as JSON; decimals become numbers with all their digits."""
    return orjson.dumps(value, default=_write)


def dump_line(row: dict[str, Any]) -> bytes:
    """Return one row as a line of JSON."""
    return orjson.dumps(row, default=_write, option=orjson.OPT_APPEND_NEWLINE)


def dump_rows(rows: Iterable[dict[str, Any]]) -> bytes:
    """Return rows as a bare JSON array."""
    return dump(list(rows))


def _write(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, int):  # beyond 64 bits, as a poisoned cell may be
        return orjson.Fragment(str(value))
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
