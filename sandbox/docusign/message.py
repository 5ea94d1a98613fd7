"""The messages of Connect: one JSON message per event, signed with each HMAC key of the account.

Documented:

- The body in the format SIM. `retryCount` and `configurationId` are numbers, all other values text.
- `envelopeSummary` is present only if the configuration requests data.
- The headers. The HMAC key is the text as DocuSign shows it, in bytes; it is not decoded from Base64.

Our choice: a retry does not change `generatedDateTime`.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from sandbox.docusign.documents import write_document
from sandbox.docusign.life import Envelope
from sandbox.docusign.rows import ACCOUNT_ID, show
from sandbox.server.pdf import write_pdf

INCLUDED = ("recipients", "custom_fields", "documents", "folders", "extensions", "attachments", "powerform", "tabs")
EVENTS = frozenset(
    [
        *(f"envelope-{word}" for word in ("created", "sent", "resent", "delivered", "completed", "declined", "voided")),
        *(f"envelope-{word}" for word in ("corrected", "purge", "deleted", "discard", "removed", "reminder-sent")),
        *(f"recipient-{word}" for word in ("sent", "resent", "delivered", "completed", "declined", "reassign")),
        *(f"recipient-{word}" for word in ("authenticationfailed", "autoresponded", "delegate", "finish-later")),
        *("template-created", "template-modified", "template-deleted", "click-agreed", "click-declined"),
    ]
)
"""All events to which a configuration can subscribe."""


def write_message(
    envelope: Envelope,
    event: str,
    *,
    generated_at: str,
    recipient_id: str | None = None,
    configuration_id: int = 1,
    retry_count: int = 0,
    include: Iterable[str] = ("recipients", "custom_fields"),
) -> bytes:
    """Return the body of one message.

    Args:
        envelope: The envelope with all its parts, in the state to report.
        event: One of EVENTS.
        generated_at: Timestamp of the message.
        recipient_id: `recipientId` of the recipient; None for an event of the envelope.
        configuration_id: Id of the configuration that sends the message.
        retry_count: Number of retries so far.
        include: `eventData.includeData` of the configuration. If it is empty, the message has no `envelopeSummary`.
    """
    data: dict[str, Any] = {"accountId": ACCOUNT_ID, "userId": envelope["sender"]["userId"]}
    if recipient_id is not None:
        data["recipientId"] = recipient_id
    data["envelopeId"] = envelope["envelopeId"]
    if parts := set(include):
        data["envelopeSummary"] = show(envelope, parts) | (_write_files(envelope) if "documents" in parts else {})
    message = {
        "event": event,
        "apiVersion": "v2.1",
        "uri": f"/restapi/v2.1/accounts/{ACCOUNT_ID}{envelope['envelopeUri']}",
        "retryCount": retry_count,
        "configurationId": configuration_id,
        "generatedDateTime": generated_at,
        "data": data,
    }
    return orjson.dumps(message)


def _write_files(envelope: Envelope) -> Envelope:
    files = [
        document | {"PDFBytes": base64.b64encode(write_pdf([write_document(envelope, document)])).decode()}
        for document in envelope["envelopeDocuments"]
    ]
    return {"envelopeDocuments": files}


def sign(body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """Return the signature headers of a body: one per key, in order. Without keys there are no headers."""
    signed = {
        f"X-DocuSign-Signature-{number}": base64.b64encode(hmac.digest(key.encode(), body, hashlib.sha256)).decode()
        for number, key in enumerate(keys, 1)
    }
    return signed | ({"x-authorization-digest": "HMACSHA256"} if keys else {})
