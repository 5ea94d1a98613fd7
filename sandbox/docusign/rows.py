"""Envelopes as DocuSign's JSON objects.

Documented: the fields, which are all text, the grouping of recipients by type, and the parts that a response has only on request
(`show`).

Our choice: which of the many fields have a value. All other fields are missing, never null.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sandbox.docusign.life import Envelope
from sandbox.docusign.stamps import write_stamp
from sandbox.firm.households import Household, Representative
from sandbox.firm.likeness import write_email

ACCOUNT_ID, ACCOUNT_NAME = "5d3f0c1e-7b1a-4c52-9f5e-2a6f4b8c9d10", "Sample Wealth Management"
USER_ID, USER_NAME, USER_EMAIL = "b7a4e2c8-1f63-4d0b-8a29-6c5e3f7d1b94", "Sample Operations", "operations@example.com"
Person = tuple[str, str]
"""Name and email address."""


class Template(NamedTuple):
    """A form that the firm sends again and again. `purpose` is the value of the custom field "Purpose"."""

    name: str
    purpose: str
    documents: tuple[str, ...]


TEMPLATES = (
    Template("New account application", "account opening", ("Account application.pdf", "Account terms.pdf")),
    Template("Advisory agreement", "advisory agreement", ("Advisory agreement.pdf",)),
    Template("Transfer of assets", "asset transfer", ("Transfer form.pdf", "Latest statement.pdf")),
    Template("Beneficiary change", "beneficiary change", ("Beneficiary form.pdf",)),
)
_PARTS = {
    "recipients": "recipients",
    "custom_fields": "customFields",
    "documents": "envelopeDocuments",
    "folders": "folders",
    "extensions": "emailSettings",
    "attachments": "envelopeAttachments",
    "powerform": "powerForm",
}
INCLUDES = frozenset(_PARTS) | {"payment_tabs", "tabs", "workflow", "prefill_tabs"}
"""Allowed values of `include`. Those that are not in `_PARTS` have no effect in this sandbox."""


def write_guid(*parts: object) -> str:
    """Return a GUID that depends only on `parts`."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, ":".join(["docusign", *map(str, parts)])))


def show(envelope: Envelope, include: Iterable[str] = ()) -> Envelope:
    """Return a copy of an envelope with only the requested parts."""
    hidden = set(_PARTS.values()) - {_PARTS[part] for part in include if part in _PARTS}
    return {name: value for name, value in envelope.items() if name not in hidden}


def write_envelope(
    envelope_id: str,
    template: Template,
    people: Sequence[Person],
    household: str | None,
    representative: Person | None,
    at: datetime,
    extra: Mapping[str, Person] | None = None,
) -> Envelope:
    """Return a new envelope as a draft.

    Args:
        envelope_id: GUID of the envelope.
        template: The form to sign.
        people: The signers, in routing order.
        household: Value of the custom field "Household"; None omits the field.
        representative: The sender, who also gets a copy at the end. None means that the firm's office sends it without a copy.
        at: Time of creation.
        extra: More recipients, by array: `certifiedDeliveries`, `inPersonSigners` or `witnesses`.
    """
    stamp, uri = write_stamp(at), f"/envelopes/{envelope_id}"
    name, email = representative or (USER_NAME, USER_EMAIL)
    fields = {"Household": household, "Purpose": template.purpose}
    sender = {"userName": name, "userId": find_user(email), "accountId": ACCOUNT_ID, "email": email}
    return {
        "status": "created",
        "documentsUri": f"{uri}/documents",
        "recipientsUri": f"{uri}/recipients",
        "attachmentsUri": f"{uri}/attachments",
        "envelopeUri": uri,
        "emailSubject": f"Please sign: {template.name}",
        "emailBlurb": "",
        "envelopeId": envelope_id,
        "signingLocation": "online",
        "customFieldsUri": f"{uri}/custom_fields",
        "notificationUri": f"{uri}/notification",
        "enableWetSign": "true",
        "allowMarkup": "false",
        "allowReassign": "true",
        "createdDateTime": stamp,
        "lastModifiedDateTime": stamp,
        "statusChangedDateTime": stamp,
        "documentsCombinedUri": f"{uri}/documents/combined",
        "certificateUri": f"{uri}/documents/certificate",
        "templatesUri": f"{uri}/templates",
        "expireEnabled": "true",
        "expireAfter": "120",
        "sender": sender | {"ipAddress": "192.0.2.10"},
        "purgeState": "unpurged",
        "envelopeIdStamping": "true",
        "is21CFRPart11": "false",
        "isSignatureProviderEnvelope": "false",
        "hasFormDataChanged": "false",
        "allowComments": "true",
        "hasComments": "false",
        "autoNavigation": "true",
        "recipients": _write_recipients(envelope_id, people, representative, extra or {}),
        "customFields": {"textCustomFields": list(_write_fields(envelope_id, fields)), "listCustomFields": []},
        "envelopeDocuments": write_documents(envelope_id, template.documents),
        "folders": [{"name": "Sent Items", "type": "sentitems", "owner": {"userId": find_user(email), "email": email}}],
    }


def find_user(email: str) -> str:
    """Return the user id that belongs to an email address."""
    return USER_ID if email == USER_EMAIL else write_guid("user", email)


def _write_recipients(
    envelope_id: str, people: Sequence[Person], representative: Person | None, extra: Mapping[str, Person]
) -> Envelope:
    recipients = [("signers", person) for person in people]
    recipients += [(kind, person) for kind, person in extra.items()]
    recipients += [("carbonCopies", representative)] if representative else []
    grouped: dict[str, Any] = {kind: [] for kind in ("signers", "agents", "editors", "intermediaries", "carbonCopies")}
    grouped |= {kind: [] for kind in ("certifiedDeliveries", "inPersonSigners", "seals", "witnesses", "notaries")}
    for number, (kind, (name, email)) in enumerate(recipients, 1):
        id_ = str(number)
        recipient = {"name": name, "email": email, "recipientId": id_, "routingOrder": id_, "status": "created"}
        recipient |= {"recipientIdGuid": write_guid(envelope_id, "recipient", id_), "userId": find_user(email)}
        recipient |= {"deliveryMethod": "email", "requireIdLookup": "false", "creationReason": "sender"}
        if kind == "inPersonSigners":
            host = representative or (USER_NAME, USER_EMAIL)
            recipient |= {"hostName": host[0], "hostEmail": host[1], "signerName": name, "signerEmail": email}
        if kind == "witnesses":
            recipient |= {"witnessFor": "1", "witnessForGuid": write_guid(envelope_id, "recipient", "1")}
        grouped[kind].append(recipient)
    return grouped | {"recipientCount": str(len(recipients)), "currentRoutingOrder": "1"}


def _write_fields(envelope_id: str, fields: Mapping[str, str | None]) -> Iterator[Envelope]:
    for name, value in fields.items():
        if value is not None:
            id_ = str(int(write_guid(envelope_id, "field", name)[:8], 16))
            yield {"fieldId": id_, "name": name, "show": "false", "required": "false", "value": value}


def write_documents(owner_id: str, names: Sequence[str]) -> list[Envelope]:
    """Return the documents with these names, of the envelope or template with the id `owner_id`."""
    return [
        {
            "documentId": str(number),
            "documentIdGuid": write_guid(owner_id, "document", number),
            "name": name,
            "type": "content",
            "uri": f"/envelopes/{owner_id}/documents/{number}",
            "order": str(number),
            "display": "inline",
            "includeInDownload": "true",
            "signerMustAcknowledge": "no_interaction",
            "templateRequired": "false",
        }
        for number, name in enumerate(names, 1)
    ]


def list_signers(household: Household) -> list[Person]:
    """Return the names and email addresses of a household's people, as signers."""
    return [(person.name, write_email(household, place)) for place, person in enumerate(household.people)]


def name_representative(representative: Representative) -> Person:
    """Return the name and email address of a representative, as sender."""
    person = representative.person
    return person.name, f"{person.first_name}.{person.last_name}@example.com".lower()
