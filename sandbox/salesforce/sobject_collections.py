"""Respond to calls about several records: create, update, upsert or delete up to 200 of them, or read up to 2,000."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sandbox.salesforce import deletes
from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.columns import flatten_json
from sandbox.salesforce.drafts import Outcome
from sandbox.salesforce.errors import ApiError, RowError
from sandbox.salesforce.query import PAGE_ROWS
from sandbox.salesforce.rows import find_rows, split_list, write_rows
from sandbox.salesforce.schema import Field
from sandbox.salesforce.values import complete_id
from sandbox.salesforce.writes import find_key

MOST_WRITTEN = 200


class _Failed(Exception):
    """A record of an all-or-none call is rejected."""


def insert_records(call: Call) -> Answer:
    """Insert up to 200 records."""
    return Answer(200, [_render_outcome(outcome) for outcome in _write(call, "insert")])


def update_records(call: Call) -> Answer:
    """Update up to 200 records. Each contains its `id`."""
    return Answer(200, [_render_outcome(outcome) for outcome in _write(call, "update")])


def upsert_records(call: Call, name: str, key_name: str) -> Answer:
    """Upsert up to 200 records of one object by an external id."""
    sobject = call.org.find_object(name)
    outcomes = _write(call, "upsert", find_key(sobject, key_name), sobject.name)
    return Answer(200, [_render_outcome(outcome) | {"created": outcome.is_created} for outcome in outcomes])


def delete_records(call: Call) -> Answer:
    """Delete up to 200 records of one or more objects."""
    ids = [complete_id(record_id) for record_id in split_list(call.params.get("ids", ""))]
    _check_size(ids, "ids", MOST_WRITTEN)
    errors: dict[str, RowError | None] = {}
    try:
        with call.write() as connection:
            for name, group in _group_by_object(call, ids).items():
                org = call.org
                errors |= deletes.delete_records(
                    connection, org.schema, org.store, org.schema[name], group, org.stamp()
                )
            if call.params.get("allOrNone", "").lower() == "true" and any(_delete_error(errors, each) for each in ids):
                raise _Failed
    except _Failed:
        message = "Record rolled back because not all records were valid and the request was using AllOrNone"
        rolled_back = RowError("ALL_OR_NONE_OPERATION_ROLLED_BACK", message)
        errors = {record_id: _delete_error(errors, record_id) or rolled_back for record_id in ids}
    return Answer(200, [_render_outcome(Outcome(each, error=_delete_error(errors, each))) for each in ids])


def read_records_of_url(call: Call, name: str) -> Answer:
    """Read up to 2,000 records of one object. The query parameters `ids` and `fields` are lists with commas."""
    return _read(call, name, *(split_list(call.params.get(parameter, "")) for parameter in ("ids", "fields")))


def read_records_of_body(call: Call, name: str) -> Answer:
    """Read up to 2,000 records of one object. The body contains the lists `ids` and `fields`."""
    body = call.body if isinstance(call.body, dict) else {}
    return _read(call, name, *(body.get(parameter) for parameter in ("ids", "fields")))


def _read(call: Call, name: str, ids: Any, fields: Any) -> Answer:
    sobject = call.org.find_object(name)
    for parameter, values in (("ids", ids), ("fields", fields)):
        _check_size(values, parameter, PAGE_ROWS)
        if not all(isinstance(value, str) for value in values):
            raise ApiError(400, "JSON_PARSER_ERROR", f"{parameter} must be a list of strings")
    return Answer(200, find_rows(call, sobject, fields, ids))


def _check_size(values: Any, name: str, most: int) -> None:
    if not isinstance(values, list) or not values:
        raise ApiError(400, "MISSING_ARGUMENT", f"{name} must be a list that is not empty")
    if len(values) > most:
        message = f"record limit reached. cannot submit more than {most} records in this request"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)


def _group_by_object(call: Call, ids: Sequence[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for record_id in ids:
        name = call.org.store.object_of(record_id)
        if name is not None:
            groups[name].append(record_id)
    return groups


def _delete_error(errors: dict[str, RowError | None], record_id: str) -> RowError | None:
    """Return the error of an id, or None if it has none; MALFORMED_ID for an id of no object, which `errors` does not contain."""
    return errors.get(record_id, RowError("MALFORMED_ID", f"malformed id {record_id}"))


def _write(call: Call, operation: str, key: Field | None = None, name: str | None = None) -> list[Outcome]:
    records = call.body.get("records") if isinstance(call.body, dict) else None
    if not isinstance(records, list) or not records:
        raise ApiError(400, "REQUIRED_FIELD_MISSING", "records must be a list of records")
    _check_size(records, "records", MOST_WRITTEN)
    types = {_type_of(record) for record in records}
    if len(types) != 1 or None in types or (name is not None and types != {name}):
        raise ApiError(400, "INVALID_INPUT", "every record needs the same attributes.type")
    sobject = call.org.find_object(str(types.pop()))
    rows = [flatten_json(record) for record in records]
    return write_rows(call, sobject, operation, rows, key, bool(call.body.get("allOrNone")))


def _type_of(record: Any) -> str | None:
    attributes = record.get("attributes") if isinstance(record, dict) else None
    name = attributes.get("type") if isinstance(attributes, dict) else None
    return name if isinstance(name, str) else None


def _render_outcome(outcome: Outcome) -> dict[str, Any]:
    if outcome.error is not None:
        return {"success": False, "errors": [outcome.error.body]}
    return {"id": outcome.id, "success": True, "errors": []}
