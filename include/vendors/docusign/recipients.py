"""Recipients of DocuSign's envelopes and their events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.contract import STRING, TIMESTAMP, EntityMap, Nested, Table, column, derived, ignored
from include.vendors.arrays import day_of, join_key, look_up
from include.vendors.docusign.envelopes import ROLES, event_key, is_final
from include.vendors.events import list_events

if TYPE_CHECKING:
    import pyarrow as pa

RECIPIENT_STATUSES = {
    "created": "waiting", "sent": "sent", "delivered": "delivered", "signed": "completed", "completed": "completed",
    "declined": "declined",
}  # fmt: skip
# Older DocuSign APIs write `Completed`.
RECIPIENT_STATUSES |= {word.capitalize(): ours for word, ours in RECIPIENT_STATUSES.items()}
RECIPIENT_STAMPS = {"received": "sent_at", "opened": "delivered_at", "signed": "signed_at", "refused": "declined_at"}


def recipient_status(status: pa.Array) -> pa.Array:
    """Map a recipient's status to the canonical one; an unknown status is `other`."""
    return look_up(status, RECIPIENT_STATUSES, "other")


def pick_first(*texts: pa.Array) -> pa.Array:
    """Return for each row the first text that is neither null nor empty; null if there is none."""
    import pyarrow.compute as pc

    return pc.coalesce(*(pc.if_else(pc.equal(text, ""), None, text) for text in texts))


def order_of(text: pa.Array) -> pa.Array:
    """Convert the place in the signing order to an integer; null if the text is not a number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.match_substring_regex(text, r"^\d{1,9}$"), text, None).cast(pa.int64())


def list_recipient_events(recipients: pa.Table) -> pa.Table:
    """Return one row per event of a recipient, from its time stamps."""
    return list_events(recipients, RECIPIENT_STAMPS)


# --- tables: parents before children ---------------------------------------------------------------------------------

# Known objects that are not staged.
_RECIPIENT_OBJECTS = (
    "tabs", "delegatedBy", "emailNotification", "errorDetails", "idCheckInformationInput", "identityVerification",
    "phoneAuthentication", "phoneNumber", "proofFile", "recipientAuthenticationStatus", "signatureInfo",
    "smsAuthentication", "notaryHost", "offlineAttributes",
)  # fmt: skip

RECIPIENTS = Table(
    name="recipients",
    path="",
    key=("envelope_id", "recipient_id", "changed_at"),
    shape=Nested("envelopes", tuple(ROLES.values())),
    has_objects=True,
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
        *ignored("accessCode, addAccessCodeToEmail, additionalNotifications, agentCanEditEmail, agentCanEditName"),
        *ignored("allowSystemOverrideForLockedRecipient, autoNavigation, autoRespondedReason, bulkRecipientsUri"),
        *ignored("canSignOffline, clientUserId, completedCount, creationReason, customFields, defaultRecipient"),
        *ignored("delegatedTo, deliveryMethod, designatorId, designatorIdGuid, documentVisibility"),
        *ignored("emailRecipientPostSigningURL, embeddedRecipientStartURL, excludedDocuments, faxNumber, firstName"),
        *ignored("fullName, hostEmail, hostName, idCheckConfigurationName, inPersonSigningType"),
        *ignored("inheritEmailNotificationConfiguration, isBulkRecipient, lastName, linkedAccountConfigurationId"),
        *ignored("liveOakStartURL, lockedRecipientPhoneAuthEditable, lockedRecipientSmsEditable, notaryId"),
        *ignored("notarySignerEmailSent, notarySigners, notaryType, note, recipientAttachments"),
        *ignored("recipientFeatureMetadata, recipientIdGuid, recipientSignatureProviders, recipientSuppliesTabs"),
        *ignored("recipientType, requireIdLookup, requireSignOnPaper, requireSignerCertificate"),
        *ignored("requireUploadSignature, roleName, signInEachLocation, signerFirstName, signerLastName"),
        *ignored("signingGroupId, signingGroupName, signingGroupUsers, socialAuthentications, statusCode"),
        *ignored("suppressEmails, templateLocked, templateRequired, totalTabCount, userId, witnessFor, witnessForGuid"),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "envelope_recipient",
        "recipients",
        {
            "envelope_recipient_key": derived(join_key, "envelope_id", "recipient_id"),
            "envelope_key": "envelope_id",
            "role": "role",
            "routing_order": derived(order_of, "routing_order"),
            "name": derived(pick_first, "name", "signer_name"),
            "email": derived(pick_first, "email", "signer_email"),
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
        "recipients",
        {
            "envelope_event_key": derived(event_key, "envelope_id", "recipient_id", "event", "happened_at"),
            "envelope_key": "envelope_id",
            "event": "event",
            "actor_name": derived(pick_first, "name", "signer_name"),
            "actor_email": derived(pick_first, "email", "signer_email"),
            "happened_on": derived(day_of, "happened_at"),
            "happened_at": "happened_at",
        },
        split=list_recipient_events,
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
)
