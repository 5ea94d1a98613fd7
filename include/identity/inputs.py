"""Read the records to match from the warehouse, as Arrow columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include.database.columns import read_integers, read_table
from include.identity import people
from include.identity.account import list_owners
from include.identity.record import ACCOUNTS, DECISIONS, HOUSEHOLDS, KNOWN, PERSONS, WEIGHTS
from include.identity.security import SECURITIES

# The parts of a person as matching reads it. Each is read by itself for the digests, because hashing is faster than joining.
_PERSON = """
select person_id, vendor, household_id, first_name, last_name, name, birth_date, email, phone, street, city, state_code, postal_code,
       tax_id_hash, tax_id_last4, cross_references
from warehouse.person where recorded_to is null and valid_to is null and not is_past_only
"""
_HOUSEHOLD = """
select household_id, household_key, email, phone, street, city, state_code, postal_code
from warehouse.household where recorded_to is null and valid_to is null and not is_past_only
"""
_REGISTRATION = """
select distinct on (person_id) person_id, registration_type
from warehouse.registration where recorded_to is null and valid_to is null and person_id is not null order by person_id, registration_id
"""
# The numbers of a household's accounts include the former ones: at a custodian's conversion, vendors change them on different days.
_NUMBER = """
select household_id, hash from (
    select o.household_id, a.account_number_hash as hash from warehouse.account_owner o
    join warehouse.account a using (account_id)
    where o.recorded_to is null and o.valid_to is null and a.recorded_to is null and o.role is distinct from 'joint'
    union all
    select n.household_id, f.account_number_hash from warehouse.outside_account n
    join warehouse.outside_account f on f.outside_account_id = n.outside_account_id and f.recorded_to is null
    where n.recorded_to is null and n.valid_to is null
) held where hash is not null and household_id is not null
"""
_PERSONS = f"""
select p.person_id as record_id, p.vendor, h.household_key as household, p.first_name, p.last_name, p.name, r.registration_type, p.birth_date,
       p.email, h.email as household_email, coalesce(p.phone, h.phone) as phone, coalesce(p.street, h.street) as street,
       coalesce(p.city, h.city) as city, coalesce(p.state_code, h.state_code) as state_code,
       coalesce(p.postal_code, h.postal_code) as postal_code, p.tax_id_hash, p.tax_id_last4,
       concat_ws(' ', p.cross_references, n.keys) as strong_keys
from ({_PERSON} {{of_persons}}) p
left join ({_HOUSEHOLD}) h on h.household_id = p.household_id
left join (
    select household_id, string_agg(distinct 'number:account:' || hash, ' ') as keys from ({_NUMBER} {{of_homes}}) q group by 1
) n on n.household_id = p.household_id
left join ({_REGISTRATION}) r on r.person_id = p.person_id
order by 1
"""  # noqa: S608
_ALL_PERSONS = _PERSONS.format(of_homes="", of_persons="")
_SOME_PERSONS = _PERSONS.format(
    of_homes="and household_id = any(array(select household_id from warehouse.person where person_id = any(%(ids)s) and recorded_to is null))",
    of_persons="and person_id = any(%(ids)s)",
)
_DIGESTS = f"select person_id, coalesce(household_id, 0) as household_id, hash_record_extended(q, 0) as digest from ({_PERSON}) q"  # noqa: S608
_PART_DIGESTS = {
    "household": f"select household_id as owner, hash_record_extended(q, 0) as digest from ({_HOUSEHOLD}) q",  # noqa: S608
    "number": f"select household_id as owner, hashtextextended(hash, 0) as digest from ({_NUMBER}) q",  # noqa: S608
    "registration": f"select person_id as owner, hash_record_extended(q, 0) as digest from ({_REGISTRATION}) q",  # noqa: S608
}
"""Queries of the digests of the other parts. A registration belongs to a person, the others to a household."""

_LEGAL_ENTITIES = """
select l.legal_entity_id as record_id, l.vendor, h.household_key as household, l.name, replace(l.entity_kind, '_', ' ') as registration_type,
       h.email as household_email, h.phone, h.street, h.city, h.state_code, h.postal_code, l.tax_id_hash, l.tax_id_last4
from warehouse.legal_entity l
left join warehouse.household h on h.household_id = l.household_id and h.recorded_to is null and h.valid_to is null and not h.is_past_only
where l.recorded_to is null and l.valid_to is null and not l.is_past_only
order by l.legal_entity_id
"""


_PRIORITY = """
(case when a.vendor in (select vendor from control.unused_vendor) then 4 else 0 end + {of_kind} + case when {has_ended} then 1 else 0 end)
"""
PRIORITY = _PRIORITY.format(
    of_kind=0, has_ended="n.source_key is not null or a.close_date is not null or a.is_active is false"
)
"""SQL of the `priority` of a portfolio vendor's account `a`, with its absence `n`.

Accounts that a planner lists come after it, and those of vendors that the firm no longer uses come last. Of each kind, an account that its
vendor closed or no longer lists comes after the open ones.
"""
OUTSIDE_PRIORITY = _PRIORITY.format(of_kind=2, has_ended="n.source_key is not null")
"""The same of an account `a` that a planner lists."""

_FORMER_NUMBERS = """
(select f.{entity}_id as id, array_agg(distinct n.former order by n.former) as former_numbers
 from warehouse.{entity} f join warehouse.{entity} now using ({entity}_id)
 cross join lateral (values (f.account_number_hash, now.account_number_hash), (f.account_number_last4, now.account_number_last4)) n(former, now)
 where f.valid_to is not null and f.recorded_to is null and now.valid_to is null and now.recorded_to is null and n.former <> n.now {{of}}
 group by 1)
"""
FORMER_NUMBERS, OUTSIDE_FORMER_NUMBERS = (
    _FORMER_NUMBERS.format(entity=name) for name in ("account", "outside_account")
)
"""SQL of the `former_numbers` of accounts with more than one version, by `id`; `of` is a condition of the earlier versions `f`."""

# An account's value is that of its vendor's latest day, as in `mart.net_worth`: a day is read by its index, however long the history is.
_VALUES = """
with day as (
    select vendor, max(business_date) as business_date from control.ledger
    where stage = 'load' and entity = 'account_value' and pulled = 'current' group by 1
), value as (
    select v.account_id, v.market_value_usd from day d cross join lateral (
        select account_id, market_value_usd from warehouse.account_value w
        where w.business_date = d.business_date and w.vendor = d.vendor and w.recorded_to is null offset 0) v
)
"""
_ACCOUNTS = f"""
{_VALUES}select a.account_id, a.vendor, {PRIORITY} as priority, a.account_number_hash as number_hash, a.account_number_last4 as number_last4,
       array_to_string(f.former_numbers, ' ') as former_numbers, a.custodian as institution, null::bigint as household_id,
       v.market_value_usd as value_usd, n.source_key is not null as is_absent
from warehouse.account a left join value v using (account_id)
left join {FORMER_NUMBERS.format(of="")} f on f.id = a.account_id
left join control.absence n on n.vendor = a.vendor and n.entity = 'account' and n.source_key = a.account_key
where a.recorded_to is null and a.valid_to is null and not a.is_past_only
union all
select a.outside_account_id, a.vendor, {OUTSIDE_PRIORITY}, a.account_number_hash, a.account_number_last4,
       array_to_string(f.former_numbers, ' '), a.institution, a.household_id, v.market_value_usd, n.source_key is not null
from warehouse.outside_account a
left join {OUTSIDE_FORMER_NUMBERS.format(of="")} f on f.id = a.outside_account_id
left join control.absence n on n.vendor = a.vendor and n.entity = 'outside_account' and n.source_key = a.outside_account_key
left join lateral (select market_value_usd from warehouse.outside_value v
                   where v.outside_account_id = a.outside_account_id and v.recorded_to is null
                   order by requested_on desc limit 1) v on true
where a.recorded_to is null and a.valid_to is null
"""  # noqa: S608
_ALL_ACCOUNTS = f"""
select a.account_id, a.vendor, a.priority, a.number_hash, a.number_last4, a.former_numbers, a.institution, a.value_usd, a.is_absent,
       a.vendor in (select vendor from control.unused_vendor) as is_unused, coalesce(i.identity_id, a.account_id) as known_id
from ({_ACCOUNTS}) a left join warehouse.identity i on i.entity = 'account' and i.id = a.account_id and i.recorded_to is null
order by 1
"""  # noqa: S608
# The owners of an account that a planner lists are the members of its household.
_OWNERS = """
select account_id, person_id from warehouse.account_owner where person_id is not null and recorded_to is null and valid_to is null
union all
select a.outside_account_id, p.person_id from warehouse.outside_account a join warehouse.person p using (household_id)
where a.recorded_to is null and a.valid_to is null and p.recorded_to is null and p.valid_to is null
"""

_WEIGHTS = f"""
{_VALUES}
select o.person_id as record_id, sum(v.market_value_usd)::float as worth
from warehouse.account_owner o join value v using (account_id)
where o.person_id = any(%(ids)s) and o.recorded_to is null and o.valid_to is null group by 1
"""  # noqa: S608

_SECURITIES = """
select security_id, vendor, name, ticker, cusip, security_type from warehouse.security
where recorded_to is null and valid_to is null and not is_past_only
order by security_id
"""

_HOUSEHOLDS = """
select vendor, household_key as household, household_id from warehouse.household
where recorded_to is null and valid_to is null and not is_past_only
"""
# Each half uses its own index.
_SOME_HOUSEHOLDS = f"""
{_HOUSEHOLDS} and household_id = any(%(ids)s)
union
select h.vendor, h.household_key, h.household_id from unnest(cast(%(vendors)s as text[]), cast(%(keys)s as text[])) named(vendor, household_key)
join warehouse.household h using (vendor, household_key)
where h.recorded_to is null and h.valid_to is null and not h.is_past_only
"""  # noqa: S608

_KNOWN = """
select id as record_id, identity_id as person_id from warehouse.identity where entity = %(entity)s and recorded_to is null {of_groups}
"""
_ALL_KNOWN = _KNOWN.format(of_groups="")
_SOME_KNOWN = _KNOWN.format(
    of_groups="""and identity_id = any(array(
        select coalesce(i.identity_id, s.id) from unnest(cast(%(ids)s as bigint[])) s(id)
        left join warehouse.identity i on i.entity = %(entity)s and i.id = s.id and i.recorded_to is null))"""
)

_DECISIONS = """
select left_id as left, right_id as right, is_same from control.identity_decision_in_force where entity = %(entity)s order by 1, 2
"""


def read_persons(connection: sa.Connection, ids: Collection[int] | None = None) -> pa.Table:
    """Read the current version of all persons, or of some. The schema is `PERSONS` without the columns that the warehouse lacks.

    A person without an address or telephone gets the household's.
    """
    if ids is None:
        return _read(connection, _ALL_PERSONS, PERSONS, {}, _PERSONS_LACK)
    return _read(connection, _SOME_PERSONS, PERSONS, {"ids": list(ids)}, _PERSONS_LACK)


def read_digests(connection: sa.Connection) -> tuple[pa.Table, int]:
    """Read a hash of each person, by which a run detects the persons that changed.

    Returns:
        `record_id` and a hash, `digest`, of each person as `read_persons` reads it, sorted by `record_id`; and the number of households
        that have a person.
    """
    persons = read_integers(connection, _DIGESTS, ["person_id", "household_id", "digest"], {}).sort_by("person_id")
    parts = {
        name: [column.to_numpy() for column in read_integers(connection, query, ["owner", "digest"], {}).columns]
        for name, query in _PART_DIGESTS.items()
    }
    ids, homes, digests = (column.to_numpy() for column in persons.columns)
    for name, (owners, further) in parts.items():
        # Multiplied, so that two parts that exchange their digests change the result.
        digests = 31 * digests + _sum_digests(ids if name == "registration" else homes, owners, further)
    households = int(np.count_nonzero(np.isin(parts["household"][0], homes)))
    return pa.table({"record_id": ids, "digest": digests}), households


def _sum_digests(ids: people.Ints, owners: people.Ints, digests: people.Ints) -> people.Ints:
    """Return for each id the sum of its distinct digests, modulo 2**64; 0 if it has none."""
    pairs = people.select_distinct_pairs(owners, digests)
    owners, digests = owners[pairs], digests[pairs]
    first = np.flatnonzero(np.append(True, owners[1:] != owners[:-1])[: len(owners)])
    sums = np.add.reduceat(digests, first) if len(owners) else digests
    # The last sum is that of an id without digests.
    return np.append(sums, 0)[people.find_positions(owners[first], ids)]


def read_legal_entities(connection: sa.Connection) -> pa.Table:
    """Read the current version of all legal entities, with the schema `PERSONS` without the columns that an entity lacks."""
    return _read(connection, _LEGAL_ENTITIES, PERSONS, {}, _ENTITIES_LACK)


def read_accounts(connection: sa.Connection) -> pa.Table:
    """Read all accounts, including those that planners list, with the schema `ACCOUNTS`. The owners are records of persons."""
    accounts = _read(connection, _ALL_ACCOUNTS, ACCOUNTS, lacking={"owners"})
    owners = read_integers(connection, _OWNERS, ["account_id", "person_id"], {})
    lists = list_owners(accounts["account_id"].to_numpy(), *(owners[name].to_numpy() for name in owners.column_names))
    return accounts.add_column(ACCOUNTS.get_field_index("owners"), ACCOUNTS.field("owners"), lists)


def read_weights(connection: sa.Connection, ids: Collection[int]) -> pa.Table:
    """Read the dollar value of some persons' accounts (schema `WEIGHTS`). An account with several owners counts for each of them."""
    return _read(connection, _WEIGHTS, WEIGHTS, {"ids": list(ids)})


def read_securities(connection: sa.Connection) -> pa.Table:
    """Read the current version of all securities, with the schema `SECURITIES`."""
    return _read(connection, _SECURITIES, SECURITIES)


def read_households(
    connection: sa.Connection, homes: Collection[tuple[str, str]] | None = None, ids: Collection[int] = ()
) -> pa.Table:
    """Read our id of each household, with the schema `HOUSEHOLDS`, by vendor and the vendor's household key.

    Args:
        connection: The database.
        homes: Vendors and household keys of the households to read; None for all.
        ids: Ids of further households to read.
    """
    if homes is None:
        return _read(connection, _HOUSEHOLDS, HOUSEHOLDS)
    vendors, keys = ([home[at] for home in homes] for at in (0, 1))
    return _read(connection, _SOME_HOUSEHOLDS, HOUSEHOLDS, {"vendors": vendors, "keys": keys, "ids": list(ids)})


def read_known(connection: sa.Connection, entity: str, ids: Collection[int] | None = None) -> pa.Table:
    """Read the stored identities of an entity, with the schema `KNOWN`: of all records, or of those that are one with some ids."""
    query, values = (_ALL_KNOWN, {}) if ids is None else (_SOME_KNOWN, {"ids": list(ids)})
    known = read_integers(connection, query, KNOWN.names, {"entity": entity} | values)
    represented, person = (known[name].to_numpy() for name in KNOWN.names)
    # A record that represents others also represents itself, but has no row.
    anchors = people.sort_distinct(person)
    records, persons = np.concatenate([represented, anchors]), np.concatenate([person, anchors])
    order = np.argsort(records)
    return pa.table([records[order], persons[order]], schema=KNOWN)


def read_decisions(connection: sa.Connection, entity: str) -> pa.Table:
    """Read the decisions on pairs of an entity's records, with the schema `DECISIONS`."""
    return _read(connection, _DECISIONS, DECISIONS, {"entity": entity})


_PERSONS_LACK = frozenset({"tax_id_form", "tax_id"})
_ENTITIES_LACK = _PERSONS_LACK | {"first_name", "last_name", "birth_date", "email", "strong_keys"}


def _read(
    connection: sa.Connection,
    query: str,
    schema: pa.Schema,
    values: Mapping[str, Any] | None = None,
    lacking: Collection[str] = (),
) -> pa.Table:
    """Return the result of a query, whose columns are those of a schema in their order. A list is sent as a text, separated by spaces."""
    fields = [field for field in schema if field.name not in lacking]
    lists = {field.name: field.type for field in fields if pa.types.is_list(field.type)}
    sent = pa.schema([pa.field(f.name, pa.string()) if f.name in lists else f for f in fields])
    table = read_table(connection, query, sent, values or {})
    for name, type_ in lists.items():
        texts = pc.split_pattern(table[name], " ")
        table = table.set_column(table.column_names.index(name), name, texts.cast(type_))
    return table
