"""The contract's type words as Arrow types."""

from __future__ import annotations

import re

import pyarrow as pa

from include.contract import BOOLEAN, DATE, INTEGER, PAIRS, STRING, TIMESTAMP

_PLAIN = {
    INTEGER: pa.int64(),
    STRING: pa.string(),
    BOOLEAN: pa.bool_(),
    DATE: pa.date32(),
    TIMESTAMP: pa.timestamp("us", tz="UTC"),
    PAIRS: pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())])),
}


def arrow_type(word: str) -> pa.DataType:
    """Returns the Arrow type of a contract's type word, such as `decimal(20,2)`.

    Raises:
        ValueError: The word is not a type word.
    """
    if word in _PLAIN:
        return _PLAIN[word]
    match = re.fullmatch(r"decimal\((\d+),(\d+)\)", word)
    if match is None:
        raise ValueError(f"{word} is not a type word")
    return pa.decimal128(int(match[1]), int(match[2]))


def schema(columns: dict[str, str]) -> pa.Schema:
    """Returns the Arrow schema of columns given as name -> type word."""
    return pa.schema([(name, arrow_type(word)) for name, word in columns.items()])
