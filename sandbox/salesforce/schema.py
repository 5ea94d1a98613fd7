"""The org's objects and fields, read from Salesforce DX source files. Describe and the validation of rows use them.

Folder trees of the same format are merged: in `sandbox/salesforce/metadata` the objects that every org has and those of the org's shape,
such as the Financial Services Cloud package, and in `include/crm/metadata` what the project deploys to an org of that shape. A field exists if
its file exists.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
ORGS, DEPLOYED = ROOT / "sandbox" / "salesforce" / "metadata", ROOT / "include" / "crm" / "metadata"
SHAPES = ("managed_package", "standard_objects", "plain")
"""The shapes of an org: the managed package or the standard objects of Financial Services Cloud, or neither."""

# Documented key prefixes of standard objects. The store gives each other object the next free `aNN`.
KEY_PREFIXES = {
    "Account": "001",
    "Contact": "003",
    "Lead": "00Q",
    "Opportunity": "006",
    "User": "005",
    "RecordType": "012",
    "Task": "00T",
    "AccountContactRelation": "07k",
}
# Standard fields that can identify records in an upsert without being external ids. The metadata format has no tag for this.
ID_LOOKUPS = {("RecordType", "DeveloperName"), ("User", "Username"), ("Contact", "Email")}
# The custom fields of Task are declared on Activity, an object that exists only in the metadata.
DECLARED_ON = {"Task": "Activity"}
# Standard fields that only Salesforce itself writes. The metadata format has no tag for this.
READ_ONLY = {
    ("AccountContactRelation", "IsDirect"),
    ("Account", "PersonContactId"),
    ("Account", "IsPersonAccount"),
    ("Contact", "IsPersonAccount"),
    ("Lead", "IsConverted"),
    ("Opportunity", "IsClosed"),
    ("Opportunity", "IsWon"),
    ("RecordType", "IsPersonType"),
    ("Task", "IsClosed"),
    ("FinancialAccountParty", "IsRoleActive"),
}
# References that can't be changed after the record was created, like a master-detail field.
FIXED_REFERENCES = {
    ("AccountContactRelation", "AccountId"),
    ("AccountContactRelation", "ContactId"),
    ("FinancialAccountParty", "FinancialAccountId"),
    ("FinancialAccountTransaction", "FinancialAccountId"),
    ("FinancialGoalParty", "FinancialGoalId"),
}
# References to records of several objects. An external key of the parent is not enough for them, because it does not identify the object.
POLYMORPHIC = {("Task", "WhatId"), ("Task", "WhoId")}
# The owner of a record of a custom object is a user or a queue, so a column must name the parent's object, as in `User:Owner.Username`.
# https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/datafiles_csv_rel_field_header_row.htm
# https://developer.salesforce.com/docs/platform/object-reference/references/standard-objects/object-queuesobject.html
QUEUE = "Group"
# Fields whose combined values are unique within the object.
UNIQUE_TOGETHER = {"AccountContactRelation": ("AccountId", "ContactId"), "PartyRelationshipGroup": ("AccountId",)}
# Objects whose records users can merge. A merged record references the remaining one in `MasterRecordId`.
MERGEABLE = {"Account", "Contact"}
_STRIP_NAMESPACE = re.compile(r"\{.*?\}")
# The only operation of lookup filters that is implemented; the Financial Services Cloud package uses no other.
_NOT_EQUAL = "notEqual"


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field of an object.

    Attributes:
        type: The metadata type, such as `Text`, `Currency` or `Lookup`; `Id` for the record id.
        is_id_lookup: Whether an upsert may match records by the field, although it is not an external id.
        is_restricted: Whether only the values of `picklist` are allowed.
        reference_to: The object of the referenced parent; None for a field that is not a reference.
        also_to: The other objects that a polymorphic reference may point to; queries follow only `reference_to`.
        relationship: The name in queries for the way from a record to its parent.
        child_relationship: The name in queries for the way from the parent to its children.
        on_delete: What happens to the record when its parent is deleted: `SetNull`, `Cascade` or `Restrict`.
        excluded_record_types: Developer names of the record types that the parent must not have (a lookup filter).
        is_fixed_after_insert: Whether the reference can't be changed after the record was created.
        has_queues: Whether the parent may also be a queue, of which the sandbox has none.
    """

    name: str
    type: str
    label: str = ""
    length: int = 0
    precision: int = 18
    scale: int = 0
    is_required: bool = False
    is_external_id: bool = False
    is_unique: bool = False
    is_case_sensitive: bool = False
    is_id_lookup: bool = False
    is_restricted: bool = False
    picklist: tuple[str, ...] = ()
    default: str | None = None
    reference_to: str | None = None
    also_to: tuple[str, ...] = ()
    relationship: str | None = None
    child_relationship: str | None = None
    on_delete: str = "SetNull"
    excluded_record_types: tuple[str, ...] = ()
    formula: str | None = None
    is_read_only: bool = False
    is_fixed_after_insert: bool = False
    has_queues: bool = False

    @property
    def is_key(self) -> bool:
        """Return whether an upsert, or a column such as `X__r.Key__c`, may identify records by this field."""
        return self.is_external_id or self.is_id_lookup

    @property
    def is_indexed(self) -> bool:
        """Return whether the store has an index of this field's values."""
        return self.name != "Id" and (self.is_key or self.is_unique)

    @property
    def is_reference(self) -> bool:
        """Return whether the value is another record's id."""
        return self.reference_to is not None

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the objects that a reference may point to; none for other fields."""
        return (self.reference_to, *self.also_to) if self.reference_to is not None else ()

    def fold(self, value: str) -> str:
        """Return a key value in the form that is compared: unchanged for a case-sensitive field, else without case."""
        return value if self.is_case_sensitive else value.casefold()


@dataclass(frozen=True)
class SObject:
    """One object of the org.

    Attributes:
        fields: The fields by API name.
        record_types: The record types, each as developer name and label.
        name_format: The format of an auto-numbered name, such as `FR-{0000}`; None for other names.
        unique_together: Fields whose combined values are unique; empty if there are none.
        is_createable: Whether the describe call shows that the user may create records. Writes are not restricted.
        is_updateable: The same for changes of records.
    """

    name: str
    label: str
    fields: dict[str, Field]
    record_types: tuple[tuple[str, str], ...] = ()
    name_format: str | None = None
    unique_together: tuple[str, ...] = ()
    is_createable: bool = True
    is_updateable: bool = True

    @property
    def is_custom(self) -> bool:
        """Return whether this is a custom object."""
        return self.name.endswith("__c")

    @cached_property
    def by_lower_name(self) -> dict[str, Field]:
        """Return the fields by lower-case name, because the API ignores the case of names."""
        return {name.lower(): item for name, item in self.fields.items()}

    @cached_property
    def by_relationship(self) -> dict[str, Field]:
        """Return the reference fields by the lower-case name of their relationship, such as `finserv__household__r`."""
        return {item.relationship.lower(): item for item in self.fields.values() if item.relationship}

    @cached_property
    def indexed(self) -> tuple[Field, ...]:
        """Return the fields whose values the store indexes."""
        return tuple(item for item in self.fields.values() if item.is_indexed)

    @cached_property
    def unique(self) -> tuple[str, ...]:
        """Return the names of the indexes whose values must be unique: fields, and `A+B` for fields that are unique together."""
        return (*(item.name for item in self.indexed if item.is_unique), *self._together)

    def keys_of(self, body: Mapping[str, Any]) -> dict[str, str]:
        """Return the entries of a record in the store's index of keys, by the name of the index; empty for an empty record."""
        keys = {item.name: item.fold(body[item.name]) for item in self.indexed if item.name in body}
        if self.unique_together and body:
            keys[self._together[0]] = " ".join(body[name] for name in self.unique_together)
        return keys

    @cached_property
    def _together(self) -> tuple[str, ...]:
        return ("+".join(self.unique_together),) if self.unique_together else ()


Schema = dict[str, SObject]


def list_trees(shape: str) -> tuple[Path, ...]:
    """Return the trees of an org of a shape, one of `SHAPES`. Beside our own objects, a plain org has only what every org has."""
    return tuple(tree for tree in (ORGS / "every_shape", ORGS / shape, DEPLOYED / shape) if tree.exists())


def load_schema(trees: tuple[Path, ...] = list_trees(SHAPES[0])) -> Schema:
    """Read the objects of all trees. A field that two trees declare is taken from the later tree.

    Raises:
        ValueError: A file is missing or lacks a required tag, a lookup refers to an object that no tree declares, or a lookup filter is
            not implemented.
    """
    names = {path.name for tree in trees for path in (tree / "objects").iterdir() if path.is_dir()}
    read = {name: _load_object(name, trees) for name in sorted(names - set(DECLARED_ON.values()))}
    schema = {name: replace(sobject, fields=dict(sobject.fields)) for name, sobject in read.items()}
    for sobject in schema.values():
        for item in sobject.fields.values():
            for target in item.targets:
                if target not in schema:
                    raise ValueError(f"{sobject.name}.{item.name} refers to {target}, which no file declares")
    return schema


def find_children_of(schema: Schema, sobject: SObject, relationship: str) -> tuple[SObject, Field] | None:
    """Return the child object of a child relationship, and the child's field that references the parent; None if it does not exist."""
    for child in schema.values():
        for item in child.fields.values():
            if sobject.name in item.targets and (item.child_relationship or "").lower() == relationship.lower():
                return child, item
    return None


@cache
def _load_object(name: str, trees: tuple[Path, ...]) -> SObject:
    folders = [tree / "objects" / folder for tree in trees for folder in (name, DECLARED_ON.get(name)) if folder]
    meta = next((path for folder in folders for path in folder.glob("*.object-meta.xml")), None)
    if meta is None:
        raise ValueError(f"{name} has fields but no {name}.object-meta.xml")
    tag = _read(meta)
    record_types = tuple(
        (_text(item, "fullName").rpartition("__")[2], _text(item, "label"))
        for folder in folders
        for item in map(_read, sorted(folder.glob("recordTypes/*.recordType-meta.xml")))
    )
    # Access follows the parent record, so records have no owner.
    is_controlled = _text(tag, "sharingModel") == "ControlledByParent"
    name_tag = tag.find("nameField")
    has_owner = not is_controlled and name not in {"User", "RecordType", "AccountContactRelation"}
    fields = _system_fields(has_owner=has_owner)
    if "OwnerId" in fields:
        fields["OwnerId"] = replace(fields["OwnerId"], has_queues=name.endswith("__c"))
    if name in MERGEABLE:
        fields["MasterRecordId"] = replace(_reference("MasterRecordId", name), is_read_only=True)
    if record_types:
        fields["RecordTypeId"] = _reference("RecordTypeId", "RecordType")
    if name_tag is not None:
        is_auto = _text(name_tag, "type") == "AutoNumber"
        fields["Name"] = Field(
            "Name",
            "AutoNumber" if is_auto else "Text",
            _text(name_tag, "label"),
            length=80,
            is_read_only=is_auto,
            is_required=not is_auto,
        )
    for folder in folders:
        for path in sorted(folder.glob("fields/*.field-meta.xml")):
            item = _load_field(path)
            pair = (name, item.name)
            fields[item.name] = replace(
                item,
                is_id_lookup=pair in ID_LOOKUPS,
                is_read_only=item.is_read_only or pair in READ_ONLY,
                is_fixed_after_insert=item.is_fixed_after_insert or pair in FIXED_REFERENCES,
            )
    return SObject(
        name=name,
        label=_text(tag, "label") or name,
        fields=fields,
        record_types=record_types,
        name_format=_text(name_tag, "displayFormat") or None if name_tag is not None else None,
        unique_together=UNIQUE_TOGETHER.get(name, ()),
    )


def _system_fields(has_owner: bool) -> dict[str, Field]:
    stamps = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
    fields = {"Id": Field("Id", "Id", "Record ID", length=18, is_read_only=True, is_id_lookup=True)}
    fields["IsDeleted"] = Field("IsDeleted", "Checkbox", "Deleted", is_read_only=True)
    fields |= {name: Field(name, "DateTime", name, is_read_only=True) for name in stamps}
    for name in ("CreatedById", "LastModifiedById"):
        fields[name] = replace(_reference(name, "User"), is_read_only=True)
    if has_owner:
        fields["OwnerId"] = _reference("OwnerId", "User")
    return fields


def _reference(name: str, target: str) -> Field:
    relationship = name.removesuffix("Id")
    return Field(name, "Lookup", relationship, length=18, reference_to=target, relationship=relationship)


def _load_field(path: Path) -> Field:
    tag = _read(path)
    name, kind = _text(tag, "fullName"), _text(tag, "type")
    if not name or not kind:
        raise ValueError(f"{path} lacks fullName or type")
    formula = _text(tag, "formula") or None
    target = _text(tag, "referenceTo") or None
    return Field(
        name=name,
        type=kind,
        label=_text(tag, "label") or name,
        length=int(_text(tag, "length") or (18 if target else 255)),
        precision=int(_text(tag, "precision") or 18),
        scale=int(_text(tag, "scale") or 0),
        is_required=_is_true(tag, "required") or kind == "MasterDetail",
        is_external_id=_is_true(tag, "externalId"),
        is_unique=_is_true(tag, "unique"),
        is_case_sensitive=_is_true(tag, "caseSensitive"),
        is_restricted=_text(tag, "valueSet/restricted") == "true",
        picklist=tuple(item.text or "" for item in tag.findall("valueSet/valueSetDefinition/value/fullName")),
        default=_text(tag, "defaultValue") or ("false" if kind == "Checkbox" else None),
        reference_to=target,
        also_to=tuple(item.text or "" for item in tag.findall("referenceTo")[1:]),
        relationship=_relationship(name) if target else None,
        child_relationship=_child_relationship(name, _text(tag, "relationshipName")),
        on_delete="Cascade" if kind == "MasterDetail" else _text(tag, "deleteConstraint") or "SetNull",
        excluded_record_types=_excluded_record_types(tag),
        formula=formula,
        is_read_only=formula is not None or kind == "AutoNumber",
        is_fixed_after_insert=kind == "MasterDetail" and not _is_true(tag, "reparentableMasterDetail"),
    )


def _relationship(name: str) -> str:
    return name[:-1] + "r" if name.endswith("__c") else name.removesuffix("Id")


def _child_relationship(field_name: str, name: str) -> str | None:
    """Return the name of a child relationship in queries; None if it has no name.

    For a custom field, this is `<name>__r`, preceded by the namespace of the field's package, if any.
    """
    if not name or not field_name.endswith("__c"):
        return name or None
    namespace, has_one, _ = field_name.removesuffix("__c").partition("__")
    return f"{namespace}__{name}__r" if has_one else f"{name}__r"


def _excluded_record_types(tag: ElementTree.Element) -> tuple[str, ...]:
    items = tag.findall("lookupFilter/filterItems")
    is_understood = all(
        _text(item, "operation") == _NOT_EQUAL and _text(item, "field").endswith("RecordType.DeveloperName")
        for item in items
    )
    if not is_understood:
        raise ValueError(
            f"{_text(tag, 'fullName')}: only `RecordType.DeveloperName notEqual` lookup filters are understood"
        )
    return tuple(value.strip() for item in items for value in _text(item, "value").split(","))


def _read(path: Path) -> ElementTree.Element:
    root = ElementTree.parse(path).getroot()  # noqa: S314 - the project's own files, never a caller's
    for element in root.iter():
        element.tag = _STRIP_NAMESPACE.sub("", element.tag)
    return root


def _text(tag: ElementTree.Element, path: str) -> str:
    return (tag.findtext(path) or "").strip()


def _is_true(tag: ElementTree.Element, path: str) -> bool:
    return _text(tag, path) == "true"
