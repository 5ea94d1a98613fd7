"""An org that users typed the firm's clients into, before Tributary was connected to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from include.crm.adoption import adopt
from include.crm.run import Org
from tests.crm.conftest import ACCOUNTS, DATA, Crm
from tests.firm_keys import KEYRING
from tests.running_sandbox import LAST

SYSTEM_FIELDS = ("LastModifiedDate", "LastModifiedById", "SystemModstamp")


class TypedOrg:
    """Types records into a sandbox org, as its administrator, and adopts them.

    Args:
        crm: The loaded firm, and an empty org.
    """

    def __init__(self, crm: Crm) -> None:
        self.crm = crm
        crm.log_in()
        query = {"q": "SELECT Id, DeveloperName, SobjectType FROM RecordType"}
        answer = crm.sandbox.org.get(f"{DATA}/query", params=query)
        self._types = {(r["SobjectType"], r["DeveloperName"]): r["Id"] for r in answer.json()["records"]}
        self._runs = 0

    @property
    def org(self) -> Org:
        return replace(self.crm.org, redactor=KEYRING.redactor)

    def add(self, sobject: str, record_type: str = "", **values: Any) -> str:
        """Create a record; return its id."""
        if record_type:
            values["RecordTypeId"] = self._types[sobject, record_type]
        answer = self.crm.sandbox.org.post(f"{DATA}/sobjects/{sobject}", json=values)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def edit(self, sobject: str, record_id: str, **values: Any) -> None:
        """Edit a record, as a user."""
        answer = self.crm.sandbox.org.patch(f"{DATA}/sobjects/{sobject}/{record_id}", json=values)
        assert answer.status_code == 204, answer.text

    def add_household(self, household: dict[str, Any], **other: Any) -> str:
        """Type in a household as a vendor has it, except for the fields of `other`."""
        address = {"BillingStreet": household["street"], "BillingCity": household["city"],
                   "BillingState": household["state_code"], "BillingPostalCode": household["postal_code"]}  # fmt: skip
        values = {"Name": household["name"], **address, **other}
        return self.add("Account", "IndustriesHousehold", FinServ__IndividualType__c="Group", **values)

    def add_person(self, person: dict[str, Any], household_id: str = "", **other: Any) -> tuple[str, str]:
        """Type in a person as a vendor has it, except for the fields of the contact in `other`; return the ids of account and contact."""
        names = {"FirstName": person["first_name"], "LastName": person["last_name"]}
        known = {"Birthdate": str(person["birth_date"]), "Email": person["email"], "MobilePhone": person["phone"]}
        contact = {name: value for name, value in {**names, **known, **other}.items() if value not in (None, "None")}
        name = f"{contact.get('FirstName', '')} {contact['LastName']}".strip()
        account_id = self.add("Account", "IndustriesIndividual", FinServ__IndividualType__c="Individual", Name=name)
        contact_id = self.add("Contact", AccountId=account_id, **contact)
        if household_id:
            self.add("AccountContactRelation", ContactId=contact_id, AccountId=household_id)
        return account_id, contact_id

    def add_account(self, owner_id: str, name: str, number: str | None = None) -> str:
        """Type in a financial account."""
        values = {"FinServ__FinancialAccountNumber__c": number} if number else {}
        return self.add(ACCOUNTS, "InvestmentAccount", Name=name, FinServ__PrimaryOwner__c=owner_id, **values)

    def read(self, sobject: str) -> dict[str, dict[str, Any]]:
        """Return all records of an object by id."""
        lines = self.crm.http.get(f"/salesforce/_admin/records/{sobject}").content.splitlines()
        return {record["Id"]: record for record in map(orjson.loads, lines)}

    def read_all(self) -> dict[str, dict[str, Any]]:
        """Return every record that adoption may touch, by id, without the fields that Salesforce itself writes."""
        records: dict[str, dict[str, Any]] = {}
        for sobject in ("Account", "Contact", "AccountContactRelation", ACCOUNTS):
            records |= self.read(sobject)
        return {
            id_: {name: value for name, value in each.items() if name not in SYSTEM_FIELDS and value is not None}
            for id_, each in records.items()
        }

    def compare(self) -> dict[str, str]:
        """Compare the org's records with ours; return the outcome of each org record, by id."""
        self._runs += 1
        adopt.compare(self.org, f"compare-{self._runs}", LAST, lambda _: None)
        return self.outcomes()

    def outcomes(self) -> dict[str, str]:
        rows = self.crm.database.rows(
            "select salesforce_id, outcome from control.adoption_finding where salesforce_id <> ''"
        )
        return {row["salesforce_id"]: row["outcome"] for row in rows}

    def adopt(self, *entities: str) -> dict[str, int]:
        """Approve the matched records of some entities, and adopt; return the keys by state."""
        self._runs += 1
        if entities:
            self.approve(*entities)
        return adopt.adopt(self.org, f"adopt-{self._runs}", LAST, lambda _: None)

    def approve(self, *entities: str) -> None:
        adopt.approve(self.crm.engine, entities, "ada@sample.example")

    def decide(self, record_id: str, key: str, is_same: bool | None) -> None:
        adopt.decide(self.crm.engine, record_id, key, is_same, "ada@sample.example", "asked the advisor")

    def undo(self) -> dict[str, int]:
        self._runs += 1
        return adopt.undo(self.org, f"undo-{self._runs}", "ada@sample.example", lambda _: None)

    def held(self) -> dict[str, int]:
        """Return the number of records that the newest sync held back because the org may have them, by entity."""
        rows = self.crm.database.rows("select entity, records from control.crm_held where cause = 'adoption'")
        return {row["entity"]: row["records"] for row in rows}


def list_homes(crm: Crm) -> list[dict[str, Any]]:
    """Return the firm's households, each with its `persons`, in a fixed order, with our keys."""
    homes = crm.database.rows("select * from warehouse.known_household where is_anchor order by identity_id")
    persons = crm.database.rows("""
        select p.*, h.identity_id as home from warehouse.known_person p
        join warehouse.known_household h on h.household_id = p.household_id where p.is_anchor order by p.identity_id
    """)
    for home in homes:
        home["persons"] = [each for each in persons if each["home"] == home["identity_id"]]
        home["key"] = f"sample:{home['vendor']}:household:{home['household_key']}"
        for person in home["persons"]:
            person["key"] = f"sample:{person['vendor']}:person:{person['person_key']}"
    return homes
