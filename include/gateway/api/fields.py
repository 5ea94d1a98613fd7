"""Describe the fields of a table's rows for callers: as a list, and as an OpenAPI 3.0 schema."""

from __future__ import annotations

from typing import Any

from include.contract import BOOLEAN, DATE, INTEGER, PAIRS, TIMESTAMP, Column, Table, Vendor
from include.extract.pushed import stated_columns

_WORDS = {INTEGER: "integer", BOOLEAN: "boolean", DATE: "date", TIMESTAMP: "timestamp", PAIRS: "pairs"}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer", "format": "int64"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time"},
    "pairs": {"type": "array", "items": {"type": "object"}},
    "decimal": {"type": "number"},
    "string": {"type": "string"},
}
# Units by the end of a column's name; the first match wins.
_UNITS = {
    "price_usd": "US dollars for one unit",
    "_usd": "US dollars",
    "quantity": "units of the security",
    "_ratio": "ratio, 0 to 1",
}


def describe_fields(vendor: Vendor, table: Table) -> list[dict[str, Any]]:
    """Return the fields that a pushed row of a table must contain.

    Each field has the vendor's `name`, our `column`, `type` and `unit`, and the flags `is_nullable`, `is_key` and `is_sensitive`.
    """
    return [
        {
            "name": col.source,
            "column": col.name,
            "type": _WORDS.get(col.type, col.type),
            "unit": find_unit(vendor, col),
            "is_nullable": not col.required,
            "is_key": col.name in table.key,
            "is_sensitive": col.is_sensitive,
        }
        for col in stated_columns(table)
    ]


def find_unit(vendor: Vendor, col: Column) -> str | None:
    """Return the unit of a field's values, or the time zone of a time; None if the values have no unit."""
    if col.type == TIMESTAMP:
        return f"time; without an offset, it is in {vendor.zone}"
    if col.type == INTEGER or col.type.startswith("decimal"):
        return next((unit for end, unit in _UNITS.items() if col.name.endswith(end)), None)
    return None


def schemas_of(vendor: Vendor, table: Table) -> dict[str, Any]:
    """Return the schema of a table's row, as a dict with one item: its name in the document, `<vendor>_<table>`, and the schema."""
    row = _object(f"A row of the table {table.name} of {vendor.title}. It must contain every field.")
    for col in stated_columns(table):
        *parents, last = col.source.split(".") if table.has_objects else [col.source]
        parent = row
        for name in parents:
            parent = parent["properties"].setdefault(name, _object("Null means that every field in it is null.", True))
        parent["properties"][last] = _schema(vendor, col)
    return {f"{vendor.name}_{table.name}": _with_required(row)}


def _schema(vendor: Vendor, col: Column) -> dict[str, Any]:
    kind = _WORDS.get(col.type, "decimal" if col.type.startswith("decimal") else "string")
    schema = dict(_SCHEMAS[kind])
    notes = [find_unit(vendor, col)]
    if kind == "decimal":
        notes.append(f"Exact, {col.type}; may be a string in US notation.")
    if col.is_sensitive:
        notes.append("Sensitive: stored as a keyed hash and the last four characters.")
    if description := ". ".join(filter(None, notes)):
        schema["description"] = description
    return schema if col.required else schema | {"nullable": True}


def _object(description: str, is_nullable: bool = False) -> dict[str, Any]:
    return {"type": "object", "description": description, "properties": {}} | (
        {"nullable": True} if is_nullable else {}
    )


def _with_required(schema: dict[str, Any]) -> dict[str, Any]:
    if "properties" not in schema:
        return schema
    properties = {name: _with_required(each) for name, each in schema["properties"].items()}
    return schema | {"required": sorted(properties), "properties": properties}
