"""Render Salesforce's metadata files: custom objects and fields, permission sets, and the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from include.crm.objects.mapping import CrmObject, Field, name_lookup
from include.crm.objects.shape import OwnObject

_API_VERSION = "66.0"
_NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
_KEY_TAGS = {"caseSensitive": "true", "externalId": "true", "unique": "true"}
_USER_PERMISSIONS = ("ActivitiesAccess", "ApiEnabled", "EditTask", "ViewRoles", "ViewSetup")


def render_field(mapping: CrmObject, field: Field, values: Sequence[str], own: OwnObject | None) -> str:
    """Return the file of a custom field.

    Args:
        mapping: A mapping with the field.
        field: The field.
        values: The values of a picklist, of all mappings with the field.
        own: Our own object that has the field; None if the object is another's.
    """
    use = "fills this field in a new record" if field.owner == "firm" else "loads this field; do not edit it"
    tags = {"description": f"{field.description}. Tributary {use}.", "label": field.label, "type": field.type}
    if field.links_to:
        return _render_field(
            name_lookup(field.name.partition(".")[0]), tags | _describe_lookup(mapping, field, own), ()
        )
    if field.name == mapping.key_field:
        tags |= _KEY_TAGS
    if field.type in ("Text", "LongTextArea"):
        tags["length"] = str(field.length)
    if field.type == "LongTextArea":
        tags["visibleLines"] = "3"
    if field.kind == "number":
        tags |= {"precision": "18", "scale": str(field.decimals)}
    if field.type == "Checkbox":
        tags["defaultValue"] = "false"
    return _render_field(field.name, tags, _list_values(values) if field.type == "Picklist" else ())


def render_object(own: OwnObject) -> str:
    """Return the file of a custom object."""
    name = [_tag("displayFormat", own.number_format)] if own.number_format else []
    name += [_tag("label", own.name_label or f"{own.label} Number"), _tag("type", "AutoNumber" if name else "Text")]
    return _render(
        "CustomObject",
        [
            _tag("deploymentStatus", "Deployed"),
            _tag("description", f"{own.description}. Tributary loads these records; do not edit them."),
            *([_tag("enableActivities", "true")] if own.has_activities else []),
            _tag("enableReports", "true"),
            _tag("enableSearch", "true"),
            _tag("label", own.label),
            _block("nameField", name),
            _tag("pluralLabel", own.plural),
            _tag("sharingModel", "ControlledByParent" if own.has_master else "Read"),
        ],
    )


def render_package(fields: Iterable[str], objects: Iterable[str]) -> str:
    """Return the manifest of a folder with these fields, named as `<object>.<field>`, and objects."""
    members = {"CustomField": sorted(fields), "CustomObject": sorted(objects), "PermissionSet": ("Tributary_Load",)}
    types = [
        _block("types", [*(_tag("members", name) for name in names), _tag("name", kind)])
        for kind, names in members.items()
    ]
    return _render("Package", [*types, _tag("version", _API_VERSION)])


def render_permission_set(fields: Iterable[str], objects: Iterable[str]) -> str:
    """Return the file of the integration user's permission set, from the rendered permissions of fields and objects."""
    purpose = "Lets the integration user load the mapped fields, and read what Tributary subscribes to."
    return _render(
        "PermissionSet",
        [
            _tag("description", purpose),
            *fields,
            _tag("hasActivationRequired", "false"),
            _tag("label", "Tributary Load"),
            *objects,
            *(_block("userPermissions", [_tag("enabled", "true"), _tag("name", name)]) for name in _USER_PERMISSIONS),
        ],
    )


def render_field_permission(field: str, is_written: bool) -> str:
    """Return the permission to read, and perhaps to edit, a field."""
    editable = str(is_written).lower()
    return _block("fieldPermissions", [_tag("editable", editable), _tag("field", field), _tag("readable", "true")])


def render_object_permission(sobject: str, is_written: bool) -> str:
    """Return the permission to read, and perhaps to create and edit, the records of an object."""
    written, seen = str(is_written).lower(), str(not sobject.endswith("__e")).lower()
    tags = {"allowCreate": written, "allowDelete": "false", "allowEdit": written, "allowRead": "true"}
    tags |= {"modifyAllRecords": "false", "object": sobject, "viewAllRecords": seen}
    return _block("objectPermissions", [_tag(name, value) for name, value in tags.items()])


def _describe_lookup(mapping: CrmObject, field: Field, own: OwnObject | None) -> dict[str, str]:
    """Return the tags of a lookup. The first one of an object to a parent has the plain name of the related list."""
    same = [each.name for each in mapping.fields if each.links_to == field.links_to and each.label]
    plural = own.plural if own else mapping.sobject
    is_first = field.name == same[0]
    listed = plural if is_first else f"{plural} {field.label}"
    tags = {
        "referenceTo": field.links_to,
        "relationshipLabel": plural if is_first else f"{plural} ({field.label})",
        "relationshipName": f"{'Tributary ' if is_first else ''}{listed}".replace(" ", "_"),  # at most 40 characters
    }
    if field.type == "MasterDetail":
        return tags | {"relationshipOrder": "0", "reparentableMasterDetail": "false", "type": field.type}
    return tags | {"deleteConstraint": "SetNull", "type": "Lookup"}


def _list_values(values: Iterable[str]) -> list[str]:
    rows = [
        _block("value", [_tag("fullName", value), _tag("default", "false"), _tag("label", value)]) for value in values
    ]
    definition = _block("valueSetDefinition", [_tag("sorted", "false"), *rows])
    return [_block("valueSet", [_tag("restricted", "true"), definition])]


def _render_field(name: str, tags: dict[str, str], rest: Iterable[str]) -> str:
    return _render("CustomField", [_tag("fullName", name), *(_tag(each, tags[each]) for each in sorted(tags)), *rest])


def _tag(name: str, value: str) -> str:
    return f"    <{name}>{escape(value)}</{name}>"


def _block(name: str, lines: Iterable[str]) -> str:
    inside = (f"    {line}" for lines_of in lines for line in lines_of.splitlines())
    return "\n".join([f"    <{name}>", *inside, f"    </{name}>"])


def _render(root: str, lines: Iterable[str]) -> str:
    return "\n".join(
        ['<?xml version="1.0" encoding="UTF-8"?>', f'<{root} xmlns="{_NAMESPACE}">', *lines, f"</{root}>", ""]
    )
