"""The columns of a write: find the field of each column name, parse its values, and accept parents by their external keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any

from sandbox.salesforce.errors import ApiError, unknown_column
from sandbox.salesforce.schema import POLYMORPHIC, Field, Schema, SObject
from sandbox.salesforce.values import StoredValue, value_parser

Row = Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Column:
    """One column of a write.

    Attributes:
        field: The field that the column sets.
        parse: Converts a sent value to its stored form; raises `RowError`.
        parent_key: For a column such as `X__r.Key__c`: the key field of the parent, whose value is sent instead of the parent's id.
        name: The name of the field.
        is_plain: Whether `parse` is all that a value needs. False for a parent's key and for a read-only field such as `Id`.
        is_reference: Whether the parent must be read, to check that it exists or matches the lookup filter. A parent that was found by its
            key exists, so it is read only if there is a filter.
    """

    field: Field
    parse: Callable[[object], StoredValue]
    parent_key: Field | None = None
    name: str = attribute(init=False)
    is_plain: bool = attribute(init=False)
    is_reference: bool = attribute(init=False)

    def __post_init__(self) -> None:
        self.name = self.field.name
        self.is_plain = self.parent_key is None and not self.field.is_read_only
        self.is_reference = self.field.is_reference and (self.is_plain or bool(self.field.excluded_record_types))


class Columns(dict[str, Column]):
    """The columns of one object, by the name that the caller uses. Each name is resolved once.

    An unknown name raises `ApiError` INVALID_FIELD.
    """

    def __init__(self, schema: Schema, sobject: SObject) -> None:
        super().__init__()
        self._schema, self._sobject = schema, sobject

    def __missing__(self, name: str) -> Column:
        self[name] = column = self._find(name)
        return column

    def _find(self, name: str) -> Column:
        kind, _, path = name.rpartition(":")
        relationship, _, key_name = path.rpartition(".")
        if not relationship:
            field = self._sobject.by_lower_name.get(name.lower())
            if field is None:
                raise unknown_column(self._sobject.name, name)
            return Column(field, value_parser(field))
        field = self._sobject.by_relationship.get(relationship.lower())
        if field is None or field.reference_to is None:
            raise unknown_column(self._sobject.name, name)
        if (self._sobject.name, field.name) in POLYMORPHIC:
            message = f"{name}: the parent of a polymorphic field must be given by id"
            raise ApiError(400, "INVALID_FIELD", message)
        if field.has_queues and kind != field.reference_to:
            raise ApiError(400, "INVALID_FIELD", f"{name}: a polymorphic field needs the type of its parent")
        key = self._schema[field.reference_to].by_lower_name.get(key_name.lower())
        if key is None or not key.is_key:
            message = f"Field name provided, {key_name} is not an External ID or indexed field for {field.reference_to}"
            raise ApiError(400, "INVALID_FIELD", message)
        return Column(field, value_parser(field)) if key.name == "Id" else Column(field, str, key)


def flatten_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a record of a JSON call to one row: `{"X__r": {"Key__c": "k"}}` becomes `{"X__r.Key__c": "k"}`.

    The type of a parent, in its `attributes`, comes first: `User:Owner.Username`.

    Raises:
        ApiError: INVALID_FIELD, a nested parent does not have exactly one key.
    """
    row = {}
    for name, value in record.items():
        if name == "attributes":
            continue
        if isinstance(value, dict):
            keys = [key for key in value if key != "attributes"]
            if len(keys) != 1:
                raise ApiError(400, "INVALID_FIELD", f"{name} must identify its parent by one key field")
            kind = value.get("attributes", {}).get("type")
            row[f"{kind}:{name}.{keys[0]}" if kind else f"{name}.{keys[0]}"] = value[keys[0]]
        else:
            row[name] = None if value == "" else value
    return row
