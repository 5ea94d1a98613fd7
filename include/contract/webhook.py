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
    """Proof by signature: each delivery has one numbered header per secret, with the HMAC-SHA256 of the raw body in base64.

    Attributes:
        header: Name without the number: `X-Signature` means `X-Signature-1`, `X-Signature-2`, ...
    """

    header: str


@dataclass(frozen=True, slots=True)
class EchoedId:
    """Proof by a shared client id: each delivery contains the id and comes from one of the sender's networks.

    The response must repeat the id.

    Attributes:
        header: The header with the id, in the request and in the response.
    """

    header: str


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender of webhooks, declared for the gateway.

    Attributes:
        name: Name of the sender in the inbox and in notifications; equal to the vendor's name.
        path: Path of the endpoint, after `/webhooks/`.
        connection: Id of the Airflow connection with the sender's secrets. A gateway that runs as its own process uses it as the
            prefix of the sender's settings (see `include.gateway.settings`).
        proof: How deliveries are authenticated.
        max_bytes: Maximum size of a body.
        rate: Rate limit of authentic deliveries, such as `30000/minute`; beyond it, the response is a 429.
        headers: Request headers to store with a delivery; no secrets.
        event_id: Top-level field of the body with the sender's id of the delivery; None if it has none.
        attempt: Top-level field of the body that counts the sender's attempts; None if it has none. Two deliveries that differ
            only in this field are duplicates.
        json_setting: How to configure the vendor to send JSON. The error response to a body in another format quotes this text.
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
    """Two requests: a GET that lists failed deliveries, and a PUT that requests their redelivery.

    Attributes:
        failures_path: Path of the GET.
        failures: Field of the GET's response with the list of failed deliveries.
        key: Field of a failed delivery with the key of its row.
        path: Path of the PUT.
        keys: Field of the PUT's body for the keys to redeliver.
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
        keys: For each part of the row's key: the path of fields that leads to it in the body of a delivery.
        row: Path of fields that leads to the row in the body. If a body has no row there, the row is requested by its key. Empty:
            bodies never contain the row.
        log: Table that records the deliveries themselves: each body without the row.
        sender: How the gateway receives the deliveries.
        redelivery: How to request failed deliveries again; None if the vendor offers no such request.
        required: Fields of the row that the sender may be configured to leave out. A row without one of them is requested by its key, because
            what is missing is not null.
    """

    table: str
    keys: tuple[tuple[str, ...], ...]
    row: tuple[str, ...]
    log: str
    sender: Sender
    redelivery: Redelivery | None = None
    required: tuple[str, ...] = ()
