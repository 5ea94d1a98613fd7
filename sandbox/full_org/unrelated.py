"""The records of a full org that are not clients: former clients, prospects, leads, and businesses with their contacts."""

import random
from dataclasses import replace

from sandbox.firm.people import draw_person
from sandbox.full_org.entry import (
    ACCOUNT,
    FINANCIAL_ACCOUNT,
    Entry,
    Typist,
    write_address,
    write_contact,
    write_lead,
    write_membership,
    write_person,
)
from sandbox.full_org.kinds import Picker
from sandbox.full_org.people import Profile, profile_stranger
from sandbox.full_org.truth import Fact

_STATUSES = ("Open - Not Contacted", "Working - Contacted", "Closed - Not Converted")
_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
_PROFESSIONS = ("Law LLP", "CPA PC", "Estate Planning Inc", "Tax Advisors LLC")
_TRADES = ("Catering Inc", "Printing Co", "Office Supply LLC", "Software Inc")


def write_unrelated(typist: Typist, picker: Picker, draw: random.Random) -> list[Entry]:
    """Return the entries of unrelated records, a number per household of the firm."""
    writers = {
        "former_client": _write_former_client,
        "prospect": _write_prospect,
        "cold_lead": _write_cold_lead,
        "influence": _write_influence,
        "supplier": _write_supplier,
    }
    return [
        entry
        for kind, write in writers.items()
        for _ in range(picker.count(kind))
        for entry in write(typist, profile_stranger(draw), Fact(None, ACCOUNT, (), (kind,)), draw)
    ]


def _write_former_client(typist: Typist, profile: Profile, fact: Fact, draw: random.Random) -> list[Entry]:
    house = {
        "RecordTypeId": typist.find_type(ACCOUNT, "IndustriesHousehold"),
        "Name": f"{profile.last_name}, {profile.first_name}",
        "FinServ__IndividualType__c": "Group",
        "FinServ__Status__c": "Inactive",
        **write_address("Billing", profile.home),
    }
    household = Entry(fact, house)
    account, contact = write_person(typist, profile, fact, FinServ__Status__c="Inactive")
    closed = {
        "RecordTypeId": typist.find_type(FINANCIAL_ACCOUNT, "InvestmentAccount"),
        "Name": f"{profile.name} IRA",
        "FinServ__PrimaryOwner__c": account,
        "FinServ__Household__c": household,
        "FinServ__FinancialAccountNumber__c": f"C{draw.randrange(10**8):08d}",
        "FinServ__Status__c": "Closed",
    }
    holding = Entry(replace(fact, object=FINANCIAL_ACCOUNT), closed)
    return [household, account, contact, write_membership(household, contact, fact, IsActive=False), holding]


def _write_prospect(typist: Typist, profile: Profile, fact: Fact, draw: random.Random) -> list[Entry]:
    return [*write_person(typist, profile, fact, FinServ__Status__c="Prospect", Type="Prospect")]


def _write_cold_lead(typist: Typist, profile: Profile, fact: Fact, draw: random.Random) -> list[Entry]:
    status = {"Status": draw.choice(_STATUSES), "LeadSource": draw.choice(_SOURCES)}
    return [write_lead(profile, fact, **status)]


def _write_influence(typist: Typist, profile: Profile, fact: Fact, draw: random.Random) -> list[Entry]:
    return _write_business(typist, profile, fact, f"{profile.last_name} {draw.choice(_PROFESSIONS)}", "Partner")


def _write_supplier(typist: Typist, profile: Profile, fact: Fact, draw: random.Random) -> list[Entry]:
    return _write_business(typist, profile, fact, f"{draw_person(draw).last_name} {draw.choice(_TRADES)}", "Other")


def _write_business(typist: Typist, profile: Profile, fact: Fact, name: str, kind: str) -> list[Entry]:
    values = {
        "RecordTypeId": typist.find_type(ACCOUNT, "IndustriesBusiness"),
        "Name": name,
        "Type": kind,
        "Phone": profile.phone,
        **write_address("Billing", profile.home),
    }
    business = Entry(fact, values)
    return [business, write_contact(typist, replace(profile, born=None), fact, business)]
