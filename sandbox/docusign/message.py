"""The messages of Connect: one JSON message per event, signed with every live key.

Documented: the body (SIM), numbers for `retryCount` and `configurationId`, text for all other values, `envelopeSummary` only
if data is requested, the headers, a key's bytes as typed. Our choices: retries do not change
`generatedDateTime`.
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
"""Every event that a configuration can subscribe to."""


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
        envelope: The current envelope with all its parts.
        event: One of EVENTS.
        generated_at: Timestamp of the message.
        recipient_id: `recipientId` of a recipient's event.
        configuration_id: Id of the sending configuration.
        retry_count: Number of earlier attempts.
        include: `eventData.includeData` of the configuration; if empty, the summary is omitted.
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
    """Return the signature headers of a body: one for every key, in order; none without a key."""
    signed = {
        f"X-DocuSign-Signature-{number}": base64.b64encode(hmac.digest(key.encode(), body, hashlib.sha256)).decode()
        for number, key in enumerate(keys, 1)
    }
    return signed | ({"x-authorization-digest": "HMACSHA256"} if keys else {})
