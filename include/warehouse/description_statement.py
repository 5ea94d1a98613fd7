"""The SQL that loads a description, generated from the entity's declaration; every value is a bound parameter."""

from __future__ import annotations

from functools import cached_property

import sqlalchemy as sa

from include import canonical
from include.canonical import Entity
from include.control.ledger import LATEST_START
from include.warehouse.protection import is_unprotected

_IS_CURRENT = "c.valid_to is null and c.recorded_to is null"


class DescriptionStatement:
    """The statements for one entity.

    Their tables are `incoming_<entity>` (the copied rows), `resolved_<entity>` (these rows with surrogate ids and their outcome), and the
    entity's table in the warehouse, whose current version of an instance is `c`.

    Args:
        entity: A description. Names come from our own declaration, never from data.
    """

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._table = f"warehouse.{entity.name}"
        self._resolved = f"resolved_{entity.name}"
        self._fields = [*entity.ids, *entity.fields]
        self._written = ", ".join([f"{entity.name}_id", "vendor", entity.key, *self._fields])
        self._set_id = entity.set_of.replace("_key", "_id") if entity.set_of else ""

    @cached_property
    def resolve(self) -> sa.TextClause:
        """Create the table of the incoming rows with surrogate ids and an `outcome`.

        The outcome is new, same, older (from a historical pull, of an older day, or requested earlier), or changed. A row of a partial
        table is "same" as soon as its key is stored.
        """
        entity, name, key = self._entity, self._entity.name, self._entity.key
        joins = "".join(
            f" left join warehouse.source_key k{n} on k{n}.entity = '{target}' and k{n}.vendor = :vendor"
            f" and k{n}.source_key = i.{column}"
            for n, (column, target) in enumerate(entity.references.items())
        )
        incoming = self._list_incoming()
        stored = ", ".join(f"c.{c}" for c in self._fields)
        arrived = ", ".join(incoming[c] for c in self._fields)
        newer = older = ""
        if self._set_id:
            newer = f"""
                left join (select distinct {self._set_id} as id from {self._table} where vendor = :vendor and valid_to is null
                           and recorded_to is null and (:past or valid_from > :day)) newer on newer.id = {incoming[self._set_id]}
            """  # noqa: S608
            older = f"when c.{key} is null and newer.id is not null then 'older'"
        return sa.text(f"""
            create temporary table {self._resolved} on commit drop as
            select me.id as {name}_id, :vendor as vendor, i.{key}, {", ".join(f"{incoming[c]} as {c}" for c in self._fields)},
                   c.valid_from as known_from,
                   case {older} when c.{key} is null then 'new'
                        when :partial or ({stored}) is not distinct from ({arrived}) then 'same'
                        when :past or c.valid_from > :day or written.extracted_at > :extracted_at and written.extracted_at <= {LATEST_START} then 'older'
                        else 'changed' end as outcome
            from incoming_{name} i
            join warehouse.source_key me on me.entity = '{name}' and me.vendor = :vendor and me.source_key = i.{key}
            left join {self._table} c on c.vendor = :vendor and c.{key} = i.{key} and {_IS_CURRENT}
            left join control.ledger written on written.ledger_id = c.source_run_id
            left join unnest(cast(:uncertain as text[])) as u(key) on u.key = i.{key}
            {joins}{newer}
        """)  # noqa: S608

    def _list_incoming(self) -> dict[str, str]:
        """Return the SQL value of each incoming column. A null keeps the stored value of a sticky column, and in an uncertain row."""
        entity = self._entity
        sources = {c: f"k{n}.id" for n, c in enumerate(entity.ids)} | {c: f"i.{c}" for c in entity.fields}
        return {
            c: f"coalesce({value}, c.{c})"
            if c in entity.sticky
            else f"case when u.key is null then {value} else coalesce({value}, c.{c}) end"
            for c, value in sources.items()
        }

    @cached_property
    def count(self) -> sa.TextClause:
        """Count the rows of each outcome."""
        return sa.text(f"""
            select count(*) filter (where outcome = 'new') as new, count(*) filter (where outcome = 'changed') as changed,
                   count(*) filter (where outcome = 'same') as same, count(*) filter (where outcome = 'older') as older
            from {self._resolved}
        """)  # noqa: S608

    @cached_property
    def close(self) -> sa.TextClause:
        """Close the current versions that changed."""
        key = self._entity.key
        return sa.text(f"""
            update {self._table} c set recorded_to = now() from {self._resolved} r
            where r.outcome = 'changed' and c.vendor = :vendor and c.{key} = r.{key} and {_IS_CURRENT}
        """)  # noqa: S608

    @cached_property
    def end(self) -> sa.TextClause:
        """Insert a copy of each version that `close` has closed, which ends on the business date."""
        key = self._entity.key
        columns = ", ".join(f"c.{c}" for c in [f"{self._entity.name}_id", "vendor", key, *self._fields])
        return sa.text(f"""
            insert into {self._table} ({self._written}, valid_from, valid_to, recorded_from, source_run_id)
            select {columns}, c.valid_from, :day, now(), :source_run_id
            from {self._table} c join {self._resolved} r on c.vendor = :vendor and c.{key} = r.{key}
            where r.outcome = 'changed' and c.recorded_to = now() and c.valid_to is null and c.valid_from < :day
        """)  # noqa: S608

    @cached_property
    def begin(self) -> sa.TextClause:
        """Insert the new and changed versions."""
        return sa.text(f"""
            insert into {self._table} ({self._written}, valid_from, recorded_from, source_run_id, is_past_only)
            select {self._written}, :day, now(), :source_run_id, :past from {self._resolved} where outcome in ('new', 'changed')
        """)  # noqa: S608

    @cached_property
    def confirm(self) -> sa.TextClause:
        """Mark instances that only a historical pull had listed as current."""
        key = self._entity.key
        return sa.text(f"""
            update {self._table} c set is_past_only = false from {self._resolved} r
            where c.is_past_only and c.vendor = :vendor and c.{key} = r.{key} and {_IS_CURRENT}
        """)  # noqa: S608

    @cached_property
    def leave(self) -> sa.TextClause:
        """End the members that are missing from their incoming set, unless a dead letter may describe them."""
        key = self._entity.key
        is_removed = f"""
            {_IS_CURRENT} and c.vendor = :vendor and c.valid_from <= :day
            and c.{self._set_id} in (select {self._set_id} from {self._resolved})
            and not exists (select from {self._resolved} r where r.{key} = c.{key}) and {is_unprotected(self._entity, "c")}
        """  # noqa: S608
        return sa.text(f"""
            with removed as (
                update {self._table} c set recorded_to = now() where {is_removed} returning c.*
            )
            insert into {self._table} ({self._written}, valid_from, valid_to, recorded_from, source_run_id)
            select {self._written}, valid_from, :day, now(), :source_run_id from removed where valid_from < :day
        """)  # noqa: S608

    @cached_property
    def end_excluded(self) -> sa.TextClause:
        """End the current versions of the entity that the loaded one excludes, record them as absent, and return their number.

        A key is of one of the two entities only: for example, a legal entity is not a person.
        """
        excluded = canonical.named(self._entity.excludes)
        table, ids = f"warehouse.{excluded.name}", excluded.ids
        written = ", ".join([f"{excluded.name}_id", "vendor", excluded.key, *ids, *excluded.fields, "is_past_only"])
        return sa.text(f"""
            with ended as (
                update {table} c set recorded_to = now() from {self._resolved} r
                where r.outcome <> 'older' and c.vendor = :vendor and c.{excluded.key} = r.{self._entity.key}
                  and {_IS_CURRENT} and c.valid_from <= :day
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
        """)  # noqa: S608
