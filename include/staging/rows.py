"""Which rows of a partition are good: all but those that validation refused."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.staging.partitions import Staging

FAULTS = pa.schema(
    [
        ("part", pa.string()),
        ("row_number", pa.int64()),
        ("row_key", pa.string()),
        ("expectations", pa.list_(pa.string())),
    ]
)


def write_faults(staging: Staging, path: str, faults: pa.Table) -> None:
    """Writes which rows were refused, and why; also when there are none, which says that validation was done."""
    buffer = io.BytesIO()
    pq.write_table(faults.cast(FAULTS), buffer)
    staging.folder(path).write("faults.parquet", buffer.getvalue())


def faults_of(staging: Staging, path: str) -> pa.Table:
    """Reads the refused rows of a validated partition, one row each, as `FAULTS`."""
    return pq.read_table(io.BytesIO(staging.folder(path).read("faults.parquet")))


def good_rows(staging: Staging, path: str, columns: list[str]) -> Iterator[pa.Table]:
    """Yields the good rows of a validated partition, part by part."""
    faults = faults_of(staging, path)
    for part, rows in staging.rows(path, columns):
        refused = faults.filter(pc.equal(faults.column("part"), part)).column("row_number")
        if len(refused):
            place = pa.array(range(rows.num_rows), pa.int64())
            rows = rows.filter(pc.invert(pc.is_in(place, value_set=refused.combine_chunks())))
        yield rows


def refused_rows(staging: Staging, path: str, columns: list[str]) -> Iterator[pa.Table]:
    """Yields the rows that validation refused, part by part, of the parts that have some."""
    faults = faults_of(staging, path)
    hurt = set(faults.column("part").to_pylist())
    parts = [part for part in staging.manifest(path).parts if part.name in hurt]
    for part, rows in staging.folder(path).parts(parts, columns):
        yield rows.take(faults.filter(pc.equal(faults.column("part"), part)).column("row_number"))


def commonest_reason(staging: Staging, path: str) -> str | None:
    """Returns what is wrong with most of the rows that could not be read; None where all could."""
    reasons = Counter(map("; ".join, _read_reasons(staging, path)))
    return reasons.most_common(1)[0][0] if reasons else None


def count_reasons(staging: Staging, path: str) -> Counter[str]:
    """Counts the dead rows of a validated partition by what is wrong with them; a row may have several reasons."""
    reasons = Counter(itertools.chain.from_iterable(_read_reasons(staging, path)))
    refused = pc.value_counts(pc.list_flatten(faults_of(staging, path).column("expectations")))
    reasons.update({each["values"]: each["counts"] for each in refused.to_pylist()})
    return reasons


def _read_reasons(staging: Staging, path: str) -> Iterator[list[str]]:
    """Yields the reasons of each row that could not be read."""
    for line in staging.folder(path).read("dead.jsonl").splitlines():
        yield json.loads(line)["reasons"]


def name_first(names: Sequence[object], count: int | None = None) -> str:
    """Name the first twenty, and say how many more there are; `count` is of all where `names` holds the first only."""
    more = (len(names) if count is None else count) - min(len(names), 20)
    return ", ".join(str(name) for name in names[:20]) + (f" and {more:,} more" if more > 0 else "")
