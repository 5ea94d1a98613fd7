"""Envelopes in Salesforce: documents sent to a household for signature, with their status."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from include.crm.objects.mapping import (
    CrmObject,
    Field,
    Rows,
    choice,
    custom,
    key,
    link,
    moment,
    number,
    picklist,
    text,
)
from include.crm.objects.rows import ACCOUNT
from include.crm.settings import Settings

ENVELOPE = "Tributary_Envelope__c"

# The last sync may have missed rows that were written while it ran, so its last minute is checked again.
_HAS_CHANGES = sa.text("""
with shown as (
    select coalesce(max(recorded_at), '-infinity') - interval '1 minute' as at from control.ledger
    where stage = 'crm' and entity = 'envelope'
)
select exists (select from warehouse.envelope e, shown where e.recorded_to is null and e.recorded_from > shown.at)
    or exists (select from warehouse.envelope_recipient r, shown where r.recorded_to is null and r.recorded_from > shown.at)
    or exists (select from control.document d, shown where d.stored_at > shown.at)
""")

_KEY = key("envelope", "e")
_STATUS = "case when e.status = 'draft' then 'Other' else initcap(e.status) end"
_STATUSES = ("Sent", "Delivered", "Completed", "Declined", "Voided", "Expired", "Deleted", "Other")


def has_changes(engine: sa.Engine) -> bool:
    """Return whether an envelope, its recipients or documents have changed since the last sync of envelopes."""
    with engine.connect() as db:
        return bool(db.scalar(_HAS_CHANGES))


def _document(name: str, kind: Literal["signed", "certificate"]) -> Field:
    """Return a field with the URL of a stored document, which is behind our own login.

    The field is empty if the document is not stored or the firm has set no `documents_url`.
    """
    of_envelope = "d.vendor = e.vendor and d.envelope_key = e.envelope_key"
    document = f"select d.content_hash from control.document d where {of_envelope} and d.kind = '{kind}' and d.disposed_at is null"  # noqa: S608
    return Field(name, f"nullif(:documents_url, '') || '/' || ({document})", type="Url")


# Drafts and envelopes without a known household are not sent to Salesforce. An envelope that was sent there stays up to date.
_ROWS = Rows(
    "envelope",
    _KEY,
    source="mart.envelope e left join warehouse.known_household h on h.household_id = e.household_id",
    where=f"""
        h.household_id is not null and e.status <> 'draft'
        or exists (select from control.crm_state s where s.sobject = :sobject and s.external_key = {_KEY})
    """,
    ids={"household_id": "h.household_id"},
)


def envelope(settings: Settings) -> CrmObject:
    """Return the mapping of envelopes, the same in all shapes."""
    return _ROWS.show(
        settings,
        ENVELOPE,
        text("Name", "coalesce(e.subject, e.purpose, 'Envelope')", 80),
        custom(
            link(settings, "Household__r", ACCOUNT, key("household", "h"), "household"),
            "Household",
            "Household that must sign the envelope",
        ),
        custom(picklist(choice("Status__c", _STATUS, *_STATUSES)), "Status", "Status at the e-signature vendor"),
        custom(text("Purpose__c", "e.purpose", 255), "Purpose", "What the envelope is for, as the sender wrote it"),
        custom(
            text("Waits_For__c", "e.waits_for", 255), "Waits For", "First recipient in order who has to act and has not"
        ),
        custom(number("Signers__c", "e.recipients", 0), "Signers", "Number of signers"),
        custom(number("Signed__c", "e.signed", 0), "Signed", "Number of signers who have signed"),
        custom(text("Reason__c", "e.reason", 255), "Reason", "Why the envelope was declined or voided"),
        custom(text("Source__c", "e.vendor", 80), "Source", "E-signature vendor"),
        custom(moment("Sent_At__c", "e.sent_at"), "Sent At", "When the envelope was sent"),
        custom(moment("Completed_At__c", "e.completed_at"), "Completed At", "When the last signer signed"),
        custom(moment("Ended_At__c", "e.ended_at"), "Ended At", "When the envelope was declined or voided, or expired"),
        custom(_document("Document__c", "signed"), "Signed Document", "All documents of the envelope as signed"),
        custom(
            _document("Certificate__c", "certificate"),
            "Certificate",
            "Record of who acted when, certified by the e-signature vendor",
        ),
        parent="Household__r",
    )
