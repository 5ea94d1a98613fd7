"""The wire format of an event: CloudEvents 1.0 in structured JSON mode, signed per Standard Webhooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from standardwebhooks import Webhook

SOURCE = "/tributary"


@dataclass(frozen=True, slots=True)
class Event:
    """An outbound event.

    Attributes:
        event_id: Id of the event, by which receivers detect duplicates.
        type: One of `include.outbound.subscriber.TYPES`.
        subject: Events with the same subject are delivered in order.
        occurred_at: Time of the event, in UTC.
        data: Ids, counts, keys and dates that describe the event.
    """

    event_id: str
    type: str
    subject: str
    occurred_at: datetime
    data: Mapping[str, Any]


def render(event: Event) -> bytes:
    """Return the JSON body of an event; the bytes are the same for every attempt and subscriber."""
    envelope = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": SOURCE,
        "type": event.type,
        "subject": event.subject,
        "time": event.occurred_at,
        "datacontenttype": "application/json",
        "data": event.data,
    }
    return orjson.dumps(envelope, option=orjson.OPT_UTC_Z)


def sign(secrets: Iterable[str], event_id: str, body: bytes, sent_at: datetime) -> dict[str, str]:
    """Return the headers of one attempt. They contain a signature for each secret, so that secrets can be rotated.

    Args:
        secrets: The subscriber's secrets, `whsec_...`.
        event_id: The event's id.
        body: The exact bytes to send.
        sent_at: Time of the attempt in UTC, by this machine's clock; receivers reject timestamps that are minutes old.
    """
    text = body.decode()
    signatures = [Webhook(secret).sign(event_id, sent_at, text) for secret in secrets]
    return {
        "content-type": "application/cloudevents+json; charset=utf-8",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
