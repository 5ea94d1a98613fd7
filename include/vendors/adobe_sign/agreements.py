"""Adobe Sign's library documents, users and agreements, and the events of agreements."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    INTEGER,
    STRING,
    TIMESTAMP,
    Beside,
    EntityMap,
    FanOut,
    Linked,
    Pushed,
    Table,
    column,
    derived,
    ignored,
)
from include.vendors.arrays import day_of, join_key, look_up, parse_household_key

if TYPE_CHECKING:
    import pyarrow as pa

COMPLETED = ("SIGNED", "APPROVED", "ACCEPTED", "DELIVERED", "FORM_FILLED", "ARCHIVED")
VOIDED = ("CANCELLED", "ABORTED")
OUT = ("SIGNATURE", "DELIVERY", "ACCEPTANCE", "FORM_FILLING", "APPROVAL")
STATUSES = (
    dict.fromkeys(COMPLETED, "completed")
    | dict.fromkeys(VOIDED, "voided")
    | {f"OUT_FOR_{what}": "sent" for what in OUT}
    | dict.fromkeys(("WAITING_FOR_VERIFICATION", "WAITING_FOR_FAXIN"), "sent")
    | dict.fromkeys(("DRAFT", "AUTHORING", "PREFILL", "DOCUMENTS_NOT_YET_PROCESSED"), "draft")
    | {"EXPIRED": "expired"}
)
DONE = ("ACTION_COMPLETED", "ACTION_COMPLETED_HOSTED", "ACTION_COMPLETED_OFFLINE", "DIGSIGNED", "PRESIGNED", "SIGNED", "ESIGNED",
        "APPROVED", "ACCEPTED", "DELIVERED", "FORM_FILLED")  # fmt: skip
REFUSED = ("REJECTED",)
ENDED = (*REFUSED, "RECALLED", "EXPIRED", "EXPIRED_AUTOMATICALLY", "AUTO_CANCELLED_CONVERSION_PROBLEM")
TIMES = {"changed_at": ((), "max"), "sent_at": (("ACTION_REQUESTED",), "min"), "done_at": (DONE, "max"),
         "refused_at": (REFUSED, "max"), "ended_at": (ENDED, "max")}  # fmt: skip


def add_times(agreements: pa.Table, events: pa.Table) -> pa.Table:
    """Add to each agreement the times of its events, and return the agreements in their original order.

    Returns:
        The columns of `agreements`; `row`, the agreement's position in `agreements`, from 0; and one time per entry of `TIMES`, null if
        the agreement has no such event.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    result = agreements.append_column("row", pa.array(range(agreements.num_rows), pa.int64()))
    for name, (kinds, how) in TIMES.items():
        rows = events.filter(pc.is_in(events["event"], value_set=pa.array(kinds))) if kinds else events
        at = rows.group_by("agreement_id").aggregate([("happened_at", how)])
        result = result.join(at.rename_columns(["agreement_id", name]), "agreement_id")
    return result.sort_by("row")


def status_of(status: pa.Array, refused_at: pa.Array) -> pa.Array:
    """Map the vendor's status to the canonical one.

    The vendor has one status for an agreement that the sender withdrew and one that a member refused. If there is a time of refusal, the
    agreement is `declined`, otherwise `voided`.
    """
    import pyarrow.compute as pc

    result = look_up(status, STATUSES, "other")
    return pc.if_else(pc.and_(pc.equal(result, "voided"), pc.is_valid(refused_at)), "declined", result)


def is_final(status: pa.Array) -> pa.Array:
    """Return whether the vendor's status is final."""
    return look_up(status, dict.fromkeys((*COMPLETED, *VOIDED, "EXPIRED"), True), False)


def if_completed(status: pa.Array, at: pa.Array) -> pa.Array:
    """Return `at` if the vendor's status is a completed one, else null."""
    import pyarrow.compute as pc

    return pc.if_else(look_up(status, dict.fromkeys(COMPLETED, True), False), at, None)


def if_ended(status: pa.Array, at: pa.Array) -> pa.Array:
    """Return `at` if the vendor's status is final but not a completed one, else null."""
    import pyarrow.compute as pc

    return pc.if_else(look_up(status, dict.fromkeys((*VOIDED, "EXPIRED"), True), False), at, None)


def find_reopened_at(status: pa.Array, ended_at: pa.Array, changed_at: pa.Array) -> pa.Array:
    """Return the time of the last change for an agreement that had ended and is open again (expired and restarted); null for others."""
    import pyarrow.compute as pc

    return pc.if_else(pc.and_(pc.invert(is_final(status)), pc.is_valid(ended_at)), changed_at, None)


def latest(changed_at: pa.Array, created_at: pa.Array) -> pa.Array:
    """Return the time of the last change; if it is null, the time of creation."""
    import pyarrow.compute as pc

    return pc.coalesce(changed_at, created_at)


def lower_case(text: pa.Array) -> pa.Array:
    """Convert text to lower case."""
    import pyarrow.compute as pc

    return pc.utf8_lower(text)


def purpose_of(name: pa.Array) -> pa.Array:
    """Return the purpose: the agreement's name in lower case, without the first dash that follows a space and the text after it."""
    import pyarrow.compute as pc

    return pc.utf8_lower(pc.utf8_trim_whitespace(pc.replace_substring_regex(name, r"\s[-\x{2013}].*$", "")))


def event_key(agreement: pa.Array, event: pa.Array, at: pa.Array, email: pa.Array) -> pa.Array:
    """Return the key of an event: agreement, event, time and email (`-` for null)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return join_key(agreement, event, at.cast(pa.timestamp("us")).cast(pa.string()), pc.fill_null(email, "-"))


# --- tables: parents before children ---------------------------------------------------------------------------------

_CURSOR = Linked("page.nextCursor", "pageSize", "cursor")

LIBRARY = Table(
    name="library_documents",
    path="libraryDocuments",
    key=("library_document_id",),
    shape=_CURSOR,
    rows="libraryDocumentList",
    has_objects=True,
    omits_nulls=True,
    page_rows=100,
    columns=(
        column("library_document_id", "id", STRING, required=True),
        column("name", "name", STRING),
        *ignored("createdDate, creatorEmail, modifiedDate, sharingMode, status, templateTypes, creatorName, groupId"),
        *ignored("ownerId, ownerEmail, ownerName"),
        *ignored("hidden", BOOLEAN),
    ),
)

USERS = Table(
    name="users",
    path="users",
    key=("user_id",),
    shape=_CURSOR,
    rows="userInfoList",
    has_objects=True,
    omits_nulls=True,
    page_rows=100,
    columns=(
        column("user_id", "id", STRING, required=True),
        column("user_email", "email", STRING, required=True),
        *ignored("firstName, lastName, company, accountId, status"),
        *ignored("isAccountAdmin", BOOLEAN),
    ),
)

AGREEMENTS = Table(
    name="agreements",
    path="agreements",
    key=("agreement_id",),
    shape=FanOut("users", headers={"x-api-user": "email:{user_email}"}, pages=_CURSOR),
    rows="userAgreementList",
    has_objects=True,
    omits_nulls=True,
    page_rows=100,
    columns=(
        column("agreement_id", "id", STRING, required=True),
        column("user_email", "@user_email", STRING, required=True),
        column("status_to_user", "status", STRING),
        *ignored("displayDate, displayParticipantSetInfos, latestVersionId, name, type, groupId, parentId"),
        *ignored("esign, hidden", BOOLEAN),
    ),
)

# A draft, or an agreement in processing, has no members or events yet. If the vendor refuses access, the agreement's own request fails.
PER_AGREEMENT = FanOut(
    "agreements",
    final="envelope",
    ended=("status_to_user", (*COMPLETED, *VOIDED, "EXPIRED")),
    headers={"x-api-user": "email:{user_email}"},
    is_conditional=True,
)

DETAILS = Table(
    name="agreement_details",
    path="agreements/{agreement_id}",
    key=("agreement_id",),
    shape=PER_AGREEMENT,
    has_objects=True,
    omits_nulls=True,
    skipped=("securityOption", "postSignOption", "emailOption", "vaultingInfo", "deviceInfo"),
    columns=(
        column("agreement_id", "id", STRING, required=True),
        column("name", "name", STRING),
        column("status", "status", STRING, required=True),
        column("sender_email", "senderEmail", STRING),
        column("external_id", "externalId.id", STRING),
        column("created_at", "createdDate", TIMESTAMP, required=True),
        column("expires_at", "expirationTime", TIMESTAMP),
        *ignored("ccs, fileInfos, locale, message, participantSetsInfo, signatureType, state, workflowId"),
        *ignored("reminderFrequency, mergeFieldInfo, groupId, type, parentId, formFieldLayerTemplates, createdGroupId"),
        *ignored("sendType, lastEventDate"),
        *ignored("firstReminderDelay", INTEGER),
        *ignored("documentVisibilityEnabled, hasSignerIdentityReport, isDocumentRetentionApplied", BOOLEAN),
    ),
)

EVENTS = Table(
    name="agreement_events",
    path="agreements/{agreement_id}/events",
    key=("agreement_id", "happened_at", "event", "description"),
    shape=replace(PER_AGREEMENT, missing=(403, 404)),
    rows="events",
    has_objects=True,
    omits_nulls=True,
    skipped=("deviceLocation", "digitalSignatureInfo"),
    columns=(
        column("agreement_id", "@agreement_id", STRING, required=True),
        column("event", "type", STRING, required=True),
        column("happened_at", "date", TIMESTAMP, required=True),
        column("description", "description", STRING, required=True),
        column("email", "participantEmail", STRING),
        column("acting_name", "actingUserName", STRING),
        column("acting_email", "actingUserEmail", STRING),
        *ignored("actingUserIpAddress, comment, devicePhoneNumber, initiatingUserEmail, initiatingUserName"),
        *ignored("participantId, participantRole, synchronizationId, vaultEventId, vaultProviderName, versionId, id"),
        *ignored("reminderType, signatureType"),
    ),
)

DELIVERIES = Table(
    name="deliveries",
    path="",
    key=("inbox_id",),
    shape=Pushed(),
    has_objects=True,
    omits_nulls=True,
    skipped=("agreement", "widget", "megaSign", "megasign", "libraryDocument", "webhookUrlInfo", "reminderInfo"),
    columns=(
        column("inbox_id", "@inbox_id", INTEGER, required=True),
        column("received_at", "@received_at", TIMESTAMP, required=True),
        column("event", "event", STRING, required=True),
        column("event_at", "eventDate", TIMESTAMP, required=True),
        column("notification_id", "webhookNotificationId", STRING, required=True),
        *ignored("webhookId, webhookName, webhookScope, subEvent, eventResourceType, eventResourceParentType"),
        *ignored("eventResourceParentId, accountId, eventDateTimezoneOffset, actionType, participantRole"),
        *ignored("participantUserId, participantUserEmail, actingUserId, actingUserEmail, actingUserIpAddress"),
        *ignored("originatorAccountId, initiatingUserId, initiatingUserEmail, webhookNotificationApplicableUsers"),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

SAME_AGREEMENT = {"agreement_id": "agreement_id"}
WITH_EVENTS = {"agreement_events": Beside(("agreement_id", "event", "happened_at", "email"), SAME_AGREEMENT)}

MAPS = (
    EntityMap("template", "library_documents", {"template_key": "library_document_id", "name": "name"}),
    EntityMap(
        "envelope",
        "agreement_details",
        {
            "envelope_key": "agreement_id",
            "subject": "name",
            "purpose": derived(purpose_of, "name"),
            "status": derived(status_of, "status", "refused_at"),
            "is_final": derived(is_final, "status"),
            "sender_email": "sender_email",
            "household_reference": derived(parse_household_key, "external_id"),
            "created_on": derived(day_of, "created_at"),
            "created_at": "created_at",
            "sent_at": "sent_at",
            "completed_at": derived(if_completed, "status", "done_at"),
            "ended_at": derived(if_ended, "status", "ended_at"),
            "expires_at": "expires_at",
            "reopened_at": derived(find_reopened_at, "status", "ended_at", "changed_at"),
            "changed_at": derived(latest, "changed_at", "created_at"),
        },
        split=add_times,
        takes=("agreement_id", "name", "status", "sender_email", "external_id", "created_at", "expires_at"),
        beside=WITH_EVENTS,
    ),
    EntityMap(
        "envelope_event",
        "agreement_events",
        {
            "envelope_event_key": derived(event_key, "agreement_id", "event", "happened_at", "email"),
            "envelope_key": "agreement_id",
            "event": derived(lower_case, "event"),
            "actor_name": "acting_name",
            "actor_email": "acting_email",
            "happened_on": derived(day_of, "happened_at"),
            "happened_at": "happened_at",
        },
        merged=True,
    ),
)
