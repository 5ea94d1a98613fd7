"""Who sends webhooks. A new sender is one entry here, and its secrets in a connection."""

from __future__ import annotations

from dataclasses import dataclass

from include.gateway.webhooks.authenticity import Authenticity, EchoedId, SignedBody

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sender:
    """One sender.

    Attributes:
        name: In the inbox and on the bell.
        path: Of its door, after `/webhooks/`.
        connection: Where its secrets are: an Airflow connection, or settings of that name (see `include.gateway.settings`).
        authenticity: How its calls prove that they are its own.
        max_bytes: The largest body.
        rate: The most authentic deliveries, as `limits` reads it; beyond it, the sender is asked to come again later.
        headers: Those that are kept with a delivery; no secrets.
        event_id: Field of the body, at its top, with the sender's own id of the delivery, where it gives one.
        attempt: Field of the body, at its top, that counts the sender's attempts, where there is one: two deliveries that
            differ in it alone are one.
        json_setting: What to set at the vendor so that it sends plain JSON; part of the reason where a delivery is something else.
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
    # The most bytes of a message are not documented. Its configurations hold no documents: those are fetched.
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
    # At most 10 MB, says the vendor, and leaves parts out beyond it.
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
