"""The fields of households and persons that are the same in several shapes of an org."""

from __future__ import annotations

from dataclasses import replace

from include.crm.objects import planning, rows
from include.crm.objects.mapping import CrmObject, Field, always, day, key, link, shared, text
from include.crm.objects.rows import ACCOUNT, CONTACT
from include.crm.settings import Settings

ADDRESS = (
    shared(text("BillingStreet", "h.street", 255)),
    shared(text("BillingCity", "h.city", 40)),
    shared(text("BillingState", "h.state_code", 80)),
    shared(text("BillingPostalCode", "h.postal_code", 20)),
    shared(text("BillingCountry", "h.country", 80)),
)
"""The address of a household's account."""

NAME = (
    shared(text("FirstName", "p.first_name", 40)),
    shared(text("LastName", "coalesce(p.last_name, p.name)", 80)),
)
"""The name of a person account or a contact."""


def show_person_account(settings: Settings) -> CrmObject:
    """Return the mapping of persons to person accounts."""
    return rows.PERSON.show(
        settings,
        ACCOUNT,
        always("RecordType.DeveloperName", "PersonAccount"),
        *NAME,
        day("PersonBirthdate", "p.birth_date"),
        # A relation to a household refers to the contact half of a person account, which has its own key field.
        Field(f"{settings.key_of(CONTACT).removesuffix('__c')}__pc", key("person", "p"), length=120),
        *planning.SUMMARY,
    )


def show_contact(settings: Settings) -> CrmObject:
    """Return the mapping of the contacts below the persons' accounts."""
    return rows.CONTACT_OF_PERSON.show(
        settings,
        CONTACT,
        link(settings, "Account", ACCOUNT, key("person", "p"), "person"),
        *NAME,
        day("Birthdate", "p.birth_date"),
    )


def link_member(settings: Settings) -> Field:
    """Return the lookup of a membership to the person: to the contact, or the contact half of a person account."""
    contact = link(settings, "Contact", CONTACT, key("person", "p"), "contact")
    if settings.persons == "person_accounts":  # the contact half of a record that is sent as an account
        return replace(contact, links_to=ACCOUNT, entities=("person",))
    return contact
