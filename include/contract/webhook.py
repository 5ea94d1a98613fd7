"""Declarations of a vendor's webhooks, of their sender, and of the documents of a completed envelope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF of a completed envelope.

    Attributes:
        kind: `signed` (all documents in one file) or `certificate` (audit trail of the signing).
        path: Path below the base URL, with `{envelope_key}`.
        params: Query parameters.
        headers: Header -> value, with `{sender_email}` for a request on the sender's behalf.
    """

    kind: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignedBody:
    """Deliveries carry an HMAC-SHA256 of the raw body, in base64: one numbered header per secret of the sender.

    Attributes:
        header: Name without the number: `X-Signature` means `X-Signature-1`, `X-Signature-2`, ...
    """

    header: str


@dataclass(frozen=True, slots=True)
class EchoedId:
    """Deliveries carry a client id that only the sender and we know, from one of the sender's networks; the response repeats it.

    Attributes:
        header: The header with the id, in the request and in the response.
    """

    header: str


@dataclass(frozen=True, slots=True)
class Sender:
    """What the gateway has to know of a sender of webhooks.

    Attributes:
        name: Its name in the inbox and in notifications: the vendor's.
        path: Path of its endpoint, after `/webhooks/`.
        connection: The Airflow connection with its secrets, or the prefix of its settings (see `include.gateway.settings`).
        proof: How its requests are authenticated.
        max_bytes: The largest body.
        rate: Rate limit of authentic deliveries, such as `30000/minute`; beyond it, the response is a 429.
        headers: Request headers to store with a delivery; no secrets.
        event_id: Top-level field of the body with the sender's id of the delivery; None if it has none.
        attempt: Top-level field of the body that counts the sender's attempts; None if it has none. Two deliveries that differ
            only in this field are duplicates.
        json_setting: How to configure the vendor to send plain JSON; quoted in the refusal of another format.
    """

    name: str
    path: str
    connection: str
    proof: SignedBody | EchoedId
    max_bytes: int
    rate: str = "30000/minute"
    headers: tuple[str, ...] = ("content-type", "user-agent")
    event_id: str | None = None
    attempt: str | None = None
    json_setting: str = "set the sender's data format to JSON"


@dataclass(frozen=True, slots=True)
class Redelivery:
    """The requests for failed deliveries, and for their redelivery.

    Attributes:
        failures_path: Path of the list of failed deliveries.
        failures: Field of the response with the list.
        key: Field of a failed delivery with the key of its row.
        path: Path for a PUT with such keys, which requests redelivery.
        keys: Field of that request's body with the keys.
    """

    failures_path: str
    failures: str
    key: str
    path: str
    keys: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """Webhook deliveries of a vendor.

    Attributes:
        table: The table that the deliveries update.
        keys: Path of fields to each part of the row's request key in the body of a delivery.
        row: Path of fields to the row; if a body has no row, the row is requested by its key.
        log: Table of the deliveries themselves: each body without its row.
        sender: How the gateway receives the deliveries.
        redelivery: How to request failed deliveries again; None if the vendor offers no such request.
    """

    table: str
    keys: tuple[tuple[str, ...], ...]
    row: tuple[str, ...]
    log: str
    sender: Sender
    redelivery: Redelivery | None = None
