"""Records that users of an org enter, and a writer that creates them under the org's own rules."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sandbox.firm.people import Home, Person
from sandbox.full_org.people import Profile
from sandbox.full_org.truth import Fact, store_facts
from sandbox.salesforce.org import Org
from sandbox.salesforce.store import load_records
from sandbox.salesforce.writes import Writer

ACCOUNT, CONTACT, RELATION, LEAD = "Account", "Contact", "AccountContactRelation", "Lead"
FINANCIAL_ACCOUNT = "FinServ__FinancialAccount__c"
ORDER = (ACCOUNT, CONTACT, RELATION, FINANCIAL_ACCOUNT, LEAD)
"""The objects of entries, parents before children."""


@dataclass(slots=True, eq=False)
class Entry:
    """One record that a user enters.

    Attributes:
        fact: The truth about the record.
        values: The record's values by field. In a lookup field, an entry is replaced by the id of its record.
        newer: The values by field that an advisor changes later.
        first: The entry that was entered first for the same client or account; None if this is the first.
        half_of: The entry of the person account, if this is its contact, which Salesforce creates; None for all other records.
        id: The id of the written record; empty before.
    """

    fact: Fact
    values: dict[str, Any]
    newer: Mapping[str, str] = field(default_factory=dict)
    first: "Entry | None" = None
    half_of: "Entry | None" = None
    id: str = ""

    def state_fact(self) -> Fact:
        """Return the fact, with the ids of the written records."""
        return replace(
            self.fact, id=self.id, duplicate_of=self.first.id if self.first else None, newer=dict(self.newer)
        )


class Typist:
    """Writes entries as users of an org, in one transaction, and stores their facts.

    Args:
        org: The org.
        connection: The transaction.
    """

    def __init__(self, org: Org, connection: sqlite3.Connection) -> None:
        self._org, self._connection = org, connection
        self._writers: dict[str, Writer] = {}
        self._now = org.clock.now()
        self._types = {name: org.record_type_ids(org.schema[name]) for name in ORDER}
        self.has_person_accounts = org.has_person_accounts

    def add_users(self, people: Sequence[tuple[Person, str]], *, is_active: bool = True) -> list[str]:
        """Create users, each from a person and the first part of the username; return their ids."""
        rows = [
            {
                "Username": f"{name}@sample-wealth.example",
                "Email": f"{name}@sample-wealth.example",
                "FirstName": person.first_name,
                "LastName": person.last_name,
                "Alias": name[:8],
                "IsActive": is_active,
            }
            for person, name in people
        ]
        return self._write("User", "insert", rows, "")

    def type_in(self, entries: Iterable[Entry], user_id: str, at: datetime, changed_at: datetime) -> None:
        """Create the records of entries at one time, and change those with newer values at a later time.

        Raises:
            RuntimeError: The org rejects a record.
        """
        by_object: dict[str, list[Entry]] = {name: [] for name in ORDER}
        for entry in entries:
            by_object[entry.fact.object].append(entry)
        for name, group in by_object.items():
            self._now = at
            typed = [entry for entry in group if entry.half_of is None]
            rows = [{key: _resolve(value) for key, value in entry.values.items()} for entry in typed]
            for entry, record_id in zip(typed, self._write(name, "insert", rows, user_id), strict=True):
                entry.id = record_id
            self._find_halves([entry for entry in group if entry.half_of is not None])
            self._now = changed_at
            rows = [{"Id": entry.id, **entry.newer} for entry in typed if entry.newer]
            self._write(name, "update", rows, user_id)
            store_facts(self._connection, (entry.state_fact() for entry in group))

    def find_type(self, name: str, record_type: str) -> str:
        """Return the id of a record type of an object."""
        return self._types[name][record_type]

    def _find_halves(self, halves: Sequence[Entry]) -> None:
        accounts = load_records(self._connection, [half.half_of.id for half in halves if half.half_of])
        for half in halves:
            assert half.half_of is not None
            half.id = accounts[half.half_of.id]["PersonContactId"]

    def _write(self, name: str, operation: str, rows: list[dict[str, Any]], user_id: str) -> list[str]:
        if not rows:
            return []
        if user_id not in self._writers:
            self._writers[user_id] = Writer(self._org.schema, self._org.store, lambda: self._now, user_id)
        outcomes = self._writers[user_id].write(self._connection, self._org.schema[name], operation, rows)
        for row, outcome in zip(rows, outcomes, strict=True):
            if outcome.error is not None:
                raise RuntimeError(f"The org rejects a {name}: {outcome.error.code} {outcome.error.message}: {row}")
        return [str(outcome.id) for outcome in outcomes]


def _resolve(value: Any) -> Any:
    return value.id if isinstance(value, Entry) else value


def write_address(prefix: str, home: Home) -> dict[str, str]:
    """Return an address as fields with this prefix: `Billing`, `Mailing`, or none for a lead."""
    return {
        f"{prefix}Street": " ".join(filter(None, (home.street, home.unit))),
        f"{prefix}City": home.city,
        f"{prefix}State": home.state,
        f"{prefix}PostalCode": home.zip_code,
    }


def write_person(typist: Typist, profile: Profile, fact: Fact, **also: Any) -> tuple[Entry, Entry]:
    """Return a person's account and contact. For a person account, Salesforce creates the contact.

    Args:
        typist: The writer of the entries.
        profile: The values.
        fact: The truth about both records.
        also: Further fields of the account.
    """
    born = profile.born and profile.born.isoformat()
    account = {
        "FinServ__IndividualType__c": "Individual",
        "Phone": profile.phone,
        **write_address("Billing", profile.home),
        **also,
    }
    if typist.has_person_accounts:
        account |= {
            "RecordTypeId": typist.find_type(ACCOUNT, "PersonAccount"),
            "FirstName": profile.first_name,
            "LastName": profile.last_name,
            "PersonBirthdate": born,
            "PersonEmail": profile.email,
        }
        first = Entry(replace(fact, object=ACCOUNT), account)
        return first, Entry(replace(fact, object=CONTACT), {}, half_of=first)
    account |= {"RecordTypeId": typist.find_type(ACCOUNT, "IndustriesIndividual"), "Name": profile.name}
    first = Entry(replace(fact, object=ACCOUNT), account)
    return first, write_contact(typist, profile, fact, first, **_find_owner(also))


def write_contact(typist: Typist, profile: Profile, fact: Fact, account: Entry, **also: Any) -> Entry:
    """Return a person's contact below an account."""
    values = {
        "AccountId": account,
        "RecordTypeId": typist.find_type(CONTACT, "IndustriesIndividual"),
        "FirstName": profile.first_name,
        "LastName": profile.last_name,
        "Birthdate": profile.born and profile.born.isoformat(),
        "Email": profile.email,
        "Phone": profile.phone,
        **write_address("Mailing", profile.home),
        **also,
    }
    return Entry(replace(fact, object=CONTACT), values)


def write_lead(profile: Profile, fact: Fact, **also: Any) -> Entry:
    """Return a person as a lead."""
    values = {
        "FirstName": profile.first_name,
        "LastName": profile.last_name,
        "Email": profile.email,
        "Phone": profile.phone,
        "Company": "Self",
        **write_address("", profile.home),
        **also,
    }
    return Entry(replace(fact, object=LEAD), values)


def write_membership(house: Entry, contact: Entry, fact: Fact, **also: Any) -> Entry:
    """Return the entry of the relation that makes a contact a member of a household."""
    values = {
        "AccountId": house,
        "ContactId": contact,
        "Roles": "Client",
        "FinServ__PrimaryGroup__c": True,
        "FinServ__IncludeInGroup__c": True,
        **also,
    }
    return Entry(replace(fact, object=RELATION), values)


def write_change(typist: Typist, account: Entry, contact: Entry, changes: Mapping[str, str]) -> None:
    """Set a person's newer values, given by Contact field, in the entry that has these fields."""
    if not typist.has_person_accounts:
        contact.newer = dict(changes)
        if "LastName" in changes:
            account.newer = {"Name": f"{contact.values['FirstName']} {changes['LastName']}"}
        return
    names = {"Email": "PersonEmail", "MobilePhone": "PersonMobilePhone"}
    account.newer = {names.get(name, name.replace("Mailing", "Billing")): value for name, value in changes.items()}


def _find_owner(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name == "OwnerId"}
