"""The inbox: webhook deliveries and unreadable events, stored byte for byte, and the notification about new ones.

A webhook delivery is acknowledged if and only if it is stored in the inbox. The notification is sent on `CHANNEL`, with the sender's
name as its payload. It may be lost or arrive twice, so it contains no data: a listener reads the inbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

CHANNEL = "tributary_inbox"
_ERROR_LENGTH = 2_000

# The first pending deliveries in order of arrival, limited in number and in total bytes.
_LIST_PENDING = sa.text("""
select inbox_id, body, received_at from (
    select inbox_id, body, received_at, sum(octet_length(body)) over (order by inbox_id) - octet_length(body) as bytes_before
    from (select * from control.inbox where sender = :sender and processed_at is null order by inbox_id limit :most) first
) counted where bytes_before < :most_bytes order by inbox_id
""")
# Rows that API callers pushed may contain sensitive values, and the callers still have them: delete the body once it was processed.
_SETTLE = sa.text("""
update control.inbox i set processed_at = clock_timestamp(), error = s.error, outcome = cast(s.outcome as jsonb),
                           body = case when i.sender like 'push.%' then '' else i.body end
from unnest(cast(:ids as bigint[]), cast(:errors as text[]), cast(:outcomes as text[])) s(inbox_id, error, outcome)
where i.inbox_id = s.inbox_id and i.processed_at is null
""")

_REFUSE = sa.text("""
insert into control.inbox as known (sender, body, content_hash, event_id, headers, processed_at, error)
values (:sender, :body, :content_hash, :event_id, cast(:headers as jsonb), clock_timestamp(), :error)
on conflict (sender, content_hash) do update set copies = known.copies + 1, last_seen_at = clock_timestamp()
""")

_IS_WITHDRAWN = sa.text("""
select exists (select from control.inbox p join control.inbox w on w.event_id = p.event_id and w.sender like 'withdraw.%'
               where p.inbox_id = :inbox_id)
""")
_FIND_WITHDRAWN = sa.text("""
select p.inbox_id, w.headers ->> 'caller' as caller from control.inbox w
join control.inbox p on p.event_id = w.event_id and p.sender like 'push.%' where w.inbox_id = :inbox_id
""")
_RECEIVE = sa.text("select control.receive(:sender, :body, :content_hash, :event_id, cast(:headers as jsonb))")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One authentic message of a sender.

    Attributes:
        sender: Name of the sender.
        body: Body, byte for byte as received; never displayed.
        content_hash: SHA-256 in hex. Deliveries of one sender with the same hash are stored as one.
        event_id: The sender's id of the event; None if it sends none.
        headers: Headers to store with the delivery; no secrets.
    """

    sender: str
    body: bytes = field(repr=False)
    content_hash: str
    event_id: str | None
    headers: Mapping[str, str]


def receive(engine: sa.Engine, delivery: Delivery) -> bool:
    """Store a delivery in the inbox and notify listeners, in one durable transaction.

    Returns:
        Whether the delivery is new. A repeated delivery is only counted; it sends another notification if it is still pending.

    Raises:
        TargetUnavailable: The database is unavailable or busy.
    """
    # Autocommit: one statement is one transaction, without round trips for BEGIN and COMMIT.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return bool(connection.scalar(_RECEIVE, _values(delivery)))


def refuse(connection: sa.Connection, delivery: Delivery, error: str) -> None:
    """Store a delivery that can't be processed, with its error and marked as processed, in the caller's transaction."""
    connection.execute(_REFUSE, _values(delivery) | {"error": error})


def _values(delivery: Delivery) -> dict[str, object]:
    return asdict(delivery) | {"headers": orjson.dumps(dict(delivery.headers)).decode()}


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending delivery; its body is never displayed."""

    inbox_id: int
    body: bytes = field(repr=False)
    received_at: datetime


def list_pending(engine: sa.Engine, sender: str, most: int, most_bytes: int) -> list[Pending]:
    """Return a sender's first pending deliveries, in order of arrival.

    Args:
        engine: The control database.
        sender: Name of the sender.
        most: Maximum number of deliveries.
        most_bytes: Stop after the delivery with which the total of bytes reaches this limit. So a single larger delivery is returned.
    """
    with engine.connect() as connection:
        rows = connection.execute(_LIST_PENDING, {"sender": sender, "most": most, "most_bytes": most_bytes})
        return [Pending(row.inbox_id, bytes(row.body), row.received_at) for row in rows]


def is_withdrawn(engine: sa.Engine, inbox_id: int) -> bool:
    """Return whether the caller withdrew a push."""
    with engine.connect() as connection:
        return bool(connection.scalar(_IS_WITHDRAWN, {"inbox_id": inbox_id}))


def find_withdrawn(engine: sa.Engine, inbox_id: int) -> tuple[int, str]:
    """Return the id of the push that a withdrawal is about, and the name of the caller."""
    with engine.connect() as connection:
        row = connection.execute(_FIND_WITHDRAWN, {"inbox_id": inbox_id}).one()
    return row.inbox_id, row.caller


def find_pending_senders(engine: sa.Engine) -> set[str]:
    """Return the senders that have pending deliveries."""
    with engine.connect() as connection:
        return set(connection.scalars(sa.text("select distinct sender from control.inbox where processed_at is null")))


def settle(
    engine: sa.Engine, errors: Mapping[int, str | None], outcomes: Mapping[int, Mapping[str, Any]] | None = None
) -> None:
    """Mark deliveries as processed, each with its error or None. Deliveries already processed are left unchanged.

    Args:
        engine: The control database.
        errors: Delivery id -> error message, or None for success.
        outcomes: Delivery id -> outcome of the rows that an API caller pushed or withdrew, stored as JSON; None for other deliveries.
    """
    messages = [error and error.replace("\0", "\ufffd")[:_ERROR_LENGTH] for error in errors.values()]
    by_delivery = [(outcomes or {}).get(inbox_id) for inbox_id in errors]
    documents = [None if each is None else orjson.dumps(each).decode() for each in by_delivery]
    with engine.begin() as connection:
        connection.execute(_SETTLE, {"ids": list(errors), "errors": messages, "outcomes": documents})
