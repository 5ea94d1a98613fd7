"""An agreement of Adobe Acrobat Sign as REST returns it: list item, details, members, events, documents and form data.

Documented: the fields. The status in the list depends on the user who calls.

Our choices:

- Fields without a value are omitted.
- The text of an event's description, and the columns of the form data.
- A restart has the type `OTHER`, because REST documents no type for it.
"""

import csv
import io
from datetime import datetime
from typing import Any

from sandbox.adobe_sign.agreements import ROLES, UNPROCESSED, Agreement, Event, Participant
from sandbox.adobe_sign.ids import write_id
from sandbox.server.pdf import write_pdf
from sandbox.server.response import write_moment

Row = dict[str, Any]
Names = dict[str, str]
"""Names of the account's users, by email."""

_RELATIVE = {"AUTHORING": "WAITING_FOR_AUTHORING", "ABORTED": "CANCELLED"}
_TYPES = {"RESTARTED": "OTHER"}
_IP = "192.0.2.1"


def write_item(agreement: Agreement, email: str, now: datetime, names: Names) -> Row:
    """Return an agreement as an item of the list of the user with this email."""
    participants = [each for each in agreement.participants if each.status == "WAITING"] or agreement.participants
    parties = [(each.email, each.name) for each in participants[:1]]
    if email != agreement.sender:
        parties = [(agreement.sender, names.get(agreement.sender, ""))]
    members = [{"email": address, **({"fullName": name} if name else {})} for address, name in parties]
    return {
        "displayDate": write_moment(agreement.changed_at),
        "displayParticipantSetInfos": [{"displayUserSetMemberInfos": members}],
        "esign": True,
        "hidden": agreement.is_hidden,
        "id": agreement.id,
        "latestVersionId": write_id(agreement.id, "version", len(agreement.events)),
        "name": agreement.name,
        "status": _find_relative_status(agreement, email, now),
    }


def _find_relative_status(agreement: Agreement, email: str, now: datetime) -> str:
    status = agreement.find_status(now)
    if status != UNPROCESSED:
        for each in agreement.participants:
            if each.email == email and each.status == "WAITING":
                return ROLES[each.role].waiting
    return _RELATIVE.get(status, status)


def write_info(agreement: Agreement, now: datetime) -> Row:
    """Return an agreement as AgreementInfo, without `fileInfos` and the write-only `state`."""
    sets = [
        {
            "memberInfos": [{"email": each.email, "securityOption": {"authenticationMethod": "NONE"}}],
            "order": each.order,
            "role": each.role,
        }
        for each in agreement.participants
    ]
    return {"id": agreement.id, "name": agreement.name, "participantSetsInfo": sets} | write_details(agreement, now)


def write_details(agreement: Agreement, now: datetime) -> Row:
    """Return the fields of an agreement that are the same in REST and in notifications."""
    details = {
        "senderEmail": agreement.sender,
        "createdDate": write_moment(agreement.created_at),
        "signatureType": "ESIGN",
        "locale": "en_US",
        "status": agreement.find_status(now),
        "documentVisibilityEnabled": False,
        "ccs": [{"email": email} for email in agreement.ccs],
        "externalId": {"id": agreement.external_id} if agreement.external_id else None,
        "message": agreement.message,
        "expirationTime": write_moment(agreement.expires_at) if agreement.expires_at else None,
    }
    return {name: value for name, value in details.items() if value is not None and value != []}


def write_members(agreement: Agreement, email: str, names: Names, company: str, *, with_next: bool) -> Row:
    """Return the members of an agreement as MembersInfo, for the user with this email.

    `company` is the sender's company. `with_next` fills `nextParticipantSets` with the pending sets.
    """
    waiting = [each for each in agreement.participants if each.status == "WAITING"]
    return {
        "senderInfo": {
            "participantId": write_id(agreement.id, "sender"),
            "email": agreement.sender,
            "name": names.get(agreement.sender, ""),
            "company": company,
            "self": agreement.sender == email,
            "status": "WAITING_FOR_OTHERS" if waiting else "COMPLETED",
        },
        "ccsInfo": [
            {
                "participantId": write_id(agreement.id, "cc", cc),
                "email": cc,
                "name": names.get(cc, ""),
                "company": company,
            }
            for cc in agreement.ccs
        ],
        "participantSets": [_write_set(each, email) for each in agreement.participants],
        "nextParticipantSets": [_write_set(each, email) for each in waiting if with_next],
        "sharesInfo": [],
    }


def _write_set(each: Participant, email: str) -> Row:
    member = {
        "id": each.id,
        "email": each.email,
        "name": each.name,
        "self": each.email == email,
        "securityOption": {"authenticationMethod": "NONE"},
        "status": "ACTIVE",
    }
    member = {name: value for name, value in member.items() if value != ""}
    return {
        "id": each.set_id,
        "memberInfos": [member],
        "order": each.order,
        "role": each.role,
        "status": each.set_status,
    }


def write_events(agreement: Agreement, names: Names) -> Row:
    """Return the events as AgreementEventList, oldest first. WORKFLOW_COMPLETED is omitted: it exists only in webhooks."""
    events = [event for event in agreement.events if event.kind != "WORKFLOW_COMPLETED"]
    all_names = names | {each.email: each.name for each in agreement.participants}
    return {"events": [_write_event(agreement, n, event, all_names) for n, event in enumerate(events, 1)]}


def _write_event(agreement: Agreement, number: int, event: Event, names: Names) -> Row:
    of = [each.id for each in agreement.participants if each.email == event.participant]
    action, by = event.kind.replace("_", " ").capitalize(), names.get(event.acting) or event.acting
    subject = f" of {names.get(event.participant) or event.participant}" if event.participant != event.acting else ""
    row = {
        "type": _TYPES.get(event.kind, event.kind),
        "date": write_moment(event.at),
        "description": f"{action}{subject} by {by}",
        "actingUserEmail": event.acting,
        "actingUserName": names.get(event.acting, ""),
        "actingUserIpAddress": _IP,
        "initiatingUserEmail": event.acting,
        "initiatingUserName": names.get(event.acting, ""),
        "participantEmail": event.participant,
        "participantId": of[0] if of else write_id(agreement.id, "sender"),
        "participantRole": event.role,
        "versionId": write_id(agreement.id, "version", number),
        "comment": event.comment,
    }
    return {name: value for name, value in row.items() if value is not None}


def write_documents(agreement: Agreement) -> Row:
    """Return the documents of an agreement as AgreementDocuments."""
    return {"documents": agreement.documents, "supportingDocuments": []}


def write_combined(agreement: Agreement, *, with_audit: bool = False) -> bytes:
    """Return all documents of an agreement as one PDF, with the signatures so far. `with_audit` appends the audit trail."""
    signatures = [
        f"{each.role}: {each.name} <{each.email}>" for each in agreement.participants if each.status == "COMPLETED"
    ]
    pages = [
        [agreement.name, f"{document['name']}, page {page} of {document['numPages']}"]
        for document in agreement.documents
        for page in range(1, int(document["numPages"]) + 1)
    ] or [[agreement.name]]
    pages[-1] = [*pages[-1], *signatures]
    return write_pdf([*pages, *([_list_trail(agreement)] if with_audit else [])])


def write_audit_trail(agreement: Agreement) -> bytes:
    """Return the audit trail of an agreement as a PDF."""
    return write_pdf([_list_trail(agreement)])


def _list_trail(agreement: Agreement) -> list[str]:
    events = [f"{write_moment(event.at)} {event.kind} {event.participant}" for event in agreement.events]
    return [f"{agreement.name} - final audit report", f"Transaction ID: {agreement.id}", *events]


def write_form_data(agreement: Agreement) -> bytes:
    """Return the form data of an agreement as CSV, with one line per participant."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(("completed", "email", "role", "name", "agreementId"))
    done = {e.participant: write_moment(e.at) for e in agreement.events if e.kind == "ACTION_COMPLETED"}
    for each in agreement.participants:
        lines.writerow((done.get(each.email, ""), each.email, each.role, each.name, agreement.id))
    return text.getvalue().encode()
