"""Changes to a vendor's staged rows before validation: removed rows, renamed codes, values in another column or row."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from include.contract import Column, Table
from include.extract.columns import staged_schema
from include.pipeline import vendor_day
from include.pipeline.run import Run
from include.staging.files import PartWriter, total
from include.staging.partitions import Partition
from tests.conftest import Firm

Reshape = Callable[[pa.Table], pa.Table]
FEWEST = 10
"""With fewer rows, a few wrong ones can't be distinguished from a few changed ones."""


def read_rows(table: Table, partition: Partition) -> pa.Table:
    """Read all rows of a partition."""
    none = staged_schema(table).empty_table()
    return pa.concat_tables([none, *(part for _, part in partition.rows())])


def write_rows(firm: Firm, table: Table, like: Partition, rows: pa.Table, run: Run) -> Partition:
    """Stage rows as a pull of their own, like another partition."""
    manifest = replace(like.manifest, pull_id=f"{like.manifest.pull_id[:-8]}{secrets.token_hex(4)}")
    folder = firm.site.staging.folder(manifest.path)
    writer = PartWriter(folder, rows.schema)
    writer.write(rows)
    writer.flush()
    folder.write("dead.jsonl", b"")
    counts = {"fetched": rows.num_rows, "staged": rows.num_rows, "duplicate": 0, "dead": 0}
    money = total(rows, table.money) if table.money else None
    partition = firm.site.staging.seal(replace(manifest, parts=tuple(writer.parts), money=money, **counts))
    vendor_day.record_staged(firm.vendor_run(run), partition, 0.0)
    return partition


def change(name: str, make: Callable[[pa.Array], pa.Array]) -> Reshape:
    """Reshape one column."""

    def reshape(rows: pa.Table) -> pa.Table:
        values = make(rows.column(name).combine_chunks()).cast(rows.schema.field(name).type)
        return rows.set_column(rows.schema.get_field_index(name), name, values)

    return reshape


def swap(one: str, other: str) -> Reshape:
    """Swap the values of two columns."""

    def reshape(rows: pa.Table) -> pa.Table:
        ones, others = rows.column(one), rows.column(other)
        rows = rows.set_column(rows.schema.get_field_index(one), one, others.cast(ones.type, safe=False))
        return rows.set_column(rows.schema.get_field_index(other), other, ones.cast(others.type, safe=False))

    return reshape


def multiply(factor: Decimal, *names: str) -> Reshape:
    """Multiply some columns."""

    def reshape(rows: pa.Table) -> pa.Table:
        for name in names:
            kind = rows.schema.field(name).type
            values = [None if each is None else each * factor for each in rows.column(name).to_pylist()]
            scaled = pc.round(pa.array(values, pa.decimal256(60, 20)), kind.scale).cast(kind)
            rows = rows.set_column(rows.schema.get_field_index(name), name, scaled)
        return rows

    return reshape


def shift_dates(name: str, days: int) -> Reshape:
    """Shift a column of dates."""
    return change(name, lambda each: pc.add(each.cast(pa.timestamp("s")), timedelta(days)))


def double(key: str) -> Reshape:
    """Duplicate every row; the copy has a key of its own."""

    def reshape(rows: pa.Table) -> pa.Table:
        ids = rows.column(key)
        is_text = pa.types.is_string(ids.type)
        new = pc.binary_join_element_wise(ids, "again", "-") if is_text else pc.add(ids, 10**9)
        return pa.concat_tables([rows, rows.set_column(rows.schema.get_field_index(key), key, new.cast(ids.type))])

    return reshape


def rename(code: str) -> Callable[[pa.Array], pa.Array]:
    """Rename a code."""
    return lambda values: pc.if_else(pc.fill_null(pc.equal(values, code), False), f"{code} (new)", values)


def own(table: Table) -> list[Column]:
    """List the vendor's own columns of a row, without its key and its day."""
    return [
        col
        for col in table.columns
        if col.kind == "value" and col.source[0] not in "@^" and col.name not in (*table.key, table.as_of)
    ]


def commonest(values: pa.ChunkedArray) -> tuple[str, int, int]:
    """Return the most frequent value, its count, and the number of different values."""
    counted = pc.value_counts(values.combine_chunks().drop_null()).to_pylist()
    most = max(counted, key=lambda each: each["counts"], default={"values": "", "counts": 0})
    return most["values"], most["counts"], len(counted)


def list_missing(rows: pa.Table) -> Iterator[tuple[str, Reshape]]:
    """List reshapes that remove rows."""
    if rows.num_rows:
        yield "empty", lambda table: table.slice(0, 0)
    if rows.num_rows >= FEWEST:
        yield "half", lambda table: table.take(list(range(0, table.num_rows, 2)))


def list_renamed(table: Table, rows: pa.Table) -> Iterator[tuple[str, Reshape]]:
    """List reshapes that null a column, or rename a code of at least a quarter of the rows."""
    for col in own(table):
        values = rows.column(col.name)
        if pc.count(pc.drop_null(values)).as_py() >= FEWEST and not col.required:
            yield f"field {col.name}", change(col.name, lambda each: pa.nulls(len(each), each.type))
        if pa.types.is_string(values.type):
            code, count, kinds = commonest(values)
            if count >= max(FEWEST, rows.num_rows / 4) and rows.num_rows >= 3 * kinds and code:
                yield f"code {col.name}", change(col.name, rename(code))


def list_shifted(table: Table, rows: pa.Table) -> Iterator[tuple[str, Reshape]]:
    """List reshapes that take values of the neighboring column, the next day's date, or another row."""
    columns = [col for col in own(table) if col.name in rows.column_names]
    for one, other in pairwise(columns):
        types = [rows.schema.field(col.name).type for col in (one, other)]
        if types[0] == types[1] and not pa.types.is_nested(types[0]) and differ(rows, one.name, other.name):
            yield f"{one.name} and {other.name}", swap(one.name, other.name)
    for col in columns:
        values = rows.column(col.name)
        if pa.types.is_date(values.type) and len(values) - values.null_count >= FEWEST:
            yield f"{col.name} by a day", shift_dates(col.name, 1)


def differ(rows: pa.Table, one: str, other: str) -> bool:
    """Whether two columns both have values, clearly different ones, in enough rows."""
    pairs = [
        (a, b)
        for a, b in zip(rows[one].to_pylist(), rows[other].to_pylist(), strict=True)
        if a not in (None, "") and b not in (None, "")
    ]
    if pairs and isinstance(pairs[0][0], (str, bool)):
        return sum(a != b for a, b in pairs) >= max(FEWEST, 0.8 * rows.num_rows)
    if pairs and hasattr(pairs[0][0], "year"):
        return sum(a != b for a, b in pairs) >= max(FEWEST, 0.8 * rows.num_rows)
    return sum(abs(a - b) > max(abs(a), abs(b)) / 5 for a, b in pairs) >= max(FEWEST, 0.8 * rows.num_rows)
