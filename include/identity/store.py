"""Read records for identity matching from the warehouse, and store the result there."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from psycopg import sql

from include.contract import Vendor
from include.database.copy import copy_in
from include.identity.record import ACCOUNTS, DECISIONS, KNOWN, PERSONS
from include.identity.security import SECURITIES, Conflict

_PERSONS = """
with number as (
    select household_id, array_agg(distinct 'number:account:' || hash) as keys from (
        select o.household_id, a.account_number_hash as hash from warehouse.account_owner o
        join warehouse.account a using (account_id)
        where o.recorded_to is null and o.valid_to is null and a.recorded_to is null and a.valid_to is null
          and o.role is distinct from 'joint'
        union all
        select household_id, account_number_hash from warehouse.outside_account where recorded_to is null and valid_to is null
    ) held where hash is not null {of_homes} group by 1
)
select p.person_id as record_id, p.vendor, h.household_key as household, p.first_name, p.last_name, p.name, p.birth_date,
       p.email, h.email as household_email, coalesce(p.phone, h.phone) as phone, coalesce(p.street, h.street) as street,
       coalesce(p.city, h.city) as city, coalesce(p.state_code, h.state_code) as state_code,
       coalesce(p.postal_code, h.postal_code) as postal_code, r.registration_type, p.tax_id_hash, p.tax_id_last4,
       coalesce(string_to_array(p.cross_references, ' '), '{{}}') || coalesce(n.keys, '{{}}') as strong_keys
from warehouse.person p
left join warehouse.household h on h.household_id = p.household_id and h.recorded_to is null and h.valid_to is null
left join number n on n.household_id = p.household_id
left join (
    select distinct on (person_id) person_id, registration_type from warehouse.registration
    where recorded_to is null and valid_to is null order by person_id, registration_id
) r using (person_id)
where p.recorded_to is null and p.valid_to is null and not p.is_past_only {of_persons}
order by p.person_id
"""
_LEGAL_ENTITIES = sa.text("""
select l.legal_entity_id as record_id, l.vendor, h.household_key as household, l.name, h.email as household_email, h.phone, h.street, h.city,
       h.state_code, h.postal_code, replace(l.entity_kind, '_', ' ') as registration_type, l.tax_id_hash, l.tax_id_last4
from warehouse.legal_entity l
left join warehouse.household h on h.household_id = l.household_id and h.recorded_to is null and h.valid_to is null
where l.recorded_to is null and l.valid_to is null and not l.is_past_only
order by l.legal_entity_id
""")
_ALL_PERSONS = sa.text(_PERSONS.format(of_homes="", of_persons=""))
_SOME_PERSONS = sa.text(
    _PERSONS.format(
        of_homes="and household_id = any(array(select household_id from warehouse.person where person_id = any(:ids) and recorded_to is null))",
        of_persons="and p.person_id = any(:ids)",
    )
)

_ACCOUNTS = sa.text("""
select a.account_id, a.vendor, a.account_number_hash as number_hash, a.account_number_last4 as number_last4,
       a.custodian as institution, v.market_value_usd as value_usd,
       array(select coalesce(i.identity_id, o.person_id) from warehouse.account_owner o
             left join warehouse.identity i on i.entity = 'person' and i.id = o.person_id and i.recorded_to is null
             where o.account_id = a.account_id and o.person_id is not null and o.recorded_to is null and o.valid_to is null) as owners,
       0 as priority
from warehouse.account a
left join lateral (select market_value_usd from warehouse.account_value v where v.account_id = a.account_id and v.recorded_to is null
                   order by business_date desc limit 1) v on true
where a.recorded_to is null and a.valid_to is null and not a.is_past_only
union all
select o.outside_account_id, o.vendor, o.account_number_hash, o.account_number_last4, o.institution, v.market_value_usd,
       array(select distinct coalesce(i.identity_id, p.person_id) from warehouse.person p
             left join warehouse.identity i on i.entity = 'person' and i.id = p.person_id and i.recorded_to is null
             where p.household_id = o.household_id and p.recorded_to is null and p.valid_to is null), 1
from warehouse.outside_account o
left join lateral (select market_value_usd from warehouse.outside_value v
                   where v.outside_account_id = o.outside_account_id and v.recorded_to is null
                   order by requested_on desc limit 1) v on true
where o.recorded_to is null and o.valid_to is null
order by 1
""")

_SECURITIES = sa.text("""
select security_id, vendor, name, ticker, cusip, security_type from warehouse.security
where recorded_to is null and valid_to is null and not is_past_only
order by security_id
""")

_HOUSEHOLDS = sa.text("""
select vendor, household_key as household, household_id from warehouse.household
where recorded_to is null and valid_to is null and not is_past_only
""")

# Includes the records that represent others: they have no row of their own.
_KNOWN = sa.text("""
select id as record_id, identity_id as person_id from warehouse.identity where entity = :entity and recorded_to is null
union select identity_id, identity_id from warehouse.identity where entity = :entity and recorded_to is null
order by 1
""")

_DECISIONS = sa.text("""
select left_id as left, right_id as right, is_same from control.identity_decision_in_force where entity = :entity order by 1, 2
""")

# Close rows whose identity changed or ended; open new ones. A record that represents itself has no row.
_CLOSE = sa.text("""
update warehouse.identity i set recorded_to = :at
where i.entity = :entity and i.recorded_to is null
  and not exists (select from found f where f.id = i.id and f.identity_id = i.identity_id)
""")
_OPEN = sa.text("""
insert into warehouse.identity (entity, id, identity_id, how, recorded_from, source_run_id)
select :entity, f.id, f.identity_id, :how, :at, :run_id from found f
where not exists (select from warehouse.identity i where i.entity = :entity and i.id = f.id and i.recorded_to is null)
""")


_DELETE = {
    table: sa.text(f"delete from control.{table} where entity = :entity")  # noqa: S608
    for table in ("identity_link", "identity_review")
}
_FORGET_CONFLICTS = sa.text("delete from control.security_conflict where number <> all(:numbers)")
_STORE_CONFLICT = sa.text("""
insert into control.security_conflict (number, security_ids, kinds, run_id) values (:number, :security_ids, :kinds, :run_id)
on conflict (number) do update set security_ids = excluded.security_ids, kinds = excluded.kinds, run_id = excluded.run_id
""")
_RANKS = """
unnest(cast(:vendors as text[]), cast(:attributes as text[]), cast(:ranks as int[])) declared(vendor, attribute, rank)
"""
_FORGET_RANKS = sa.text(f"""
delete from control.survivorship s
where not exists (select from {_RANKS} where (declared.vendor, declared.attribute) = (s.vendor, s.attribute))
""")  # noqa: S608
_STORE_RANKS = sa.text(f"""
insert into control.survivorship as s select * from {_RANKS}
on conflict (vendor, attribute) do update set rank = excluded.rank where s.rank <> excluded.rank
""")  # noqa: S608
_COPY = {
    "identity_link": "copy control.identity_link (entity, left_id, right_id, score, agreed, differed, how, rule, run_id) from stdin",
    "identity_review": "copy control.identity_review (entity, left_id, right_id, score, agreed, differed, how, rule, rank, run_id) from stdin",
}


def rank_vendors(connection: sa.Connection, vendors: Sequence[Vendor]) -> None:
    """Store each vendor's declared rank for each attribute; it decides whose value is used. Change only rows that differ."""
    ranks = [(v.name, name, rank) for v in vendors for name, rank in v.ranks.items()]
    columns = [list(column) for column in zip(*ranks, strict=True)] or [[], [], []]
    declared = dict(zip(("vendors", "attributes", "ranks"), columns, strict=True))
    connection.execute(_FORGET_RANKS, declared)
    connection.execute(_STORE_RANKS, declared)


def read_persons(connection: sa.Connection, ids: Collection[int] | None = None) -> pa.Table:
    """Read the current version of all persons, or of those with some ids, as `PERSONS`.

    A person without an address or telephone gets the household's.
    """
    if ids is None:
        return _table(connection, _ALL_PERSONS, PERSONS)
    return _table(connection, _SOME_PERSONS, PERSONS, {"ids": list(ids)})


def read_legal_entities(connection: sa.Connection) -> pa.Table:
    """Read the current version of all legal entities, as `PERSONS`."""
    return _table(connection, _LEGAL_ENTITIES, PERSONS)


def read_accounts(connection: sa.Connection) -> pa.Table:
    """Read all accounts, including those that planners list, as `ACCOUNTS`."""
    return _table(connection, _ACCOUNTS, ACCOUNTS)


def read_securities(connection: sa.Connection) -> pa.Table:
    """Read the current version of all securities, as `SECURITIES`."""
    return _table(connection, _SECURITIES, SECURITIES)


def read_known(connection: sa.Connection, entity: str) -> pa.Table:
    """Read the stored identities of an entity, as `KNOWN`."""
    return _table(connection, _KNOWN, KNOWN, {"entity": entity})


def read_decisions(connection: sa.Connection, entity: str) -> pa.Table:
    """Read the decisions on pairs of an entity's records, as `DECISIONS`."""
    return _table(connection, _DECISIONS, DECISIONS, {"entity": entity})


def fingerprint(tables: Sequence[pa.Table]) -> str:
    """Return a hash of all input tables, by which a run detects that no input has changed."""
    digest = hashlib.sha256()
    for table in tables:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        digest.update(sink.getvalue())
    return digest.hexdigest()


def store_identities(
    connection: sa.Connection, entity: str, identities: Mapping[int, int], how: str, run_id: str
) -> int:
    """Store which record represents each record, with history; return the number of records whose identity changed.

    Args:
        connection: The transaction of the run.
        entity: The entity of the records.
        identities: Record id -> id of the record that represents it.
        how: What matched the records; it is stored with each identity.
        run_id: The run.
    """
    pairs = pa.table({"id": list(identities), "identity_id": list(identities.values())}, schema=_PAIR)
    copy_in(connection, "found", _PAIR, [pairs])
    # Don't use the transaction's start time: this run may have waited for a run that began later.
    values = {
        "entity": entity,
        "how": how,
        "run_id": run_id,
        "at": connection.scalar(sa.text("select clock_timestamp()")),
    }
    closed = connection.execute(_CLOSE, values).rowcount
    opened = connection.execute(_OPEN, values).rowcount
    connection.execute(sa.text("drop table found"))
    return max(closed, opened)


def store_reasons(connection: sa.Connection, entity: str, links: pa.Table, review: pa.Table, run_id: str) -> None:
    """Replace an entity's links (`LINKS`) and its pairs for review (`REVIEW`) by those of this run."""
    driver = connection.connection.driver_connection
    assert driver is not None
    for table, pairs in (("identity_link", links), ("identity_review", review)):
        connection.execute(_DELETE[table], {"entity": entity})
        with driver.cursor() as cursor, cursor.copy(sql.SQL(_COPY[table])) as copy:
            for row in pairs.to_pylist():
                copy.write_row((entity, *row.values(), run_id))


def store_conflicts(connection: sa.Connection, conflicts: Sequence[Conflict], run_id: str) -> None:
    """Replace the conflicts of securities by those of this run; conflicts that existed before keep the time of their first record."""
    connection.execute(_FORGET_CONFLICTS, {"numbers": [each.number for each in conflicts]})
    if conflicts:
        connection.execute(_STORE_CONFLICT, [asdict(each) | {"run_id": run_id} for each in conflicts])


def read_household_ids(connection: sa.Connection) -> dict[tuple[str, str], int]:
    """Return our id of each household, by vendor and the vendor's household key."""
    return {(row.vendor, row.household): row.household_id for row in connection.execute(_HOUSEHOLDS)}


_PAIR = pa.schema({"id": pa.int64(), "identity_id": pa.int64()})


def _table(
    connection: sa.Connection, query: sa.TextClause, schema: pa.Schema, values: Mapping[str, Any] | None = None
) -> pa.Table:
    rows = [dict(row) for row in connection.execute(query, values).mappings()]
    return pa.Table.from_pylist(rows, schema=schema)
