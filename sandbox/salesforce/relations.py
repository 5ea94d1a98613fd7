"""Create and move the direct relation between a contact and its account, as Salesforce does automatically.

The account of a contact is stored twice: in the contact's `AccountId`, and as an AccountContactRelation with `IsDirect`. Source:
https://help.salesforce.com/apex/HTViewHelpDoc?id=sales.account_contact_relationship_and_validation_rules.htm
"""

import sqlite3
from collections.abc import Iterable

from sandbox.salesforce.drafts import Draft, list_valid
from sandbox.salesforce.schema import SObject
from sandbox.salesforce.store import (
    Body,
    Store,
    drop_keys,
    find_children,
    index_keys,
    load_records,
    mark_deleted,
    new_ids,
    save_records,
)

NAME = "AccountContactRelation"


def follow_contacts(
    connection: sqlite3.Connection, store: Store, relation: SObject, contacts: Iterable[Draft], fresh: Body
) -> None:
    """Create, move or delete the direct relations of saved contacts whose account has changed.

    Args:
        connection: The transaction.
        store: The org's store.
        relation: The object AccountContactRelation.
        contacts: The drafts of the saved contacts; those with an error are ignored.
        fresh: The values with which a new relation starts.
    """
    moved = [
        draft
        for draft in list_valid(contacts)
        if draft.body.get("AccountId") != draft.before.get("AccountId") and not draft.body.get("IsPersonAccount")
    ]
    known_ids = [draft.body["Id"] for draft in moved if not draft.is_new]
    old: dict[str, list[Body]] = {}
    for body in find_children(connection, store.prefixes[NAME], "ContactId", known_ids):
        old.setdefault(body["ContactId"], []).append(body)
    changes: list[tuple[Body, Body]] = []
    deleted: list[Body] = []
    for draft in moved:
        contact_id, account_id = draft.body["Id"], draft.body.get("AccountId")
        direct = next((body for body in old.get(contact_id, []) if body.get("IsDirect")), None)
        existing = next((body for body in old.get(contact_id, []) if body["AccountId"] == account_id), None)
        if direct is not None and (existing is not None or account_id is None):
            deleted.append(direct)
        if account_id is not None:
            begin = existing or direct or fresh
            values = {"AccountId": account_id, "ContactId": contact_id, "IsDirect": True}
            changes.append((existing or direct or {}, begin | values))
    _save(connection, store, relation, changes, deleted)


def settle_merge(connection: sqlite3.Connection, store: Store, relation: SObject, moved: Iterable[Body]) -> None:
    """Save the relations of two merged records, and delete duplicates.

    Of several relations between the same account and contact, the first is kept. A relation is direct if its account is the contact's account.

    Args:
        connection: The transaction.
        store: The org's store.
        relation: The object AccountContactRelation.
        moved: All relations of both records, already with their new account and contact.
    """
    by_pair: dict[tuple[str, str], Body] = {}
    deleted = [body for body in moved if by_pair.setdefault((body["AccountId"], body["ContactId"]), body) is not body]
    contacts = load_records(connection, {contact_id for _, contact_id in by_pair})
    changes: list[tuple[Body, Body]] = [
        ({}, body | {"IsDirect": contacts.get(contact_id, {}).get("AccountId") == account_id})
        for (account_id, contact_id), body in by_pair.items()
    ]
    drop_keys(connection, [body["Id"] for body in by_pair.values()])
    _save(connection, store, relation, changes, deleted)


def _save(
    connection: sqlite3.Connection,
    store: Store,
    relation: SObject,
    changes: list[tuple[Body, Body]],
    deleted: list[Body],
) -> None:
    mark_deleted(connection, deleted)
    new = [after for _, after in changes if "Id" not in after]
    for body, record_id in zip(new, new_ids(connection, store.prefixes[NAME], len(new)), strict=True):
        body["Id"] = record_id
    save_records(connection, (after for _, after in changes))
    index_keys(connection, relation, changes)
