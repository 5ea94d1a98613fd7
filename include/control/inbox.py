"""The inbox: webhook deliveries and unreadable events, encrypted byte for byte, and the notification about new ones.

A body is sealed before it is sent to the database, and is opened only by the task that loads it (`include.keys.inbox`).
A webhook delivery is acknowledged if and only if it is stored in the inbox. The notification is sent on `CHANNEL`, with the sender's
name as its payload. It may be lost or arrive twice, so it contains no data: a listener reads the inbox.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from psycopg.errors import CheckViolation

from include.audit import trail
from include.errors import ConfigurationError, InputRejected
from include.keys.inbox import Opener, ReceivingKey

CHANNEL = "tributary_inbox"
_ERROR_LENGTH = 2_000

# The first pending deliveries in order of arrival, limited in number and in total bytes.
_LIST_PENDING = sa.text("""
select inbox_id, sender, body, content_hash, received_at from (
    select inbox_id, sender, body, content_hash, received_at, sum(octet_length(body)) over (order by inbox_id) - octet_length(body) as bytes_before
    from (select * from control.inbox where sender = :sender and processed_at is null order by inbox_id limit :most) first
) counted where bytes_before < :most_bytes order by inbox_id
""")
# Rows that API callers pushed may contain sensitive values, and the callers still have them: delete the body once it was processed, unless it
# was altered.
_SETTLE = sa.text("""
update control.inbox i set processed_at = clock_timestamp(), error = s.error, outcome = cast(s.outcome as jsonb),
                           body = case when i.sender like 'push.%' and not :keeps_bodies then '' else i.body end
from unnest(cast(:ids as bigint[]), cast(:errors as text[]), cast(:outcomes as text[])) s(inbox_id, error, outcome)
where i.inbox_id = s.inbox_id and i.processed_at is null
""")

_REFUSE = sa.text("""
insert into control.inbox as known (sender, body, content_hash, event_id, headers, processed_at, error)
values (:sender, :body, :content_hash, :event_id, cast(:headers as jsonb), clock_timestamp(), :error)
on conflict (sender, content_hash) do update set copies = known.copies + 1, last_seen_at = clock_timestamp()
""")

_READ_BODY = sa.text("select sender, body, content_hash from control.inbox where inbox_id = :inbox_id")
_FIND_CLEAR = sa.text("""
select inbox_id, sender, body, content_hash, processed_at is null as is_pending from control.inbox
where key_fingerprint is null and body <> '' order by processed_at is not null, inbox_id limit 100
""")
_REPLACE_CLEAR = sa.text("""
update control.inbox set body = :body, content_hash = :content_hash
where inbox_id = :inbox_id and not exists (select from control.inbox where sender = :sender and content_hash = :content_hash)
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
        content_hash: SHA-256 in hex. Deliveries of one sender with the same hash are stored as one. The database gets a keyed hash of it.
        event_id: The sender's id of the event; None if it sends none.
        headers: Headers to store with the delivery; no secrets.
    """

    sender: str
    body: bytes = field(repr=False)
    content_hash: str
    event_id: str | None
    headers: Mapping[str, str]


def receive(engine: sa.Engine, delivery: Delivery, key: ReceivingKey) -> bool:
    """Seal a delivery, store it in the inbox and notify listeners, in one durable transaction.

    Returns:
        Whether the delivery is new. A repeated delivery is only counted; it sends another notification if it is still pending.

    Raises:
        TargetUnavailable: The database is unavailable or busy.
        ConfigurationError: The inbox key is not registered in this database, so tasks could not open the delivery.
    """
    # Autocommit: one statement is one transaction, without round trips for BEGIN and COMMIT.
    with require_registered(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return bool(connection.scalar(_RECEIVE, _seal(delivery, key)))


def refuse(connection: sa.Connection, delivery: Delivery, error: str, key: ReceivingKey) -> None:
    """Seal and store a delivery that can't be processed, marked as processed with its error, in the caller's transaction.

    Raises:
        ConfigurationError: The inbox key is not registered in this database.
    """
    with require_registered():
        connection.execute(_REFUSE, _seal(delivery, key) | {"error": error})


def place_of(sender: str, content_hash: str) -> str:
    """Return the place for which a body is sealed (see `ReceivingKey.seal`): the row's unique key."""
    return f"inbox:{sender}:{content_hash}"


@contextmanager
def require_registered() -> Iterator[None]:
    """Translate the database's refusal of a body that is not sealed under a registered key.

    Raises:
        ConfigurationError: The inbox key is not registered.
    """
    try:
        yield
    except sa.exc.IntegrityError as error:
        if not isinstance(error.orig, CheckViolation):
            raise
        raise ConfigurationError(
            "The inbox key is not registered in this database: the receiving key is not derived from the keyring of the tasks,"
            " or no task has run yet, which registers the keys"
        ) from None


def _seal(delivery: Delivery, key: ReceivingKey) -> dict[str, object]:
    content_hash = key.digest(delivery.content_hash.encode())
    return asdict(delivery) | {
        "body": key.seal(delivery.body, place_of(delivery.sender, content_hash)),
        "content_hash": content_hash,
        "headers": orjson.dumps(dict(delivery.headers)).decode(),
    }


def seal_clear(engine: sa.Engine, key: ReceivingKey, *, budget_s: float = 60.0) -> int:
    """Seal the bodies that an earlier version stored in clear text, the pending ones first. Replace their plain hashes by keyed ones.

    A hash must be unique. If the same body was received again since the upgrade, the older row gets a hash of its plain hash and its id.

    Args:
        engine: The control database.
        key: Seals the bodies.
        budget_s: Time limit in seconds for bodies that were processed already; the next call seals more of them.

    Returns:
        Number of bodies sealed.
    """
    done, deadline = 0, time.monotonic() + budget_s
    while True:
        with engine.begin() as connection:
            rows = connection.execute(_FIND_CLEAR).all()
            for row in rows:
                for text in (row.content_hash, f"{row.content_hash}:{row.inbox_id}"):
                    content_hash = key.digest(text.encode())
                    body = key.seal(bytes(row.body), place_of(row.sender, content_hash))
                    values = {
                        "inbox_id": row.inbox_id,
                        "sender": row.sender,
                        "body": body,
                        "content_hash": content_hash,
                    }
                    if connection.execute(_REPLACE_CLEAR, values).rowcount:
                        break
        done += len(rows)
        if not rows or (time.monotonic() > deadline and not rows[-1].is_pending):
            return done


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending delivery.

    Attributes:
        inbox_id: Its id.
        sealed: Its sealed body.
        place: The place for which the body was sealed.
        received_at: When it was stored.
    """

    inbox_id: int
    sealed: bytes = field(repr=False)
    place: str
    received_at: datetime

    def open(self, opener: Opener) -> bytes:
        """Return the body as it was received; never display it.

        Raises:
            ConfigurationError: The key of the body is not in the keyring.
            DataQualityError: The body was altered or moved.
        """
        return opener.open(self.sealed, self.place)


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
        return [
            Pending(row.inbox_id, bytes(row.body), place_of(row.sender, row.content_hash), row.received_at)
            for row in rows
        ]


def read_body(engine: sa.Engine, opener: Opener, inbox_id: int, actor: str) -> bytes:
    """Return the body of a delivery, for an operator. The audit trail records first who opens it.

    Raises:
        InputRejected: There is no such delivery, or its body was deleted.
        ConfigurationError: The key of the body is not in the keyring.
        DataQualityError: The body was altered or moved.
    """
    with engine.begin() as connection:
        trail.record(connection, actor, "message.opened", f"inbox_id={inbox_id}")
    with engine.connect() as connection:
        row = connection.execute(_READ_BODY, {"inbox_id": inbox_id}).one_or_none()
    if row is None or not row.body:
        raise InputRejected(
            "The inbox has no message of this id, or its content was deleted: check inbox_id in control.inbox",
            inbox_id=inbox_id,
        )
    return opener.open(bytes(row.body), place_of(row.sender, row.content_hash))


def is_withdrawn(engine: sa.Engine, inbox_id: int) -> bool:
    """Return whether a withdrawal of a push is in the inbox, given the push's id."""
    with engine.connect() as connection:
        return bool(connection.scalar(_IS_WITHDRAWN, {"inbox_id": inbox_id}))


def find_withdrawn(engine: sa.Engine, inbox_id: int) -> tuple[int, str] | None:
    """Return the id of the push that a withdrawal withdraws, and the caller's name, given the withdrawal's id; None if there is no push."""
    with engine.connect() as connection:
        row = connection.execute(_FIND_WITHDRAWN, {"inbox_id": inbox_id}).one_or_none()
    return (row.inbox_id, row.caller) if row else None


def find_pending_senders(engine: sa.Engine) -> set[str]:
    """Return the senders that have pending deliveries."""
    with engine.connect() as connection:
        return set(connection.scalars(sa.text("select distinct sender from control.inbox where processed_at is null")))


def settle(
    engine: sa.Engine,
    errors: Mapping[int, str | None],
    outcomes: Mapping[int, Mapping[str, Any]] | None = None,
    *,
    keeps_bodies: bool = False,
) -> None:
    """Mark deliveries as processed, each with its error or None. Deliveries already processed are left unchanged.

    Args:
        engine: The control database.
        errors: Delivery id -> error message, or None for success.
        outcomes: Delivery id -> outcome of the rows that an API caller pushed or withdrew, stored as JSON; None for other deliveries.
        keeps_bodies: Whether to keep the bodies of pushes as evidence, because they were altered.
    """
    messages = [error and error.replace("\0", "\ufffd")[:_ERROR_LENGTH] for error in errors.values()]
    by_delivery = [(outcomes or {}).get(inbox_id) for inbox_id in errors]
    documents = [None if each is None else orjson.dumps(each).decode() for each in by_delivery]
    with engine.begin() as connection:
        values = {"ids": list(errors), "errors": messages, "outcomes": documents, "keeps_bodies": keeps_bodies}
        connection.execute(_SETTLE, values)
