"""References to partitions, which tasks, the ledger and dead letters use. This module imports no large package."""

from __future__ import annotations

from datetime import date
from typing import TypedDict


class Reference(TypedDict):
    """The reference to a partition that one task passes to the next: its table, and its path below the staging root."""

    table: str
    path: str


def split_path(path: str) -> dict[str, str]:
    """Split a partition's path into `vendor`, `table_name`, `business_date` and `pull_id`."""
    return dict(zip(("vendor", "table_name", "business_date", "pull_id"), path.split("/"), strict=True))


def partition_path(vendor: str, table: str, business_date: date, pull_id: str) -> str:
    """Return the path of a partition below the staging root."""
    return f"{vendor}/{table}/{business_date}/{pull_id}"
