"""The notification that Adobe Acrobat Sign sends to a webhook for one event of an agreement.

Documented:

- All names, and the fields that each conditional parameter adds.
- `participantSetsInfo` is an object here, but an array in REST.
- Above ten megabytes, the data of conditional parameters is omitted, in a documented order.

Our choices:

- The notification has the agreement's state after all effects of the event.
- `webhookNotificationApplicableUsers` is omitted, because the vendor has announced its removal.
- All participants are in the time zone UTC-05:00.
"""

import base64
from collections.abc import Mapping
from typing import Any

from sandbox.adobe_sign.agreements import ROLES, Agreement, Event, Participant
from sandbox.adobe_sign.ids import write_id
from sandbox.adobe_sign.views import write_combined, write_details
from sandbox.server.response import write_moment
from sandbox.server.rows import dump

Row = dict[str, Any]

MOST_BYTES = 10_000_000
ACCOUNT_ID = write_id("account")
_TRIMMED = ("includeSignedDocuments", "includeParticipantsInfo", "includeDocumentsInfo", "includeDetailedInfo")
_WITH_ROLE = ("WORKFLOW_COMPLETED", "ACTION_COMPLETED", "ACTION_REQUESTED")
_WITH_NEXT = ("ACTION_REQUESTED", "EMAIL_VIEWED", "MODIFIED")
_WITH_INITIATOR = ("CREATED", "RECALLED", "REJECTED", "MODIFIED", "RESTARTED")
_WITH_SUB_EVENT = ("RECALLED", "EXPIRED")


def write_message(
    webhook: Mapping[str, Any],
    agreement: Agreement,
    event: Event,
    notification_id: str,
    user_ids: Mapping[str, str] | None = None,
    most: int = MOST_BYTES,
) -> bytes:
    """Return the body of one notification. It depends only on the arguments.

    Args:
        webhook: WebhookInfo, as returned by `GET /webhooks/{webhookId}`.
        agreement: The current agreement.
        event: One of the agreement's events.
        notification_id: Id of the notification, by which the receiver recognizes duplicates.
        user_ids: Ids of the account's users, by email. The ids of other people are derived from the email.
        most: Maximum size in bytes. In a larger body, the data of conditional parameters is omitted, one parameter at a time.
    """
    params = (webhook.get("webhookConditionalParams") or {}).get("webhookAgreementEvents") or {}
    parameters, trimmed = [name for name in _TRIMMED if params.get(name)], list[str]()
    head = _write_event(webhook, agreement, event, notification_id, user_ids or {})
    while True:
        details = _write_agreement(agreement, event, parameters, user_ids or {})
        body = dump(head | {"agreement": details | ({"conditionalParametersTrimmed": trimmed} if trimmed else {})})
        if len(body) <= most or not parameters:
            return body
        trimmed.append(parameters.pop(0))


def _write_event(
    webhook: Mapping[str, Any], agreement: Agreement, event: Event, notification_id: str, user_ids: Mapping[str, str]
) -> Row:
    acting_id, participant_id = (_find_id(email, user_ids) for email in (event.acting, event.participant))
    body: Row = {
        "webhookId": webhook["id"],
        "webhookName": webhook["name"],
        "webhookNotificationId": notification_id,
        "webhookUrlInfo": webhook["webhookUrlInfo"],
        "webhookScope": webhook["scope"],
        "event": f"AGREEMENT_{event.kind}",
        "eventDate": write_moment(event.at),
        "eventResourceType": "agreement",
        "participantUserId": participant_id,
        "participantUserEmail": event.participant,
        "actingUserId": acting_id,
        "actingUserEmail": event.acting,
        "actingUserIpAddress": "192.0.2.1",
        "accountId": ACCOUNT_ID,
    }
    if event.kind in _WITH_SUB_EVENT:
        body["subEvent"] = event.kind
    if event.kind in _WITH_ROLE:
        body["participantRole"] = event.role
    if event.kind in _WITH_INITIATOR:
        body |= {
            "initiatingUserId": _find_id(agreement.sender, user_ids),
            "initiatingUserEmail": agreement.sender,
        }
    if event.kind == "ACTION_COMPLETED":
        body |= {"actionType": ROLES[event.role].action, "eventDateTimezoneOffset": "UTC-300"}
    if event.kind in ("RECALLED", "REJECTED"):
        comment = {"comment": event.comment} if event.comment else {}
        body["agreementCancellationInfo"] = {**comment, "notifyOthers": False}
    return body


def _write_agreement(agreement: Agreement, event: Event, parameters: list[str], user_ids: Mapping[str, str]) -> Row:
    body: Row = {"id": agreement.id, "name": agreement.name, "status": agreement.status}
    if "includeDetailedInfo" in parameters:
        body |= write_details(agreement, max(agreement.ready_at, event.at))
    if "includeParticipantsInfo" in parameters:
        is_detailed = "includeDetailedInfo" in parameters
        sets = [_write_set(each, is_detailed, user_ids) for each in agreement.participants]
        body["participantSetsInfo"] = {"participantSets": sets}
        if event.kind in _WITH_NEXT:
            waiting = [each for each in agreement.participants if each.status == "WAITING"]
            body["participantSetsInfo"]["nextParticipantSets"] = [_write_set(w, is_detailed, user_ids) for w in waiting]
        body["createdGroupId"] = write_id("group")
    if "includeDocumentsInfo" in parameters:
        body["documentsInfo"] = {"documents": agreement.documents}
    if "includeSignedDocuments" in parameters and event.kind == "WORKFLOW_COMPLETED":
        body["signedDocumentInfo"] = {"document": base64.b64encode(write_combined(agreement)).decode()}
    return body


def _write_set(each: Participant, is_detailed: bool, user_ids: Mapping[str, str]) -> Row:
    member: Row = {"id": each.id, "email": each.email, "name": each.name, "status": "ACTIVE"}
    if is_detailed:
        member |= {"userId": _find_id(each.email, user_ids), "securityOption": {"authenticationMethod": "NONE"}}
    return {
        "memberInfos": [member],
        "order": each.order,
        "role": each.role,
        "status": each.set_status,
        "id": each.set_id,
    }


def _find_id(email: str, user_ids: Mapping[str, str]) -> str:
    return user_ids.get(email) or write_id("user", email)
