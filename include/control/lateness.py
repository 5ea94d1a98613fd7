"""Which steps of a vendor's day are late, from the ledger; each is told once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from croniter import croniter

from include.contract import Vendor
from include.sessions import latest_closed

_FIND = sa.text("""
select t.name from unnest(cast(:tables as text[])) as t(name)
where not exists (select from control.ledger l
                  where l.vendor = :vendor and l.table_name = t.name and l.business_date = :day and l.stage = :stage)
  and not exists (select from control.lateness o
                  where o.vendor = :vendor and o.table_name = t.name and o.business_date = :day and o.stage = :stage)
""")

_TOLD = sa.text("""
insert into control.lateness (vendor, table_name, business_date, stage, due_at)
values (:vendor, :table, :business_date, :stage, :due_at) on conflict do nothing
""")


@dataclass(frozen=True, slots=True)
class Late:
    """A step that was due and is not in the ledger."""

    vendor: str
    table: str
    business_date: date
    stage: str
    due_at: datetime


def find_late(engine: sa.Engine, vendor: Vendor, now: datetime) -> list[Late]:
    """Finds steps that are due, not done, and not told of before.

    Args:
        engine: The control database.
        vendor: Says by when which stage is due, in its own time zone.
        now: Aware. The day in question is the last session before the newest start of the vendor's schedule, and it is due
            on that start's morning: what closes this afternoon is due tomorrow, and a weekly vendor once a week.
    """
    local = now.astimezone(ZoneInfo(vendor.timezone))
    start = croniter(vendor.cron, local).get_prev(datetime)
    day = latest_closed(start)
    mapped = {entity_map.table for entity_map in vendor.maps}
    found: list[Late] = []
    for stage, clock in vendor.due.items():
        due_at = datetime.combine(start.date(), time.fromisoformat(clock), local.tzinfo)
        if local < due_at:
            continue
        values = {
            "vendor": vendor.name,
            "tables": [table.name for table in vendor.asked if stage != "load" or table.name in mapped],
            "day": day,
            "stage": stage,
            "due_at": due_at,
        }
        with engine.begin() as connection:
            late = connection.scalars(_FIND, values).all()
        found += [Late(vendor.name, table, day, stage, due_at) for table in late]
    return found


def mark_told(engine: sa.Engine, late: list[Late]) -> None:
    """Notes what people were told of, so that it is told once; called after the alert has gone out."""
    if late:
        with engine.begin() as connection:
            connection.execute(_TOLD, [asdict(each) for each in late])
