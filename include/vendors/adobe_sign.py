"""Adobe Acrobat Sign: agreements, members and events. Webhooks announce changed agreements; a poll finds the others.

Source of paths and fields: the vendor's REST v6 specification and its guide. Webhooks are not signed, so a webhook is only a
notification: Tributary then requests the agreement on behalf of its sender (webhooks must include the detailed info, which names the
sender). Each user has a separate list of agreements, without dates of change. So a poll reads every user's list, and requests
the agreement, its members and its events unless its known state is final. A status in the list is relative to the user; the status
of the agreement itself is used. The events give the time of the last change.

The external id of an agreement, written `<vendor>:<id>`, names its household. The firm decides how to fill it; this is the documented
convention.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    INTEGER,
    STRING,
    TIMESTAMP,
    AccessPoint,
    Beside,
    Budget,
    Document,
    EchoedId,
    EntityMap,
    FanOut,
    Inside,
    Linked,
    Pushed,
    Sender,
    Table,
    Vendor,
    Webhook,
    column,
    derived,
    ignored,
)
from include.vendors.arrays import day_of, is_word, joined, known_elsewhere, looked_up

if TYPE_CHECKING:
    import pyarrow as pa

# --- what only Adobe Sign needs --------------------------------------------------------------------------------------

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
MEMBER_STATUSES = {"COMPLETED": "completed", "NOT_YET_VISIBLE": "waiting", "CANCELLED": "other", "EXPIRED": "other"}
DONE = ("ACTION_COMPLETED", "ACTION_COMPLETED_HOSTED", "ACTION_COMPLETED_OFFLINE", "DIGSIGNED", "PRESIGNED", "SIGNED", "ESIGNED",
        "APPROVED", "ACCEPTED", "DELIVERED", "FORM_FILLED")  # fmt: skip
REFUSED = ("REJECTED",)
ENDED = (*REFUSED, "RECALLED", "EXPIRED", "EXPIRED_AUTOMATICALLY", "AUTO_CANCELLED_CONVERSION_PROBLEM")
TIMES = {"changed_at": ((), "max"), "sent_at": (("ACTION_REQUESTED",), "min"), "done_at": (DONE, "max"),
         "refused_at": (REFUSED, "max"), "ended_at": (ENDED, "max")}  # fmt: skip


def with_times(agreements: pa.Table, events: pa.Table) -> pa.Table:
    """Add to agreements the times of their events (`TIMES`); null if there is no such event."""
    import pyarrow as pa
    import pyarrow.compute as pc

    told = agreements.append_column("row", pa.array(range(agreements.num_rows), pa.int64()))
    for name, (kinds, how) in TIMES.items():
        rows = events.filter(pc.is_in(events["event"], value_set=pa.array(kinds))) if kinds else events
        at = rows.group_by("agreement_id").aggregate([("happened_at", how)])
        told = told.join(at.rename_columns(["agreement_id", name]), "agreement_id")
    return told.sort_by("row")


def with_acts(members: pa.Table, events: pa.Table, agreements: pa.Table) -> pa.Table:
    """Add to members their action times and the agreement's state; who shares an address and has not completed gets no signing time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    told = members.append_column("row", pa.array(range(members.num_rows), pa.int64()))
    told = told.append_column("address", pc.utf8_lower(told["email"]))
    events = events.append_column("address", pc.utf8_lower(events["email"]))
    for name, kinds in (("signed_at", DONE), ("declined_at", REFUSED)):
        rows = events.filter(pc.is_in(events["event"], value_set=pa.array(kinds)))
        at = rows.group_by(["agreement_id", "address"]).aggregate([("happened_at", "max")])
        told = told.join(at.rename_columns(["agreement_id", "address", name]), ["agreement_id", "address"])
    has_done = pc.fill_null(pc.equal(told["set_status"], "COMPLETED"), False)
    told = told.set_column(
        told.schema.get_field_index("signed_at"), "signed_at", pc.if_else(has_done, told["signed_at"], None)
    )
    state = with_times(agreements, events).drop_columns(["row"])
    return told.join(state.rename_columns({"status": "agreement_status"}), "agreement_id").sort_by("row")


def status_of(status: pa.Array, refused_at: pa.Array) -> pa.Array:
    """Map the vendor's status to the canonical one. The vendor uses one status for a withdrawal by the sender and a refusal."""
    import pyarrow.compute as pc

    word = looked_up(status, STATUSES, "other")
    return pc.if_else(pc.and_(pc.equal(word, "voided"), pc.is_valid(refused_at)), "declined", word)


def is_final(status: pa.Array) -> pa.Array:
    """Return whether the state is final."""
    return looked_up(status, dict.fromkeys((*COMPLETED, *VOIDED, "EXPIRED"), True), False)


def if_completed(status: pa.Array, at: pa.Array) -> pa.Array:
    """Return the time if the agreement is completed, else null."""
    import pyarrow.compute as pc

    return pc.if_else(looked_up(status, dict.fromkeys(COMPLETED, True), False), at, None)


def if_ended(status: pa.Array, at: pa.Array) -> pa.Array:
    """Return the time if the agreement is in another final state, else null."""
    import pyarrow.compute as pc

    return pc.if_else(looked_up(status, dict.fromkeys((*VOIDED, "EXPIRED"), True), False), at, None)


def reopened_at(status: pa.Array, ended_at: pa.Array, changed_at: pa.Array) -> pa.Array:
    """Return the time of the last change if the agreement had ended and was reopened (an expired one that was restarted)."""
    import pyarrow.compute as pc

    return pc.if_else(pc.and_(pc.invert(is_final(status)), pc.is_valid(ended_at)), changed_at, None)


def latest(changed_at: pa.Array, created_at: pa.Array) -> pa.Array:
    """Return the time of the last change, or else of creation."""
    import pyarrow.compute as pc

    return pc.coalesce(changed_at, created_at)


def member_status(status: pa.Array) -> pa.Array:
    """Map a member's status to the canonical one; a member who still has to act is `sent`."""
    return looked_up(status, MEMBER_STATUSES, "sent")


def is_replaced(status: pa.Array) -> pa.Array:
    """Return whether another member replaced this one."""
    return is_word(status, "REPLACED")


def word(text: pa.Array) -> pa.Array:
    """Return the vendor's word in lower case."""
    import pyarrow.compute as pc

    return pc.utf8_lower(text)


def purpose_of(name: pa.Array) -> pa.Array:
    """Return the purpose: the agreement's name up to the first dash, in lower case."""
    import pyarrow.compute as pc

    return pc.utf8_lower(pc.utf8_trim_whitespace(pc.replace_substring_regex(name, r"\s[-\x{2013}].*$", "")))


def event_key(agreement: pa.Array, event: pa.Array, at: pa.Array, email: pa.Array) -> pa.Array:
    """Return the key of an event: agreement, event, time, email."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return joined(agreement, event, at.cast(pa.timestamp("us")).cast(pa.string()), pc.fill_null(email, "-"))


# --- tables: parents before children ---------------------------------------------------------------------------------

_CURSOR = Linked("page.nextCursor", "pageSize", "cursor")

LIBRARY = Table(
    name="library_documents",
    path="libraryDocuments",
    key=("library_document_id",),
    shape=_CURSOR,
    rows="libraryDocumentList",
    is_nested=True,
    omits_nulls=True,
    page_rows=100,
    columns=(
        column("library_document_id", "id", STRING, required=True),
        column("name", "name", STRING),
        *map(ignored, ("createdDate", "creatorEmail", "modifiedDate", "sharingMode", "status", "templateTypes")),
        *map(ignored, ("creatorName", "groupId", "ownerId", "ownerEmail", "ownerName")),
        ignored("hidden", BOOLEAN),
    ),
)

USERS = Table(
    name="users",
    path="users",
    key=("user_id",),
    shape=_CURSOR,
    rows="userInfoList",
    is_nested=True,
    omits_nulls=True,
    page_rows=100,
    columns=(
        column("user_id", "id", STRING, required=True),
        column("user_email", "email", STRING, required=True),
        *map(ignored, ("firstName", "lastName", "company", "accountId", "status")),
        ignored("isAccountAdmin", BOOLEAN),
    ),
)

AGREEMENTS = Table(
    name="agreements",
    path="agreements",
    key=("agreement_id",),
    shape=FanOut("users", headers={"x-api-user": "email:{user_email}"}, pages=_CURSOR),
    rows="userAgreementList",
    is_nested=True,
    omits_nulls=True,
    page_rows=100,
    columns=(
        column("agreement_id", "id", STRING, required=True),
        column("user_email", "@user_email", STRING, required=True),
        column("status_to_user", "status", STRING),
        *map(
            ignored,
            ("displayDate", "displayParticipantSetInfos", "latestVersionId", "name", "type", "groupId", "parentId"),
        ),
        ignored("esign", BOOLEAN),
        ignored("hidden", BOOLEAN),
    ),
)

# A draft, or an agreement in processing, has no members or events yet. A refused access shows in the agreement's own request.
_OF = FanOut(
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
    shape=_OF,
    is_nested=True,
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
        *map(ignored, ("ccs", "fileInfos", "locale", "message", "participantSetsInfo", "signatureType", "state", "workflowId")),
        *map(ignored, ("reminderFrequency", "mergeFieldInfo", "groupId", "type", "parentId", "formFieldLayerTemplates")),
        *map(ignored, ("createdGroupId", "sendType", "lastEventDate")),
        ignored("firstReminderDelay", INTEGER),
        ignored("documentVisibilityEnabled", BOOLEAN),
        ignored("hasSignerIdentityReport", BOOLEAN),
        ignored("isDocumentRetentionApplied", BOOLEAN),
    ),
)  # fmt: skip

EVENTS = Table(
    name="agreement_events",
    path="agreements/{agreement_id}/events",
    key=("agreement_id", "happened_at", "event", "description"),
    shape=replace(_OF, missing=(403, 404)),
    rows="events",
    is_nested=True,
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
        *map(ignored, ("actingUserIpAddress", "comment", "devicePhoneNumber", "initiatingUserEmail", "initiatingUserName")),
        *map(ignored, ("participantId", "participantRole", "synchronizationId", "vaultEventId", "vaultProviderName", "versionId")),
        *map(ignored, ("id", "reminderType", "signatureType")),
    ),
)  # fmt: skip

MEMBERS = Table(
    name="members",
    path="agreements/{agreement_id}/members",
    key=("agreement_id",),
    shape=replace(_OF, missing=(403, 404)),
    is_nested=True,
    omits_nulls=True,
    skipped=("senderInfo", "securityOption"),
    columns=(
        column("agreement_id", "@agreement_id", STRING, required=True),
        column("participant_sets", "participantSets", STRING),
        ignored("ccsInfo"),
        ignored("nextParticipantSets"),
        ignored("sharesInfo"),
    ),
)

PARTICIPANTS = Table(
    name="participants",
    path="",
    key=("agreement_id", "participant_id"),
    shape=Inside("members", ("participant_sets",), ("memberInfos",)),
    is_nested=True,
    omits_nulls=True,
    skipped=("securityOption",),
    columns=(
        column("agreement_id", "@agreement_id", STRING, required=True),
        column("participant_id", "id", STRING, required=True),
        column("name", "name", STRING),
        column("email", "email", STRING),
        column("member_status", "status", STRING),
        column("role", "^role", STRING),
        column("set_status", "^status", STRING),
        column("routing_order", "^order", INTEGER),
        *map(ignored, ("company", "fax", "privateMessage", "phoneNumber")),
        ignored("self", BOOLEAN),
    ),
)

DELIVERIES = Table(
    name="deliveries",
    path="",
    key=("inbox_id",),
    shape=Pushed(),
    is_nested=True,
    omits_nulls=True,
    skipped=("agreement", "widget", "megaSign", "megasign", "libraryDocument", "webhookUrlInfo", "reminderInfo"),
    columns=(
        column("inbox_id", "@inbox_id", INTEGER, required=True),
        column("received_at", "@received_at", TIMESTAMP, required=True),
        column("event", "event", STRING, required=True),
        column("event_at", "eventDate", TIMESTAMP, required=True),
        column("notification_id", "webhookNotificationId", STRING, required=True),
        *map(ignored, ("webhookId", "webhookName", "webhookScope", "subEvent", "eventResourceType", "eventResourceParentType")),
        *map(ignored, ("eventResourceParentId", "accountId", "eventDateTimezoneOffset", "actionType", "participantRole")),
        *map(ignored, ("participantUserId", "participantUserEmail", "actingUserId", "actingUserEmail", "actingUserIpAddress")),
        *map(ignored, ("originatorAccountId", "initiatingUserId", "initiatingUserEmail", "webhookNotificationApplicableUsers")),
    ),
)  # fmt: skip

# --- canonical entities ----------------------------------------------------------------------------------------------

_OF_AGREEMENT = {"agreement_id": "agreement_id"}
_EVENTS = {"agreement_events": Beside(("agreement_id", "event", "happened_at", "email"), _OF_AGREEMENT)}
_STATE = {"agreement_details": Beside(("agreement_id", "status", "created_at"), _OF_AGREEMENT)}

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
            "household_reference": derived(known_elsewhere, "external_id"),
            "created_on": derived(day_of, "created_at"),
            "created_at": "created_at",
            "sent_at": "sent_at",
            "completed_at": derived(if_completed, "status", "done_at"),
            "ended_at": derived(if_ended, "status", "ended_at"),
            "expires_at": "expires_at",
            "reopened_at": derived(reopened_at, "status", "ended_at", "changed_at"),
            "changed_at": derived(latest, "changed_at", "created_at"),
        },
        split=with_times,
        takes=("agreement_id", "name", "status", "sender_email", "external_id", "created_at", "expires_at"),
        beside=_EVENTS,
    ),
    EntityMap(
        "envelope_recipient",
        "participants",
        {
            "envelope_recipient_key": derived(joined, "agreement_id", "participant_id"),
            "envelope_key": "agreement_id",
            "role": derived(word, "role"),
            "routing_order": "routing_order",
            "name": "name",
            "email": "email",
            "status": derived(member_status, "set_status"),
            "signed_at": "signed_at",
            "declined_at": "declined_at",
            "is_final": derived(is_final, "agreement_status"),
            "reopened_at": derived(reopened_at, "agreement_status", "ended_at", "changed_at"),
            "created_on": derived(day_of, "created_at"),
            "changed_at": derived(latest, "changed_at", "created_at"),
        },
        split=with_acts,
        takes=(
            "agreement_id",
            "participant_id",
            "name",
            "email",
            "member_status",
            "role",
            "set_status",
            "routing_order",
        ),
        dropped={"somebody else does it": derived(is_replaced, "member_status")},
        beside=_EVENTS | _STATE,
    ),
    EntityMap(
        "envelope_event",
        "agreement_events",
        {
            "envelope_event_key": derived(event_key, "agreement_id", "event", "happened_at", "email"),
            "envelope_key": "agreement_id",
            "event": derived(word, "event"),
            "actor_name": "acting_name",
            "actor_email": "acting_email",
            "happened_on": derived(day_of, "happened_at"),
            "happened_at": "happened_at",
        },
        merged=True,
    ),
)

ADOBE_SIGN = Vendor(
    name="adobe_sign",
    title="Adobe Acrobat Sign",
    notes=__doc__,
    # A moved account responds only at its access point.
    login=AccessPoint("baseUris", host="apiAccessPoint", api="api/rest/v6"),
    tables=(LIBRARY, USERS, AGREEMENTS, DETAILS, EVENTS, MEMBERS, PARTICIPANTS, DELIVERIES),
    maps=MAPS,
    cron="10 */4 * * *",
    ranks={"": 95},
    # It runs all day; this is the deadline of the first run after the close.
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
