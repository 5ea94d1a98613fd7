"""Respond to calls that create, read, update, upsert or delete a single record."""

from collections.abc import Sequence
from typing import Any

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.columns import flatten_json
from sandbox.salesforce.deletes import delete_records
from sandbox.salesforce.drafts import Outcome
from sandbox.salesforce.errors import ApiError, RowError
from sandbox.salesforce.query import PAGE_ROWS
from sandbox.salesforce.schema import Field, SObject
from sandbox.salesforce.store import find_ids
from sandbox.salesforce.values import complete_id
from sandbox.salesforce.writes import find_key


def insert_row(call: Call, name: str) -> Answer:
    """Create one record."""
    sobject = call.org.find_object(name)
    return _render_row(call, sobject, write_rows(call, sobject, "insert", [_record(call.body)])[0])


def read_row(call: Call, name: str, record_id: str) -> Answer:
    """Return one record, with all its fields or those in the parameter `fields`."""
    sobject = call.org.find_object(name)
    fields = split_list(call.params.get("fields", "")) or list(sobject.fields)
    [row] = find_rows(call, sobject, fields, [record_id])
    if row is None:
        raise _not_found()
    return Answer(200, row)


def find_rows(call: Call, sobject: SObject, fields: Sequence[str], ids: Sequence[str]) -> list[dict[str, Any] | None]:
    """Return up to `PAGE_ROWS` records with the given fields, in the order of `ids`; None for each missing record.

    Raises:
        ApiError: INVALID_FIELD, the object does not have a field.
    """
    columns = call.org.columns(sobject)
    names = dict.fromkeys(columns[name].field.name for name in fields)
    record_ids = [complete_id(record_id) for record_id in ids if record_id.isalnum()]
    listed = ", ".join(f"'{record_id}'" for record_id in record_ids)
    soql = f"select {', '.join(names)} from {sobject.name} where Id in ({listed or 'null'})"  # noqa: S608
    rows = call.queries.answer(soql, call.version, PAGE_ROWS)["records"]
    by_id = {row["attributes"]["url"].rpartition("/")[2]: row for row in rows}
    return [by_id.get(complete_id(record_id)) for record_id in ids]


def split_list(text: str) -> list[str]:
    """Split a parameter at its commas; empty parts are left out."""
    return [item.strip() for item in text.split(",") if item.strip()]


def update_row(call: Call, name: str, record_id: str) -> Answer:
    """Change one record."""
    row = _record(call.body) | {"Id": record_id}
    outcome = write_rows(call, call.org.find_object(name), "update", [row])[0]
    if outcome.error is not None and outcome.error.code == "ENTITY_IS_DELETED":
        raise _not_found()
    return _render_error(outcome.error) if outcome.error else Answer(204)


def delete_row(call: Call, name: str, record_id: str) -> Answer:
    """Delete one record."""
    org, sobject, record_id = call.org, call.org.find_object(name), complete_id(record_id)
    with call.write() as connection:
        error = delete_records(connection, org.schema, org.store, sobject, [record_id], org.stamp())[record_id]
    if error is not None and error.code == "ENTITY_IS_DELETED":
        raise _not_found()
    return Answer(204) if error is None else _render_error(error)


def read_row_by_key(call: Call, name: str, key_name: str, value: str) -> Answer:
    """Return the record with this external id; if several match, return 300 with their URLs."""
    sobject = call.org.find_object(name)
    ids = _find(call, sobject, find_key(sobject, key_name), value)
    if not ids:
        raise _not_found()
    return _render_choices(call, sobject, ids) if len(ids) > 1 else read_row(call, name, ids[0])


def upsert_row(call: Call, name: str, key_name: str, value: str) -> Answer:
    """Create or change the record with this external id; if several match, return 300 with their URLs.

    With the parameter `updateOnly`, a missing record is not created: 404.
    """
    sobject = call.org.find_object(name)
    key = find_key(sobject, key_name)
    if key.name == "Id":
        return update_row(call, name, value)
    row = _record(call.body)
    if any(column.lower() == key.name.lower() for column in row):
        message = f"The {key.name} field should not be specified in the sobject data."
        raise ApiError(400, "INVALID_FIELD", message)
    ids = _find(call, sobject, key, value)
    if len(ids) > 1:
        return _render_choices(call, sobject, ids)
    if not ids and call.params.get("updateOnly", "").lower() == "true":
        raise _not_found()
    outcome = write_rows(call, sobject, "upsert", [row | {key.name: value}], key)[0]
    if outcome.error is not None:
        return _render_error(outcome.error)
    body: dict[str, Any] = {"id": outcome.id, "success": True, "errors": [], "created": outcome.is_created}
    return Answer(201, body, _locate(call, sobject, outcome)) if outcome.is_created else Answer(200, body)


def write_rows(
    call: Call,
    sobject: SObject,
    operation: str,
    rows: list[dict[str, Any]],
    key: Field | None = None,
    is_all_or_none: bool = False,
) -> list[Outcome]:
    """Write rows of one object as the user of the call, with the fault `row_lock` applied; return the outcome of each row."""
    locked = call.org.faults.take(call.url_path, "row_lock")
    writer = call.org.writer(call.user_id)
    with call.write() as connection:
        return writer.write(
            connection,
            sobject,
            operation,
            rows,
            key,
            is_all_or_none,
            is_locked=(lambda row: locked.picks_row()) if locked else None,
        )


def _record(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ApiError(400, "JSON_PARSER_ERROR", "The body must be one record")
    return flatten_json(body)


def _find(call: Call, sobject: SObject, key: Field, value: str) -> list[str]:
    with call.read() as connection:
        return find_ids(connection, sobject.name, key.name, [key.fold(value)]).get(key.fold(value), [])


def _render_row(call: Call, sobject: SObject, outcome: Outcome) -> Answer:
    if outcome.error is not None:
        return _render_error(outcome.error)
    return Answer(201, {"id": outcome.id, "success": True, "errors": []}, _locate(call, sobject, outcome))


def _locate(call: Call, sobject: SObject, outcome: Outcome) -> dict[str, str]:
    return {"Location": f"/services/data/{call.version}/sobjects/{sobject.name}/{outcome.id}"}


def _render_error(error: RowError) -> Answer:
    return Answer(400, [{"message": error.message, "errorCode": error.code, "fields": list(error.fields)}])


def _render_choices(call: Call, sobject: SObject, ids: list[str]) -> Answer:
    return Answer(300, [f"/services/data/{call.version}/sobjects/{sobject.name}/{record_id}" for record_id in ids])


def _not_found() -> ApiError:
    return ApiError(404, "NOT_FOUND", "The requested resource does not exist")
