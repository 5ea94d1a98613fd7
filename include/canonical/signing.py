"""E-signature entities. The vendor's timestamps order the states of an envelope, so the order of arrival does not matter."""

from __future__ import annotations

from include.canonical.entity import Entity
from include.contract import BOOLEAN, DATE, INTEGER, STRING, TIMESTAMP

SIGNING: tuple[Entity, ...] = (
    Entity("template", "description", {"name": STRING, "purpose": STRING}, {}),
    Entity(
        "envelope",
        "event",
        {
            "subject": STRING,
            "purpose": STRING,
            # draft, sent, delivered, completed, declined, voided, expired, deleted or other.
            "status": STRING,
            "is_final": BOOLEAN,
            # Why it was declined or voided.
            "reason": STRING,
            "sender_name": STRING,
            "sender_email": STRING,
            # The household, as `<vendor>:household:<id>`, if the sender entered it.
            "household_reference": STRING,
            "created_on": DATE,
            "created_at": TIMESTAMP,
            "sent_at": TIMESTAMP,
            "delivered_at": TIMESTAMP,
            "completed_at": TIMESTAMP,
            "ended_at": TIMESTAMP,
            "expires_at": TIMESTAMP,
            "reopened_at": TIMESTAMP,
            "changed_at": TIMESTAMP,
        },
        {},
        dated="created_on",
        version="changed_at",
        final="is_final",
        reopened="reopened_at",
    ),
    Entity(
        "envelope_recipient",
        "event",
        {
            "envelope_key": STRING,
            # signer, in_person_signer, carbon_copy, certified_delivery, agent, editor, intermediary, notary, seal, witness, ...
            "role": STRING,
            "routing_order": INTEGER,
            "name": STRING,
            "email": STRING,
            # waiting, sent, delivered, completed, declined or other.
            "status": STRING,
            "reason": STRING,
            "sent_at": TIMESTAMP,
            "delivered_at": TIMESTAMP,
            "signed_at": TIMESTAMP,
            "declined_at": TIMESTAMP,
            # Whether the envelope is in a final state. A recipient belongs to it as long as its newest state lists the recipient.
            "is_final": BOOLEAN,
            "reopened_at": TIMESTAMP,
            "created_on": DATE,
            "changed_at": TIMESTAMP,
        },
        {},
        dated="created_on",
        version="changed_at",
        final="is_final",
        reopened="reopened_at",
    ),
    Entity(
        "envelope_event",
        "event",
        {
            "envelope_key": STRING,
            # The event, of the envelope or a recipient: sent, delivered, signed, declined, voided, corrected, ...
            "event": STRING,
            "actor_name": STRING,
            "actor_email": STRING,
            "happened_on": DATE,
            "happened_at": TIMESTAMP,
        },
        {},
        dated="happened_on",
    ),
)
