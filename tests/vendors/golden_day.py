"""A vendor that responds with its goldens, or as a test directs: its tables pulled, validated and transformed as in a run."""

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
from include.staging.partitions import Partition, Staging
from include.transform.entities import Canonical, Produced
from tests.extract.vendor_server import Answer, RecordedCall, Reply, listen
from tests.firm_keys import GOLDEN

HERE = Path(__file__).parent
DAY, BEFORE = date(2026, 11, 20), date(2026, 11, 19)
NOW = datetime(2026, 11, 21, tzinfo=UTC)

Responses = Mapping[str, bytes]
"""Table -> the vendor's response; for a fan-out, a JSON object of path -> response."""

Row = dict[str, Any]


def goldens(vendor: Vendor) -> dict[str, bytes]:
    """Read the responses in a vendor's folder; a nested table has none of its own."""
    files = sorted((HERE / vendor.name).iterdir())
    return {path.stem: path.read_bytes() for path in files if path.suffixes in ([".json"], [".csv"])}


def to_json(value: object) -> bytes:
    return json.dumps(value).encode()


def zip_report(content: bytes) -> bytes:
    """Pack a report into an archive."""
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.csv", content)
    return packed.getvalue()


def reply_from(vendor: Vendor, responses: Responses) -> Answer:
    """Build a vendor's reply to every call from these responses; any other path gets a 404."""
    routes: dict[str, bytes] = {}
    for table in vendor.tables:
        body = responses.get(table.name, b"")
        if isinstance(table.shape, Report):
            routes[f"/{table.path}/{table.shape.order['report']}/file"] = body
        elif isinstance(table.shape, FanOut) and "{" in table.path:
            responses_of_path = msgspec.json.decode(body or b"{}", type=dict[str, msgspec.Raw])
            routes |= {f"/{path}": bytes(respond) for path, respond in responses_of_path.items()}
        elif table.path:
            routes[f"/{table.path}"] = body

    def respond(call: RecordedCall) -> Reply:
        if call.method == "POST":
            return Reply({"jobId": json.loads(call.body)["report"]}, 202)
        if f"{call.path}/file" in routes:
            return Reply({"status": "Complete"})
        if not (body := routes.get(call.path)):
            return Reply({"message": "not found"}, 404)
        if call.path.endswith("/file"):
            return Reply(content=body, kind="application/zip" if body.startswith(b"PK") else "text/csv")
        if (skip := int(call.params.get("$skip", "0"))) or call.params.get("page", "1") != "1":
            return Reply(json.loads(body)[skip:] if skip else [])
        if call.params.get("start_position", "0") != "0":
            return Reply({name: [] for name, value in json.loads(body).items() if isinstance(value, list)})
        return Reply(content=body)

    return respond


@dataclass(frozen=True)
class Day:
    """The staged and canonical rows of a vendor's day."""

    vendor_run: VendorRun
    partitions: Mapping[str, Partition]

    def staged(self, table: str) -> list[Row]:
        return [row for _, part in self.partitions[table].rows() for row in part.to_pylist()]

    def dead(self, table: str) -> list[Row]:
        """Return the unreadable rows, then those that the suite rejects."""
        unread = [json.loads(line) for line in self.partitions[table].read_dead_lines()]
        refused = self.partitions[table].faults.to_pylist()
        return [{"key": row["key"], "reasons": row["reasons"]} for row in unread] + [
            {"key": row["row_key"], "reasons": row["expectations"]} for row in refused
        ]

    def entities(self, table: str) -> list[str]:
        return [each.entity for each in self.vendor_run.vendor.maps if each.table == table]

    def produced(self, table: str, entity: str) -> Produced:
        return Canonical(self.partitions[table].folder, entity).result

    def read_canonical(self, table: str, entity: str) -> list[Row]:
        """Return the canonical rows of an entity from a table."""
        return [row for part in Canonical(self.partitions[table].folder, entity).rows() for row in part.to_pylist()]

    def load(self) -> None:
        for partition in self.partitions.values():
            vendor_day.load(self.vendor_run, partition)


def run_day(
    engine: sa.Engine, folder: Path, vendor: Vendor, responses: Responses | Answer, *tables: str, now: datetime = NOW
) -> Day:
    """Pull, validate (row by row) and transform a vendor's tables, or some of them, parents first."""
    open_to_all = replace(vendor, login=Basic(), headers={})
    run = Run(uuid.uuid4().hex, DAY, BEFORE)
    site = Site(engine, Staging(str(folder), GOLDEN.staging), GOLDEN, lambda: now, speed=100_000)
    names = [table.name for table in vendor.requested_tables if not tables or table.name in tables]
    with listen(responses if callable(responses) else reply_from(vendor, responses)) as listener:
        connection = Connection(listener.url, "user", "password", {"grants": '{"8001": "first"}'})
        vendor_run = VendorRun(site, open_to_all, connection, run)
        partitions = {name: vendor_day.stage(vendor_run, name) for name in names}
    vendor_day.validate(vendor_run, list(partitions.values()), rows_only=True)
    for partition in partitions.values():
        vendor_day.transform(vendor_run, partition)
    return Day(vendor_run, partitions)


Change = Callable[[Any], object]


def change_response(responses: Responses, table: str, change: Change) -> dict[str, bytes]:
    """Return the responses, one of them changed in place by a function."""
    value = json.loads(responses[table])
    change(value)
    return {**responses, table: to_json(value)}
