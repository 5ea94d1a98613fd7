"""Delete and merge records, with the effect on children: delete them, clear their reference, or refuse to delete the parent."""

import sqlite3
from collections.abc import Sequence

from sandbox.salesforce import relations
from sandbox.salesforce.errors import RowError
from sandbox.salesforce.schema import Field, Schema, SObject
from sandbox.salesforce.store import Body, Store, find_children, load_records, mark_deleted, save_records


def delete_records(
    connection: sqlite3.Connection, schema: Schema, store: Store, sobject: SObject, ids: Sequence[str], stamp: str
) -> dict[str, RowError | None]:
    """Delete records of one object; return the error of each id, None for a deleted record.

    Each reference to a deleted record follows its `on_delete`: the child is deleted too (`Cascade`), its reference is cleared
    (`SetNull`), or the parent is not deleted (`Restrict`).
    """
    records = load_records(connection, ids)
    outcome: dict[str, RowError | None] = {
        record_id: None if record_id in records else RowError("ENTITY_IS_DELETED", "entity is deleted")
        for record_id in ids
    }
    if sobject.name == "Contact":
        _exclude_persons(connection, records, outcome)
    for child, item in _references_to(schema, sobject):
        if item.on_delete == "Restrict":
            for body in find_children(connection, store.prefixes[child.name], item.name, records):
                if records.pop(body[item.name], None):
                    message = (
                        f"Your attempt to delete could not be completed because it is associated with {child.label}"
                    )
                    outcome[body[item.name]] = RowError("DELETE_FAILED", message)
    for child, item in _references_to(schema, sobject):
        children = find_children(connection, store.prefixes[child.name], item.name, records)
        if item.on_delete == "Cascade":
            delete_records(connection, schema, store, child, [body["Id"] for body in children], stamp)
        elif item.on_delete == "SetNull":
            save_records(connection, [_without(body, item.name) | {"SystemModstamp": stamp} for body in children])
    mark_deleted(connection, [body | {"LastModifiedDate": stamp, "SystemModstamp": stamp} for body in records.values()])
    contacts = [body["PersonContactId"] for body in records.values() if "PersonContactId" in body]
    if contacts:
        delete_records(connection, schema, store, schema["Contact"], contacts, stamp)
    return outcome


def _exclude_persons(
    connection: sqlite3.Connection, records: dict[str, Body], outcome: dict[str, RowError | None]
) -> None:
    """Remove the contacts of person accounts from `records` and record an error for each: only deleting the account deletes them."""
    people = [body for body in records.values() if body.get("IsPersonAccount") and "AccountId" in body]
    accounts = {body["AccountId"]: body["Id"] for body in people}
    for account_id in load_records(connection, accounts):
        contact_id = accounts[account_id]
        del records[contact_id]
        message = "A person account's contact is deleted by deleting the account"
        outcome[contact_id] = RowError("DELETE_FAILED", message)


def merge_records(
    connection: sqlite3.Connection, schema: Schema, store: Store, sobject: SObject, ids: tuple[str, str], stamp: str
) -> None:
    """Merge the second record into the first, as a user can do in Salesforce: move its children, then delete it.

    Raises:
        KeyError: One of the records does not exist.
    """
    master, loser = ids
    records = load_records(connection, ids)
    pair = records[master].get("PersonContactId"), records[loser].get("PersonContactId")
    if pair[0] and pair[1]:
        merge_records(connection, schema, store, schema["Contact"], (pair[0], pair[1]), stamp)
    moved: list[Body] = []
    for child, item in _references_to(schema, sobject):
        children = find_children(connection, store.prefixes[child.name], item.name, [loser])
        children = [body | {item.name: master, "SystemModstamp": stamp} for body in children]
        if child.name == relations.NAME:
            moved = find_children(connection, store.prefixes[child.name], item.name, [master]) + children
        else:
            save_records(connection, children)
    relations.settle_merge(connection, store, schema[relations.NAME], moved)
    save_records(connection, [records[master] | {"LastModifiedDate": stamp, "SystemModstamp": stamp}])
    mark_deleted(connection, [records[loser] | {"MasterRecordId": master, "SystemModstamp": stamp}])


def _references_to(schema: Schema, sobject: SObject) -> list[tuple[SObject, Field]]:
    return [
        (child, item)
        for child in schema.values()
        for item in child.fields.values()
        if sobject.name in item.targets and not item.is_read_only
    ]


def _without(body: Body, name: str) -> Body:
    return {key: value for key, value in body.items() if key != name}
