"""Dispose of expired pages: pages of changes to Salesforce, and data quality reports."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa

from include.crm.sync.difference import PLACE as CHANGES
from include.retention.rows import Expired, total
from include.staging.partitions import Staging
from include.validation import docs


def expire_changes(staging: Staging, before: datetime, *, is_dry: bool) -> Expired:
    """Delete the pages of changes that were written before a time, or with `is_dry` only count them; return their number, age and size."""
    return total(_delete_changes(staging, before, is_dry=is_dry))


def expire_reports(staging: Staging, engine: sa.Engine, before: datetime, *, is_dry: bool) -> Expired:
    """Remove the data quality reports that were written before a time, or with `is_dry` only count them; return their number, age and size."""
    removed = docs.expire(staging, engine, before, is_dry=is_dry)
    return total(Expired(1, written_at, written_at, size) for written_at, size in removed)


def _delete_changes(staging: Staging, before: datetime, *, is_dry: bool) -> Iterator[Expired]:
    for name, size, written_at in list(staging.list_written(CHANGES)):
        if written_at < before:
            if not is_dry:
                staging.folder(CHANGES).delete(name)
            yield Expired(1, written_at, written_at, size)
