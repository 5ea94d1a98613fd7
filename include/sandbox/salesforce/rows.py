"""Records one by one and in collections of up to 200: made, read, changed, upserted, deleted."""

from typing import Any

from include.sandbox.salesforce.call import Answer, Call
from include.sandbox.salesforce.columns import flatten_json
from include.sandbox.salesforce.deletes import delete_records
from include.sandbox.salesforce.drafts import Outcome
from include.sandbox.salesforce.errors import ApiError, RowError
from include.sandbox.salesforce.query import Queries
from include.sandbox.salesforce.schema import Field, SObject
from include.sandbox.salesforce.store import find_ids
from include.sandbox.salesforce.values import complete_id
from include.sandbox.salesforce.writes import find_key

MOST_IN_COLLECTION = 200


def insert_row(call: Call, name: str) -> Answer:
    """Make one record."""
    return _say_row(_write(call, call.org.find_object(name), "insert", [_record(call.body)])[0])


def read_row(call: Call, name: str, record_id: str) -> Answer:
    """One record, all its fields or those asked for."""
    sobject = call.org.find_object(name)
    wanted = [word.strip() for word in call.params.get("fields", "").split(",") if word.strip()]
    columns = call.org.columns(sobject)
    paths = [columns[word].field.name for word in wanted] or list(sobject.fields)
    soql = f"select {', '.join(paths)} from {sobject.name} where Id = '{complete_id(record_id)}'"  # noqa: S608
    if not record_id.isalnum():
        raise _not_found()
    found = Queries(call.org.schema, call.org.store, call).answer(soql, call.version, 1)["records"]
    if not found:
        raise _not_found()
    return Answer(200, found[0])


def update_row(call: Call, name: str, record_id: str) -> Answer:
    """Change one record."""
    row = _record(call.body) | {"Id": record_id}
    outcome = _write(call, call.org.find_object(name), "update", [row])[0]
    if outcome.error is not None and outcome.error.code == "ENTITY_IS_DELETED":
        raise _not_found()
    return _say_row(outcome) if outcome.error else Answer(204)


def delete_row(call: Call, name: str, record_id: str) -> Answer:
    """Delete one record."""
    org, sobject, record_id = call.org, call.org.find_object(name), complete_id(record_id)
    with call.write() as connection:
        error = delete_records(connection, org.schema, org.store, sobject, [record_id], org.stamp())[record_id]
    if error is not None and error.code == "ENTITY_IS_DELETED":
        raise _not_found()
    return Answer(204) if error is None else _say_error(error)


def read_row_by_key(call: Call, name: str, key_name: str, value: str) -> Answer:
    """One record by an external id."""
    sobject = call.org.find_object(name)
    ids = _find(call, sobject, find_key(sobject, key_name), value)
    if not ids:
        raise _not_found()
    return _say_choices(call, sobject, ids) if len(ids) > 1 else read_row(call, name, ids[0])


def upsert_row(call: Call, name: str, key_name: str, value: str) -> Answer:
    """Make or change the one record of an external id."""
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
        return _say_choices(call, sobject, ids)
    if not ids and call.params.get("updateOnly", "").lower() == "true":
        raise _not_found()
    outcome = _write(call, sobject, "upsert", [row | {key.name: value}], key)[0]
    if outcome.error is not None:
        return _say_error(outcome.error)
    body: dict[str, Any] = {"id": outcome.id, "success": True, "errors": [], "created": outcome.is_created}
    return Answer(201 if outcome.is_created else 200, body)


def upsert_collection(call: Call, name: str, key_name: str) -> Answer:
    """Upsert up to 200 records of one object by an external id."""
    sobject = call.org.find_object(name)
    key = find_key(sobject, key_name)
    outcomes = _write_collection(call, "upsert", key, sobject.name)
    return Answer(200, [_say_outcome(outcome) | {"created": outcome.is_created} for outcome in outcomes])


def insert_collection(call: Call) -> Answer:
    """Insert up to 200 records."""
    return Answer(200, [_say_outcome(outcome) for outcome in _write_collection(call, "insert")])


def update_collection(call: Call) -> Answer:
    """Update up to 200 records; each carries its `id`."""
    return Answer(200, [_say_outcome(outcome) for outcome in _write_collection(call, "update")])


def _write(
    call: Call,
    sobject: SObject,
    operation: str,
    rows: list[dict[str, Any]],
    key: Field | None = None,
    is_all_or_none: bool = False,
) -> list[Outcome]:
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


def _write_collection(call: Call, operation: str, key: Field | None = None, name: str | None = None) -> list[Outcome]:
    records = call.body.get("records") if isinstance(call.body, dict) else None
    if not isinstance(records, list) or not records:
        raise ApiError(400, "REQUIRED_FIELD_MISSING", "records must be a list of records")
    if len(records) > MOST_IN_COLLECTION:
        message = f"record limit reached. cannot submit more than {MOST_IN_COLLECTION} records in this request"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    types = {record.get("attributes", {}).get("type") if isinstance(record, dict) else None for record in records}
    if len(types) != 1 or None in types or (name is not None and types != {name}):
        raise ApiError(400, "INVALID_INPUT", "every record needs the same attributes.type")
    sobject = call.org.find_object(str(types.pop()))
    is_all_or_none = bool(call.body.get("allOrNone"))
    return _write(call, sobject, operation, [flatten_json(record) for record in records], key, is_all_or_none)


def _record(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ApiError(400, "JSON_PARSER_ERROR", "The body must be one record")
    return flatten_json(body)


def _find(call: Call, sobject: SObject, key: Field, value: str) -> list[str]:
    with call.read() as connection:
        return find_ids(connection, sobject.name, key.name, [key.fold(value)]).get(key.fold(value), [])


def _say_row(outcome: Outcome) -> Answer:
    if outcome.error is not None:
        return _say_error(outcome.error)
    return Answer(201, {"id": outcome.id, "success": True, "errors": []})


def _say_outcome(outcome: Outcome) -> dict[str, Any]:
    if outcome.error is not None:
        return {"success": False, "errors": [outcome.error.body]}
    return {"id": outcome.id, "success": True, "errors": []}


def _say_error(error: RowError) -> Answer:
    return Answer(400, [{"message": error.message, "errorCode": error.code, "fields": list(error.fields)}])


def _say_choices(call: Call, sobject: SObject, ids: list[str]) -> Answer:
    return Answer(300, [f"/services/data/{call.version}/sobjects/{sobject.name}/{record_id}" for record_id in ids])


def _not_found() -> ApiError:
    return ApiError(404, "NOT_FOUND", "The requested resource does not exist")
