"""DocuSign's webhook deliveries: events that the time stamps of envelopes do not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.contract import INTEGER, STRING, TIMESTAMP, EntityMap, Pushed, Table, column, derived, ignored
from include.vendors.arrays import day_of, look_up
from include.vendors.docusign.envelopes import ENVELOPE_STAMPS, event_key

if TYPE_CHECKING:
    import pyarrow as pa

# Events that the time stamps already show, so that a delivery of one of them must not become a second event.
STAMPED = (
    *(f"envelope-{name}" for name in ENVELOPE_STAMPS),
    *(f"recipient-{name}" for name in ("sent", "delivered", "completed", "declined")),
)


def event_of(event: pa.Array) -> pa.Array:
    """Return the short name of an event, such as `corrected` for `envelope-corrected`."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(event, r"^(envelope|recipient)-", "")


def is_stamped(event: pa.Array) -> pa.Array:
    """Return whether the time stamps of the envelope already show the event."""
    return look_up(event, dict.fromkeys(STAMPED, True), False)


# --- tables: parents before children ---------------------------------------------------------------------------------

DELIVERIES = Table(
    name="deliveries",
    path="",
    key=("inbox_id",),
    shape=Pushed(),
    has_objects=True,
    omits_nulls=True,
    columns=(
        column("inbox_id", "@inbox_id", INTEGER, required=True),
        column("received_at", "@received_at", TIMESTAMP, required=True),
        column("event", "event", STRING, required=True),
        column("generated_at", "generatedDateTime", TIMESTAMP, required=True),
        column("envelope_id", "data.envelopeId", STRING, required=True),
        column("recipient_id", "data.recipientId", STRING),
        *ignored("apiVersion, uri, data.accountId, data.userId"),
        *ignored("retryCount, configurationId", INTEGER),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "envelope_event",
        "deliveries",
        {
            "envelope_event_key": derived(event_key, "envelope_id", "recipient_id", "event", "generated_at"),
            "envelope_key": "envelope_id",
            "event": derived(event_of, "event"),
            "happened_on": derived(day_of, "generated_at"),
            "happened_at": "generated_at",
        },
        dropped={"already in the envelope": derived(is_stamped, "event")},
        merged=True,
    ),
)
