"""An event as it goes over the wire: CloudEvents 1.0 in structured JSON, signed as Standard Webhooks say."""

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
    """What happened.

    Attributes:
        event_id: By which receivers know a copy.
        type: One of `include.outbound.subscriber.TYPES`.
        subject: Events of one subject arrive in their order.
        occurred_at: In UTC.
        data: Ids, counts, keys and dates.
    """

    event_id: str
    type: str
    subject: str
    occurred_at: datetime
    data: Mapping[str, Any]


def render(event: Event) -> bytes:
    """Returns the body, the same for every copy."""
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
    """Returns the headers of one try: a signature under each secret, so that one can be exchanged for another.

    Args:
        secrets: `whsec_...`.
        event_id: The same for every copy.
        body: As it will be sent.
        sent_at: In UTC, by this machine's clock: receivers refuse what is minutes old.
    """
    text = body.decode()
    signatures = [Webhook(secret).sign(event_id, sent_at, text) for secret in secrets]
    return {
        "content-type": "application/cloudevents+json; charset=utf-8",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
