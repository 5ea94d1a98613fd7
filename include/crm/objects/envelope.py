"""Envelopes in Salesforce: what a household was sent to sign, and what became of it."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from include.crm.objects.mapping import CrmObject, Field, key, link, moment, number, text
from include.crm.settings import Settings

ENVELOPE = "Tributary_Envelope__c"

# Of what began to be shown while it was written, some may not have been seen: a minute is looked at again.
_IS_NEWS = sa.text("""
with shown as (
    select coalesce(max(recorded_at), '-infinity') - interval '1 minute' as at from control.ledger
    where stage = 'crm' and entity = 'envelope'
)
select exists (select from warehouse.envelope e, shown where e.recorded_to is null and e.recorded_from > shown.at)
    or exists (select from warehouse.envelope_recipient r, shown where r.recorded_to is null and r.recorded_from > shown.at)
    or exists (select from control.document d, shown where d.stored_at > shown.at)
""")

_KEY = "(:firm || ':' || e.vendor || ':envelope:' || e.envelope_key)"


def is_news(engine: sa.Engine) -> bool:
    """Whether an envelope, or a document of one, is newer than what Salesforce was shown last."""
    with engine.connect() as db:
        return bool(db.scalar(_IS_NEWS))


def _document(name: str, kind: Literal["signed", "certificate"]) -> Field:
    """A link to the document behind our own log-in; none where the firm has not said where that is."""
    of_envelope = "d.vendor = e.vendor and d.envelope_key = e.envelope_key"
    held = f"select d.content_hash from control.document d where {of_envelope} and d.kind = '{kind}'"  # noqa: S608
    return Field(name, f"nullif(:documents_url, '') || '/' || ({held})")


# One of which nobody knows whose it is, or that was not sent yet, is not shown; one that was shown stays in step.
def envelope(settings: Settings, account: str) -> CrmObject:
    """An envelope of a household; `account` is the object of households."""
    return CrmObject(
        entity="envelope",
        sobject=ENVELOPE,
        key_field=settings.key_of(ENVELOPE),
        key=_KEY,
        fields=(
            text("Name", "coalesce(e.subject, e.purpose, 'Envelope')", 80),
            link(settings, "Household__r", account, key("household", "h")),
            Field("Status__c", "case when e.status = 'draft' then 'Other' else initcap(e.status) end"),
            text("Purpose__c", "e.purpose", 255),
            text("Waits_For__c", "e.waits_for", 255),
            number("Signers__c", "e.recipients", 0),
            number("Signed__c", "e.signed", 0),
            text("Reason__c", "e.reason", 255),
            text("Source__c", "e.vendor", 80),
            moment("Sent_At__c", "e.sent_at"),
            moment("Completed_At__c", "e.completed_at"),
            moment("Ended_At__c", "e.ended_at"),
            _document("Document__c", "signed"),
            _document("Certificate__c", "certificate"),
        ),
        source=f"""
            mart.envelope e
            left join warehouse.known_household h on h.household_id = e.household_id
            where h.household_id is not null and e.status <> 'draft'
               or exists (select from control.crm_state s where s.sobject = '{ENVELOPE}' and s.external_key = {_KEY})
        """,
        parent=f"Household__r.{settings.key_of(account)}",
    )
