"""Load Arrow rows by binary COPY."""

from __future__ import annotations

from collections.abc import Iterable

import pgpq
import pyarrow as pa
import sqlalchemy as sa
from psycopg import sql

from include.database.driver import find_driver

_BATCH_ROWS = 50_000
"""Rows that are encoded at a time, to limit the memory."""

_TYPES = {
    pa.string(): "text",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.binary(): "bytea",
    pa.list_(pa.string()): "text[]",
}


def copy_in(connection: sa.Connection, table: str, schema: pa.Schema, parts: Iterable[pa.Table]) -> int:
    """Create a temporary table, which is dropped on commit, and load rows into it.

    Args:
        connection: An open transaction.
        table: Name of the temporary table.
        schema: Schema of all parts. Decimal columns keep their precision and scale.
        parts: The rows, in any number of tables.

    Returns:
        Number of rows that the database has stored.
    """
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(field.name), sql.SQL(_postgres_type(field.type))) for field in schema
    )
    create = sql.SQL("create temporary table {} ({}) on commit drop").format(sql.Identifier(table), columns)
    find_driver(connection).execute(create)
    return copy_rows(connection, table, schema, parts)


def copy_rows(connection: sa.Connection, table: str, schema: pa.Schema, parts: Iterable[pa.Table]) -> int:
    """Load rows into a table.

    Args:
        connection: An open transaction.
        table: Name of the table, with its schema unless the table is temporary.
        schema: Schema of all parts. Each column has the exact type of the table's column, because a binary COPY converts nothing.
        parts: The rows, in any number of tables.

    Returns:
        Number of rows that the database has stored.
    """
    target, columns = sql.Identifier(*table.split(".")), sql.SQL(", ").join(map(sql.Identifier, schema.names))
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(target, columns)
    encoder = pgpq.ArrowToPostgresBinaryEncoder(schema)
    with find_driver(connection).cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.write(encoder.write_header())
            for part in parts:
                for batch in part.to_batches(_BATCH_ROWS):
                    copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())
        return cursor.rowcount


def _postgres_type(type_: pa.DataType) -> str:
    if pa.types.is_decimal(type_):
        return f"numeric({type_.precision}, {type_.scale})"
    if pa.types.is_timestamp(type_):
        return "timestamptz"
    return _TYPES[type_]
