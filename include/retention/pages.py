"""Dispose of expired data quality reports."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from include.retention.rows import Expired, total
from include.staging.partitions import Staging
from include.validation import docs


def expire_reports(staging: Staging, engine: sa.Engine, before: datetime, *, is_dry: bool) -> Expired:
    """Remove the data quality reports that were written before a time, or with `is_dry` only count them; return their number, age and size."""
    removed = docs.expire(staging, engine, before, is_dry=is_dry)
    return total(Expired(1, written_at, written_at, size) for written_at, size in removed)
