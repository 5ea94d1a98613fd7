"""Person accounts: one person is both an account and a contact, and Salesforce keeps the two in sync.

After person accounts are enabled in an org, they can't be disabled.

Source of the rules: https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_guidelines_personaccounts.htm
Source of the text of the error: https://github.com/sorenkrabbe/Chrome-Salesforce-inspector/issues/38
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import replace

from sandbox.salesforce.drafts import Draft, list_valid
from sandbox.salesforce.errors import RowError
from sandbox.salesforce.schema import ORGS, Schema, list_trees, load_schema
from sandbox.salesforce.store import Body, load_records, save_records

TREE = ORGS / "person_accounts"
TYPES = ("PersonAccount",)
"""Developer names of the record types that make an account a person account."""

_STANDARD = {
    "FirstName": "FirstName",
    "LastName": "LastName",
    "Salutation": "Salutation",
    "PersonBirthdate": "Birthdate",
    "PersonEmail": "Email",
    "PersonMobilePhone": "MobilePhone",
}
_SHARED = ("OwnerId", "LastModifiedDate", "SystemModstamp", "LastModifiedById")


def load_person_schema(shape: str) -> Schema:
    """Return the schema of an org of a shape with person accounts.

    In it, each custom field `X__c` of a contact is also a field `X__pc` of an account, which is neither an external id nor unique.
    """
    schema = load_schema((*list_trees(shape), TREE))
    account, contact = schema["Account"], schema["Contact"]
    for name, item in contact.fields.items():
        if name.endswith("__c"):
            mirror = name[:-1] + "pc"
            account.fields[mirror] = replace(
                item, name=mirror, is_external_id=False, is_unique=False, relationship=None
            )
    return schema


class Persons:
    """The rules of an org's person accounts. `type_ids` are the ids of the record types of person accounts."""

    def __init__(self, schema: Schema, type_ids: frozenset[str]) -> None:
        custom = {name: name[:-2] + "c" for name in schema["Account"].fields if name.endswith("__pc")}
        self._fields = _STANDARD | custom
        self._type_ids = type_ids

    def check(self, draft: Draft) -> None:
        """Check the draft of an account, and record an error in it; set `Name` and `IsPersonAccount` of a person account.

        A draft is rejected if it does one of these:

        - It changes a business account to a person account, or the reverse.
        - It sets a field of the other kind of account.
        - It leaves the last name of a person empty.
        """
        is_person = draft.body.get("RecordTypeId") in self._type_ids
        if draft.before and is_person != draft.before.get("IsPersonAccount", False):
            message = "A business account cannot become a person account, or the other way round"
            draft.error = RowError("FIELD_INTEGRITY_EXCEPTION", message, "RecordTypeId")
        rejected = [name for name in draft.values if (name == "Name" if is_person else name in self._fields)]
        if rejected:
            draft.error = refuse_names(rejected)
        elif is_person and "LastName" in draft.body:
            names = (draft.body.get("FirstName"), draft.body["LastName"])
            draft.body |= {"IsPersonAccount": True, "Name": " ".join(filter(None, names))}
        elif is_person:
            message = "Required fields are missing: [LastName]"
            draft.error = RowError("REQUIRED_FIELD_MISSING", message, "LastName")

    def draft_contacts(
        self, connection: sqlite3.Connection, accounts: Iterable[Draft], fresh: Body
    ) -> list[tuple[Draft, Draft]]:
        """Return each valid draft of a person account, paired with the draft of its contact. A new contact starts with the values `fresh`."""
        people = [draft for draft in list_valid(accounts) if draft.body.get("IsPersonAccount")]
        records = load_records(connection, [draft.body["PersonContactId"] for draft in people if not draft.is_new])
        pairs = []
        for draft in people:
            before = records.get(draft.body.get("PersonContactId", ""), {})
            body = {**(before or fresh), "IsPersonAccount": True}
            body |= {contact_field: draft.body.get(name) for name, contact_field in self._fields.items()}
            body |= {name: draft.body[name] for name in _SHARED}
            body = {name: value for name, value in body.items() if value is not None}
            pairs.append((draft, Draft(id=before.get("Id"), is_new=not before, before=before, body=body)))
        return pairs

    def follow_contacts(self, connection: sqlite3.Connection, contacts: Iterable[Draft]) -> None:
        """Copy the shared values of contacts to their person accounts, after these contacts were written directly."""
        by_account = {d.body["AccountId"]: d.body for d in list_valid(contacts) if d.body.get("IsPersonAccount")}
        for account_id, account in load_records(connection, by_account).items():
            contact = by_account[account_id]
            changed = {name: contact.get(contact_field) for name, contact_field in self._fields.items()}
            changed |= {name: contact[name] for name in _SHARED}
            names = (contact.get("FirstName"), contact["LastName"])
            body = account | changed | {"Name": " ".join(filter(None, names))}
            save_records(connection, [{name: value for name, value in body.items() if value is not None}])


def refuse_names(names: Iterable[str]) -> RowError:
    """Return the error for fields that this kind of account does not have."""
    names = list(names)
    message = f"Account: bad field names on insert/update call: {', '.join(names)}"
    return RowError("INVALID_FIELD_FOR_INSERT_UPDATE", message, *names)
