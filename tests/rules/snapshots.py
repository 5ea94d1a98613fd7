"""Small snapshots, written as rows; omitted fields have defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from include.rules import snapshot as snapshots
from include.rules.snapshot import Snapshot

DAY = date(2026, 11, 20)
BEFORE = date(2026, 11, 19)

Rows = Iterable[Mapping[str, Any]]


def usd(amount: int | str | Decimal) -> Decimal:
    return Decimal(amount).quantize(Decimal("0.01"))


def make_snapshot(
    accounts: Rows = (),
    owners: Rows = (),
    positions: Rows = (),
    flows: Rows = (),
    breaks: Rows | None = (),
    securities: Rows = (),
    before: date | None = BEFORE,
    absent: Mapping[int, date] | None = None,
) -> Snapshot:
    """Build a snapshot; by default household 1 owns all accounts."""
    rows = [_account(each) for each in accounts]
    shares = list(owners) or [{"account_id": row["account_id"], "household_id": 1} for row in rows]
    homes = sorted({owner["household_id"] for owner in shares if owner["household_id"] is not None})
    return Snapshot(
        business_date=DAY,
        before=before,
        accounts=_table(rows, snapshots.ACCOUNTS),
        sleeved=snapshots.SLEEVED.empty_table(),
        owners=_table([{"share_ratio": Decimal(1)} | dict(owner) for owner in shares], snapshots.OWNERS),
        households=_table(
            [{"household_id": h, "representative_id": 70 + h, "absent_since": (absent or {}).get(h)} for h in homes],
            snapshots.HOUSEHOLDS,
        ),
        positions=_table([{"is_cash": False} | dict(row) for row in positions], snapshots.POSITIONS),
        securities=_table(securities, snapshots.SECURITIES),
        flows=_table([{"trade_date": DAY} | dict(row) for row in flows], snapshots.FLOWS),
        breaks=None if breaks is None else _table(breaks, snapshots.BREAKS),
        silent_before=snapshots.SILENT.empty_table(),
        silent=snapshots.SILENT.empty_table(),
    )


def read_measures(table: pa.Table) -> dict[int, Decimal]:
    """Map each subject to its measure."""
    rows = table.to_pylist()
    measures = {row["subject_id"]: row["measure"] for row in rows}
    assert len(measures) == len(rows), "a subject was found twice"
    return measures


def details(table: pa.Table) -> list[str]:
    return sorted(table["details"].to_pylist())


def _account(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = {
        "household_id": 1, "representative_id": 7, "open_date": date(2020, 1, 2), "is_active": True, "was_active": True,
        "net_flow_usd": usd(0),
    }  # fmt: skip
    return plain | dict(row)


def _table(rows: Rows, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
