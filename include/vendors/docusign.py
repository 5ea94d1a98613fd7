"""DocuSign: envelopes, recipients and events, by webhook and by a poll that finds what webhooks missed.

Source of paths and fields: the vendor's specification of the eSignature REST API v2.1 and its sample of a Connect message (SIM,
`restv2.1`); a message contains the envelope as the API returns it. Flags and numbers are strings, and times have seven decimals.
The poll requests the changes of the last months in overlapping windows, as lists rather than single envelopes, as the vendor
recommends. The order is that of creation, in which rows are only appended. Templates come in one response of at most 2,000.

The text custom field `Household` of an envelope, written `<vendor>:<id>`, names its household, and `Purpose` its purpose. The firm
decides how to fill them; this is the documented convention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.contract import (
    INTEGER,
    STRING,
    TIMESTAMP,
    Budget,
    Document,
    EntityMap,
    Impersonation,
    Inside,
    Positioned,
    Pushed,
    Redelivery,
    Sender,
    SignedBody,
    Table,
    Throttling,
    Vendor,
    Webhook,
    column,
    derived,
    ignored,
)
from include.vendors.arrays import day_of, each, joined, known_elsewhere, looked_up
from include.vendors.happenings import happenings

if TYPE_CHECKING:
    import pyarrow as pa

# --- what only DocuSign needs ----------------------------------------------------------------------------------------

STATUSES = {
    "created": "draft", "sent": "sent", "delivered": "delivered", "signed": "delivered", "completed": "completed",
    "declined": "declined", "voided": "voided", "deleted": "deleted", "timedout": "expired",
}  # fmt: skip
FINAL = (
    "completed",
    "declined",
    "voided",
    "deleted",
    "timedout",
    "Completed",
    "Declined",
    "Voided",
    "Deleted",
    "TimedOut",
)
RECIPIENT_STATUSES = {
    "created": "waiting", "sent": "sent", "delivered": "delivered", "signed": "completed", "completed": "completed",
    "declined": "declined",
}  # fmt: skip
# Older DocuSign APIs write `Completed` and `TimedOut`.
STATUSES |= {word.capitalize(): ours for word, ours in STATUSES.items()} | {"TimedOut": "expired"}
RECIPIENT_STATUSES |= {word.capitalize(): ours for word, ours in RECIPIENT_STATUSES.items()}
ROLES = {
    "signers": "signer", "inPersonSigners": "in_person_signer", "carbonCopies": "carbon_copy", "agents": "agent",
    "certifiedDeliveries": "certified_delivery", "editors": "editor", "intermediaries": "intermediary", "notaries": "notary",
    "seals": "seal", "witnesses": "witness", "participants": "participant",
}  # fmt: skip

ENVELOPE_STAMPS = {
    "created": "created_at", "sent": "sent_at", "delivered": "delivered_at", "completed": "completed_at",
    "declined": "declined_at", "voided": "voided_at", "deleted": "deleted_at",
}  # fmt: skip
RECIPIENT_STAMPS = {"received": "sent_at", "opened": "delivered_at", "signed": "signed_at", "refused": "declined_at"}
# Events that the time stamps already show: a delivery of one of them is not a second event.
STAMPED = (
    *(f"envelope-{name}" for name in ENVELOPE_STAMPS),
    *(f"recipient-{name}" for name in ("sent", "delivered", "completed", "declined")),
)


def status_of(status: pa.Array) -> pa.Array:
    """Map the vendor's status to the canonical one; an unknown status is `other`."""
    return looked_up(status, STATUSES, "other")


def recipient_status(status: pa.Array) -> pa.Array:
    """Map a recipient's status to the canonical one."""
    return looked_up(status, RECIPIENT_STATUSES, "other")


def is_final(status: pa.Array) -> pa.Array:
    """Return whether the state is final."""
    return looked_up(status, dict.fromkeys(FINAL, True), False)


def custom(fields: pa.Array, name: str) -> pa.Array:
    """Return the value of a text custom field; null if it is missing or can't be read, so that the envelope is still loaded."""
    import json

    import pyarrow as pa

    def value(text: str) -> str | None:
        try:
            told = json.loads(text)
        except ValueError:
            return None
        listed = [field for field in told if isinstance(field, dict)] if isinstance(told, list) else []
        found = [field.get("value") for field in listed if str(field.get("name")).casefold() == name]
        return found[0] or None if found and isinstance(found[0], str) else None

    return each(value, fields, pa.string())


def household_of(fields: pa.Array) -> pa.Array:
    """Return the key of the household that the sender entered."""
    return known_elsewhere(custom(fields, "household"))


def purpose_of(fields: pa.Array) -> pa.Array:
    """Return the purpose of the envelope."""
    return custom(fields, "purpose")


def ended_at(*stamps: pa.Array) -> pa.Array:
    """Return the time of a final state other than completion."""
    import pyarrow.compute as pc

    return pc.coalesce(*stamps)


def first_of(*texts: pa.Array) -> pa.Array:
    """Return the first text that is neither null nor empty."""
    import pyarrow.compute as pc

    return pc.coalesce(*(pc.if_else(pc.equal(text, ""), None, text) for text in texts))


def order_of(text: pa.Array) -> pa.Array:
    """Return the place in the signing order; null if the text is not a number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.match_substring_regex(text, r"^\d{1,9}$"), text, None).cast(pa.int64())


def envelope_happenings(envelopes: pa.Table) -> pa.Table:
    """Return one row per event of an envelope, from its time stamps."""
    return happenings(envelopes, ENVELOPE_STAMPS)


def recipient_happenings(recipients: pa.Table) -> pa.Table:
    """Return one row per event of a recipient, from its time stamps."""
    return happenings(recipients, RECIPIENT_STAMPS)


def event_of(event: pa.Array) -> pa.Array:
    """Return the short name of an event, such as `corrected` for `envelope-corrected`."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(event, r"^(envelope|recipient)-", "")


def is_stamped(event: pa.Array) -> pa.Array:
    """Return whether the time stamps of the envelope already show the event."""
    return looked_up(event, dict.fromkeys(STAMPED, True), False)


def event_key(envelope: pa.Array, who: pa.Array, event: pa.Array, at: pa.Array) -> pa.Array:
    """Return the key of an event: envelope, actor, event, time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return joined(envelope, pc.fill_null(who, "-"), event, at.cast(pa.timestamp("us")).cast(pa.string()))


def nobody(envelope: pa.Array, event: pa.Array, at: pa.Array) -> pa.Array:
    """Return the key of an event without an actor."""
    import pyarrow as pa

    return event_key(envelope, pa.nulls(len(envelope), pa.string()), event, at)


# --- tables: parents before children ---------------------------------------------------------------------------------

# Known objects that are not staged.
_ENVELOPE_LEFT = (
    "accessControlListBase64", "allowComments", "allowMarkup", "allowReassign", "allowViewHistory", "anySigner",
    "asynchronous", "attachmentsUri", "authoritativeCopy", "authoritativeCopyDefault", "autoNavigation", "brandId",
    "brandLock", "burnDefaultTabData", "certificateUri", "copyRecipientData", "customFieldsUri",
    "disableResponsiveDocument", "documentBase64", "documentsCombinedUri", "documentsUri", "emailBlurb",
    "enableWetSign", "enforceSignerVisibility", "envelopeAttachments", "envelopeDocuments", "envelopeIdStamping",
    "envelopeLocation", "envelopeUri", "expireAfter", "expireEnabled", "externalEnvelopeId", "folders", "hasComments",
    "hasFormDataChanged", "hasFormDataChanges", "hasWavFile", "holder", "initialSentDateTime", "is21CFRPart11",
    "isDynamicEnvelope", "isSignatureProviderEnvelope", "isTicketRelatedEnvelope", "location", "messageLock",
    "notificationUri", "purgeCompletedDate", "purgeRequestDate", "purgeState", "recipientsLock", "recipientsUri",
    "signerCanSignOnMobile", "signingLocation", "statusChangedDateTime", "statusDateTime", "templates", "templatesUri", "transactionId",
    "uSigState", "useDisclosure",
)  # fmt: skip
_RECIPIENT_LEFT = (
    "accessCode", "addAccessCodeToEmail", "additionalNotifications", "agentCanEditEmail", "agentCanEditName",
    "allowSystemOverrideForLockedRecipient", "autoNavigation", "autoRespondedReason", "bulkRecipientsUri",
    "canSignOffline", "clientUserId", "completedCount", "creationReason", "customFields", "defaultRecipient",
    "delegatedTo", "deliveryMethod", "designatorId", "designatorIdGuid", "documentVisibility",
    "emailRecipientPostSigningURL", "embeddedRecipientStartURL", "excludedDocuments", "faxNumber", "firstName",
    "fullName", "hostEmail", "hostName", "idCheckConfigurationName", "inPersonSigningType",
    "inheritEmailNotificationConfiguration", "isBulkRecipient", "lastName", "linkedAccountConfigurationId",
    "liveOakStartURL", "lockedRecipientPhoneAuthEditable", "lockedRecipientSmsEditable", "notaryId",
    "notarySignerEmailSent", "notarySigners", "notaryType", "note", "recipientAttachments", "recipientFeatureMetadata",
    "recipientIdGuid", "recipientSignatureProviders", "recipientSuppliesTabs", "recipientType", "requireIdLookup",
    "requireSignOnPaper", "requireSignerCertificate", "requireUploadSignature", "roleName", "signInEachLocation",
    "signerFirstName", "signerLastName", "signingGroupId", "signingGroupName", "signingGroupUsers",
    "socialAuthentications", "statusCode", "suppressEmails", "templateLocked", "templateRequired", "totalTabCount",
    "userId", "witnessFor", "witnessForGuid",
)  # fmt: skip
_TEMPLATE_LEFT = (
    "autoMatch", "autoMatchSpecifiedByUser", "created", "documents", "favoritedByMe", "folderId", "folderIds",
    "folderName", "lastModified", "lastUsed", "newPassword", "owner", "pageCount", "password", "passwordProtected",
    "powerForms", "shared", "uri",
)  # fmt: skip
_ENVELOPE_OBJECTS = (
    "emailSettings", "notification", "lockInformation", "workflow", "envelopeMetadata", "envelopeCustomMetadata",
    "powerForm", "recipients.errorDetails", "tabs", "accessCode", "phoneAuthentication", "smsAuthentication",
    "idCheckInformationInput", "identityVerification",
)  # fmt: skip
_RECIPIENT_OBJECTS = (
    "tabs", "delegatedBy", "emailNotification", "errorDetails", "idCheckInformationInput", "identityVerification",
    "phoneAuthentication", "phoneNumber", "proofFile", "recipientAuthenticationStatus", "signatureInfo",
    "smsAuthentication", "notaryHost", "offlineAttributes",
)  # fmt: skip

ENVELOPES = Table(
    name="envelopes",
    path="envelopes",
    key=("envelope_id",),
    pull="window",
    params={"include": "recipients,custom_fields", "order_by": "created", "order": "asc"},
    dated={"from_date": "%Y-%m-%dT00:00:00Z", "to_date": "%Y-%m-%dT23:59:59Z"},
    edited=("from_date", "to_date"),
    # The bounds match only changes of status, and the first of two signatures is not one. So an envelope is requested for as long
    # as it may be pending before its default expiration.
    overlap_days=120,
    chosen="envelope_ids",
    shape=Positioned("start_position", "count"),
    version="changed_at",
    page_rows=100,
    rows="envelopes",
    is_nested=True,
    omits_nulls=True,
    skipped=_ENVELOPE_OBJECTS,
    columns=(
        column("envelope_id", "envelopeId", STRING, required=True),
        column("status", "status", STRING, required=True),
        column("subject", "emailSubject", STRING),
        column("sender_name", "sender.userName", STRING),
        column("sender_email", "sender.email", STRING),
        column("voided_reason", "voidedReason", STRING),
        column("created_at", "createdDateTime", TIMESTAMP, required=True),
        column("sent_at", "sentDateTime", TIMESTAMP),
        column("delivered_at", "deliveredDateTime", TIMESTAMP),
        column("completed_at", "completedDateTime", TIMESTAMP),
        column("declined_at", "declinedDateTime", TIMESTAMP),
        column("voided_at", "voidedDateTime", TIMESTAMP),
        column("deleted_at", "deletedDateTime", TIMESTAMP),
        column("expires_at", "expireDateTime", TIMESTAMP),
        column("changed_at", "lastModifiedDateTime", TIMESTAMP, required=True),
        column("text_custom_fields", "customFields.textCustomFields", STRING),
        *(column(role, f"recipients.{source}", STRING) for source, role in ROLES.items()),
        ignored("customFields.listCustomFields"),
        ignored("recipients.recipientCount"),
        ignored("recipients.currentRoutingOrder"),
        *(ignored(f"sender.{name}") for name in ("userId", "accountId", "ipAddress")),
        *map(ignored, _ENVELOPE_LEFT),
    ),
)

RECIPIENTS = Table(
    name="recipients",
    path="",
    key=("envelope_id", "recipient_id", "changed_at"),
    shape=Inside("envelopes", tuple(ROLES.values())),
    is_nested=True,
    omits_nulls=True,
    skipped=_RECIPIENT_OBJECTS,
    columns=(
        column("envelope_id", "@envelope_id", STRING, required=True),
        column("recipient_id", "recipientId", STRING, required=True),
        column("role", "@in", STRING),
        column("routing_order", "routingOrder", STRING),
        column("name", "name", STRING),
        column("signer_name", "signerName", STRING),
        column("email", "email", STRING),
        column("signer_email", "signerEmail", STRING),
        column("status", "status", STRING),
        column("declined_reason", "declinedReason", STRING),
        column("sent_at", "sentDateTime", TIMESTAMP),
        column("delivered_at", "deliveredDateTime", TIMESTAMP),
        column("signed_at", "signedDateTime", TIMESTAMP),
        column("declined_at", "declinedDateTime", TIMESTAMP),
        column("envelope_status", "@status", STRING),
        column("envelope_created_at", "@created_at", TIMESTAMP),
        column("changed_at", "@changed_at", TIMESTAMP, required=True),
        *map(ignored, _RECIPIENT_LEFT),
    ),
)

DELIVERIES = Table(
    name="deliveries",
    path="",
    key=("inbox_id",),
    shape=Pushed(),
    is_nested=True,
    omits_nulls=True,
    columns=(
        column("inbox_id", "@inbox_id", INTEGER, required=True),
        column("received_at", "@received_at", TIMESTAMP, required=True),
        column("event", "event", STRING, required=True),
        column("generated_at", "generatedDateTime", TIMESTAMP, required=True),
        column("envelope_id", "data.envelopeId", STRING, required=True),
        column("recipient_id", "data.recipientId", STRING),
        ignored("apiVersion"),
        ignored("uri"),
        ignored("retryCount", INTEGER),
        ignored("configurationId", INTEGER),
        ignored("data.accountId"),
        ignored("data.userId"),
    ),
)

TEMPLATES = Table(
    name="templates",
    path="templates",
    key=("template_id",),
    params={"order_by": "name", "order": "asc"},
    shape=Positioned("start_position", "count"),
    page_rows=100,
    rows="envelopeTemplates",
    is_nested=True,
    omits_nulls=True,
    skipped=(*_ENVELOPE_OBJECTS, "recipients", "customFields", "owner", "sender", "lastModifiedBy"),
    columns=(
        column("template_id", "templateId", STRING, required=True),
        column("name", "name", STRING),
        column("description", "description", STRING),
        *(
            ignored(each.source)
            for each in ENVELOPES.columns
            if not each.source.startswith(("recipients.", "customFields.", "sender."))
        ),
        *map(ignored, _TEMPLATE_LEFT),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "template",
        "templates",
        {"template_key": "template_id", "name": "name", "purpose": "description"},
    ),
    EntityMap(
        "envelope",
        "envelopes",
        {
            "envelope_key": "envelope_id",
            "subject": "subject",
            "purpose": derived(purpose_of, "text_custom_fields"),
            "status": derived(status_of, "status"),
            "is_final": derived(is_final, "status"),
            "reason": "voided_reason",
            "sender_name": "sender_name",
            "sender_email": "sender_email",
            "household_reference": derived(household_of, "text_custom_fields"),
            "created_on": derived(day_of, "created_at"),
            "created_at": "created_at",
            "sent_at": "sent_at",
            "delivered_at": "delivered_at",
            "completed_at": "completed_at",
            "ended_at": derived(ended_at, "declined_at", "voided_at", "deleted_at"),
            "expires_at": "expires_at",
            "changed_at": "changed_at",
        },
        merged=True,
    ),
    EntityMap(
        "envelope_recipient",
        "recipients",
        {
            "envelope_recipient_key": derived(joined, "envelope_id", "recipient_id"),
            "envelope_key": "envelope_id",
            "role": "role",
            "routing_order": derived(order_of, "routing_order"),
            "name": derived(first_of, "name", "signer_name"),
            "email": derived(first_of, "email", "signer_email"),
            "status": derived(recipient_status, "status"),
            "reason": "declined_reason",
            "sent_at": "sent_at",
            "delivered_at": "delivered_at",
            "signed_at": "signed_at",
            "declined_at": "declined_at",
            "is_final": derived(is_final, "envelope_status"),
            "created_on": derived(day_of, "envelope_created_at"),
            "changed_at": "changed_at",
        },
        merged=True,
    ),
    EntityMap(
        "envelope_event",
        "envelopes",
        {
            "envelope_event_key": derived(nobody, "envelope_id", "event", "happened_at"),
            "envelope_key": "envelope_id",
            "event": "event",
            "actor_name": "sender_name",
            "actor_email": "sender_email",
            "happened_on": derived(day_of, "happened_at"),
            "happened_at": "happened_at",
        },
        split=envelope_happenings,
        takes=("envelope_id", "sender_name", "sender_email", *ENVELOPE_STAMPS.values()),
        merged=True,
    ),
    EntityMap(
        "envelope_event",
        "recipients",
        {
            "envelope_event_key": derived(event_key, "envelope_id", "recipient_id", "event", "happened_at"),
            "envelope_key": "envelope_id",
            "event": "event",
            "actor_name": derived(first_of, "name", "signer_name"),
            "actor_email": derived(first_of, "email", "signer_email"),
            "happened_on": derived(day_of, "happened_at"),
            "happened_at": "happened_at",
        },
        split=recipient_happenings,
        takes=(
            "envelope_id",
            "recipient_id",
            "name",
            "signer_name",
            "email",
            "signer_email",
            *RECIPIENT_STAMPS.values(),
        ),
        merged=True,
    ),
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
        dropped={"the envelope tells of it": derived(is_stamped, "event")},
        merged=True,
    ),
)

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
    ),
    tables=(TEMPLATES, ENVELOPES, RECIPIENTS, DELIVERIES),
    maps=MAPS,
    cron="40 * * * *",
    ranks={"": 90},
    # It runs all day; this is the deadline of the first run after the close.
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
