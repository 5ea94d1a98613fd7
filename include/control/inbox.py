"""What others' webhooks brought, and events that can't be read, kept as they came; and the bell that says so.

A delivery that is in the inbox was acknowledged, and one that was acknowledged is in the inbox. The bell is a notification on
`CHANNEL` whose payload is the sender's name; it may be lost or come twice, so whoever hears it reads the inbox.
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

# In the order in which they came, and no more at once than memory holds.
_WAITING = sa.text("""
select inbox_id, body, received_at from (
    select inbox_id, body, received_at, sum(octet_length(body)) over (order by inbox_id) - octet_length(body) as bytes_before
    from (select * from control.inbox where sender = :sender and processed_at is null order by inbox_id limit :most) first
) counted where bytes_before < :most_bytes order by inbox_id
""")
# What callers pushed may hold what is sensitive, and callers have it: it is not kept in clear once it was read.
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

_RECEIVE = sa.text("select control.receive(:sender, :body, :content_hash, :event_id, cast(:headers as jsonb))")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One authentic message of a sender.

    Attributes:
        sender: Its name.
        body: Byte for byte as it came; never shown.
        content_hash: SHA-256 in hex; deliveries of one sender with the same are one.
        event_id: The sender's own id of it, where it gives one.
        headers: Those that tell of the delivery; no secrets.
    """

    sender: str
    body: bytes = field(repr=False)
    content_hash: str
    event_id: str | None
    headers: Mapping[str, str]


def receive(engine: sa.Engine, delivery: Delivery) -> bool:
    """Puts a delivery into the inbox and rings, in one durable transaction.

    Returns:
        Whether it is new; one that was there is counted, and rings again if it still waits.

    Raises:
        TargetUnavailable: The database is away or busy.
    """
    # One statement is one transaction: no further way to the database and back for its beginning and its end.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return bool(connection.scalar(_RECEIVE, _values(delivery)))


def refuse(connection: sa.Connection, delivery: Delivery, error: str) -> None:
    """Keeps a delivery that came to nothing, with why; in the caller's transaction."""
    connection.execute(_REFUSE, _values(delivery) | {"error": error})


def _values(delivery: Delivery) -> dict[str, object]:
    return asdict(delivery) | {"headers": orjson.dumps(dict(delivery.headers)).decode()}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that waits; its body is never shown."""

    inbox_id: int
    body: bytes = field(repr=False)
    received_at: datetime


def waiting(engine: sa.Engine, sender: str, most: int, most_bytes: int) -> list[Waiting]:
    """Returns the first deliveries of a sender that wait: at most so many, and about so many bytes, but at least one."""
    with engine.connect() as connection:
        rows = connection.execute(_WAITING, {"sender": sender, "most": most, "most_bytes": most_bytes})
        return [Waiting(row.inbox_id, bytes(row.body), row.received_at) for row in rows]


def senders_waiting(engine: sa.Engine) -> set[str]:
    """Returns of which senders anything waits."""
    with engine.connect() as connection:
        return set(connection.scalars(sa.text("select distinct sender from control.inbox where processed_at is null")))


def settle(
    engine: sa.Engine, errors: Mapping[int, str | None], outcomes: Mapping[int, Mapping[str, Any]] | None = None
) -> None:
    """Marks deliveries as processed, each with why it came to nothing, or None; one that is marked stays as it is.

    Args:
        engine: The control database.
        errors: By delivery.
        outcomes: What became of the rows of pushes, by delivery.
    """
    told = [error and error.replace("\0", "\ufffd")[:_ERROR_LENGTH] for error in errors.values()]
    rows = [(outcomes or {}).get(inbox_id) for inbox_id in errors]
    kept = [None if each is None else orjson.dumps(each).decode() for each in rows]
    with engine.begin() as connection:
        connection.execute(_SETTLE, {"ids": list(errors), "errors": told, "outcomes": kept})
