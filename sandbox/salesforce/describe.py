"""Build the describe responses of the org and its objects, from the metadata alone."""

from typing import Any

from sandbox.salesforce.schema import QUEUE, Field, Schema, SObject
from sandbox.salesforce.values import NUMBERS

_TYPES = {
    "Id": "id",
    "TextArea": "textarea",
    "LongTextArea": "textarea",
    "Email": "email",
    "Phone": "phone",
    "Url": "url",
    "Number": "double",
    "Currency": "currency",
    "Percent": "percent",
    "Checkbox": "boolean",
    "Date": "date",
    "DateTime": "datetime",
    "Picklist": "picklist",
    "MultiselectPicklist": "multipicklist",
    "Lookup": "reference",
    "MasterDetail": "reference",
}


def describe_org(schema: Schema, prefixes: dict[str, str], version: str) -> dict[str, Any]:
    """Return the response that lists all objects of the org."""
    summaries = [summarize_object(schema[name], prefixes[name], version) for name in sorted(schema)]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": summaries}


def describe_object(
    schema: Schema, sobject: SObject, prefix: str, record_type_ids: dict[str, str], version: str
) -> dict[str, Any]:
    """Return the full description of one object: its fields, record types and child relationships.

    `record_type_ids` are the ids of its record types by developer name.
    """
    infos = [
        {
            "active": True,
            "available": True,
            "developerName": name,
            "name": label,
            "recordTypeId": record_type_ids.get(name),
            "master": False,
            "defaultRecordTypeMapping": False,
        }
        for name, label in sobject.record_types
    ]
    children = [
        {
            "childSObject": child.name,
            "field": item.name,
            "relationshipName": item.child_relationship,
            "cascadeDelete": item.on_delete == "Cascade",
            "restrictedDelete": item.on_delete == "Restrict",
        }
        for child in schema.values()
        for item in child.fields.values()
        if sobject.name in item.targets
    ]
    return summarize_object(sobject, prefix, version) | {
        "fields": [_describe_field(item) for item in sobject.fields.values()],
        "recordTypeInfos": infos,
        "childRelationships": children,
    }


def summarize_object(sobject: SObject, prefix: str, version: str) -> dict[str, Any]:
    """Return the short description of one object, without its fields."""
    return {
        "name": sobject.name,
        "label": sobject.label,
        "keyPrefix": prefix,
        "custom": sobject.is_custom,
        "createable": sobject.is_createable,
        "updateable": sobject.is_updateable,
        "deletable": True,
        "queryable": True,
        "urls": {
            "sobject": f"/services/data/{version}/sobjects/{sobject.name}",
            "describe": f"/services/data/{version}/sobjects/{sobject.name}/describe",
            "rowTemplate": f"/services/data/{version}/sobjects/{sobject.name}/{{ID}}",
        },
    }


def _describe_field(item: Field) -> dict[str, Any]:
    is_number = item.type in NUMBERS
    length = 0 if is_number or item.type in {"Checkbox", "Date", "DateTime"} else item.length
    return {
        "name": item.name,
        "label": item.label,
        "type": _TYPES.get(item.type, "string"),
        "length": length,
        "byteLength": length * 3,
        "precision": item.precision if is_number else 0,
        "scale": item.scale if is_number else 0,
        "nillable": not item.is_required and item.type != "Checkbox" and item.name != "Id",
        "createable": not item.is_read_only,
        "updateable": not (item.is_read_only or item.is_fixed_after_insert),
        "defaultedOnCreate": item.default is not None or item.name in {"Id", "OwnerId"},
        "externalId": item.is_external_id,
        "idLookup": item.is_key,
        "unique": item.is_unique,
        "caseSensitive": item.is_case_sensitive,
        "custom": item.name.endswith("__c"),
        "calculated": item.formula is not None,
        "calculatedFormula": item.formula,
        "autoNumber": item.type == "AutoNumber",
        "nameField": item.name == "Name",
        "filterable": item.type != "LongTextArea",
        "sortable": item.type not in {"LongTextArea", "MultiselectPicklist"},
        "restrictedPicklist": item.is_restricted,
        "picklistValues": [
            {"active": True, "defaultValue": value == item.default, "label": value, "value": value}
            for value in item.picklist
        ],
        "referenceTo": [*([QUEUE] if item.has_queues else []), *item.targets],
        "relationshipName": item.relationship,
        "cascadeDelete": item.on_delete == "Cascade",
        "restrictedDelete": item.on_delete == "Restrict",
    }
