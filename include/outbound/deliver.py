"""Send due deliveries: at least once, in order within each subject, several subjects in parallel.

A delivery's row is locked while it is sent, and the outcome is written in the same transaction. If the process dies, the lock ends
with its connection, and the delivery is sent again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from include.outbound import outbox
from include.outbound.message import Event, render, sign
from include.outbound.post import Answer, Sender
from include.outbound.subscriber import Subscriber
from include.outbound.verdict import DISABLE_AFTER, Verdict, evaluate

THREADS = 12
"""Maximum number of deliveries sent at the same time; must be less than the number of the engine's database connections."""
THREADS_EACH = 4
"""Maximum number of deliveries sent at the same time to one subscriber, so that a slow subscriber does not use all threads."""
MOST_FAILURES = 5
"""Number of consecutive failures after which all deliveries to a subscriber are paused, because its receiver is probably down."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=30)

_KEEP_LOCK = sa.text(
    "set local idle_in_transaction_session_timeout = '120s'"
)  # releases the lock of a machine that vanished

_CLAIM = sa.text(f"""
select d.event_number, d.tries, e.event_id, e.type, e.subject, e.occurred_at, e.data
from control.outbound_delivery d join control.outbox e on e.event_number = d.event_number
where d.subscriber = :subscriber and {outbox.READY}
order by d.due_at, d.event_number limit 1
for update of d skip locked
""")  # noqa: S608

_SETTLE = sa.text("""
update control.outbound_delivery
set status = :status, tries = tries + 1, due_at = :due_at, tried_at = :now, last_status = :http_status, last_error = :error
where subscriber = :subscriber and event_number = :event_number
""")

# A success does not end a pause: its attempt may have begun before the receiver requested the pause.
_RECOVER = sa.text("""
update control.outbound_subscriber set failures = 0, failing_since = null
where subscriber = :subscriber and failing_since is not null
""")

# Don't count failures of attempts that were in progress when a pause began.
_FAIL = sa.text("""
with counted as (
    select subscriber, case when paused_until > :now then failures else failures + 1 end as failures,
           coalesce(failing_since, :now) as failing_since
    from control.outbound_subscriber where subscriber = :subscriber for update
)
update control.outbound_subscriber s
set failures = c.failures, failing_since = c.failing_since,
    paused_until = greatest(s.paused_until, cast(:paused_until as timestamptz), case when c.failures >= :most_failures then
        :now + least(:longest_pause, :first_pause * power(2, least(c.failures - :most_failures, 20))) end),
    state = case when s.state = 'active' and (:is_gone or c.failing_since <= :now - :disable_after)
            then 'disabled' else s.state end,
    reason = case when s.state <> 'active' then s.reason
                  when :is_gone then 'the receiver responded 410 Gone: it wants no more events'
                  when c.failing_since <= :now - :disable_after
                  then 'no delivery has succeeded since ' || to_char(c.failing_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'
                  else s.reason end
from counted c where s.subscriber = c.subscriber
""")

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of attempts of one run, by outcome. A `failed` delivery will be retried; a `dead` one will not."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0

    def plus(self, verdict: Verdict) -> Counts:
        """Return the counts with one more attempt."""
        name = {"waiting": "failed"}.get(verdict.status, verdict.status)
        counts = asdict(self)
        return Counts(**counts | {name: counts[name] + 1})


def read_clock() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def deliver(
    engine: sa.Engine,
    subscribers: Sequence[Subscriber],
    unreadable: Mapping[str, str] | None = None,
    *,
    clock: Clock = read_clock,
    lasting: timedelta = timedelta(minutes=4),
) -> Counts:
    """Create deliveries for new events, and send until none is due.

    Args:
        engine: The database, as the loading role.
        subscribers: All subscribers with valid settings.
        unreadable: Name of each subscriber with invalid settings -> the reason. A recorded subscriber that is neither here nor in
            `subscribers` is marked as removed.
        clock: Returns the current time, which decides which deliveries are due.
        lasting: Time limit: no attempt begins after it, and the next run sends the rest.

    Raises:
        TargetUnavailable: The database is unavailable; deliveries in progress will be sent again.
    """
    with Sender() as sender:
        refused = sender.find_refused({each.name: (each.url, each.networks) for each in subscribers})
        allowed = [each for each in subscribers if each.name not in refused]
        outbox.route(engine, allowed, {**(unreadable or {}), **refused}, clock())
        return _send_due(engine, sender, allowed, clock, clock() + lasting)


def _send_due(
    engine: sa.Engine, sender: Sender, subscribers: Sequence[Subscriber], clock: Clock, until: datetime
) -> Counts:
    counts = Counts()
    pool = ThreadPoolExecutor(THREADS, "outbound")
    try:
        running: dict[Future[Verdict | None], Subscriber] = {}
        for each in list(subscribers) * THREADS_EACH:
            running[pool.submit(_send_next, engine, sender, each, clock)] = each
        while running:
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                subscriber, verdict = running.pop(done), done.result()
                if verdict is None:
                    continue
                counts = counts.plus(verdict)
                if clock() < until:  # to the end of the queue, so that subscribers take turns
                    running[pool.submit(_send_next, engine, sender, subscriber, clock)] = subscriber
        return counts
    finally:
        pool.shutdown(cancel_futures=True)


def _send_next(engine: sa.Engine, sender: Sender, subscriber: Subscriber, clock: Clock) -> Verdict | None:
    """Send the next due delivery of a subscriber and record the outcome; return None if no delivery may be sent now."""
    with engine.begin() as connection:
        connection.execute(_KEEP_LOCK)
        row = connection.execute(_CLAIM, {"subscriber": subscriber.name, "now": clock()}).first()
        if row is None:
            return None
        answer = _send(sender, subscriber, Event(str(row.event_id), row.type, row.subject, row.occurred_at, row.data))
        now = clock()
        verdict = evaluate(answer, row.tries + 1, now, random.uniform(-1, 1))
        _settle(connection, subscriber.name, row.event_number, now, answer, verdict)
        return verdict


def _send(sender: Sender, subscriber: Subscriber, event: Event) -> Answer:
    body = render(event)
    # Sign with the wall clock: the receiver compares the timestamp with its own clock.
    headers = sign(subscriber.secrets, event.event_id, body, read_clock())
    return sender.post(subscriber.url, headers, body, subscriber.networks)


def _settle(
    connection: sa.Connection, subscriber: str, event_number: int, now: datetime, answer: Answer, verdict: Verdict
) -> None:
    values = {
        "subscriber": subscriber, "event_number": event_number, "now": now, "status": verdict.status,
        "due_at": verdict.due_at, "http_status": answer.status, "error": answer.error,
        "paused_until": verdict.paused_until, "is_gone": verdict.is_gone, "most_failures": MOST_FAILURES,
        "first_pause": FIRST_PAUSE, "longest_pause": LONGEST_PAUSE, "disable_after": DISABLE_AFTER,
    }  # fmt: skip
    connection.execute(_SETTLE, values)
    connection.execute(_RECOVER if verdict.status == "delivered" else _FAIL, values)
