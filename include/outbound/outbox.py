"""The outbox: create deliveries for events, replay events, enable subscribers, and report problems to operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from include.errors import ConfigurationError
from include.outbound.subscriber import Subscriber, expand

CHANNEL = "tributary_outbox"
"""PostgreSQL channel that is notified when an event is committed that an active subscriber wants.

A notification may be lost, so the listener also polls.
"""

READY = """
d.status = 'waiting' and d.due_at <= :now
and exists (select from control.outbound_subscriber s
            where s.subscriber = d.subscriber and s.state = 'active' and coalesce(s.paused_until, '-infinity') <= :now)
and not exists (select from control.outbound_delivery earlier
                where earlier.subscriber = d.subscriber and earlier.subject = d.subject and earlier.status = 'waiting'
                  and earlier.event_number < d.event_number)
"""
"""SQL condition that a delivery `d` may be sent now.

It is due, its subscriber is active and not paused, and no earlier delivery to the subscriber with the same subject is waiting.
"""

_WANTED = "e.type = any(s.types) and (cardinality(s.vendors) = 0 or e.vendor = any(s.vendors))"

# Only one process routes at a time. Otherwise, the second event of a subject could become a delivery before the first.
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

_UPSERT = sa.text("""
insert into control.outbound_subscriber as known (subscriber, state, types, vendors, first_seen_at)
values (:name, 'active', :types, :vendors, :now)
on conflict (subscriber) do update set
    types = excluded.types, vendors = excluded.vendors,
    state = case known.state when 'disabled' then 'disabled' else 'active' end,
    reason = case known.state when 'disabled' then known.reason else '' end,
    alerted_at = case known.state when 'disabled' then known.alerted_at end
where (known.types, known.vendors) is distinct from (excluded.types, excluded.vendors)
   or known.state in ('unreadable', 'removed')
""")
_UPSERT_UNREADABLE = sa.text("""
insert into control.outbound_subscriber as known (subscriber, state, reason, types, vendors, first_seen_at)
values (:name, 'unreadable', :reason, '{}', '{}', :now)
on conflict (subscriber) do update set state = 'unreadable', reason = excluded.reason, alerted_at = null
where known.state <> 'disabled' and (known.state, known.reason) <> ('unreadable', excluded.reason)
""")
_REMOVE = sa.text("""
update control.outbound_subscriber
set state = 'removed', reason = '', failures = 0, failing_since = null, paused_until = null
where subscriber <> all(:names) and state <> 'removed'
""")

# Events that no subscriber wants start no run; the next scheduled run marks them as routed.
IS_WAITING = f"""
select exists (select from control.outbox e join control.outbound_subscriber s on s.state = 'active' and {_WANTED}
               where e.routed_at is null)
    or exists (select from control.outbound_delivery d where {READY})
"""  # noqa: S608
"""Query: whether a delivery may be sent at `:now`, or an active subscriber wants an event that has no deliveries yet."""
IS_WAITING_NOW = IS_WAITING.replace(":now", "clock_timestamp()")

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
set status = 'waiting', tries = 0, due_at = excluded.due_at, alerted_at = null
""")  # noqa: S608

# Lock in the same order as `deliver`: delivery, then subscriber.
_DUE_AGAIN = sa.text("""
update control.outbound_delivery set tries = 0, due_at = :now where subscriber = :subscriber and status = 'waiting'
""")
_ENABLE = sa.text("""
update control.outbound_subscriber
set state = 'active', reason = '', failures = 0, failing_since = null, paused_until = null, alerted_at = null
where subscriber = :subscriber and state in ('active', 'disabled')
""")

_REPORT_STATES = sa.text("""
update control.outbound_subscriber set alerted_at = clock_timestamp()
where state in ('disabled', 'unreadable') and alerted_at is null returning subscriber, state, reason
""")
_REPORT_DEAD = sa.text("""
with alerted as (
    update control.outbound_delivery set alerted_at = clock_timestamp() where status = 'dead' and alerted_at is null
    returning subscriber
)
select subscriber, count(*) as events from alerted group by 1 order by 1
""")


def route(engine: sa.Engine, subscribers: Sequence[Subscriber], unreadable: Mapping[str, str], now: datetime) -> None:
    """Create a delivery of each new event for each recorded subscriber that wants it; then update the recorded subscribers.

    Because of this order, a new subscriber or a changed filter applies only to later events.

    Args:
        engine: The database, as the loading role.
        subscribers: All subscribers with valid settings.
        unreadable: Name of each subscriber with invalid settings -> the reason. Deliveries for it are still created, by its last valid
            filter.
        now: Time at which the new deliveries become due.
    """
    with engine.begin() as connection:
        connection.execute(_LOCK)
        connection.execute(_ROUTE, {"now": now})
        for each in subscribers:
            filters = {"types": list(each.types), "vendors": list(each.vendors)}
            connection.execute(_UPSERT, {"name": each.name, "now": now, **filters})
        for name, reason in unreadable.items():
            connection.execute(_UPSERT_UNREADABLE, {"name": name, "reason": reason, "now": now})
        connection.execute(_REMOVE, {"names": [*(each.name for each in subscribers), *unreadable]})


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
    """Make events due again for a subscriber, including events that it never received; return how many.

    Events keep their ids and their order. Events outside the subscriber's filter are not sent.

    Args:
        engine: The database, as the loading role.
        subscriber: The subscriber's name.
        now: When the events become due.
        event_ids: Ids of the events; empty for all events that the other arguments select.
        since: Only events that occurred at this time or later.
        until: Only events that occurred before this time.
        types: Only events whose type matches one of these patterns, such as `tributary.finding.*`.
        only_dead: Only events whose delivery to the subscriber is dead.

    Raises:
        ConfigurationError: The subscriber is unknown, a pattern matches no type, or none of `event_ids`, `since` and `only_dead` is given.
    """
    if not (event_ids or since or only_dead):
        raise ConfigurationError("Select events by id, by start time, or only dead deliveries", subscriber=subscriber)
    values = {
        "subscriber": subscriber, "now": now, "event_ids": list(event_ids) or None, "since": since, "until": until,
        "types": list(expand(types, subscriber)), "only_dead": only_dead,
    }  # fmt: skip
    with engine.begin() as connection:
        is_known = sa.text("select 1 from control.outbound_subscriber where subscriber = :subscriber")
        if connection.scalar(is_known, values) is None:
            raise ConfigurationError(
                "Unknown subscriber: check the name in the Variable tributary_subscribers", subscriber=subscriber
            )
        return connection.execute(_REPLAY, values).rowcount


def has_unfinished(engine: sa.Engine) -> bool:
    """Return whether `deliver` has work even if no subscriber is configured now.

    That is the case while a recorded subscriber is not marked as removed, or a dead delivery is not reported.
    """
    query = """
    select exists (select from control.outbound_subscriber where state <> 'removed')
        or exists (select from control.outbound_delivery where status = 'dead' and alerted_at is null)
    """
    with engine.connect() as db:
        return bool(db.scalar(sa.text(query)))


def enable(engine: sa.Engine, subscriber: str, now: datetime) -> int:
    """Re-enable a disabled subscriber; make its waiting deliveries due now, with all attempts, and return their number.

    Raises:
        ConfigurationError: The subscriber is unknown or removed, or its settings are invalid.
    """
    values = {"subscriber": subscriber, "now": now}
    with engine.begin() as connection:
        waiting = connection.execute(_DUE_AGAIN, values).rowcount
        if not connection.execute(_ENABLE, values).rowcount:
            raise ConfigurationError(
                "Can't enable the subscriber: it is unknown or removed, or its settings are invalid",
                subscriber=subscriber,
            )
        return waiting


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem to report to operators: a subscriber is disabled or unreadable, or has dead deliveries."""

    subscriber: str
    what: str


def report_troubles(engine: sa.Engine, send: Callable[[list[Trouble]], None]) -> list[Trouble]:
    """Report each new problem once; return the new problems. If `send` raises, the next call reports them again.

    Args:
        engine: The database, as the loading role.
        send: Called once with all new problems; not called if there are none.
    """
    with engine.begin() as connection:
        dead = [
            Trouble(row.subscriber, f"{row.events} events failed every attempt and will not be retried")
            for row in connection.execute(_REPORT_DEAD)
        ]
        states = [Trouble(row.subscriber, f"{row.state}: {row.reason}") for row in connection.execute(_REPORT_STATES)]
        if troubles := states + dead:
            send(troubles)
        return troubles
