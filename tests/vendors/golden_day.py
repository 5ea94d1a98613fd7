"""A vendor that answers what its goldens say, or a test: its tables pulled, checked and made ours, as a run does it."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from include.connection import Connection
from include.contract import Basic, FanOut, Report, Vendor
from include.pipeline import vendor_day
from include.pipeline.run import Run, Site, VendorRun
from include.sensitive import Redactor
from include.staging.partitions import Partition, Staging
from include.transform.entities import Canonical, Produced
from tests.extract.answering import Answer, RecordedCall, Reply, listen

HERE = Path(__file__).parent
DAY, BEFORE = date(2026, 11, 20), date(2026, 11, 19)
NOW = datetime(2026, 11, 21, tzinfo=UTC)

Answers = Mapping[str, bytes]
"""Table -> what the vendor answers; for one call a row of another table, a JSON object of path -> answer."""

Row = dict[str, Any]


def goldens(vendor: Vendor) -> dict[str, bytes]:
    """What lies in the vendor's folder; a nested table has no answer of its own."""
    files = sorted((HERE / vendor.name).iterdir())
    return {path.stem: path.read_bytes() for path in files if path.suffixes in ([".json"], [".csv"])}


def written(value: object) -> bytes:
    return json.dumps(value).encode()


def zipped(content: bytes) -> bytes:
    """The file in an archive."""
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.csv", content)
    return packed.getvalue()


def answering(vendor: Vendor, answers: Answers) -> Answer:
    """Answers every call as a vendor would that holds this; what it does not hold is 404."""
    routes: dict[str, bytes] = {}
    for table in vendor.tables:
        body = answers.get(table.name, b"")
        if isinstance(table.shape, Report):
            routes[f"/{table.path}/{table.shape.order['report']}/file"] = body
        elif isinstance(table.shape, FanOut) and "{" in table.path:
            held = msgspec.json.decode(body or b"{}", type=dict[str, msgspec.Raw])
            routes |= {f"/{path}": bytes(answer) for path, answer in held.items()}
        elif table.path:
            routes[f"/{table.path}"] = body

    def answer(asked: RecordedCall) -> Reply:
        if asked.method == "POST":
            return Reply({"jobId": json.loads(asked.body)["report"]}, 202)
        if f"{asked.path}/file" in routes:
            return Reply({"status": "Complete"})
        if not (body := routes.get(asked.path)):
            return Reply({"message": "not found"}, 404)
        if asked.path.endswith("/file"):
            return Reply(content=body, kind="application/zip" if body.startswith(b"PK") else "text/csv")
        if (skip := int(asked.params.get("$skip", "0"))) or asked.params.get("page", "1") != "1":
            return Reply(json.loads(body)[skip:] if skip else [])
        if asked.params.get("start_position", "0") != "0":
            return Reply({name: [] for name, value in json.loads(body).items() if isinstance(value, list)})
        return Reply(content=body)

    return answer


@dataclass(frozen=True)
class Day:
    """What became of a vendor's answers."""

    vendor_run: VendorRun
    partitions: Mapping[str, Partition]

    def staged(self, table: str) -> list[Row]:
        return [row for _, part in self.partitions[table].rows() for row in part.to_pylist()]

    def dead(self, table: str) -> list[Row]:
        """Rows that can't be read, then those that the suite refuses."""
        unread = [json.loads(line) for line in self.partitions[table].read_dead_lines()]
        refused = self.partitions[table].faults.to_pylist()
        return [{"key": row["key"], "reasons": row["reasons"]} for row in unread] + [
            {"key": row["row_key"], "reasons": row["expectations"]} for row in refused
        ]

    def entities(self, table: str) -> list[str]:
        return [each.entity for each in self.vendor_run.vendor.maps if each.table == table]

    def produced(self, table: str, entity: str) -> Produced:
        return Canonical(self.partitions[table], entity).result

    def read_canonical(self, table: str, entity: str) -> list[Row]:
        """The canonical rows of an entity that a table gave."""
        return [row for part in Canonical(self.partitions[table], entity).rows() for row in part.to_pylist()]

    def load(self) -> None:
        for partition in self.partitions.values():
            vendor_day.load(self.vendor_run, partition)


def run_day(
    engine: sa.Engine, folder: Path, vendor: Vendor, answers: Answers | Answer, *tables: str, now: datetime = NOW
) -> Day:
    """Pulls, validates (row by row) and transforms a vendor's tables, or some of them, parents first."""
    open_to_all = replace(vendor, login=Basic(), headers={})
    run = Run(uuid.uuid4().hex, DAY, BEFORE)
    site = Site(engine, Staging(str(folder)), Redactor(b"golden"), lambda: now, speed=100_000)
    wanted = [table.name for table in vendor.requested_tables if not tables or table.name in tables]
    with listen(answers if callable(answers) else answering(vendor, answers)) as listener:
        connection = Connection(listener.url, "user", "password", {"grants": '{"8001": "first"}'})
        vendor_run = VendorRun(site, open_to_all, connection, run)
        partitions = {name: vendor_day.stage(vendor_run, name) for name in wanted}
    vendor_day.validate(vendor_run, list(partitions.values()), rows_only=True)
    for partition in partitions.values():
        vendor_day.transform(vendor_run, partition)
    return Day(vendor_run, partitions)


Change = Callable[[Any], object]


def changed(answers: Answers, table: str, change: Change) -> dict[str, bytes]:
    """The answers, with one of them changed in place by a function."""
    value = json.loads(answers[table])
    change(value)
    return {**answers, table: written(value)}
