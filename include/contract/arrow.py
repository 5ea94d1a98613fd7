"""Arrow types of the contract's type names."""

from __future__ import annotations

import re

import pyarrow as pa

from include.contract import BINARY, BOOLEAN, DATE, INTEGER, PAIRS, STRING, TIMESTAMP

_PLAIN = {
    INTEGER: pa.int64(),
    STRING: pa.string(),
    BOOLEAN: pa.bool_(),
    BINARY: pa.binary(),
    DATE: pa.date32(),
    TIMESTAMP: pa.timestamp("us", tz="UTC"),
    PAIRS: pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())])),
}


def arrow_type(word: str) -> pa.DataType:
    """Return the Arrow type of a contract's type name, such as `decimal(20,2)`.

    Raises:
        ValueError: Unknown type name.
    """
    if word in _PLAIN:
        return _PLAIN[word]
    match = re.fullmatch(r"decimal\((\d+),(\d+)\)", word)
    if match is None:
        raise ValueError(f"unknown column type {word}")
    return pa.decimal128(int(match[1]), int(match[2]))


def schema(columns: dict[str, str]) -> pa.Schema:
    """Return the Arrow schema of columns given as name -> type name."""
    return pa.schema([(name, arrow_type(word)) for name, word in columns.items()])
