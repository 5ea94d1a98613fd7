"""Canonical columns that are computed from staged columns, or that are the same in every row. Imports Arrow only when it computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Derived:
    """A canonical column computed from staged columns.

    Attributes:
        function: Pure function that takes one Arrow array per column of `columns` and returns one of the same length.
        columns: Staged columns, in the order of the function's parameters.
    """

    function: Callable[..., Any]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Translated:
    """A function of Arrow arrays that gets declared codes in place of a firm's own.

    Attributes:
        function: The function.
        codes: Index of the parameter -> the firm's code -> the declared code that has its effect.
    """

    function: Callable[..., Any]
    codes: Mapping[int, Mapping[str, str]]

    def __call__(self, *arrays: Any) -> Any:
        """Return the function's result for the translated arrays."""
        import pyarrow as pa
        import pyarrow.compute as pc

        translated = list(arrays)
        for place, codes in self.codes.items():
            known = pc.index_in(arrays[place], value_set=pa.array(list(codes)))
            translated[place] = pc.coalesce(pc.take(pa.array(list(codes.values())), known), arrays[place])
        return self.function(*translated)


@dataclass(frozen=True, slots=True)
class Constant:
    """A canonical column with the same value in every row."""

    value: str | bool


def derived(function: Callable[..., Any], *columns: str) -> Derived:
    """Declare a canonical column that a pure function of Arrow arrays computes from staged columns."""
    return Derived(function, columns)


def constant(value: str | bool) -> Constant:
    """Declare a canonical column with the same value in every row, for a fact that the vendor does not send."""
    return Constant(value)
