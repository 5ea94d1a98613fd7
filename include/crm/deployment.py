"""Generate, from the mappings, the metadata that a firm deploys to its Salesforce org, and the reference pages of fields.

The metadata are custom objects and fields, the manifest `package.xml`, and the permission set of the integration user, in one folder for
each shape of org. `python -m include.crm.deployment` writes the files; a test checks that the committed files are up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from include.crm.metadata_xml import (
    render_field,
    render_field_permission,
    render_object,
    render_object_permission,
    render_package,
    render_permission_set,
)
from include.crm.objects.mapping import CrmObject, Field, custom, name_lookup, text
from include.crm.objects.portfolio import SHAPES, find_sobject, list_mappings, list_ways
from include.crm.objects.rows import CONTACT, RELATION
from include.crm.objects.shape import ENVELOPES, OwnObject
from include.crm.settings import ShapeName

ROOT = Path(__file__).parents[2]
METADATA = "include/crm/metadata"
EVERY_SHAPE = f"{METADATA}/every_shape"
"""The folder of the files that are edited by hand: those of the event, and of the field of tasks. They are copied into each shape's folder."""
PAGES: Mapping[ShapeName, str] = {
    "managed_package": "docs/reference/salesforce_fields.md",
    "standard_objects": "docs/reference/salesforce_fields_standard_objects.md",
    "plain": "docs/reference/salesforce_fields_plain.md",
}

_EVENT = "Tributary_Refresh__e"
_COPIED = ("Activity.Tributary_Key__c", f"{_EVENT}.Client_Key__c", f"{_EVENT}.Vendor__c")
_PERMISSIONS = "permissionsets/Tributary_Load.permissionset-meta.xml"
_OF_TASKS = ("ActivityDate", "Description", "Tributary_Key__c", "WhatId")
_REQUIRED = frozenset[str]().union(*(shape.required for shape in SHAPES.values()))
_NAMES = {"FirstName", "LastName", "Name", "OwnerId", "RecordTypeId"}

_PAGE = """# Fields that Tributary loads into Salesforce: {title}

For Salesforce administrators: the fields that a load overwrites in an org of the [shape](../how-to/choosing_a_shape.md) `{shape}`.
`make generate` writes this page from the mappings in `include/crm/objects`; do not edit it.

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
    files: dict[str, str] = {}
    for name, shape in SHAPES.items():
        mappings = [mapping for settings in list_ways(name) for mapping in list_mappings(settings)]
        own = {**ENVELOPES, **shape.own}
        content = _render_metadata(mappings, own, shape.read, [(m, f) for m in mappings for f in _list_custom(m)])
        files |= {f"{METADATA}/{name}/{path}": xml for path, xml in content.items()}
        files[PAGES[name]] = _render_page(name, shape.title, mappings)
    return files


def render_changed(
    mappings: Sequence[CrmObject], fields: Mapping[str, Mapping[str, int]], shape_name: ShapeName
) -> dict[str, str]:
    """Return the metadata that an org lacks for a mapping, by path below the folder to deploy.

    These are the custom fields that are missing or too short, our own objects, and the permission set for the whole mapping.

    Args:
        mappings: The mapping in force.
        fields: Object -> field -> characters of a text, else 0, as the org has them.
        shape_name: The org's shape.
    """
    shape, loaded = SHAPES[shape_name], {mapping.sobject for mapping in mappings}
    own = {name: each for name, each in {**ENVELOPES, **shape.own}.items() if name in loaded}
    needed = [(m, f) for m in mappings for f in _list_custom(m) if _is_lacking(f, fields.get(m.sobject, {}))]
    return _render_metadata(mappings, own, shape.read, needed)


def locate(field: str) -> str:
    """Return the path of a field's file in the folder to deploy; the field is named as `<object>.<field>`, such as `Account.Tributary_Key__c`."""
    sobject, _, name = field.partition(".")
    return f"objects/{sobject}/fields/{name}.field-meta.xml"


def is_required(mappings: Iterable[CrmObject], field: Field) -> bool:
    """Return whether Salesforce requires a field of any of the mappings: a name, a parent, or a field without which it creates no record."""
    return any(
        field.name in ("Name", "LastName", mapping.parent)
        or f"{mapping.sobject}.{_name_column(field.name)}" in _REQUIRED
        for mapping in mappings
    )


def _render_metadata(
    mappings: Sequence[CrmObject],
    own: Mapping[str, OwnObject],
    read: Mapping[str, tuple[str, ...]],
    fields: Iterable[tuple[CrmObject, Field]],
) -> dict[str, str]:
    """Return the files of a folder to deploy, by path in it.

    Args:
        mappings: The mappings that the permission set is for.
        own: Our own objects.
        read: Fields that we only read, by object.
        fields: The custom fields to deploy, each with its mapping.
    """
    by_name: dict[str, list[tuple[CrmObject, Field]]] = {}
    for mapping, field in fields:
        by_name.setdefault(f"{mapping.sobject}.{field.name.partition('.')[0]}", []).append((mapping, field))
    files, names = {}, list(_COPIED)
    for found in by_name.values():
        mapping, field = found[0]
        names.append(f"{mapping.sobject}.{_name_column(field.name)}")
        values = list(dict.fromkeys(value for _, each in found for value in each.values))
        files[locate(names[-1])] = render_field(mapping, field, values, own.get(mapping.sobject))
    folder = ROOT / EVERY_SHAPE
    copied = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in sorted(folder.rglob("*.xml"))}
    return {
        **files,
        **copied,
        **{f"objects/{name}/{name}.object-meta.xml": render_object(each) for name, each in own.items()},
        "package.xml": render_package(names, (*own, _EVENT)),
        _PERMISSIONS: _render_permissions(mappings, read),
    }


def _is_lacking(field: Field, known: Mapping[str, int]) -> bool:
    name = _name_column(field.name)
    return name not in known or (field.kind == "text" and not field.links_to and 0 < known[name] < field.length)


def _list_custom(mapping: CrmObject) -> list[Field]:
    key = text(mapping.key_field, mapping.key, 120)
    key = custom(key, "Tributary Key", "Key of the record in the warehouse, by which the load finds the record")
    return [key, *(field for field in mapping.fields if field.label)]


def _name_column(name: str) -> str:
    """Return the field that stores a column of a mapping; of a relationship, its lookup."""
    relationship, _, parent_key = name.partition(".")
    return name_lookup(relationship) if parent_key else name


def _render_permissions(mappings: Sequence[CrmObject], read: Mapping[str, tuple[str, ...]]) -> str:
    """Return the permission set; Salesforce rejects permissions for required and for master-detail fields, and grants access to them itself."""
    masters = {f"{m.sobject}.{_name_column(f.name)}" for m in mappings for f in m.fields if f.type == "MasterDetail"}
    written = {_find_permission(m.sobject, name) for m in mappings for name in m.columns} - masters
    of_tasks = (*_OF_TASKS, "WhoId") if find_sobject(mappings, "person") == CONTACT else _OF_TASKS
    written |= {f"Task.{name}" for name in of_tasks}
    fields = {f"{sobject}.{name}": False for sobject, names in read.items() for name in names}
    fields |= dict.fromkeys(written - {""}, True)
    loaded = {m.sobject for m in mappings} - {RELATION}
    return render_permission_set(
        [render_field_permission(name, fields[name]) for name in sorted(fields)],
        [render_object_permission(name, name in loaded) for name in sorted(loaded | {"Opportunity", _EVENT})],
    )


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


def _render_page(shape: ShapeName, title: str, mappings: Iterable[CrmObject]) -> str:
    """Return the reference page: the fields that Tributary adds, and the org's own fields that it writes."""
    added: dict[str, None] = {}
    written: dict[str, dict[bool, dict[str, None]]] = {}
    for mapping in mappings:
        for field in mapping.fields:
            if field.label:
                name, kind = (
                    _name_column(field.name),
                    f"{field.type}({field.length})" if field.type == "Text" else field.type,
                )
                kind = f"Lookup({field.links_to})" if field.links_to else kind
                added[f"| {mapping.sobject} | `{name}` | {field.label} | {kind} | {field.description} |"] = None
            else:
                names = written.setdefault(mapping.sobject, {False: {}, True: {}})
                names[field.owner == "firm"][f"`{field.name}`"] = None
    rows = [f"| {name} | {', '.join(each[False])} | {', '.join(each[True])} |" for name, each in written.items()]
    return _PAGE.format(shape=shape, title=title, added="\n".join(added), written="\n".join(rows))


def main() -> None:
    """Write the generated files, and delete the files of shapes that are not generated."""
    files = render()
    for shape in SHAPES:
        for path in (ROOT / METADATA / shape).glob("objects/**/*.xml"):
            if path.relative_to(ROOT).as_posix() not in files:
                path.unlink()
    for name, content in files.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
