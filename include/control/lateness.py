"""Find late steps of a vendor's day: steps that are due and not in the ledger. Each sends one alert."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from croniter import croniter

from include.business_dates import find_close, latest_closed
from include.contract import Vendor

# Pulls of single clients, webhook deliveries and replays do not count as the day's pull.
_FIND = sa.text("""
select t.name, s.staged, s.dead from unnest(cast(:tables as text[])) as t(name)
left join lateral (
    select staged, dead from control.ledger l
    where l.vendor = :vendor and l.table_name = t.name and l.business_date = :day and l.stage = 'stage'
      and l.pulled in ('current', 'historical') order by ledger_id desc limit 1
) s on true
where exists (select from control.ledger l where l.vendor = :vendor and l.recorded_at < :start)
  and not exists (select from control.ledger l
                  where l.vendor = :vendor and l.table_name = t.name and l.business_date = :day and l.stage = :stage
                    and l.pulled in ('current', 'historical'))
  and not exists (select from control.lateness o
                  where o.vendor = :vendor and o.table_name = t.name and o.business_date = :day and o.stage = :stage)
""")

# If a pull was retried, only the newest try counts.
_PROGRESS = sa.text("""
select count(*) filter (where stage = 'stage') as tables, count(*) filter (where stage = 'load') as loaded,
       sum(staged) filter (where stage = 'stage') as rows, sum(dead) filter (where stage in ('stage', 'validate')) as dead
from (
    select distinct on (table_name, stage) stage, staged, dead from control.ledger
    where run_id = :run_id and vendor = :vendor order by table_name, stage, ledger_id desc
) newest
""")

_STOP = sa.text("""
insert into control.unused_vendor (vendor)
select :vendor where (select max(recorded_at) from control.ledger where vendor = :vendor and pulled = 'current') < clock_timestamp() - interval '1 day'
on conflict do nothing
""")
_RESUME = sa.text("""
with used_again as (
    delete from control.unused_vendor u where vendor = :vendor and exists (
        select from control.ledger l where l.vendor = u.vendor and l.stage = 'load' and l.pulled = 'current' and l.recorded_at > u.since)
    returning *
)
insert into control.past_unused_vendor (vendor, since) select vendor, since from used_again
""")

_MARK = sa.text("""
insert into control.lateness (vendor, table_name, business_date, stage, due_at)
values (:vendor, :table, :business_date, :stage, :due_at) on conflict do nothing
""")


@dataclass(frozen=True, slots=True)
class Late:
    """A late step of a table: it was due at `due_at` and is not in the ledger.

    `staged` and `dead` are the numbers of staged rows and dead letters; None if the table is not staged.
    """

    vendor: str
    table: str
    business_date: date
    stage: str
    due_at: datetime
    staged: int | None = None
    dead: int | None = None

    def describe(self, now: datetime) -> str:
        """Return the line of an alert: the late step, by how much it is late, and the rows staged so far."""
        minutes = int((now - self.due_at).total_seconds() // 60)
        there = "nothing staged" if self.staged is None else f"{self.staged:,} rows staged, {self.dead:,} dead letters"
        due = f"{self.stage} was due at {self.due_at:%H:%M %Z}, {minutes // 60} h {minutes % 60:02} min ago"
        return f"{self.table}: {due}; {there}"


@dataclass(frozen=True, slots=True)
class Due:
    """The newest business date that a scheduled run of a vendor should have loaded.

    Attributes:
        start: When the first run for the date was scheduled to start, in the vendor's time zone.
        business_date: The last trading day closed by the start.
        stages: Stage of the ledger -> when it must be recorded.
    """

    start: datetime
    business_date: date
    stages: dict[str, datetime]


def find_due(vendor: Vendor, now: datetime) -> Due:
    """Return the business date of a vendor's newest scheduled run, which is the last start of its cron schedule before `now`.

    The steps are due on the day of the first start for that date. So the trading day that closes this afternoon is due tomorrow if the vendor
    runs each morning, and this evening if it runs each hour. A vendor with a weekly schedule is due once a week.
    """
    zone = ZoneInfo(vendor.timezone)
    day = latest_closed(croniter(vendor.cron, now.astimezone(zone)).get_prev(datetime))
    before_close = find_close(day).astimezone(zone) - timedelta(minutes=1)
    start: datetime = croniter(vendor.cron, before_close).get_next(datetime)
    stages = {
        stage: datetime.combine(start.date(), time.fromisoformat(clock), zone) for stage, clock in vendor.due.items()
    }
    return Due(start, day, stages)


def find_late(engine: sa.Engine, vendor: Vendor, now: datetime, go_live: datetime) -> list[Late]:
    """Return the steps of the newest business date (see `find_due`) that are due, not in the ledger, and not yet alerted.

    Nothing is due for a start before the vendor's first ledger row, because the vendor's DAG was still paused.

    Args:
        engine: The control database.
        vendor: Declares when each stage is due, in its own time zone.
        now: Current time, with time zone.
        go_live: Time with time zone; a run that was scheduled to start before it is never late.
    """
    due = find_due(vendor, now)
    if due.start < go_live:
        return []
    mapped = {entity_map.table for entity_map in vendor.maps}
    late: list[Late] = []
    for stage, due_at in due.stages.items():
        if now < due_at:
            continue
        values = {
            "vendor": vendor.name,
            "tables": [table.name for table in vendor.requested_tables if stage != "load" or table.name in mapped],
            "day": due.business_date,
            "stage": stage,
            "start": due.start,
        }
        with engine.begin() as connection:
            rows = connection.execute(_FIND, values).all()
        late += [Late(vendor.name, row.name, due.business_date, stage, due_at, row.staged, row.dead) for row in rows]
    return late


def record_use(engine: sa.Engine, vendor: str, *, is_used: bool) -> None:
    """Record whether the firm uses a vendor: whether it has a connection to it.

    A vendor is not used if it was pulled before, and not in the last day: a connection that was lost by mistake makes the next daily run fail
    first, which alerts. It is used again once a pull is loaded: until then, its newest day is old, and must not count before other vendors' days.
    """
    with engine.begin() as connection:
        connection.execute(_RESUME if is_used else _STOP, {"vendor": vendor})


def mark_alerted(engine: sa.Engine, late: list[Late]) -> None:
    """Record late steps as alerted, so that each sends one alert. Call it after the alert was sent."""
    if late:
        with engine.begin() as connection:
            connection.execute(_MARK, [asdict(each) for each in late])


def describe_progress(engine: sa.Engine, vendor_name: str, run_id: str) -> str:
    """Return the progress of a vendor's run as text (tables staged and loaded, rows, dead letters); empty if no table is staged."""
    with engine.connect() as connection:
        done = connection.execute(_PROGRESS, {"vendor": vendor_name, "run_id": run_id}).one()
    if not done.tables:
        return ""
    return f"{done.tables} tables staged, {done.loaded} loaded; {done.rows:,} rows, {done.dead:,} dead letters"
