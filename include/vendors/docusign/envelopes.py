"""DocuSign's templates and envelopes, and the events of envelopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.contract import STRING, TIMESTAMP, EntityMap, Positioned, Table, column, derived, ignored
from include.vendors.arrays import day_of, each, join_key, look_up, parse_household_key
from include.vendors.events import list_events

if TYPE_CHECKING:
    import pyarrow as pa

STATUSES = {
    "created": "draft", "sent": "sent", "delivered": "delivered", "signed": "delivered", "completed": "completed",
    "declined": "declined", "voided": "voided", "deleted": "deleted", "timedout": "expired",
}  # fmt: skip
# Older DocuSign APIs write `Completed` and `TimedOut`.
STATUSES |= {word.capitalize(): ours for word, ours in STATUSES.items()} | {"TimedOut": "expired"}
FINAL = (
    "completed", "declined", "voided", "deleted", "timedout", "Completed", "Declined", "Voided", "Deleted", "TimedOut",
)  # fmt: skip
ROLES = {
    "signers": "signer", "inPersonSigners": "in_person_signer", "carbonCopies": "carbon_copy", "agents": "agent",
    "certifiedDeliveries": "certified_delivery", "editors": "editor", "intermediaries": "intermediary", "notaries": "notary",
    "seals": "seal", "witnesses": "witness", "participants": "participant",
}  # fmt: skip
ENVELOPE_STAMPS = {
    "created": "created_at", "sent": "sent_at", "delivered": "delivered_at", "completed": "completed_at",
    "declined": "declined_at", "voided": "voided_at", "deleted": "deleted_at",
}  # fmt: skip


def status_of(status: pa.Array) -> pa.Array:
    """Map the vendor's status to the canonical one; an unknown status is `other`."""
    return look_up(status, STATUSES, "other")


def is_final(status: pa.Array) -> pa.Array:
    """Return whether the vendor's status is final."""
    return look_up(status, dict.fromkeys(FINAL, True), False)


def custom(fields: pa.Array, name: str) -> pa.Array:
    """Return the value of the text custom field `name`; null if it is missing or can't be read, so that the envelope is loaded anyway.

    Args:
        fields: The envelope's text custom fields, as JSON.
        name: Name of the field in lower case.
    """
    import json

    import pyarrow as pa

    def value(text: str) -> str | None:
        try:
            decoded = json.loads(text)
        except ValueError:
            return None
        listed = [field for field in decoded if isinstance(field, dict)] if isinstance(decoded, list) else []
        values = [field.get("value") for field in listed if str(field.get("name")).casefold() == name]
        return values[0] or None if values and isinstance(values[0], str) else None

    return each(value, fields, pa.string())


def household_of(fields: pa.Array) -> pa.Array:
    """Return the key of the household that the sender entered in the custom field `Household`; null if it is not `<vendor>:<id>`."""
    return parse_household_key(custom(fields, "household"))


def purpose_of(fields: pa.Array) -> pa.Array:
    """Return the purpose that the sender entered in the custom field `Purpose`; null for none."""
    return custom(fields, "purpose")


def find_ended_at(
    status: pa.Array,
    declined_at: pa.Array,
    voided_at: pa.Array,
    deleted_at: pa.Array,
    expires_at: pa.Array,
    changed_at: pa.Array,
) -> pa.Array:
    """Return the time at which the envelope ended without completion; null if it was completed or is pending.

    Expiry has no time stamp of its own. A completed envelope has one of deletion if its sender put it into the bin.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_ended = pc.is_in(status_of(status), value_set=pa.array(["declined", "voided", "deleted", "expired"]))
    expired_at = pc.if_else(pc.less(expires_at, changed_at), expires_at, changed_at)
    return pc.if_else(is_ended, pc.coalesce(declined_at, voided_at, deleted_at, expired_at, changed_at), None)


def list_envelope_events(envelopes: pa.Table) -> pa.Table:
    """Return one row per event of an envelope, from its time stamps."""
    return list_events(envelopes, ENVELOPE_STAMPS)


def event_key(envelope: pa.Array, who: pa.Array, event: pa.Array, at: pa.Array) -> pa.Array:
    """Return the key of an event: envelope, actor (`-` for null), event, time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return join_key(envelope, pc.fill_null(who, "-"), event, at.cast(pa.timestamp("us")).cast(pa.string()))


def event_key_without_actor(envelope: pa.Array, event: pa.Array, at: pa.Array) -> pa.Array:
    """Return the key of an event without an actor."""
    import pyarrow as pa

    return event_key(envelope, pa.nulls(len(envelope), pa.string()), event, at)


# --- tables: parents before children ---------------------------------------------------------------------------------

# Known objects that are not staged.
_ENVELOPE_OBJECTS = (
    "emailSettings", "notification", "lockInformation", "workflow", "envelopeMetadata", "envelopeCustomMetadata",
    "powerForm", "recipients.errorDetails", "tabs", "accessCode", "phoneAuthentication", "smsAuthentication",
    "idCheckInformationInput", "identityVerification",
)  # fmt: skip

ENVELOPES = Table(
    name="envelopes",
    path="envelopes",
    key=("envelope_id",),
    pull="window",
    params={"include": "recipients,custom_fields", "order_by": "created", "order": "asc"},
    dated={"from_date": "%Y-%m-%dT00:00:00Z", "to_date": "%Y-%m-%dT23:59:59Z"},
    edited=("from_date", "to_date"),
    # The vendor's date bounds refer to the last change of status, and the first of two signatures does not change the status. So the
    # window is as long as an envelope may be pending until it expires by default.
    overlap_days=120,
    selected="envelope_ids",
    shape=Positioned("start_position", "count"),
    version="changed_at",
    page_rows=100,
    rows="envelopes",
    has_objects=True,
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
        *ignored("accessControlListBase64, allowComments, allowMarkup, allowReassign, allowViewHistory, anySigner"),
        *ignored("asynchronous, attachmentsUri, authoritativeCopy, authoritativeCopyDefault, autoNavigation, brandId"),
        *ignored("brandLock, burnDefaultTabData, certificateUri, copyRecipientData, customFieldsUri"),
        *ignored("disableResponsiveDocument, documentBase64, documentsCombinedUri, documentsUri, emailBlurb"),
        *ignored("enableWetSign, enforceSignerVisibility, envelopeAttachments, envelopeDocuments, envelopeIdStamping"),
        *ignored("envelopeLocation, envelopeUri, expireAfter, expireEnabled, externalEnvelopeId, folders, hasComments"),
        *ignored("hasFormDataChanged, hasFormDataChanges, hasWavFile, holder, initialSentDateTime, is21CFRPart11"),
        *ignored("isDynamicEnvelope, isSignatureProviderEnvelope, isTicketRelatedEnvelope, location, messageLock"),
        *ignored("notificationUri, purgeCompletedDate, purgeRequestDate, purgeState, recipientsLock, recipientsUri"),
        *ignored("signerCanSignOnMobile, signingLocation, statusChangedDateTime, statusDateTime, templates"),
        *ignored("templatesUri, transactionId, uSigState, useDisclosure"),
        *ignored("customFields.listCustomFields, recipients.recipientCount, recipients.currentRoutingOrder"),
        *ignored("sender.userId, sender.accountId, sender.ipAddress"),
    ),
)

TEMPLATES = Table(
    name="templates",
    path="templates",
    key=("template_id",),
    params={"order_by": "name", "order": "asc"},
    shape=Positioned("start_position", "count"),
    # All templates that the vendor returns are one page: it sorts them by name, change or use, so one that is removed or renamed would move
    # the others to an earlier page.
    page_rows=2000,
    rows="envelopeTemplates",
    has_objects=True,
    omits_nulls=True,
    skipped=(*_ENVELOPE_OBJECTS, "recipients", "customFields", "owner", "sender", "lastModifiedBy"),
    columns=(
        column("template_id", "templateId", STRING, required=True),
        column("name", "name", STRING),
        column("description", "description", STRING),
        *ignored(
            ", ".join(
                each.source
                for each in ENVELOPES.columns
                if not each.source.startswith(("recipients.", "customFields.", "sender."))
            )
        ),
        *ignored("autoMatch, autoMatchSpecifiedByUser, created, documents, favoritedByMe, folderId, folderIds"),
        *ignored("folderName, lastModified, lastUsed, newPassword, owner, pageCount, password, passwordProtected"),
        *ignored("powerForms, shared, uri"),
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
            "ended_at": derived(
                find_ended_at, "status", "declined_at", "voided_at", "deleted_at", "expires_at", "changed_at"
            ),
            "expires_at": "expires_at",
            "changed_at": "changed_at",
        },
        merged=True,
    ),
    EntityMap(
        "envelope_event",
        "envelopes",
        {
            "envelope_event_key": derived(event_key_without_actor, "envelope_id", "event", "happened_at"),
            "envelope_key": "envelope_id",
            "event": "event",
            "actor_name": "sender_name",
            "actor_email": "sender_email",
            "happened_on": derived(day_of, "happened_at"),
            "happened_at": "happened_at",
        },
        split=list_envelope_events,
        takes=("envelope_id", "sender_name", "sender_email", *ENVELOPE_STAMPS.values()),
        merged=True,
    ),
)
