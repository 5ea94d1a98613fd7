"""The neighborhood of a pair: the records that a decision on the pair can affect, with their households, accounts and values.

It contains the pair, the records that are one person with one of its records, the households of all these, the households that are one with
them, and so on until nothing is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from include.identity import inputs
from include.identity.pairs import IS_PENDING
from include.identity.record import ACCOUNTS, DECISIONS, KNOWN, LINKS

MOST = 300
"""Maximum number of persons."""

_GROW = sa.text("""
with one as (
    select coalesce(i.identity_id, s.id) as id from unnest(cast(:ids as bigint[])) s(id)
    left join warehouse.identity i on i.entity = 'person' and i.id = s.id and i.recorded_to is null
), person as (
    select id from one union
    select i.id from one join warehouse.identity i on i.entity = 'person' and i.identity_id = one.id and i.recorded_to is null
), home as (
    select distinct coalesce(i.identity_id, p.household_id) as id
    from person join warehouse.person p on p.person_id = person.id and p.recorded_to is null and p.valid_to is null
    left join warehouse.identity i on i.entity = 'household' and i.id = p.household_id and i.recorded_to is null
), homes as (
    select id from home union
    select i.id from home join warehouse.identity i on i.entity = 'household' and i.identity_id = home.id and i.recorded_to is null
)
select id from person union
select p.person_id from homes join warehouse.person p on p.household_id = homes.id and p.recorded_to is null and p.valid_to is null
limit :most
""")
_LINKS = sa.text("""
select left_id as left, right_id as right, score, agreed, differed, how, rule from control.identity_link
where entity = :entity and (left_id = any(:ids) or right_id = any(:ids))
""")
_KNOWN = sa.text("""
select id as record_id, identity_id as person_id from warehouse.identity
where entity = :entity and recorded_to is null and (id = any(:ids) or identity_id = any(:ids))
union select identity_id, identity_id from warehouse.identity
where entity = :entity and recorded_to is null and (id = any(:ids) or identity_id = any(:ids))
order by 1
""")
_DECISIONS = sa.text(f"""
select d.left_id as left, d.right_id as right, d.is_same, {IS_PENDING} as is_pending
from control.identity_decision_in_force d where d.entity = :entity and (d.left_id = any(:ids) or d.right_id = any(:ids)) order by 1, 2
""")  # noqa: S608
_HOMES = sa.text("""
select distinct h.household_id as id, h.vendor, h.household_key as key, coalesce(h.name, h.household_key) as name
from warehouse.household h join warehouse.person p on p.household_id = h.household_id and p.recorded_to is null and p.valid_to is null
where p.person_id = any(:ids) and h.recorded_to is null and h.valid_to is null
union
select distinct h.household_id, h.vendor, h.household_key, coalesce(h.name, h.household_key)
from warehouse.household h where h.household_id = any(:homes) and h.recorded_to is null and h.valid_to is null
order by 1
""")
# What `mart.net_worth` sums, of some households.
_HELD = sa.text(f"""
select a.account_id, a.vendor, a.name, a.account_number_hash as number_hash, a.account_number_last4 as number_last4,
       f.former_numbers, a.custodian as institution, o.household_id, a.is_counted, true as is_managed, v.market_value_usd,
       o.share_ratio * v.market_value_usd as value_usd, exists (select from control.unused_vendor u where u.vendor = a.vendor) as is_unused,
       a.is_past_only, {inputs.PRIORITY} as priority, n.source_key is not null as is_absent, coalesce(i.identity_id, a.account_id) as known_id,
       array(select w.person_id from warehouse.account_owner w
             where w.account_id = a.account_id and w.person_id is not null and w.recorded_to is null and w.valid_to is null) as owners
from warehouse.account_owner o
join warehouse.account a on a.account_id = o.account_id and a.recorded_to is null and a.valid_to is null
left join lateral {inputs.FORMER_NUMBERS.format(of="and f.account_id = a.account_id")} f on true
left join lateral (
    select business_date from control.ledger l
    where l.vendor = a.vendor and l.stage = 'load' and l.entity = 'account_value' and l.pulled = 'current'
    order by business_date desc limit 1) d on true
left join warehouse.account_value v on v.business_date = d.business_date and v.vendor = a.vendor and v.account_id = a.account_id and v.recorded_to is null
left join control.absence n on n.vendor = a.vendor and n.entity = 'account' and n.source_key = a.account_key
left join warehouse.identity i on i.entity = 'account' and i.id = a.account_id and i.recorded_to is null
where o.household_id = any(:homes) and o.recorded_to is null and o.valid_to is null and o.role is distinct from 'joint'
union all
select a.outside_account_id, a.vendor, a.name, a.account_number_hash, a.account_number_last4, f.former_numbers,
       a.institution, a.household_id, true, false,
       v.market_value_usd, case when n.source_key is null then v.market_value_usd end,
       exists (select from control.unused_vendor u where u.vendor = a.vendor), a.is_past_only, {inputs.OUTSIDE_PRIORITY}, n.source_key is not null,
       coalesce(i.identity_id, a.outside_account_id),
       array(select p.person_id from warehouse.person p where p.household_id = a.household_id and p.recorded_to is null and p.valid_to is null)
from warehouse.outside_account a
left join lateral {inputs.OUTSIDE_FORMER_NUMBERS.format(of="and f.outside_account_id = a.outside_account_id")} f on true
left join control.absence n on n.vendor = a.vendor and n.entity = 'outside_account' and n.source_key = a.outside_account_key
left join warehouse.identity i on i.entity = 'account' and i.id = a.outside_account_id and i.recorded_to is null
left join lateral (
    select market_value_usd from warehouse.outside_value w where w.outside_account_id = a.outside_account_id and w.recorded_to is null
    order by requested_on desc, requested_at desc limit 1) v on true
where a.household_id = any(:homes) and a.recorded_to is null and a.valid_to is null
""")  # noqa: S608


@dataclass(frozen=True, slots=True)
class Held:
    """A household's share of an account.

    Attributes:
        is_unused: Whether the firm no longer uses the vendor.
        value_usd: None if no value of it is in force.
    """

    household_id: int
    account_id: int
    name: str
    is_managed: bool
    is_counted: bool | None
    is_unused: bool
    value_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """The records around a pair.

    Attributes:
        persons: Table with the schema PERSONS.
        links: The links between persons of the last run (schema LINKS).
        known: The persons of the last run (schema KNOWN).
        decisions: The decisions on persons (schema DECISIONS).
        used: The decisions that the last run used.
        homes: (vendor, household key) -> id and name of each household.
        accounts: ACCOUNTS of the households; owners are records, not yet people.
        account_decisions: The decisions on accounts (schema DECISIONS).
        used_account_decisions: The decisions on accounts that the last run used.
        copies: Copy -> original among the accounts, by the last run.
        held: The shares of accounts that each household holds.
    """

    persons: pa.Table
    links: pa.Table
    known: pa.Table
    decisions: pa.Table
    used: pa.Table
    homes: dict[tuple[str, str], tuple[int, str]]
    accounts: pa.Table
    account_decisions: pa.Table
    used_account_decisions: pa.Table
    copies: dict[int, int]
    held: list[Held]


def read_neighborhood(db: sa.Connection, persons: set[int], homes: set[int]) -> Neighborhood | None:
    """Read the neighborhood of some persons and households; return None if it has more than `MOST` persons.

    Args:
        db: The database, as the role of the pages or of loads.
        persons: Ids of persons.
        homes: Ids of households that the neighborhood also contains.
    """
    ids = persons | _read_members(db, homes)
    while len(grown := _grow(db, ids)) > len(ids):
        ids = grown
        if len(ids) > MOST:
            return None
    signed = [*ids, *(-each for each in ids)]
    people = inputs.read_persons(db, ids)
    rows = db.execute(_HOMES, {"ids": list(ids), "homes": list(homes)}).all()
    held = db.execute(_HELD, {"homes": [row.id for row in rows]}).mappings().all()
    accounts = {row["account_id"]: row for row in held if not row["is_past_only"]}
    of_accounts = {"entity": "account", "ids": list(accounts)}
    copies = _read(db, _KNOWN, KNOWN, of_accounts)
    return Neighborhood(
        people,
        _read(db, _LINKS, LINKS, {"entity": "person", "ids": signed}),
        _read(db, _KNOWN, KNOWN, {"entity": "person", "ids": list(ids)}),
        *_read_decisions(db, "person", signed),
        {(row.vendor, row.key): (row.id, row.name) for row in rows},
        pa.Table.from_pylist(
            [
                {name: row.get(name) for name in ACCOUNTS.names} | {"value_usd": row["market_value_usd"]}
                for row in accounts.values()
            ],
            schema=ACCOUNTS,
        ),
        *_read_decisions(db, "account", list(accounts)),
        {row["record_id"]: row["person_id"] for row in copies.to_pylist() if row["record_id"] != row["person_id"]},
        [_build_held(row) for row in held],
    )


def _build_held(row: sa.RowMapping) -> Held:
    name = row["name"] or f"account {row['account_id']}"
    return Held(
        row["household_id"],
        row["account_id"],
        name,
        row["is_managed"],
        row["is_counted"],
        row["is_unused"],
        row["value_usd"],
    )


def _read_members(db: sa.Connection, homes: set[int]) -> set[int]:
    query = sa.text(
        "select person_id from warehouse.person where household_id = any(:homes) and recorded_to is null and valid_to is null"
    )
    return set(db.scalars(query, {"homes": list(homes)})) if homes else set()


def _grow(db: sa.Connection, ids: set[int]) -> set[int]:
    return ids | set(db.scalars(_GROW, {"ids": list(ids), "most": MOST + 1}))


def _read_decisions(db: sa.Connection, entity: str, ids: list[int]) -> tuple[pa.Table, pa.Table]:
    """Return all decisions in force on the records, and those that the last run used."""
    rows = [dict(row) for row in db.execute(_DECISIONS, {"entity": entity, "ids": ids}).mappings()]
    used = [row for row in rows if not row["is_pending"]]
    names = DECISIONS.names
    everything, before = ([{name: row[name] for name in names} for row in some] for some in (rows, used))
    return pa.Table.from_pylist(everything, schema=DECISIONS), pa.Table.from_pylist(before, schema=DECISIONS)


def _read(db: sa.Connection, query: sa.TextClause, schema: pa.Schema, values: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in db.execute(query, values).mappings()], schema=schema)
