"""Deleting and merging records with what follows from it: children go along, let go, or forbid it."""

import sqlite3
from collections.abc import Sequence

import orjson

from include.sandbox.salesforce.errors import RowError
from include.sandbox.salesforce.schema import Field, Schema, SObject
from include.sandbox.salesforce.store import Body, Store, load_records, mark_deleted, save_records

_ID_END = "~"


def delete_records(
    connection: sqlite3.Connection, schema: Schema, store: Store, sobject: SObject, ids: Sequence[str], stamp: str
) -> dict[str, RowError | None]:
    """Delete live records of one object, details with their masters; return each id's error or None."""
    known = load_records(connection, ids)
    outcome: dict[str, RowError | None] = {
        record_id: None if record_id in known else RowError("ENTITY_IS_DELETED", "entity is deleted")
        for record_id in ids
    }
    for child, item in _references_to(schema, sobject):
        if item.on_delete == "Restrict":
            for body in _children(connection, store, child, item, list(known)):
                if known.pop(body[item.name], None):
                    message = (
                        f"Your attempt to delete could not be completed because it is associated with {child.label}"
                    )
                    outcome[body[item.name]] = RowError("DELETE_FAILED", message)
    for child, item in _references_to(schema, sobject):
        children = _children(connection, store, child, item, list(known))
        if item.on_delete == "Cascade":
            delete_records(connection, schema, store, child, [body["Id"] for body in children], stamp)
        elif item.on_delete == "SetNull":
            save_records(connection, [_without(body, item.name) | {"SystemModstamp": stamp} for body in children])
    mark_deleted(connection, [body | {"LastModifiedDate": stamp, "SystemModstamp": stamp} for body in known.values()])
    return outcome


def merge_records(
    connection: sqlite3.Connection, schema: Schema, store: Store, sobject: SObject, ids: tuple[str, str], stamp: str
) -> None:
    """Merge the second record into the first as a person would: its children move over, then it is gone.

    Raises:
        KeyError: one of the two is not there.
    """
    master, loser = ids
    known = load_records(connection, ids)
    known[master], known[loser]
    for child, item in _references_to(schema, sobject):
        children = _children(connection, store, child, item, [loser])
        save_records(connection, [body | {item.name: master, "SystemModstamp": stamp} for body in children])
    save_records(connection, [known[master] | {"LastModifiedDate": stamp, "SystemModstamp": stamp}])
    mark_deleted(connection, [known[loser] | {"MasterRecordId": master, "SystemModstamp": stamp}])


def _references_to(schema: Schema, sobject: SObject) -> list[tuple[SObject, Field]]:
    return [(c, item) for c in schema.values() for item in c.fields.values() if item.reference_to == sobject.name]


def _children(
    connection: sqlite3.Connection, store: Store, child: SObject, item: Field, parents: list[str]
) -> list[Body]:
    prefix = store.prefixes[child.name]
    rows = connection.execute(
        "select body from record where id >= ? and id < ? and not is_deleted"  # noqa: S608 - a name of the schema
        f" and json_extract(body, '$.{item.name}') in (select value from json_each(?))",
        (prefix, prefix + _ID_END, orjson.dumps(parents).decode()),
    )
    return [orjson.loads(body) for (body,) in rows]


def _without(body: Body, name: str) -> Body:
    return {key: value for key, value in body.items() if key != name}
