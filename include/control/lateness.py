"""Which steps of a vendor's day are late, from the ledger; each is told once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from include.contract import Vendor

_FIND = sa.text("""
insert into control.lateness (vendor, table_name, business_date, stage, due_at)
select :vendor, t.name, :day, :stage, :due_at
from unnest(cast(:tables as text[])) as t(name)
where not exists (select from control.ledger l
                  where l.vendor = :vendor and l.table_name = t.name and l.business_date = :day and l.stage = :stage)
on conflict do nothing
returning table_name
""")


@dataclass(frozen=True, slots=True)
class Late:
    """A step that was due and is not in the ledger."""

    vendor: str
    table: str
    business_date: date
    stage: str
    due_at: datetime


def find_late(engine: sa.Engine, vendor: Vendor, day: date, now: datetime) -> list[Late]:
    """Finds steps that are due, not done, and not told of before; records them as told.

    Args:
        engine: The control database.
        vendor: Says by when which stage is due, in its own time zone.
        day: The business date that the morning of `now` is about.
        now: Aware.
    """
    local = now.astimezone(ZoneInfo(vendor.timezone))
    found: list[Late] = []
    for stage, clock in vendor.due.items():
        due_at = datetime.combine(local.date(), time.fromisoformat(clock), local.tzinfo)
        if local < due_at:
            continue
        values = {
            "vendor": vendor.name,
            "tables": [table.name for table in vendor.tables],
            "day": day,
            "stage": stage,
            "due_at": due_at,
        }
        with engine.begin() as connection:
            late = connection.scalars(_FIND, values).all()
        found += [Late(vendor.name, table, day, stage, due_at) for table in late]
    return found
