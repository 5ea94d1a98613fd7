"""Staged and validated partitions of an invented vendor."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from include.contract import (
    BOOLEAN,
    INTEGER,
    MONEY,
    STRING,
    TIMESTAMP,
    Basic,
    Budget,
    EntityMap,
    Table,
    Vendor,
    arrow,
    column,
)
from include.staging.files import PartWriter
from include.staging.partitions import FAULTS, Manifest, Staging
from include.staging.reference import partition_path
from include.transform import entities
from tests.firm_keys import KEYRING

DAY = date(2026, 11, 20)
HOLDINGS = Table(
    "holdings",
    "holdings",
    ("holding_id",),
    (
        column("holding_id", "id", INTEGER),
        column("account_id", "account", INTEGER),
        column("fund", "fund", STRING),
        column("worth_usd", "worth", MONEY),
    ),
)
FUNDS = Table(
    "funds",
    "funds",
    ("fund",),
    (column("fund", "name", STRING), column("owner", "owner", STRING), column("price_usd", "price", MONEY)),
)
STATES = Table(
    "states", "states", ("state_id",),
    (
        column("state_id", "id", INTEGER), column("life", "life", STRING), column("is_final", "final", BOOLEAN),
        column("reopened_at", "reopened", TIMESTAMP), column("changed_at", "changed", TIMESTAMP),
    ),
)  # fmt: skip


def vendor(*maps: EntityMap) -> Vendor:
    return Vendor("sample", "Sample", "", Basic(), (FUNDS, HOLDINGS, STATES), maps, "0 6 * * *", Budget(60))


class Staged:
    """A staged and validated partition, in parts."""

    def __init__(
        self,
        root: Path,
        *parts: Iterable[tuple[Any, ...]],
        refused: Iterable[tuple[int, int]] = (),
        fault: str = "price_usd",
        table: Table = HOLDINGS,
    ) -> None:
        staging, path = Staging(str(root), KEYRING.staging), partition_path("sample", table.name, DAY, "pull")
        writer = PartWriter(staging.folder(path), arrow.schema({c.name: c.type for c in table.columns}))
        for rows in parts:
            named = [dict(zip(writer.schema.names, row, strict=True)) for row in rows]
            writer.write(pa.Table.from_pylist(named, schema=writer.schema))
            writer.flush()
        manifest = Manifest(
            "sample", table.name, DAY, "pull", "current", datetime.now(UTC), "v1", "", None, 0, 0, 0, 0, None, (),
            tuple(writer.parts),
        )  # fmt: skip
        self.partition = staging.seal(manifest)
        faults = [
            {"part": f"part-{part:05d}.parquet", "row_number": row, "expectations": [f"expect_x({fault})"]}
            for part, row in refused
        ]
        self.partition.folder.write("dead.jsonl", b"")
        self.partition.write_faults(pa.Table.from_pylist(faults, schema=FAULTS))

    def transform(self, *maps: EntityMap, **beside: Staged) -> list[entities.Produced]:
        partitions = {name: other.partition for name, other in beside.items()}
        return entities.transform(vendor(*maps), self.partition, partitions.get)

    def rows(self, entity: str) -> list[dict[str, Any]]:
        return [row for part in self.canonical(entity).rows() for row in part.to_pylist()]

    def canonical(self, entity: str) -> entities.Canonical:
        return entities.Canonical(self.partition.folder, entity)


ROWS = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from("abc"), st.one_of(st.none(), st.decimals(-9, 9, places=2))),
    max_size=12,
)
