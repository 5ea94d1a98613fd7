"""Generate, from the mappings, the metadata that a firm deploys to its Salesforce org, and the reference page of fields.

The metadata are custom fields, the manifest `package.xml`, and the permission set of the integration user.
`python -m include.crm.deployment` writes the files; a test checks that the committed files are up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from include.crm.objects.mapping import CrmObject, Field, custom, name_lookup, text
from include.crm.objects.portfolio import RELATION, objects
from include.crm.settings import PERSONS, Settings

ROOT = Path(__file__).parents[2]
METADATA = "include/crm/metadata"
PAGE = "docs/reference/salesforce_fields.md"
HANDWRITTEN = (
    "Activity.Tributary_Key__c", "Tributary_Envelope__c.Household__c", "Tributary_Envelope__c.Status__c",
    "Tributary_Refresh__e.Client_Key__c", "Tributary_Refresh__e.Vendor__c",
)  # fmt: skip
"""Fields whose metadata files are edited by hand: a lookup, a picklist, and fields that no mapping has."""

_OBJECTS = ("Tributary_Envelope__c", "Tributary_Refresh__e")
_API_VERSION = "66.0"
_NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
_KEY_TAGS = {"caseSensitive": "true", "externalId": "true", "unique": "true"}
_OF_TASKS = ("ActivityDate", "Description", "Tributary_Key__c", "WhatId")
# Fields that we read but never write. A subscriber receives only the changes of fields that it may read.
_READ = {
    "Account": (
        "FinServ__LastReview__c", "FinServ__NetWorth__c", "FinServ__NextReview__c", "FinServ__PrimaryContact__c",
        "FinServ__RiskTolerance__c", "FinServ__ServiceModel__c", "FinServ__SourceSystemId__c",
    ),
    "Contact": ("Email", "FinServ__SourceSystemId__c", "MailingAddress", "MobilePhone", "Phone"),
    "Opportunity": ("AccountId", "Amount", "NextStep", "Probability", "Type"),
}  # fmt: skip
# Salesforce itself grants access to required fields and to master-detail fields, and rejects a permission for them.
_REQUIRED = {
    "AccountContactRelation.AccountId", "AccountContactRelation.ContactId", "FinServ__Alert__c.FinServ__Message__c",
    "FinServ__Alert__c.FinServ__Severity__c", "FinServ__FinancialAccount__c.FinServ__PrimaryOwner__c",
    "FinServ__FinancialAccountRole__c.FinServ__FinancialAccount__c",
    "FinServ__FinancialAccountTransaction__c.FinServ__Amount__c",
    "FinServ__FinancialAccountTransaction__c.FinServ__TransactionDate__c",
    "FinServ__FinancialGoal__c.FinServ__PrimaryOwner__c", "FinServ__FinancialHolding__c.FinServ__FinancialAccount__c",
    "FinServ__Securities__c.FinServ__SecuritiesName__c",
}  # fmt: skip
_NAMES = {"FirstName", "LastName", "Name", "OwnerId", "RecordTypeId"}
_USER_PERMISSIONS = ("ActivitiesAccess", "ApiEnabled", "EditTask", "ViewRoles", "ViewSetup")

_PAGE = """# Fields that Tributary loads into Salesforce

For Salesforce administrators: the fields that a load overwrites. `make generate` writes this page from the mappings in
`include/crm/objects`; do not edit it.

## Fields that Tributary adds

Each of these objects, and every object of the second table, also has `Tributary_Key__c`: the key of the record in the warehouse.

| object | field | label | type | shows |
|---|---|---|---|---|
{added}

## Fields of the org that Tributary writes

A field with a dot refers to a parent by its key.

| object | written by each load | written only with a new record |
|---|---|---|
{written}
"""


def render() -> dict[str, str]:
    """Return the text of every generated file, by path relative to the project's folder."""
    mappings = [mapping for persons in PERSONS for mapping in objects(Settings("firm", persons, has_transactions=True))]
    fields = {
        f"{mapping.sobject}.{field.name}": _render_field(mapping, field)
        for mapping in mappings
        for field in _list_custom(mapping)
    }
    return {locate(name): xml for name, xml in fields.items()} | {
        f"{METADATA}/package.xml": _render_package({*fields, *HANDWRITTEN}),
        f"{METADATA}/permissionsets/Tributary_Load.permissionset-meta.xml": _render_permission_set(mappings),
        PAGE: _render_page(mappings),
    }


def render_changed(mappings: Sequence[CrmObject], fields: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Return the metadata that an org lacks for a mapping, by path below the folder to deploy.

    These are the custom fields that are missing or too short, our own objects, and the permission set for the whole mapping.

    Args:
        mappings: The mapping in force.
        fields: Object -> field -> characters of a text, else 0, as the org has them.
    """
    needed = {
        f"{mapping.sobject}.{field.name}": _render_field(mapping, field)
        for mapping in mappings
        for field in _list_custom(mapping)
        if _is_lacking(field, fields.get(mapping.sobject, {}))
    }
    loaded = {mapping.sobject for mapping in mappings} | {"Activity", "Tributary_Refresh__e"}
    written = [name for name in HANDWRITTEN if name.partition(".")[0] in loaded]
    own = tuple(name for name in _OBJECTS if name in loaded)
    copied = [locate(name) for name in written] + [f"{METADATA}/objects/{name}/{name}.object-meta.xml" for name in own]
    files = {locate(name): xml for name, xml in needed.items()}
    files |= {name: (ROOT / name).read_text(encoding="utf-8") for name in copied}
    return {name.removeprefix(f"{METADATA}/"): content for name, content in files.items()} | {
        "package.xml": _render_package({*needed, *written}, own),
        "permissionsets/Tributary_Load.permissionset-meta.xml": _render_permission_set(mappings),
    }


def _is_lacking(field: Field, known: Mapping[str, int]) -> bool:
    return field.name not in known or (field.kind == "text" and 0 < known[field.name] < field.length)


def locate(field: str) -> str:
    """Return the path of the metadata file of a field, named as `<object>.<field>`, such as `Account.Tributary_Key__c`."""
    sobject, _, name = field.partition(".")
    return f"{METADATA}/objects/{sobject}/fields/{name}.field-meta.xml"


def _list_custom(mapping: CrmObject) -> list[Field]:
    key = text(mapping.key_field, mapping.key, 120)
    key = custom(key, "Tributary Key", "Key of the record in the warehouse, by which the load finds the record")
    return [key, *(field for field in mapping.fields if field.label)]


def _render_field(mapping: CrmObject, field: Field) -> str:
    use = "fills this field in a new record" if field.owner == "firm" else "loads this field; do not edit it"
    tags = {
        "description": f"{field.description}. Tributary {use}.",
        "label": field.label,
        "type": field.type,
    }
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
    return _render("CustomField", [_tag("fullName", field.name), *(_tag(tag, tags[tag]) for tag in sorted(tags))])


def _render_package(fields: Iterable[str], objects: Iterable[str] = _OBJECTS) -> str:
    members = {"CustomField": sorted(fields), "CustomObject": objects, "PermissionSet": ("Tributary_Load",)}
    types = [
        _block("types", [*(_tag("members", name) for name in names), _tag("name", kind)])
        for kind, names in members.items()
    ]
    return _render("Package", [*types, _tag("version", _API_VERSION)])


def _render_permission_set(mappings: Iterable[CrmObject]) -> str:
    written = {_find_permission(m.sobject, name) for m in mappings for name in m.columns}
    written |= {f"Task.{name}" for name in _OF_TASKS}
    fields = {f"{sobject}.{name}": False for sobject, names in _READ.items() for name in names}
    fields |= dict.fromkeys(written - {""}, True)
    loaded = {m.sobject for m in mappings} - {RELATION}
    read = {"Opportunity", "Tributary_Refresh__e"}
    return _render(
        "PermissionSet",
        [
            _tag(
                "description",
                "Lets the integration user load the mapped fields, and read what Tributary subscribes to.",
            ),
            *(_render_permission(name, fields[name]) for name in sorted(fields)),
            _tag("hasActivationRequired", "false"),
            _tag("label", "Tributary Load"),
            *(_render_object_permission(name, name in loaded) for name in sorted(loaded | read)),
            *(_block("userPermissions", [_tag("enabled", "true"), _tag("name", name)]) for name in _USER_PERMISSIONS),
        ],
    )


def is_required(mappings: Iterable[CrmObject], field: Field) -> bool:
    """Return whether Salesforce requires a field of any of the mappings: a name, a parent, or a field without which it creates no record."""
    return any(
        field.name in ("Name", "LastName", mapping.parent)
        or f"{mapping.sobject}.{_name_column(field.name)}" in _REQUIRED
        for mapping in mappings
    )


def _name_column(name: str) -> str:
    """Return the field that stores a column of a mapping; of a relationship, its lookup."""
    relationship, _, parent_key = name.partition(".")
    return name_lookup(relationship) if parent_key else name


def _find_permission(sobject: str, column: str) -> str:
    """Return the field, as `<object>.<field>`, whose permission covers a column of a mapping; empty if no permission is needed."""
    name = _name_column(column)
    if name.endswith("__pc"):
        return f"Contact.{name[:-2]}c"
    if name == "PersonBirthdate":
        return "Contact.Birthdate"
    if name.startswith("Billing"):
        return f"{sobject}.BillingAddress"
    return "" if name in _NAMES or f"{sobject}.{name}" in _REQUIRED else f"{sobject}.{name}"


def _render_permission(field: str, is_written: bool) -> str:
    editable = str(is_written).lower()
    return _block("fieldPermissions", [_tag("editable", editable), _tag("field", field), _tag("readable", "true")])


def _render_object_permission(sobject: str, is_written: bool) -> str:
    written, seen = str(is_written).lower(), str(not sobject.endswith("__e")).lower()
    tags = {"allowCreate": written, "allowDelete": "false", "allowEdit": written, "allowRead": "true"}
    tags |= {"modifyAllRecords": "false", "object": sobject, "viewAllRecords": seen}
    return _block("objectPermissions", [_tag(name, value) for name, value in tags.items()])


def _render_page(mappings: Iterable[CrmObject]) -> str:
    """Return the reference page: the fields that Tributary adds, and the org's own fields that it writes."""
    added: dict[str, None] = {}
    written: dict[str, dict[bool, dict[str, None]]] = {}
    for mapping in mappings:
        for field in mapping.fields:
            if field.label:
                kind = f"{field.type}({field.length})" if field.type == "Text" else field.type
                added[f"| {mapping.sobject} | `{field.name}` | {field.label} | {kind} | {field.description} |"] = None
            else:
                names = written.setdefault(mapping.sobject, {False: {}, True: {}})
                names[field.owner == "firm"][f"`{field.name}`"] = None
    rows = [f"| {name} | {', '.join(each[False])} | {', '.join(each[True])} |" for name, each in written.items()]
    return _PAGE.format(added="\n".join(added), written="\n".join(rows))


def _tag(name: str, value: str) -> str:
    return f"    <{name}>{escape(value)}</{name}>"


def _block(name: str, lines: Iterable[str]) -> str:
    return "\n".join([f"    <{name}>", *(f"    {line}" for line in lines), f"    </{name}>"])


def _render(root: str, lines: Iterable[str]) -> str:
    return "\n".join(
        ['<?xml version="1.0" encoding="UTF-8"?>', f'<{root} xmlns="{_NAMESPACE}">', *lines, f"</{root}>", ""]
    )


def main() -> None:
    """Write the generated files, and delete the files of fields that are in no mapping and not in `HANDWRITTEN`."""
    files = render()
    kept = {*files, *map(locate, HANDWRITTEN)}
    for path in (ROOT / METADATA).glob("objects/*/fields/*.xml"):
        if path.relative_to(ROOT).as_posix() not in kept:
            path.unlink()
    for name, content in files.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(content)


if __name__ == "__main__":
    main()
