"""Read query results as Arrow columns, without creating a Python object per value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import sqlalchemy as sa

from include.database.driver import find_driver

# PostgreSQL's binary form of a one-dimensional bigint[] without nulls: a header, then for each value its length and the value.
_HEADER_BYTES = 20
# The connection keeps a buffer as large as the largest message.
_ROWS_A_MESSAGE = 100_000
_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i8")])


def read_table(connection: sa.Connection, query: str, schema: pa.Schema, values: Mapping[str, Any]) -> pa.Table:
    """Return the result of a query, read by COPY as CSV: columns of any type, about half a million rows a second.

    Args:
        connection: The database.
        query: SQL that returns the columns of `schema` in their order; `%(name)s` stands for a value.
        schema: Names and types of the columns. An empty text is read as null.
        values: Name -> value to insert into the query.
    """
    sink = pa.BufferOutputStream()
    with (
        find_driver(connection).cursor() as cursor,
        cursor.copy(f"copy ({query}) to stdout (format csv)", values) as copy,
    ):
        for line in copy:
            sink.write(line)
    text = sink.getvalue()
    if not text.size:
        return schema.empty_table()
    return csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(column_names=schema.names),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=schema, true_values=["t"], false_values=["f"], null_values=[""], strings_can_be_null=True
        ),
    )


def read_integers(connection: sa.Connection, query: str, names: list[str], values: Mapping[str, Any]) -> pa.Table:
    """Return the result of a query that has only bigint columns without nulls, at millions of rows a second.

    Args:
        connection: The database.
        query: SQL that returns the columns `names`; `%(name)s` stands for a value.
        names: Names of the columns.
        values: Name -> value to insert into the query.
    """
    arrays = ", ".join(f"array_agg({name}) as {name}" for name in names)
    sent = ", ".join(f"array_send({name}[first_row:first_row + {_ROWS_A_MESSAGE - 1}])" for name in names)
    first_rows = f"generate_series(1, cardinality({names[0]}), {_ROWS_A_MESSAGE}) as first_row"
    messages = f"select {sent} from (select {arrays} from ({query}) q) a, {first_rows}"  # noqa: S608
    with find_driver(connection).cursor() as cursor:
        rows = [[_integers(raw) for raw in row] for row in cursor.stream(messages, values, binary=True)]
    columns = ([row[place] for row in rows] for place in range(len(names)))
    return pa.table([pa.chunked_array(column, pa.int64()) for column in columns], names)


def cents(integers: pa.ChunkedArray) -> pa.Array:
    """Convert integers of cents to dollars, `decimal(18,2)`."""
    low = integers.to_numpy()
    both = np.stack([low, low >> 63], axis=1)  # a decimal is an integer of 128 bits: the upper half is the sign
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(low), [None, pa.py_buffer(both)])


def _integers(raw: bytes) -> pa.Array:
    return pa.array(np.frombuffer(raw, _ELEMENT, offset=_HEADER_BYTES)["value"].astype(np.int64))
