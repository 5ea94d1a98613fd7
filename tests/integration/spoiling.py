"""Rows of a staged partition made unreadable: each in some of its fields, so that the rest of it can still be read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import pyarrow as pa

from include.contract import Table
from include.extract.columns import staged_schema
from include.extract.exact_json import dump
from include.pipeline import pull, vendor_day
from include.pipeline.run import Run
from include.staging.partitions import PartWriter
from tests.conftest import Firm

Choose = Callable[[pa.Table], Mapping[int, Collection[str]]]
"""Row of a partition -> the columns of it to spoil."""


def spoil(firm: Firm, table: Table, path: str, choose: Choose) -> int:
    """Make some rows of a partition unreadable; returns how many."""
    folder, manifest = firm.site.staging.folder(path), firm.site.staging.manifest(path)
    rows = pa.concat_tables([staged_schema(table).empty_table(), *(part for _, part in firm.site.staging.rows(path))])
    sources = {col.name: col.source for col in table.columns if col.kind == "value"}
    chosen, lines = choose(rows), []
    for number, columns in chosen.items():
        [row] = rows.slice(number, 1).to_pylist()
        raw = {source: row[name] for name, source in sources.items() if row[name] is not None}
        key = None if {*columns} & {*table.key} else ":".join(str(row[name]) for name in table.key)
        reasons = [f"{sources[name]}: not readable" for name in columns]
        spoilt = raw | {sources[name]: {"unexpected": "object"} for name in columns}
        lines.append(dump({"key": key, "reasons": reasons, "row": spoilt}) + b"\n")
    writer = PartWriter(folder, rows.schema)
    writer.write(rows.filter(pa.array([n not in chosen for n in range(rows.num_rows)], pa.bool_())))
    writer.flush()
    folder.write("dead.jsonl", b"".join(lines))
    staged = rows.num_rows - len(lines)
    firm.site.staging.seal(path, replace(manifest, parts=tuple(writer.parts), staged=staged, dead=len(lines)))
    return len(lines)


def run_spoilt(firm: Firm, run: Run, target: str, choose: Choose, *, rows_only: bool) -> int:
    """Run a day with spoilt rows of one table; returns how many.

    Args:
        firm: Whose.
        run: For which day.
        target: The table; empty for none.
        choose: Which rows of it.
        rows_only: Leaves out that they are a large share of so small a firm's.
    """
    paths, dead = {}, 0
    for name in (name for wave in firm.vendor.waves for name in wave):
        span = pull.span_of(firm.site, run, None)
        paths[name] = pull.fetch(firm.site, firm.vendor, name, firm.connection, run, span)
        if name == target:
            dead = spoil(firm, firm.vendor.table(name), paths[name], choose)
        vendor_day.record_staged(firm.site, firm.vendor, paths[name], run, 0.0)
    vendor_day.validate(firm.site, firm.vendor, paths, run, rows_only=rows_only)
    firm.publish(run, paths)
    return dead
