"""Rows in an API's responses, as tuples with a shared list of field names, and JSON that keeps all digits of decimals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import orjson


class Missing:
    """The type of MISSING."""


MISSING = Missing()
"""Value of a field that a row does not have. It differs from None, which is JSON's null."""


class Rows(NamedTuple):
    """Rows of one table, in ascending order of `id`. `values[n][i]` is the value of field `fields[i]` in row n."""

    fields: tuple[str, ...]
    values: Sequence[tuple[Any, ...]]

    def positions(self) -> dict[str, int]:
        """Return the index of every field in a row, by name."""
        return {name: position for position, name in enumerate(self.fields)}

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the rows as dicts. A dict omits the fields that are MISSING in its row."""
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
        """Return a table. A dated table is as of the end of `as_of` (by default the last closed day), any other is current."""
        ...

    def find_additional_accounts(self, client_id: int) -> set[int]:
        """Return the ids of accounts of other households that household `client_id` can also see."""
        ...


@dataclass(frozen=True)
class Shape:
    """The field names of a documented object, in order."""

    fields: tuple[str, ...]

    @cached_property
    def _blank(self) -> dict[str, Any]:
        return dict.fromkeys(self.fields)

    def fill(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """Return a row with the given values by field name, and None in all other fields."""
        return tuple((self._blank | values).values())


def dump(value: Any) -> bytes:
    """Return `value` as JSON. Decimals become numbers with all their digits."""
    return orjson.dumps(value, default=_write)


def dump_line(row: dict[str, Any]) -> bytes:
    """Return one row as JSON with a newline at the end."""
    return orjson.dumps(row, default=_write, option=orjson.OPT_APPEND_NEWLINE)


def _write(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, int):  # only an integer that orjson does not write itself
        return orjson.Fragment(str(value))
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
