"""What others' webhooks brought, kept as it came, and the bell that says so.

A delivery that is in the inbox was acknowledged, and one that was acknowledged is in the inbox. The bell is a notification on
`CHANNEL` whose payload is the sender's name; it may be lost or come twice, so whoever hears it reads the inbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
import sqlalchemy as sa

CHANNEL = "tributary_inbox"

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
    values = {
        "sender": delivery.sender,
        "body": delivery.body,
        "content_hash": delivery.content_hash,
        "event_id": delivery.event_id,
        "headers": orjson.dumps(dict(delivery.headers)).decode(),
    }
    # One statement is one transaction: no further way to the database and back for its beginning and its end.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return bool(connection.scalar(_RECEIVE, values))
