"""Read the good rows of a partition: all except those that validation refused."""

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
    """Write the refused rows and the reasons; write an empty file if there are none, as a mark that validation is done."""
    buffer = io.BytesIO()
    pq.write_table(faults.cast(FAULTS), buffer)
    staging.folder(path).write("faults.parquet", buffer.getvalue())


def read_faults(staging: Staging, path: str) -> pa.Table:
    """Read the faults of a validated partition: one row per refused row, schema `FAULTS`."""
    return pq.read_table(io.BytesIO(staging.folder(path).read("faults.parquet")))


def good_rows(staging: Staging, path: str, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the good rows of a validated partition, part by part."""
    faults = read_faults(staging, path)
    for part, rows in staging.rows(path, columns):
        refused = faults.filter(pc.equal(faults.column("part"), part)).column("row_number")
        if len(refused):
            place = pa.array(range(rows.num_rows), pa.int64())
            rows = rows.filter(pc.invert(pc.is_in(place, value_set=refused.combine_chunks())))
        yield rows


def refused_rows(staging: Staging, path: str, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the rows that validation refused, for each part that has some."""
    faults = read_faults(staging, path)
    affected = set(faults.column("part").to_pylist())
    parts = [part for part in staging.manifest(path).parts if part.name in affected]
    for part, rows in staging.folder(path).parts(parts, columns):
        yield rows.take(faults.filter(pc.equal(faults.column("part"), part)).column("row_number"))


def commonest_reason(staging: Staging, path: str) -> str | None:
    """Return the most common reason of the unreadable rows; None if all rows could be read."""
    reasons = Counter(map("; ".join, _read_reasons(staging, path)))
    return reasons.most_common(1)[0][0] if reasons else None


def count_reasons(staging: Staging, path: str) -> Counter[str]:
    """Count the dead rows of a validated partition by reason; a row may have several."""
    reasons = Counter(itertools.chain.from_iterable(_read_reasons(staging, path)))
    refused = pc.value_counts(pc.list_flatten(read_faults(staging, path).column("expectations")))
    reasons.update({each["values"]: each["counts"] for each in refused.to_pylist()})
    return reasons


def _read_reasons(staging: Staging, path: str) -> Iterator[list[str]]:
    """Yield the reasons of each unreadable row."""
    for line in staging.folder(path).read("dead.jsonl").splitlines():
        yield json.loads(line)["reasons"]


def name_first(names: Sequence[object], count: int | None = None) -> str:
    """Format the first twenty names and the number of the others; `count` is the total if `names` is only a part."""
    more = (len(names) if count is None else count) - min(len(names), 20)
    return ", ".join(str(name) for name in names[:20]) + (f" and {more:,} more" if more > 0 else "")
