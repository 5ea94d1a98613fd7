"""Making rows of a staged partition unreadable, each in some fields; the other fields stay readable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import pyarrow as pa

from include.contract import Table
from include.extract.columns import staged_schema
from include.extract.exact_json import dump
from include.pipeline import pull, vendor_day
from include.pipeline.run import Run
from include.staging.files import PartWriter
from include.staging.partitions import Partition
from include.staging.row_key import format_keys
from tests.conftest import Firm

Choose = Callable[[pa.Table], Mapping[int, Collection[str]]]
"""Row of a partition -> the columns of it to spoil."""


def spoil(firm: Firm, table: Table, partition: Partition, choose: Choose) -> Partition:
    """Make some rows of a partition unreadable."""
    folder, manifest = partition.folder, partition.manifest
    rows = pa.concat_tables([staged_schema(table).empty_table(), *(part for _, part in partition.rows())])
    keys = format_keys(rows, table.key).to_pylist()
    sources = {col.name: col.source for col in table.columns if col.kind == "value"}
    chosen, lines = choose(rows), []
    for number, columns in chosen.items():
        [row] = rows.slice(number, 1).to_pylist()
        raw = {source: row[name] for name, source in sources.items() if row[name] is not None}
        key = None if {*columns} & {*table.key} else keys[number]
        reasons = [f"{sources[name]}: not readable" for name in columns]
        spoilt = raw | {sources[name]: {"unexpected": "object"} for name in columns}
        lines.append(dump({"key": key, "reasons": reasons, "row": spoilt}) + b"\n")
    writer = PartWriter(folder, rows.schema)
    writer.write(rows.filter(pa.array([n not in chosen for n in range(rows.num_rows)], pa.bool_())))
    writer.flush()
    folder.write("dead.jsonl", b"".join(lines))
    staged = rows.num_rows - len(lines)
    return firm.site.staging.seal(replace(manifest, parts=tuple(writer.parts), staged=staged, dead=len(lines)))


def run_spoilt(firm: Firm, run: Run, target: str, choose: Choose, *, rows_only: bool) -> int:
    """Run a day with spoilt rows of one table; return their number.

    Args:
        firm: The firm.
        run: The run of the day.
        target: The table; empty for none.
        choose: Selects the rows.
        rows_only: Skip the check of the dead ratio, which so small a firm exceeds.
    """
    partitions, dead, vendor_run = {}, 0, firm.vendor_run(run)
    for name in (name for stage in firm.vendor.stages for name in stage):
        span = pull.span_of(firm.site, run, None)
        partition = pull.fetch(vendor_run, name, span)
        if name == target:
            partition = spoil(firm, firm.vendor.table(name), partition, choose)
            dead = partition.manifest.dead
        vendor_day.record_staged(vendor_run, partition, 0.0)
        partitions[name] = partition
    vendor_day.validate(vendor_run, list(partitions.values()), rows_only=rows_only)
    firm.publish(run, partitions)
    return dead
