"""The webhook senders. To add a sender, add an entry here and put its secrets in a connection."""

from __future__ import annotations

from dataclasses import dataclass

from include.gateway.webhooks.authenticity import Authenticity, EchoedId, SignedBody

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sender:
    """One sender.

    Attributes:
        name: Its name in the inbox and in notifications.
        path: Path of its endpoint, after `/webhooks/`.
        connection: The Airflow connection with its secrets, or the prefix of its settings (see `include.gateway.settings`).
        authenticity: How its requests are authenticated.
        max_bytes: The largest body.
        rate: Rate limit of authentic deliveries, in the notation of `limits`; beyond it, the response is a 429.
        headers: Request headers to store with a delivery; no secrets.
        event_id: Top-level field of the body with the sender's id of the delivery; None if it has none.
        attempt: Top-level field of the body that counts the sender's attempts; None if it has none. Two deliveries that differ
            only in this field are duplicates.
        json_setting: How to configure the vendor to send plain JSON; quoted in the refusal of another format.
    """

    name: str
    path: str
    connection: str
    authenticity: Authenticity
    max_bytes: int
    rate: str
    headers: tuple[str, ...] = ("content-type", "user-agent")
    event_id: str | None = None
    attempt: str | None = None
    json_setting: str = "set the sender's data format to JSON"


SENDERS = (
    # DocuSign documents no maximum size. Our Connect configurations exclude documents: we fetch them.
    Sender(
        "docusign",
        "docusign",
        connection="docusign_connect",
        authenticity=SignedBody("X-DocuSign-Signature"),
        max_bytes=16 * MB,
        rate="30000/minute",
        headers=("content-type", "user-agent", "x-authorization-digest"),
        attempt="retryCount",
        json_setting="set the Connect configuration's data format to JSON (REST v2.1)",
    ),
    # Adobe documents a maximum of 10 MB, beyond which it leaves parts out.
    Sender(
        "adobe_sign",
        "adobe-sign",
        connection="adobe_sign_webhook",
        authenticity=EchoedId("X-AdobeSign-ClientId"),
        max_bytes=12 * MB,
        rate="30000/minute",
        event_id="webhookNotificationId",
    ),
)
