"""Apply a firm's changes to the mappings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from include.crm.firm_changes import AddedField, FieldChange, ObjectChange, RecordOwner, Source
from include.crm.objects.mapping import (
    RECORD_TYPE,
    CrmObject,
    Field,
    always,
    current,
    custom,
    day,
    flag,
    literal,
    moment,
    money,
    number,
    percent,
    text,
)
from include.errors import ConfigurationError

RECORD_OWNER = "Owner.Username"
MOST_DECIMALS = 8
MOST_TEXT = 255
"""Characters of a text field; a longer one is a long text area."""


def apply(mappings: Iterable[CrmObject], changes: Mapping[str, ObjectChange]) -> tuple[CrmObject, ...]:
    """Return the mappings with the changes applied, without the objects that are switched off and the lookups that refer only to these.

    Raises:
        ConfigurationError: A change is about a field that only another shape, or the other way of representing persons, has.
    """
    off = {entity for entity, change in changes.items() if change.is_off}
    return tuple(
        _apply(_without_links(mapping, off), changes.get(mapping.entity, ObjectChange()))
        for mapping in mappings
        if mapping.entity not in off
    )


def is_own(name: str) -> bool:
    """Return whether a field is a custom one without the namespace of a package, so that the firm creates it."""
    return name.endswith("__c") and name.count("__") == 1


def make_label(name: str) -> str:
    """Return a label for a field without one."""
    return name.removesuffix("__c").replace("_", " ")


def name_of(field: Field) -> str:
    """Return the name by which a change refers to a field: its API name; of a lookup, the relationship without the parent's key."""
    return field.name.partition(".")[0]


def make_field(added: AddedField, sql: str) -> Field:
    """Return an added field. The type follows from the column's type and the unit at the end of its name.

    Args:
        added: The field.
        sql: SQL of the column's value.
    """
    name, column, kind = added.name, added.source.column, added.source.type.partition("(")[0]
    if kind == "boolean":
        field = flag(name, sql)
    elif kind == "date":
        field = day(name, sql)
    elif kind == "timestamptz":
        field = moment(name, sql)
    elif kind in ("bigint", "integer"):
        field = number(name, sql, 0)
    elif kind == "numeric" and column.endswith("_ratio"):
        field = percent(name, sql)
    elif kind == "numeric" and column.endswith("_usd"):
        field = money(name, sql)
    elif kind == "numeric":
        field = number(name, sql, MOST_DECIMALS)
    else:
        field = text(name, f"({sql})::text", added.length)
        field = field if added.length <= MOST_TEXT else replace(field, type="LongTextArea")
    field = replace(field, owner=added.owner, is_daily=added.is_daily)
    if added.label:
        field = custom(field, added.label, f"{added.source} of the warehouse")
    return _map_values(field, added.values)


def _without_links(mapping: CrmObject, off: set[str]) -> CrmObject:
    fields = tuple(f for f in mapping.fields if not f.entities or not off.issuperset(f.entities))
    return _keep_same_if(replace(mapping, fields=fields))


def _keep_same_if(mapping: CrmObject) -> CrmObject:
    """Return the mapping without `same_if` if one of its fields is missing: fewer fields would match records of other clients."""
    names = {field.name for field in mapping.fields}
    return mapping if names.issuperset(mapping.same_if) else replace(mapping, same_if=())


def _apply(mapping: CrmObject, change: ObjectChange) -> CrmObject:
    if change.record_type:
        rest = [field for field in mapping.fields if field.name != RECORD_TYPE]
        ours = next((field for field in mapping.fields if field.name == RECORD_TYPE), None)
        record_type = replace(always(RECORD_TYPE, change.record_type), owner=ours.owner if ours else "vendor")
        mapping = replace(mapping, fields=(record_type, *rest))
    for name, field_change in change.fields.items():
        mapping = _change_field(mapping, name, field_change)
    for number_, added in enumerate(change.added):
        alias = f"firm_{number_}"
        field = make_field(added, f"{alias}.value")
        join = _join(added.source, alias, mapping.ids[added.source.key])
        mapping = replace(mapping, fields=(*mapping.fields, field), source=f"{mapping.source} {join}")
    return _set_owner(mapping, change.record_owner) if change.record_owner else mapping


def _change_field(mapping: CrmObject, name: str, change: FieldChange) -> CrmObject:
    field = next((each for each in mapping.fields if name_of(each) == name), None)
    if field is None:
        raise ConfigurationError(
            "The firm's mapping changes a field that the object lacks with the connection's settings `shape` and `persons`",
            entity=mapping.entity, field=name,
        )  # fmt: skip
    if change.is_dropped:
        mapping = replace(mapping, fields=tuple(each for each in mapping.fields if each is not field))
        closed_by, worth = ("", "") if mapping.closed_by[0] == field.name else mapping.closed_by, mapping.worth
        return _keep_same_if(replace(mapping, closed_by=closed_by, worth="" if worth == field.name else worth))
    changed = _map_values(replace(field, owner=change.owner or field.owner), change.values)
    if change.name:
        dot, parent_key = field.name.partition(".")[1:]
        changed = replace(changed, name=f"{change.name}{dot}{parent_key}")
        if not changed.label and is_own(change.name):
            changed = custom(changed, make_label(change.name), f"{name} of Tributary's mapping")
    closing, closed = mapping.closed_by
    return replace(
        mapping,
        fields=tuple(changed if each is field else each for each in mapping.fields),
        parent=changed.name if mapping.parent == field.name else mapping.parent,
        closed_by=(changed.name, change.values.get(closed, closed)) if closing == field.name else mapping.closed_by,
        worth=changed.name if mapping.worth == field.name else mapping.worth,
        same_if=tuple(changed.name if each == field.name else each for each in mapping.same_if),
    )


def _map_values(field: Field, values: Mapping[str, str]) -> Field:
    if not values:
        return field
    cases = " ".join(f"when {literal(ours)} then {literal(theirs)}" for ours, theirs in values.items())
    gone = field.when_gone
    return replace(
        field,
        sql=f"(select case v.value {cases} else v.value end from (select {field.sql} as value) v)",  # noqa: S608
        values=tuple(dict.fromkeys(values.get(each, each) for each in field.values)),
        when_gone=gone if gone is None else values.get(gone, gone),
    )


def _join(source: Source, alias: str, key_sql: str) -> str:
    """Return a join that adds `<alias>.value`, one row per record, and never more."""
    functions = {"smallest": "min", "total": "sum"}
    function = functions.get(source.of_several, "max")
    if source.type == "boolean":
        function = "bool_and" if function == "min" else "bool_or"
    nth = f"rank() over (partition by x.{source.key} order by x.{source.newest} desc)" if source.newest else "1"
    return f"""
        left join (
            select n.key, {function}(n.value) as value from (
                select x.{source.key} as key, x.{source.column} as value, {nth} as nth from {source.relation} x
                where {source.where or "true"}
            ) n where n.nth = 1 group by n.key
        ) {alias} on {alias}.key = {key_sql}
    """  # noqa: S608


def _set_owner(mapping: CrmObject, record_owner: RecordOwner) -> CrmObject:
    cases = " ".join(f"when {literal(code)} then {literal(user)}" for code, user in record_owner.users.items())
    default = literal(record_owner.default) if record_owner.default else "null"
    sql = f"case btrim(firm_owner.number) {cases} else {default} end" if cases else default
    users = tuple(dict.fromkeys(filter(None, (*record_owner.users.values(), record_owner.default))))
    unknown = "" if record_owner.default else f"({sql}) is null"
    # The owner of a record of a custom object may also be a queue, so Salesforce must know that ours is a user. For other objects, it refuses the type.
    kind = "User" if mapping.sobject.endswith("__c") else ""
    field = Field(RECORD_OWNER, sql, owner=record_owner.owner, parent_type=kind, unknown=unknown, values=users)
    join = f"""
        left join warehouse.representative firm_owner
            on firm_owner.representative_id = {mapping.ids["representative_id"]} and {current("firm_owner")}
    """
    return replace(mapping, fields=(*mapping.fields, field), source=f"{mapping.source} {join}")
