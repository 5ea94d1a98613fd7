"""The fields of households and persons that are the same in several shapes of an org."""

from __future__ import annotations

from dataclasses import replace

from include.crm.objects import planning, rows
from include.crm.objects.mapping import (
    CrmObject,
    Field,
    always,
    choice,
    custom,
    day,
    either,
    flag,
    key,
    link,
    once,
    picklist,
    shared,
    text,
)
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


def show_kind(kind: str) -> Field:
    """Return the field that tells what an account is, in an org whose record types we do not know."""
    description = "Whether the account is a household, a person or a legal entity"
    return custom(picklist(always(KIND, kind)), "Kind", description)


KIND = "Tributary_Kind__c"
ENTITY = f"replace(lower(payload ->> '{KIND}'), ' ', '_')"
"""SQL of the entity of an account with a kind."""

HOUSEHOLD = (
    show_kind("Household"),
    shared(text("Name", "h.name", 255)),
    custom(
        once(text("Tributary_Category__c", "h.category", 255)), "Category", "Category of the household at the vendor"
    ),
    custom(
        picklist(either("Tributary_Status__c", "h.is_active", "Active", "Inactive")),
        "Status",
        "Whether the household is active at the vendor",
    ),
    *ADDRESS,
    once(text("Phone", "h.phone", 40)),
    *planning.SUMMARY,
    planning.HELD_AWAY,
)
"""The fields of a household's account without the managed package."""

LEGAL_ENTITY = (show_kind("Legal Entity"), shared(text("Name", "l.name", 255)))
"""The fields of a legal entity's account without the managed package."""

ALERT = (
    custom(text("Message__c", "replace(f.rule, '_', ' ')", 255), "Message", "Business rule that found it"),
    custom(text("Details__c", "f.details", 255), "Details", "What the rule found"),
    custom(
        picklist(choice("Severity__c", rows.SEVERITY, "Error", "Warning", "Info")),
        "Severity",
        "Severity of the finding",
    ),
    custom(flag("Active__c", "f.closed_at is null"), "Active", "Whether the finding is open"),
)
"""The fields of an alert without the managed package, besides what it is about."""


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
