"""The records of the firm's clients: households, people, trusts and accounts, with errors, and the people who resemble clients."""

import random
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.firm.households import IRA, JOINT, PLAN, ROLLOVER, ROTH, SEP, TRUST, Registration
from sandbox.firm.likeness import mistype, write_entity_key, write_person_key
from sandbox.firm.people import draw_home, draw_person
from sandbox.full_org.clients import Client, ClientAccount
from sandbox.full_org.entry import (
    ACCOUNT,
    FINANCIAL_ACCOUNT,
    Entry,
    Typist,
    write_address,
    write_change,
    write_contact,
    write_lead,
    write_membership,
    write_person,
)
from sandbox.full_org.kinds import Picker
from sandbox.full_org.people import (
    ERRORS,
    Profile,
    can_have,
    draw_last_name,
    draw_phone,
    profile_client,
    profile_stranger,
)
from sandbox.full_org.truth import Fact

# fmt: off
_TYPES = {
    IRA: "Traditional IRA", ROLLOVER: "Traditional IRA", ROTH: "Roth IRA", SEP: "SEP IRA", PLAN: "401(k)", TRUST: "Trust",
}
# fmt: on
_AWAY = (("Example Savings Bank", "Checking"), ("Specimen College Trust", "529 Plan"), ("Placeholder Life", "Annuity"))
_CATEGORIES = ("Platinum", "Gold", "Silver", "Bronze", None)
_SECOND_ERRORS = ("no_birth_date", "other_email", "old_address", "typo")


@dataclass
class Clientele:
    """Writes the entries of clients, one client after the other.

    Attributes:
        seed: The firm's seed.
        typist: The writer of the entries.
        picker: Selects the records of each kind.
        others: The ids of the users who own the records that are not the advisor's.
        missing: The people, accounts and trusts of all clients so far that users never entered.
    """

    seed: int
    typist: Typist
    picker: Picker
    others: list[str]
    missing: list[Fact] = field(default_factory=list)

    def write(self, client: Client) -> list[Entry]:
        """Return the entries of a client; none if users never entered the household."""
        if self.picker.is_next("absent"):
            for key in client.list_keys():
                self.miss(key, "absent")
            return []
        return _Present(self, client).entries

    def miss(self, key: str, kind: str) -> None:
        """Record a person, account or trust that users never entered."""
        name = FINANCIAL_ACCOUNT if key.startswith("account:") else ACCOUNT
        self.missing.append(Fact(None, name, (key,), (kind,)))


class _Present:
    """The entries of one client who is in the org."""

    def __init__(self, clientele: Clientele, client: Client) -> None:
        self._typist, self._is_next, self._miss = clientele.typist, clientele.picker.is_next, clientele.miss
        self._client, self._household = client, client.household
        self._draw = random.Random(f"{clientele.seed}:full org:{client.key}")
        self._other = self._draw.choice(clientele.others)
        self._owner: dict[str, Any] = {"OwnerId": self._other} if self._is_next("other_owner") else {}
        self.entries: list[Entry] = []
        self._owners: dict[int, Entry] = {}
        """The account of each person who is in the org, by the person's index."""
        self._address = write_address("", draw_home(self._draw)) if self._is_next("moved") else {}
        self._house = self._write_household()
        people = client.household.people
        if len(people) > 1 and people[0].last_name == people[1].last_name and self._is_next("couple"):
            self._write_couple()
        else:
            for place in range(len(people)):
                self._write_client(place)
        entities = {registration: self._write_entity(registration) for registration in client.entities}
        for account in client.accounts:
            entity = entities[account.entity] if account.entity else None
            self._write_account(
                account, entity or next((self._owners[p] for p in account.owners if p in self._owners), None)
            )
        for _ in range(clientele.picker.count("member")):
            self._write_member()
        for _ in range(clientele.picker.count("held_elsewhere") if self._owners else 0):
            self._write_held_elsewhere()

    def _add(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        return entry

    def _write_household(self) -> Entry:
        household, last = self._household, self._household.people[0].last_name
        is_renamed = self._is_next("renamed")
        firsts = " & ".join(person.first_name for person in household.people)
        names = (f"The {last} Family", f"{last} Household", f"{firsts} {last}")
        kinds = (*(["renamed"] if is_renamed else []), *(["moved"] if self._address else []))
        values = {
            "RecordTypeId": self._typist.find_type(ACCOUNT, "IndustriesHousehold"),
            "Name": self._draw.choice(names) if is_renamed else household.name,
            "FinServ__IndividualType__c": "Group",
            "FinServ__Status__c": "Active",
            "FinServ__ClientCategory__c": self._draw.choice(_CATEGORIES),
            "Phone": household.home.phone,
            **write_address("Billing", household.home),
            **self._owner,
        }
        kinds += ("other_owner",) if self._owner else ()
        newer = {f"Billing{name}": value for name, value in self._address.items()}
        house = self._add(Entry(Fact(None, ACCOUNT, (self._client.key,), kinds), values, newer))
        if self._is_next("duplicate_household"):
            second = values | {"Name": f"{last} Household", "Phone": None, "OwnerId": self._other}
            self._add(Entry(Fact(None, ACCOUNT, (self._client.key,), ("duplicate_household",)), second, first=house))
        return house

    def _write_couple(self) -> None:
        head, spouse = self._household.people
        keys = tuple(write_person_key(self._household, place) for place in (0, 1))
        own = profile_client(self._household, 0)
        profile = replace(own, first_name=f"{head.first_name} & {spouse.first_name}")
        account, _ = self._write_record(profile, Fact(None, ACCOUNT, keys, ("couple",)))
        self._owners = {0: account, 1: account}

    def _write_client(self, place: int) -> None:
        household, key = self._household, write_person_key(self._household, place)
        if self._is_next("absent_person"):
            self._miss(key, "absent_person")
            return
        kinds = [name for name in ERRORS if can_have(name, household, place) and self._is_next(name)]
        own = profile = profile_client(household, place)
        for name in kinds:
            profile = ERRORS[name](self._draw, profile)
        changes = self._draw_changes(profile, kinds)
        account, contact = self._write_record(profile, Fact(None, ACCOUNT, (key,), tuple(kinds)), changes)
        self._owners[place] = account
        if self._is_next("duplicate"):
            error = self._draw.choice(_SECOND_ERRORS)
            fact = Fact(None, ACCOUNT, (key,), ("duplicate", error))
            again = write_person(self._typist, ERRORS[error](self._draw, own), fact, OwnerId=self._other)
            for entry, first in zip(again, (account, contact), strict=True):
                entry.first = first
                self._add(entry)
        if self._is_next("lead"):
            status = {"Status": "Closed - Converted", "LeadSource": "Partner Referral"}
            self._add(write_lead(own, Fact(None, ACCOUNT, (key,), ("lead",)), **status))
        self._write_likenesses(place, own)

    def _draw_changes(self, profile: Profile, kinds: list[str]) -> dict[str, str]:
        """Return the values that the advisor changes in a person's contact last week, and add their kinds to `kinds`."""
        changes = {f"Mailing{name}": value for name, value in self._address.items()}
        kinds += ["moved"] if changes else []
        for name, column in (("new_phone", "MobilePhone"), ("new_email", "Email"), ("new_name", "LastName")):
            if self._is_next(name):
                kinds.append(name)
                changes[column] = {
                    "MobilePhone": draw_phone(self._draw),
                    "Email": f"{profile.first_name}.{self._draw.randrange(10**6)}@example.net".lower().replace(" ", ""),
                    "LastName": draw_last_name(self._draw, profile.last_name),
                }[column]
        return changes

    def _write_record(self, profile: Profile, fact: Fact, changes: dict[str, str] | None = None) -> tuple[Entry, Entry]:
        """Add a person's account, contact and membership of the household."""
        account, contact = write_person(
            self._typist, profile, fact, FinServ__Status__c="Active", Type="Customer", **self._owner
        )
        if changes:
            write_change(self._typist, account, contact, changes)
        relation = replace(fact, identities=(self._client.key, *fact.identities), kinds=()) if fact.identities else fact
        self.entries += [account, contact, write_membership(self._house, contact, relation)]
        return account, contact

    def _write_likenesses(self, place: int, own: Profile) -> None:
        """Add the people who resemble a client."""
        person, key = self._household.people[place], write_person_key(self._household, place)
        if person.gender == "M" and person.born.year < 1970 and self._is_next("namesake_son"):
            born = person.born.replace(
                year=person.born.year + self._draw.randrange(24, 36), day=min(person.born.day, 28)
            )
            suffix = self._draw.choice(("", " Jr."))
            son = replace(own, born=born, email=None, last_name=own.last_name + suffix)
            self._write_record(son, Fact(None, ACCOUNT, (), ("namesake_son",), resembles=key))
        if self._is_next("namesake"):
            stranger = profile_stranger(self._draw, draw_person(self._draw))
            namesake = replace(stranger, first_name=own.first_name, last_name=own.last_name)
            self._add_person(namesake, Fact(None, ACCOUNT, (), ("namesake",), resembles=key))
        if self._is_next("twin"):
            twin = replace(own, first_name=self._draw_first_name(), email=None)
            self._add_person(twin, Fact(None, ACCOUNT, (), ("twin",), resembles=key))

    def _add_person(self, profile: Profile, fact: Fact) -> None:
        self.entries += write_person(self._typist, profile, fact, Type="Prospect", **self._owner)

    def _draw_first_name(self) -> str:
        """Return a first name that no person of the household has."""
        names = {person.first_name for person in self._household.people}
        return next(name for _ in iter(int, 1) if (name := draw_person(self._draw).first_name) not in names)

    def _write_entity(self, registration: Registration) -> Entry | None:
        key, name, kinds = write_entity_key(registration), registration.name, []
        if self._is_next("absent_entity"):
            self._miss(key, "absent_entity")
            return None
        if self._is_next("short_name"):
            kinds.append("short_name")
            last = registration.owners[0].last_name
            name = self._draw.choice(
                (name.removeprefix("The "), f"{last} Family Trust", name.replace("Trust", "Rev Tr"))
            )
        elif self._is_next("typo_in_entity"):
            kinds.append("typo_in_entity")
            words = name.split()
            at = self._draw.choice([place for place, word in enumerate(words) if len(word) > 3])
            name = " ".join([*words[:at], mistype(self._draw, words[at]), *words[at + 1 :]])
        values = {
            "RecordTypeId": self._typist.find_type(ACCOUNT, "IndustriesBusiness"),
            "Name": name,
            "Type": "Customer",
            **write_address("Billing", self._household.home),
            **self._owner,
        }
        return self._add(Entry(Fact(None, ACCOUNT, (key,), tuple(kinds)), values))

    def _write_account(self, each: ClientAccount, owner: Entry | None) -> None:
        """Add an account's record, unless it was never typed in or none of its owners is in the org."""
        account, kind = each.account, each.account.registration.kind
        if owner is None or self._is_next("absent_account"):
            self._miss(each.key, "absent_account")
            return
        last_four, custodian = account.number[-4:], account.custodian[1]
        form = next((name for name in ("masked_number", "number_in_name", "no_number") if self._is_next(name)), None)
        masked = self._draw.choice((f"xxxx{last_four}", f"XXXX-{last_four}", f"****{last_four}"))
        name = f"{custodian} {kind.name}"
        if form == "number_in_name":
            name = self._draw.choice((f"{name} ...{last_four}", f"{name} ({last_four})", f"{name} x{last_four}"))
        joint = [self._owners[place] for place in each.owners if place in self._owners]
        values = {
            "RecordTypeId": self._typist.find_type(FINANCIAL_ACCOUNT, "InvestmentAccount"),
            "Name": name,
            "FinServ__PrimaryOwner__c": owner,
            "FinServ__JointOwner__c": joint[1] if kind is JOINT and joint[1:] and joint[1] is not owner else None,
            "FinServ__Household__c": self._house,
            "FinServ__FinancialAccountNumber__c": {None: account.number, "masked_number": masked}.get(form),
            "FinServ__FinancialAccountType__c": _TYPES.get(kind, "Brokerage"),
            "FinServ__Status__c": "Open",
            "FinServ__OpenDate__c": account.started_on.isoformat(),
            "FinServ__Managed__c": True,
            "FinServ__Balance__c": str(self._draw.randrange(5, 900) * 1000),
            **self._owner,
        }
        fact = Fact(None, FINANCIAL_ACCOUNT, (each.key,), (form,) if form else ())
        first = self._add(Entry(fact, values))
        if self._is_next("duplicate_account"):
            other = masked if form is None else account.number
            second = values | {"FinServ__FinancialAccountNumber__c": other, "OwnerId": self._other}
            self._add(Entry(replace(fact, kinds=("duplicate_account",)), second, first=first))

    def _write_member(self) -> None:
        """Add a child, as a contact of the household."""
        head = self._household.people[0]
        born = head.born.replace(year=head.born.year + self._draw.randrange(22, 40), day=min(head.born.day, 28))
        own = profile_client(self._household, 0)
        child = replace(own, first_name=self._draw_first_name(), born=born, email=None)
        self._add(write_contact(self._typist, child, Fact(None, ACCOUNT, (), ("member",)), self._house, **self._owner))

    def _write_held_elsewhere(self) -> None:
        custodian, kind = self._draw.choice(_AWAY)
        values = {
            "RecordTypeId": self._typist.find_type(FINANCIAL_ACCOUNT, "General"),
            "Name": f"{custodian} {kind}",
            "FinServ__PrimaryOwner__c": next(iter(self._owners.values())),
            "FinServ__Household__c": self._house,
            "FinServ__FinancialAccountNumber__c": f"{self._draw.randrange(10**9):09d}",
            "FinServ__FinancialAccountType__c": kind,
            "FinServ__Status__c": "Open",
            "FinServ__HeldAway__c": True,
            "FinServ__Balance__c": str(self._draw.randrange(1, 90) * 1000),
            **self._owner,
        }
        self._add(Entry(Fact(None, FINANCIAL_ACCOUNT, (), ("held_elsewhere",)), values))
