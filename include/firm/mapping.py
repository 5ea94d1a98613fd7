"""Read `mapping.yaml`: the firm's changes of the mapping of Salesforce."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from include.crm.deployment import is_required
from include.crm.firm_changes import AddedField, FieldChange, ObjectChange, OfSeveral, Owner, RecordOwner, Source
from include.crm.objects.changed import is_own, make_field, make_label, name_of
from include.crm.objects.mapping import RECORD_TYPE, CrmObject, Field
from include.crm.objects.portfolio import list_mappings, list_ways
from include.crm.settings import ShapeName
from include.firm.catalogue import OF_SEVERAL, UnknownColumn, find_source
from include.firm.document import Difference, Faults, Item, Place, Reader

DROP = "drop"
OWNERS: tuple[Owner, ...] = ("vendor", "shared", "firm")
_OBJECT = ("send", "record_type", "record_owner", "fields")
_CHANGED = ("name", "owner", "values")
_ADDED = ("column", "of_several", "owner", "values", "length", "label", "daily")
_OWNER = ("by_code", "default", "owner")
_LONGEST = 131_072
_API_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+|__[A-Za-z0-9]+)*")
_USER_NAME = re.compile(r"[^@\s\\]+@[^@\s\\]+")


@dataclass(slots=True)
class Declared:
    """One entity as our mappings declare it, with all ways in which an org can represent it.

    Attributes:
        mappings: Its mappings.
        fields: Its fields by the name that a change uses.
    """

    mappings: list[CrmObject] = field(default_factory=list)
    fields: dict[str, Field] = field(default_factory=dict)

    @property
    def sobject(self) -> str:
        """The object in Salesforce."""
        return self.mappings[0].sobject

    @property
    def ids(self) -> Mapping[str, str]:
        """The columns by which a relation can be joined to the object."""
        return self.mappings[0].ids


def list_declared(*shapes: ShapeName) -> dict[str, Declared]:
    """Return the declarations of our mappings, by entity, for orgs of these shapes; without arguments, of any shape."""
    found: dict[str, Declared] = {}
    for settings in list_ways(*shapes):
        for mapping in list_mappings(settings):
            declared = found.setdefault(mapping.entity, Declared())
            declared.mappings.append(mapping)
            declared.fields |= {name_of(each): each for each in mapping.fields}
    return found


def read_mapping(document: Item, faults: Faults, differences: list[Difference]) -> dict[str, ObjectChange]:
    """Return the changes by entity.

    Args:
        document: The file.
        faults: Receives the mistakes.
        differences: Receives the differences from our mapping.
    """
    return _Mapping(faults, differences).read(document)


class _Mapping:
    def __init__(self, faults: Faults, differences: list[Difference]) -> None:
        self._faults, self._differences, self._reader = faults, differences, Reader(faults)
        self._declared = list_declared()

    def read(self, document: Item) -> dict[str, ObjectChange]:
        entries = self._reader.entries(document, self._declared, "an object of the mapping")
        changes = {entity: self._read_object(entity, item) for entity, item in entries.items()}
        off = {entity for entity, change in changes.items() if change.is_off}
        for entity in sorted(off):
            self._check_off(entity, off, entries[entity].entries["send"].place)
        return changes

    def _read_object(self, entity: str, item: Item) -> ObjectChange:
        declared, given = self._declared[entity], self._reader.entries(item, _OBJECT, "a setting of an object")
        is_off = self._reader.flag(given.get("send"), "`send`") is False
        if is_off:
            self._note(given["send"].place, entity, "sent", "not sent")
        record_type = self._reader.matching(
            given.get("record_type"), _is_name, "Write the record type's developer name, such as `Client_Household`."
        )
        if record_type:
            before = declared.fields.get(name_of_record_type())
            self._note(
                given["record_type"].place, f"{entity} record type", before.values[0] if before else "", record_type
            )
        changed: dict[str, FieldChange] = {}
        added: list[AddedField] = []
        for name, each in self._reader.any_entries(given.get("fields"), "a field").items():
            if name not in declared.fields and each.kind == "map" and "column" in each.entries:
                if (field_ := self._read_added(entity, name, each)) is not None:
                    added.append(field_)
            elif (change := self._read_change(entity, name, each)) is not None:
                changed[name] = change
        self._check_names(entity, changed, given.get("fields"))
        owner = self._read_owner(entity, given["record_owner"]) if "record_owner" in given else None
        return ObjectChange(is_off, record_type, changed, tuple(added), owner)

    def _read_change(self, entity: str, name: str, item: Item) -> FieldChange | None:
        declared, about = self._declared[entity], f"{entity} {name}"
        found = declared.fields.get(name)
        if found is None or name == name_of_record_type():
            names = [each for each in declared.fields if each != name_of_record_type()]
            self._reader.unknown(
                item.place, name, names, f"a field of {entity} in our mapping; a new field needs `column`"
            )
            return None
        if item.kind == "text":
            return self._read_drop(entity, name, item)
        if item.kind == "map" and "column" in item.entries:
            self._faults.add(
                item.place,
                f"{name} is in our mapping already, so it can't be added",
                f"Use a name of your own, and drop {name} if you do not need it.",
            )
            return None
        given = self._reader.entries(item, _CHANGED, "a change of a field")
        new_name = self._read_new_name(entity, name, given.get("name"))
        owner = self._reader.choice(given.get("owner"), OWNERS, "an owner of a field")
        values = self._read_values(about, found, given.get("values"))
        if owner:
            self._note(given["owner"].place, f"{about} owner", found.owner, owner)
        return FieldChange(False, new_name, cast(Owner, owner) if owner else None, values)

    def _read_drop(self, entity: str, name: str, item: Item) -> FieldChange | None:
        declared = self._declared[entity]
        if item.text != DROP:
            self._faults.add(
                item.place,
                f"{item.shown} is not a change of {name}",
                f"Write `{name}: {DROP}`, or a map with {', '.join(_CHANGED)}.",
            )
            return None
        if is_required(declared.mappings, declared.fields[name]):
            self._faults.add(
                item.place,
                f"{name} can't be dropped: Salesforce requires it",
                f"Remove the line, or map {name} in Salesforce by a rule of your own.",
            )
            return None
        self._note(item.place, f"{entity} {name}", "sent", "dropped")
        return FieldChange(is_dropped=True)

    def _read_new_name(self, entity: str, name: str, item: Item | None) -> str:
        """Return the field's new name; empty if it has none, or an impossible one."""
        new_name = self._reader.matching(item, _is_name, "Write the field's API name, such as `Client_Tier__c`.")
        if item is None or not new_name:
            return ""
        declared = self._declared[entity]
        if is_required(declared.mappings, declared.fields[name]):
            self._faults.add(
                item.place, f"{name} can't be renamed: it is a field of Salesforce itself", "Remove the line."
            )
            return ""
        if name.endswith("__r") != new_name.endswith("__r"):
            self._faults.add(
                item.place,
                f"{new_name} is not the kind of field that {name} is",
                "Write the relationship of a lookup with `__r`, and any other field without.",
            )
            return ""
        self._note(item.place, f"{entity} {name} name", name, new_name)
        return new_name

    def _read_values(self, about: str, found: Field, item: Item | None) -> dict[str, str]:
        values: dict[str, str] = {}
        if item is not None and (found.kind != "text" or found.type not in ("Text", "Picklist") or found.links_to):
            self._faults.add(
                item.place, f"{about} is neither a picklist nor text, so its values can't be mapped", "Remove `values`."
            )
            return values
        for ours, theirs in self._reader.any_entries(item, "a value").items():
            if found.values and ours not in found.values:
                self._reader.unknown(theirs.place, ours, found.values, f"a value of {about}")
            elif value := self._reader.word(theirs, "the org's value"):
                values[ours] = value
                self._note(theirs.place, f"{about} value", ours, value)
        return values

    def _read_added(self, entity: str, name: str, item: Item) -> AddedField | None:
        given = self._reader.entries(item, _ADDED, "a setting of a new field")
        if not _is_name(name) or name.endswith("__r"):
            self._faults.add(
                item.place,
                f"{name} is not the API name of a field",
                "Write it as Salesforce shows it, such as `Plan_Success__c`.",
            )
        several = self._reader.choice(given.get("of_several"), OF_SEVERAL, "a choice among several rows")
        source = self._find_source(given["column"], self._declared[entity].ids, several)
        owner = self._reader.choice(given.get("owner"), OWNERS, "an owner of a field") or "vendor"
        length = self._read_length(given.get("length"), source)
        is_daily = self._reader.flag(given.get("daily"), "`daily`") or False
        label = self._reader.word(given.get("label"), "the label") or make_label(name)
        if source is None:
            return None
        added = AddedField(name, source, cast(Owner, owner), {}, length, label if is_own(name) else "", is_daily)
        values = self._read_values(f"{entity} {name}", make_field(added, ""), given.get("values"))
        self._note(item.place, f"{entity} {name}", "", f"{source}, {owner}")
        return AddedField(name, source, cast(Owner, owner), values, length, added.label, is_daily)

    def _find_source(self, item: Item, ids: Iterable[str], several: str) -> Source | None:
        reference = self._reader.matching(
            item,
            lambda text: text.count(".") == 2,
            "Write `schema.relation.column`, such as `mart.plan_freshness.probability_ratio`.",
        )
        try:
            return find_source(reference, list(ids), cast(OfSeveral, several)) if reference else None
        except UnknownColumn as error:
            if error.known:
                self._reader.unknown(
                    item.place, error.wrong, error.known, "in the schema; see docs/reference/schema.md"
                )
            else:
                self._faults.add(item.place, error.reason, error.correct)
        return None

    def _read_length(self, item: Item | None, source: Source | None) -> int:
        number = self._reader.number(item, "`length`")
        if item is None or number is None:
            return 255
        if source is not None and source.type != "text":
            self._faults.add(
                item.place, f"`length` is for texts, and {source} is of the type {source.type}", "Remove `length`."
            )
        elif not (number == int(number) and 1 <= number <= _LONGEST):
            self._faults.add(
                item.place, f"{number} is not a valid length", f"Write a whole number from 1 to {_LONGEST}."
            )
        return int(number)

    def _read_owner(self, entity: str, item: Item) -> RecordOwner | None:
        given = self._reader.entries(item, _OWNER, "a setting of the record owner")
        if "representative_id" not in self._declared[entity].ids:
            able = [name for name, each in self._declared.items() if "representative_id" in each.ids]
            self._faults.add(
                item.place, f"Records of {entity} have no representative", f"Set `record_owner` of {', '.join(able)}."
            )
            return None
        form = "Write the user name in Salesforce, such as `anna@firm.example`."
        users = {}
        for code, user in self._reader.any_entries(given.get("by_code"), "a representative").items():
            if name := self._reader.matching(user, _is_user_name, form):
                users[code] = name
                self._note(user.place, f"{entity} owner of representative {code}", "", name)
        default = self._reader.matching(given.get("default"), _is_user_name, form)
        owner = self._reader.choice(given.get("owner"), ("vendor", "firm"), "an owner of the field OwnerId") or "firm"
        if not given.keys() & {"by_code", "default"}:
            self._faults.add(item.place, "No user is named", "Write `by_code`, `default` or both.")
            return None
        if default:
            self._note(given["default"].place, f"{entity} owner", "", default)
        return RecordOwner(users, default, cast(Owner, owner)) if users or default else None

    def _check_names(self, entity: str, changed: Mapping[str, FieldChange], fields: Item | None) -> None:
        """Check that no two fields of an object get the same name."""
        kept = {
            name
            for name in self._declared[entity].fields
            if name not in changed or not (changed[name].name or changed[name].is_dropped)
        }
        for name, change in changed.items():
            if change.name in kept and fields is not None:
                place = fields.entries[name].entries["name"].place
                self._faults.add(
                    place,
                    f"{entity} has another field {change.name}",
                    f"Drop that one, or use another name for {name}.",
                )
            kept |= {change.name} - {""}

    def _check_off(self, entity: str, off: set[str], place: Place) -> None:
        """Check that no object that is sent needs the records of an object that is not."""
        needing = {
            other
            for other, declared in self._declared.items()
            for mapping in declared.mappings
            for each in mapping.fields
            if other not in off
            and entity in each.entities
            and (not off.issuperset(each.entities) or is_required([mapping], each))
        }
        if needing:
            names = ", ".join(sorted(needing))
            self._faults.add(
                place,
                f"{entity} can't be switched off: {names} need its records",
                f"Also write `send: false` for {names}, or send {entity}.",
            )

    def _note(self, place: Place, subject: str, before: str, after: str) -> None:
        self._differences.append(Difference(place, subject, before, after))


def name_of_record_type() -> str:
    """Return the name of the field that sets the record type."""
    return RECORD_TYPE.partition(".")[0]


def _is_name(text: str) -> bool:
    return bool(_API_NAME.fullmatch(text)) and len(text) <= 80


def _is_user_name(text: str) -> bool:
    return bool(_USER_NAME.fullmatch(text)) and len(text) <= 80
