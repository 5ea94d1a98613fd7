"""Load descriptions into the warehouse: dimensions with valid days (`valid_from`, `valid_to`) and recorded times (`recorded_*`).

A change ends the previous version on the business date and begins a new version. A second change on the same day replaces the first.
The row as it was known before the change stays as a closed row (`recorded_to`). Data requested earlier never overwrites data
requested later, whatever the order of the loads. For example, an on-demand run for one client may finish before a pull that began earlier.

A historical pull never changes an instance that is already stored. It only adds instances never seen before, valid from the day that
we saw them, and marks them `is_past_only` until a current pull lists them.

A set (the owners of an account) counts as one instance. In two cases, a new member is not added, but counted as superseded:

- The pull is historical, and the set is already stored.
- A version of the set from a later day is stored.

If an entity excludes another one (`Entity.excludes`), a new key of it ends the other entity's version with the same key and records that as
absent. For example, a registration that was read as a person is now read as a trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from include import canonical
from include.business_dates import latest_closed
from include.canonical import Entity
from include.control.ledger import LATEST_START, Counts, Pull
from include.errors import TargetUnavailable
from include.warehouse import protection
from include.warehouse.protection import is_unprotected


def load(
    connection: sa.Connection,
    entity: Entity,
    pull: Pull,
    source_run_id: int,
    *,
    is_past: bool,
    uncertain: Sequence[str] = (),
    is_partial: bool = False,
) -> Counts:
    """Load the copied rows of a description, in the caller's transaction.

    Args:
        connection: With the temporary table `incoming_<entity>`.
        entity: A description.
        pull: The pull that was copied.
        source_run_id: Written on every new row.
        is_past: Whether the pull is historical. Its rows do not state what was true on that date.
        uncertain: Keys of rows in which a null means unknown, because a dead letter of another table contains the value. In these rows,
            a null keeps the stored value.
        is_partial: Whether another table describes the instances, and these rows only refer to them. They add missing instances and
            change none.

    Returns:
        Numbers of rows inserted, updated, unchanged and superseded; `withdrawn` counts members removed from a set, and ended versions of
        an excluded entity.

    Raises:
        TargetUnavailable: Another load changed the same rows meanwhile.
    """
    values: dict[str, Any] = {
        "vendor": pull.vendor,
        "source_run_id": source_run_id,
        "day": latest_closed(pull.extracted_at) if is_past else pull.business_date,
        "past": is_past,
        "partial": is_partial,
        "extracted_at": pull.extracted_at,
        "uncertain": list(uncertain),
        "table": pull.table_name,
        "run_id": pull.run_id,
    }
    sql = _Statements(entity)
    connection.execute(sa.text(sql.resolve), values)
    counts = connection.execute(sa.text(sql.count), values).mappings().one()
    closed = connection.execute(sa.text(sql.close), values).rowcount
    connection.execute(sa.text(sql.end), values)
    begun = connection.execute(sa.text(sql.begin), values).rowcount
    if not is_past:
        connection.execute(sa.text(sql.confirm), values)
    if (closed, begun) != (counts["changed"], counts["new"] + counts["changed"]):
        raise TargetUnavailable(
            "Another load changed the same rows meanwhile; try again", entity=entity.name, pull=pull.pull_id
        )
    withdrawn = 0
    if entity.set_of and not is_past:
        protection.find(connection, entity, pull)
        withdrawn = connection.execute(sa.text(sql.leave), values).rowcount
    if entity.excludes and not is_past:
        withdrawn = connection.execute(
            sa.text(_end_excluded(entity, canonical.named(entity.excludes))), values
        ).scalar_one()
    return Counts(
        inserted=counts["new"],
        updated=counts["changed"],
        unchanged=counts["same"],
        superseded=counts["older"],
        withdrawn=withdrawn,
    )


def _end_excluded(entity: Entity, excluded: Entity) -> str:
    """Return SQL that ends the current versions of the excluded entity whose keys were loaded, and counts them."""
    table, ids = f"warehouse.{excluded.name}", excluded.ids
    written = ", ".join([f"{excluded.name}_id", "vendor", excluded.key, *ids, *excluded.fields, "is_past_only"])
    return f"""
        with ended as (
            update {table} c set recorded_to = now() from resolved_{entity.name} r
            where r.outcome <> 'older' and c.vendor = :vendor and c.{excluded.key} = r.{entity.key}
              and c.valid_to is null and c.recorded_to is null and c.valid_from <= :day
              and not exists (select from control.ledger l where l.ledger_id = c.source_run_id and l.extracted_at > :extracted_at)
            returning c.*
        ), kept as (
            insert into {table} ({written}, valid_from, valid_to, recorded_from, source_run_id)
            select {written}, valid_from, :day, now(), :source_run_id from ended where valid_from < :day
        ), absent as (
            insert into control.absence (vendor, entity, source_key, table_name, absent_since, run_id)
            select :vendor, '{excluded.name}', {excluded.key}, :table, :day, :run_id from ended
            on conflict (vendor, entity, source_key) do nothing
        )
        select count(*) from ended
    """  # noqa: S608


class _Statements:
    """The SQL statements, generated from the entity's declaration; every value is a bound parameter."""

    def __init__(self, entity: Entity) -> None:
        name = entity.name
        table, this_id, key = f"warehouse.{name}", f"{name}_id", entity.key
        ids, fields = entity.ids, [*entity.ids, *entity.fields]
        written = ", ".join([this_id, "vendor", key, *fields])
        joins = "".join(
            f" left join warehouse.source_key k{n} on k{n}.entity = '{target}' and k{n}.vendor = :vendor"
            f" and k{n}.source_key = i.{column}"
            for n, (column, target) in enumerate(entity.references.items())
        )
        sources = {c: f"k{n}.id" for n, c in enumerate(ids)} | {c: f"i.{c}" for c in entity.fields}
        incoming = {
            c: f"coalesce({value}, c.{c})"
            if c in entity.sticky
            else f"case when u.key is null then {value} else coalesce({value}, c.{c}) end"
            for c, value in sources.items()
        }
        stored = ", ".join(f"c.{c}" for c in fields)
        arrived = ", ".join(incoming[c] for c in fields)
        set_id = entity.set_of.replace("_key", "_id") if entity.set_of else ""
        newer = older = ""
        if set_id:
            newer = f"""
                left join (select distinct {set_id} as id from {table} where vendor = :vendor and valid_to is null
                           and recorded_to is null and (:past or valid_from > :day)) newer on newer.id = {incoming[set_id]}
            """  # noqa: S608
            older = f"when c.{key} is null and newer.id is not null then 'older'"
        # `outcome` of each row: new, same, older (from a historical pull, of an older day, or requested earlier), or changed.
        # A row of a partial table is "same" as soon as its key is stored.
        self.resolve = f"""
            create temporary table resolved_{name} on commit drop as
            select me.id as {this_id}, :vendor as vendor, i.{key}, {", ".join(f"{incoming[c]} as {c}" for c in fields)},
                   c.valid_from as known_from,
                   case {older} when c.{key} is null then 'new'
                        when :partial or ({stored}) is not distinct from ({arrived}) then 'same'
                        when :past or c.valid_from > :day or written.extracted_at > :extracted_at and written.extracted_at <= {LATEST_START} then 'older'
                        else 'changed' end as outcome
            from incoming_{name} i
            join warehouse.source_key me on me.entity = '{name}' and me.vendor = :vendor and me.source_key = i.{key}
            left join {table} c on c.vendor = :vendor and c.{key} = i.{key} and c.valid_to is null and c.recorded_to is null
            left join control.ledger written on written.ledger_id = c.source_run_id
            left join unnest(cast(:uncertain as text[])) as u(key) on u.key = i.{key}
            {joins}{newer}
        """  # noqa: S608
        self.count = f"""
            select count(*) filter (where outcome = 'new') as new, count(*) filter (where outcome = 'changed') as changed,
                   count(*) filter (where outcome = 'same') as same, count(*) filter (where outcome = 'older') as older
            from resolved_{name}
        """  # noqa: S608
        current = "c.valid_to is null and c.recorded_to is null"
        self.close = f"""
            update {table} c set recorded_to = now() from resolved_{name} r
            where r.outcome = 'changed' and c.vendor = :vendor and c.{key} = r.{key} and {current}
        """  # noqa: S608
        # Insert the version just closed once more, now with the business date as its end.
        self.end = f"""
            insert into {table} ({written}, valid_from, valid_to, recorded_from, source_run_id)
            select {", ".join(f"c.{c}" for c in [this_id, "vendor", key, *fields])}, c.valid_from, :day, now(), :source_run_id
            from {table} c join resolved_{name} r on c.vendor = :vendor and c.{key} = r.{key}
            where r.outcome = 'changed' and c.recorded_to = now() and c.valid_to is null and c.valid_from < :day
        """  # noqa: S608
        self.begin = f"""
            insert into {table} ({written}, valid_from, recorded_from, source_run_id, is_past_only)
            select {written}, :day, now(), :source_run_id, :past from resolved_{name} where outcome in ('new', 'changed')
        """  # noqa: S608
        self.confirm = f"""
            update {table} c set is_past_only = false from resolved_{name} r
            where c.is_past_only and c.vendor = :vendor and c.{key} = r.{key} and {current}
        """  # noqa: S608
        if not set_id:
            return
        is_removed = f"""
            {current} and c.vendor = :vendor and c.valid_from <= :day and c.{set_id} in (select {set_id} from resolved_{name})
            and not exists (select from resolved_{name} r where r.{key} = c.{key}) and {is_unprotected(entity, "c")}
        """  # noqa: S608
        self.leave = f"""
            with removed as (
                update {table} c set recorded_to = now() where {is_removed} returning c.*
            )
            insert into {table} ({written}, valid_from, valid_to, recorded_from, source_run_id)
            select {written}, valid_from, :day, now(), :source_run_id from removed where valid_from < :day
        """  # noqa: S608
