"""How frequent names are in the United States.

`census.csv` has the most frequent given and family names of the 1990 census, with their shares of the population in millionths. Source:
U.S. Census Bureau, Frequently Occurring Surnames and First Names from the Census 1990; the given names are the mean of both sexes.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_FILE = Path(__file__).with_name("census.csv")


COLUMNS = ("first", "last")
"""Columns of `to_table` with shares: of the given and of the family names."""


def share_of_given(word: str) -> float:
    """Return the share of people (0-1) with this given name; 0 if it is not in the file."""
    return _read().get(word, (0.0, 0.0))[0]


def share_of_family(word: str) -> float:
    """Return the share of people (0-1) with this family name; 0 if it is not in the file."""
    return _read().get(word, (0.0, 0.0))[1]


def is_rather_given(word: str) -> bool:
    """Return whether a word is more frequent as a given name than as a family name: `john`, but not `smith` or `taylor`."""
    given, family = _read().get(word, (0.0, 0.0))
    return given > family


def is_rather_family(word: str) -> bool:
    """Return whether a word is more frequent as a family name than as a given name."""
    given, family = _read().get(word, (0.0, 0.0))
    return family > given


def to_table() -> pa.Table:
    """Return the names as a table with the columns `word`, `first` and `last`."""
    import pyarrow as pa

    rows = [{"word": word, **dict(zip(COLUMNS, shares, strict=True))} for word, shares in _read().items()]
    return pa.Table.from_pylist(rows)


@cache
def _read() -> dict[str, tuple[float, float]]:
    with _FILE.open(encoding="ascii", newline="") as file:
        return {row["word"]: (int(row["given"]) / 1e6, int(row["family"]) / 1e6) for row in csv.DictReader(file)}
