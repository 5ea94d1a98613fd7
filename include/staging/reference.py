"""What identifies a partition between tasks, in the ledger and in dead letters. Imports nothing heavy."""

from __future__ import annotations

from datetime import date
from typing import TypedDict


class Reference(TypedDict):
    """What tasks pass on of a partition: its table, and its path below the staging root."""

    table: str
    path: str


def partition_path(vendor: str, table: str, business_date: date, pull_id: str) -> str:
    """Return the path of a partition below the staging root."""
    return f"{vendor}/{table}/{business_date}/{pull_id}"
