"""The outbox: events become deliveries, and people send them again, enable a subscriber, or are told of trouble."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from include.errors import ConfigurationError
from include.outbound.subscriber import Subscriber, expand

CHANNEL = "tributary_outbox"
"""Notified when events are committed that an active subscriber wants. A notification may be lost: the listener also looks now and then."""

READY = """
d.status = 'waiting' and d.due_at <= :now
and exists (select from control.outbound_subscriber s
            where s.subscriber = d.subscriber and s.state = 'active' and coalesce(s.paused_until, '-infinity') <= :now)
and not exists (select from control.outbound_delivery earlier
                where earlier.subscriber = d.subscriber and earlier.subject = d.subject and earlier.status = 'waiting'
                  and earlier.event_number < d.event_number)
"""
"""Whether a delivery `d` may be sent: it is due, its subscriber is there, and nothing of its subject waits before it."""

_WANTED = "e.type = any(s.types) and (cardinality(s.vendors) = 0 or e.vendor = any(s.vendors))"

# One at a time: of two events of a subject, the second must not be seen as a delivery before the first is one.
_LOCK = sa.text("select pg_advisory_xact_lock(hashtext('tributary outbox'))")
_ROUTE = sa.text(f"""
with fresh as (
    update control.outbox set routed_at = clock_timestamp() where routed_at is null
    returning event_number, type, vendor, subject
)
insert into control.outbound_delivery (subscriber, event_number, subject, due_at)
select s.subscriber, e.event_number, e.subject, :now
from fresh e join control.outbound_subscriber s on s.state <> 'removed' and {_WANTED}
""")  # noqa: S608

_MEET = sa.text("""
insert into control.outbound_subscriber as known (subscriber, state, types, vendors, first_seen_at)
values (:name, 'active', :types, :vendors, :now)
on conflict (subscriber) do update set
    types = excluded.types, vendors = excluded.vendors,
    state = case known.state when 'disabled' then 'disabled' else 'active' end,
    reason = case known.state when 'disabled' then known.reason else '' end,
    told_at = case known.state when 'disabled' then known.told_at end
where (known.types, known.vendors) is distinct from (excluded.types, excluded.vendors)
   or known.state in ('unreadable', 'removed')
""")
_MEET_UNREADABLE = sa.text("""
insert into control.outbound_subscriber as known (subscriber, state, reason, types, vendors, first_seen_at)
values (:name, 'unreadable', :reason, '{}', '{}', :now)
on conflict (subscriber) do update set state = 'unreadable', reason = excluded.reason, told_at = null
where known.state <> 'disabled' and (known.state, known.reason) <> ('unreadable', excluded.reason)
""")
_PART = sa.text("""
update control.outbound_subscriber
set state = 'removed', reason = '', failures = 0, failing_since = null, paused_until = null
where subscriber <> all(:names) and state <> 'removed'
""")

# Events that no subscriber wants wait for the next scheduled run, which routes them to none: no run is started for them.
_IS_WAITING = f"""
select exists (select from control.outbox e join control.outbound_subscriber s on s.state = 'active' and {_WANTED}
               where e.routed_at is null)
    or exists (select from control.outbound_delivery d where {READY})
"""  # noqa: S608
IS_WAITING_NOW = _IS_WAITING.replace(":now", "clock_timestamp()")
"""The question of `is_waiting`, by the database's clock, for whoever has a connection and no engine."""

_REPLAY = sa.text(f"""
insert into control.outbound_delivery as known (subscriber, event_number, subject, due_at)
select s.subscriber, e.event_number, e.subject, :now
from control.outbox e
join control.outbound_subscriber s on s.subscriber = :subscriber and {_WANTED}
left join control.outbound_delivery d on d.subscriber = s.subscriber and d.event_number = e.event_number
where e.routed_at is not null
  and (cast(:event_ids as uuid[]) is null or e.event_id = any(:event_ids))
  and e.type = any(:types)
  and (cast(:since as timestamptz) is null or e.occurred_at >= :since)
  and (cast(:until as timestamptz) is null or e.occurred_at < :until)
  and (not :only_dead or d.status = 'dead')
on conflict (subscriber, event_number) do update
set status = 'waiting', tries = 0, due_at = excluded.due_at, told_at = null
""")  # noqa: S608

# Deliveries first, as those who send lock them: delivery, then subscriber.
_DUE_AGAIN = sa.text("""
update control.outbound_delivery set tries = 0, due_at = :now where subscriber = :subscriber and status = 'waiting'
""")
_ENABLE = sa.text("""
update control.outbound_subscriber
set state = 'active', reason = '', failures = 0, failing_since = null, paused_until = null, told_at = null
where subscriber = :subscriber and state in ('active', 'disabled')
""")

_TELL_STATES = sa.text("""
update control.outbound_subscriber set told_at = clock_timestamp()
where state in ('disabled', 'unreadable') and told_at is null returning subscriber, state, reason
""")
_TELL_DEAD = sa.text("""
with told as (
    update control.outbound_delivery set told_at = clock_timestamp() where status = 'dead' and told_at is null
    returning subscriber
)
select subscriber, count(*) as events from told group by 1 order by 1
""")


def route(engine: sa.Engine, subscribers: Sequence[Subscriber], unreadable: Mapping[str, str], now: datetime) -> None:
    """Makes a delivery of each new event for each subscriber that wants it, and then meets the subscribers.

    In this order, so that what is new to us gets what is committed from now on, and a changed filter counts from now on.

    Args:
        engine: As the loading role.
        subscribers: All that there are and can be read.
        unreadable: Those that can't be read now, with the reason: their events are kept, by the filter last read.
        now: Since when the new deliveries are due.
    """
    with engine.begin() as connection:
        connection.execute(_LOCK)
        connection.execute(_ROUTE, {"now": now})
        for each in subscribers:
            filters = {"types": list(each.types), "vendors": list(each.vendors)}
            connection.execute(_MEET, {"name": each.name, "now": now, **filters})
        for name, reason in unreadable.items():
            connection.execute(_MEET_UNREADABLE, {"name": name, "reason": reason, "now": now})
        connection.execute(_PART, {"names": [*(each.name for each in subscribers), *unreadable]})


def is_waiting(engine: sa.Engine, now: datetime) -> bool:
    """Whether there is anything to deliver now."""
    with engine.connect() as connection:
        return bool(connection.scalar(sa.text(_IS_WAITING), {"now": now}))


def replay(
    engine: sa.Engine,
    subscriber: str,
    now: datetime,
    *,
    event_ids: Sequence[UUID] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    types: Sequence[str] = ("*",),
    only_dead: bool = False,
) -> int:
    """Makes events due again for a subscriber, also those that it never got; returns how many.

    They keep their ids and their place in the order. What its filter leaves out stays out.

    Args:
        engine: As the loading role.
        subscriber: Its name.
        now: Since when they are due.
        event_ids: These; none: all of the time.
        since: That occurred then or later.
        until: That occurred before.
        types: Patterns of types.
        only_dead: Those alone that were given up.

    Raises:
        ConfigurationError: The subscriber was never met, a pattern names no type, or nothing says which events.
    """
    if not (event_ids or since or only_dead):
        raise ConfigurationError("Say which events: by id, by time, or those given up", subscriber=subscriber)
    values = {
        "subscriber": subscriber, "now": now, "event_ids": list(event_ids) or None, "since": since, "until": until,
        "types": list(expand(types, subscriber)), "only_dead": only_dead,
    }  # fmt: skip
    with engine.begin() as connection:
        known = sa.text("select 1 from control.outbound_subscriber where subscriber = :subscriber")
        if connection.scalar(known, values) is None:
            raise ConfigurationError("There is no such subscriber", subscriber=subscriber)
        return connection.execute(_REPLAY, values).rowcount


def has_unfinished(engine: sa.Engine) -> bool:
    """Return whether a known subscriber was not recorded as removed, or an event that was given up was not reported."""
    query = """
    select exists (select from control.outbound_subscriber where state <> 'removed')
        or exists (select from control.outbound_delivery where status = 'dead' and told_at is null)
    """
    with engine.connect() as db:
        return bool(db.scalar(sa.text(query)))


def enable(engine: sa.Engine, subscriber: str, now: datetime) -> int:
    """Lets a disabled subscriber have its events again, with all tries; returns how many waited.

    Raises:
        ConfigurationError: It was never met, was removed, or can't be read.
    """
    values = {"subscriber": subscriber, "now": now}
    with engine.begin() as connection:
        waiting = connection.execute(_DUE_AGAIN, values).rowcount
        if not connection.execute(_ENABLE, values).rowcount:
            raise ConfigurationError("There is no such subscriber, or it can't be read", subscriber=subscriber)
        return waiting


@dataclass(frozen=True, slots=True)
class Trouble:
    """What people must know of a subscriber: it gets nothing any more, or events were given up."""

    subscriber: str
    what: str


def tell_troubles(engine: sa.Engine, tell: Callable[[list[Trouble]], None]) -> list[Trouble]:
    """Tells of each trouble once: what `tell` raises makes it untold again.

    Args:
        engine: As the loading role.
        tell: Called once, if there is any.
    """
    with engine.begin() as connection:
        dead = [Trouble(row.subscriber, f"{row.events} events were given up") for row in connection.execute(_TELL_DEAD)]
        states = [Trouble(row.subscriber, f"{row.state}: {row.reason}") for row in connection.execute(_TELL_STATES)]
        if troubles := states + dead:
            tell(troubles)
        return troubles
