"""Find a person's data: the records that identity resolution has linked, records that refer to them, and texts that identify the person."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from include.canonical import ENTITIES, Entity
from include.crm.objects.long_key import shorten
from include.errors import InputRejected

LEAST = 6
"""Minimum number of characters of a text that identifies a person. Shorter texts are in the rows of too many persons."""

_BY_KEY = sa.text("""
select id from warehouse.source_key where entity = 'person' and vendor = :vendor and source_key = :key
""")
_MEMBERS = sa.text("""
with known as (select id, identity_id from warehouse.identity where entity = 'person' and recorded_to is null),
root as (select coalesce((select identity_id from known where id = :id), :id) as id)
select id from root union select k.id from known k join root on k.identity_id = root.id
""")
_HOUSEHOLDS = sa.text("""
select distinct p.household_id,
       not exists (select from warehouse.person o where o.household_id = p.household_id and o.person_id <> all(:members)) as is_own,
       exists (select from warehouse.account a where a.household_id = p.household_id)
       or exists (select from warehouse.account_owner a where a.household_id = p.household_id) as has_accounts
from warehouse.person p where p.person_id = any(:members) and p.household_id is not null
""")
_KEYS = sa.text("""
select k.vendor, k.entity, k.source_key from warehouse.source_key k where k.id = any(:ids) order by 1, 2, 3
""")
# Texts that no other person and no other household has.
_TERMS = sa.text("""
with texts as (
    select p.person_id = any(:person) as is_own, w.word
    from warehouse.person p
    cross join lateral unnest(array[p.name, p.first_name || ' ' || p.last_name, p.email, p.phone, p.street, p.tax_id_hash]) w(word)
    union
    select h.household_id = any(:household), w.word
    from warehouse.household h cross join lateral unnest(array[h.name, h.email, h.phone, h.street]) w(word)
)
select lower(word) from texts where length(word) >= :least group by 1 having bool_and(is_own) order by 1
""")
_ENVELOPES = sa.text("""
select r.vendor, r.envelope_key, max(d.held_for) as held_for, max(d.retain_until) as retain_until
from warehouse.envelope_recipient r
left join control.document d on (d.vendor, d.envelope_key) = (r.vendor, r.envelope_key) and d.disposed_at is null
where lower(r.email) = any(:terms) or lower(r.name) = any(:terms) group by 1, 2 order by 1, 2
""")


@dataclass(frozen=True, slots=True)
class Person:
    """A person's records.

    Attributes:
        ids: Entity -> our ids of the person's records, of households without other persons, and of descriptions that refer to these.
        keys: (vendor, entity, key) of all these records.
        terms: Texts in lower case that are in the records of no other person and no other household, such as the name or the phone.
        is_client: Whether the person or a household of the person has accounts. If so, books and records must be kept.
        shared_households: Number of households that the person shares with other persons.
        envelopes: (vendor, key) of each envelope that names the person -> the end of its retention; None if no document has one.
        holds: Reasons of the retention holds on these envelopes.
    """

    ids: dict[str, list[int]]
    keys: list[tuple[str, str, str]]
    terms: list[str]
    is_client: bool
    shared_households: int
    envelopes: dict[tuple[str, str], Any]
    holds: list[str]

    @property
    def own_keys(self) -> list[tuple[str, str]]:
        """(vendor, key) of the person's own records."""
        vendors = sorted({vendor for vendor, _, _ in self.keys})
        return [(vendor, key) for vendor in vendors for key in self.keys_of(vendor).get("person", ())]

    def keys_of(self, vendor: str) -> dict[str, list[str]]:
        """Return entity -> keys of the records at one vendor."""
        keys: dict[str, list[str]] = {}
        for name, entity, key in self.keys:
            if name == vendor:
                keys.setdefault(entity, []).append(key)
        return keys


def find(connection: sa.Connection, reference: str) -> Person:
    """Find a person by our id, such as `17`, or by a vendor's key, `<vendor>:<key>`.

    Raises:
        InputRejected: The database has no such person.
    """
    members = _find_members(connection, reference)
    households = connection.execute(_HOUSEHOLDS, {"members": members}).all()
    ids = {"person": members, "household": [row.household_id for row in households if row.is_own]}
    for entity in ENTITIES:
        if entity.kind == "description" and entity.name not in ids and (condition := depends_on(entity, ids)):
            query = f"select distinct t.{entity.name}_id from warehouse.{entity.name} t where {condition}"  # noqa: S608
            ids[entity.name] = sorted(connection.scalars(sa.text(query), ids))
    keys = [tuple(row) for row in connection.execute(_KEYS, {"ids": sorted({each for some in ids.values() for each in some})})]  # fmt: skip
    terms = list(connection.scalars(_TERMS, {"person": ids["person"], "household": ids["household"], "least": LEAST}))
    envelopes = connection.execute(_ENVELOPES, {"terms": terms}).all()
    return Person(
        ids,
        keys,
        terms,
        is_client=bool(ids.get("account") or ids.get("account_owner") or any(row.has_accounts for row in households)),
        shared_households=sum(not row.is_own for row in households),
        envelopes={(row.vendor, row.envelope_key): row.retain_until for row in envelopes},
        holds=[row.held_for for row in envelopes if row.held_for],
    )


def depends_on(entity: Entity, ids: dict[str, list[int]]) -> str:
    """Return the SQL condition of rows `t` of an entity that refer to a record in `ids`; empty if the entity can't refer to any."""
    return " or ".join(f"t.{target}_id = any(:{target})" for target in entity.references.values() if target in ids and target != entity.name)  # fmt: skip


def _find_members(connection: sa.Connection, reference: str) -> list[int]:
    vendor, _, key = reference.rpartition(":") if not reference.isdigit() else ("", "", reference)
    person_id = connection.scalar(_BY_KEY, {"vendor": vendor, "key": key}) if vendor else _read_id(key)
    members = sorted(connection.scalars(_MEMBERS, {"id": person_id})) if person_id is not None else []
    query = sa.text("select distinct person_id from warehouse.person where person_id = any(:members)")
    if not list(connection.scalars(query, {"members": members})):
        raise InputRejected("No such person; give our id, or <vendor>:<key>", person=reference)
    return members


def _read_id(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def external_keys(keys: list[tuple[Any, ...]], findings: list[tuple[str, int]]) -> tuple[list[str], list[str]]:
    """Return the external keys of the person's records in Salesforce, each without the firm at its start.

    Args:
        keys: (vendor, entity, key) of the person's records; also each key as it was before rotations of the hash key.
        findings: (vendor, id) of the findings about the person.

    Returns:
        Complete keys, and prefixes: every key that begins with a prefix is one of a membership of the person.
    """
    whole = [f"{vendor}:{entity}:{spelled}" for vendor, entity, key in keys for spelled in (key, shorten(key))]
    whole += [f"{vendor}:finding:{number}" for vendor, number in findings]
    return whole, [f"{vendor}:membership:{key}:" for vendor, entity, key in keys if entity == "person"]
