"""DocuSign: envelopes, recipients and events, by webhook and by a poll that finds what webhooks missed.

Source of paths and fields: the vendor's specification of the eSignature REST API v2.1, and its sample of a Connect message (SIM,
`restv2.1`). A message contains the envelope as the API returns it. Flags and numbers are strings, and times have seven decimals.
The poll requests the changes of the last months in overlapping windows. It requests lists rather than single envelopes, as the vendor
recommends, in the order of creation, so that new envelopes are only appended. Templates come in one response of up to 2,000.

The text custom field `Household` of an envelope names its household, written `<vendor>:<id>`; the field `Purpose` names its purpose. The
firm decides whether to fill them in this way.
"""

from __future__ import annotations

from include.contract import (
    Budget,
    Document,
    Impersonation,
    Redelivery,
    Sender,
    SignedBody,
    Throttling,
    Vendor,
    Webhook,
)
from include.vendors.docusign import deliveries, envelopes, recipients
from include.vendors.docusign.deliveries import DELIVERIES
from include.vendors.docusign.envelopes import ENVELOPES, TEMPLATES
from include.vendors.docusign.recipients import RECIPIENTS

DOCUSIGN = Vendor(
    name="docusign",
    title="DocuSign",
    notes=__doc__,
    login=Impersonation(
        "signature impersonation",
        accounts_path="userinfo",
        accounts="accounts",
        account_id="account_id",
        is_default="is_default",
        url="{base_uri}/restapi/v2.1/accounts/{account_id}",
        domains=("docusign.net", "docusign.com"),
        least_key_bits=2048,  # DocuSign generates the key pair of an integration with this size
    ),
    tables=(TEMPLATES, ENVELOPES, RECIPIENTS, DELIVERIES),
    maps=(*envelopes.MAPS, *recipients.MAPS, *deliveries.MAPS),
    cron="40 * * * *",
    ranks={"": 90},
    # The DAG runs all day. This is the deadline of its first run after the close.
    due={"stage": "18:00", "load": "19:00"},
    # The account has 3,000 calls an hour for all programs together; half of them are left to the others.
    budget=Budget(calls_per_minute=25, burst=20),
    api_version="v2.1",
    correlation_header="X-DocuSign-TraceToken",
    throttling=Throttling(
        "errorCode",
        r"(?i)(_LIMIT_EXCEEDED|API_REQUEST_IS_THROTTLED)$",
        remaining="X-RateLimit-Remaining",
        reset="X-RateLimit-Reset",
    ),
    documents=(
        Document("signed", "envelopes/{envelope_key}/documents/combined", {"certificate": "false"}),
        Document("certificate", "envelopes/{envelope_key}/documents/certificate"),
    ),
    webhook=Webhook(
        "envelopes",
        keys=(("data", "envelopeId"),),
        row=("data", "envelopeSummary"),
        required=("recipients", "customFields"),
        log="deliveries",
        # The vendor documents no maximum size. Our Connect configurations exclude documents: we fetch them.
        sender=Sender(
            "docusign",
            "docusign",
            connection="docusign_connect",
            proof=SignedBody("X-DocuSign-Signature"),
            max_bytes=16 * 2**20,
            headers=("content-type", "user-agent", "x-authorization-digest"),
            attempt="retryCount",
            json_setting="set the Connect configuration's data format to JSON (REST v2.1)",
        ),
        redelivery=Redelivery(
            "connect/failures", "failures", "envelopeId", path="connect/envelopes/retry_queue", keys="envelopeIds"
        ),
    ),
)
