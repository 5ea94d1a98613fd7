"""Adobe Acrobat Sign: agreements, members and events. Webhooks announce changed agreements; a poll finds what webhooks missed.

Source of paths and fields: the vendor's REST v6 specification and its guide. Webhooks are not signed, so a webhook is only a
notification: Tributary then requests the agreement on behalf of its sender. For that, webhooks must be configured to include the detailed
info, which names the sender. Each user has a separate list of agreements, without dates of change. So a poll reads every user's list, and
requests each agreement with its members and events, except agreements that were already loaded in a final state. The list states the
status from the user's view; Tributary uses the status of the agreement itself. The events give the time of the last change.

The external id of an agreement names its household, written `<vendor>:<id>`. The firm decides whether to fill it in this way.
"""

from __future__ import annotations

from include.contract import AccessPoint, Budget, Document, EchoedId, Sender, Vendor, Webhook
from include.vendors.adobe_sign import agreements, members
from include.vendors.adobe_sign.agreements import AGREEMENTS, DELIVERIES, DETAILS, EVENTS, LIBRARY, USERS
from include.vendors.adobe_sign.members import MEMBERS, PARTICIPANTS

ADOBE_SIGN = Vendor(
    name="adobe_sign",
    title="Adobe Acrobat Sign",
    notes=__doc__,
    # A moved account responds only at its access point.
    login=AccessPoint("baseUris", host="apiAccessPoint", api="api/rest/v6", domains=("adobesign.com", "echosign.com")),
    tables=(LIBRARY, USERS, AGREEMENTS, DETAILS, EVENTS, MEMBERS, PARTICIPANTS, DELIVERIES),
    maps=(*agreements.MAPS, *members.MAPS),
    cron="10 */4 * * *",
    ranks={"": 95},
    # The DAG runs all day. This is the deadline of its first run after the close.
    due={"stage": "18:00", "load": "19:00"},
    # The vendor publishes only a limit on repeated identical requests; this is our limit, and the connection may lower it.
    budget=Budget(calls_per_minute=120, burst=20),
    api_version="v6",
    correlation_header="X-Request-Id",
    keyed="agreements",
    documents=(
        Document(
            "signed", "agreements/{envelope_key}/combinedDocument", headers={"x-api-user": "email:{sender_email}"}
        ),
        Document("certificate", "agreements/{envelope_key}/auditTrail", headers={"x-api-user": "email:{sender_email}"}),
    ),
    webhook=Webhook(
        "agreement_details",
        keys=(("agreement", "id"), ("agreement", "senderEmail")),
        row=(),
        log="deliveries",
        # The vendor documents a maximum of 10 MB, beyond which it leaves parts out.
        sender=Sender(
            "adobe_sign",
            "adobe-sign",
            connection="adobe_sign_webhook",
            proof=EchoedId("X-AdobeSign-ClientId"),
            max_bytes=12 * 2**20,
            event_id="webhookNotificationId",
        ),
    ),
)
