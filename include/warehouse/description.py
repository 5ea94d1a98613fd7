"""Descriptions into the warehouse: dimensions with two times.

A changed description ends the version before on the business date and begins a new one; a change on the same day
replaces it. What was known before stays, closed (`recorded_to`). A version that the vendor was asked for later is not undone
by one that it was asked for earlier, whichever was loaded first: a client's own run, while the day took hours.

A past date never writes a version of a thing that is already described: it only adds things never seen before, valid from
the day that we saw them, and marked (`is_past_only`) as none of today's until a pull of the present names them. Of a set
(the owners of an account) the thing is the set: who is new in one that is known by a later day, or to a past date, waits for
the present.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from include.business_dates import latest_closed
from include.canonical import Entity
from include.control.ledger import Counts, Pull
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
    """Loads the copied rows of a description; in the caller's transaction.

    Args:
        connection: With the temporary table `incoming_<entity>`.
        entity: A description.
        pull: Whose rows they are.
        source_run_id: Written on every new row.
        is_past: Whether the rows were pulled for a past date, and say nothing of what held then.
        uncertain: Keys of rows whose nulls are unknown, since a dead row of another table has the value: the stored value is kept.
        is_partial: Whether they only name what another table describes: they add, and change nothing.

    Returns:
        inserted, updated, unchanged and superseded; `withdrawn` counts members that left a set.

    Raises:
        TargetUnavailable: Another load changed the same rows meanwhile.
    """
    values: dict[str, Any] = {
        "vendor": pull.vendor,
        "source_run_id": source_run_id,
        "day": latest_closed(pull.extracted_at) if is_past else pull.business_date,
        "past": is_past,
        "partial": is_partial,
        "asked_at": pull.extracted_at,
        "uncertain": list(uncertain),
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
        raise TargetUnavailable("Another load changed the same rows meanwhile", entity=entity.name, pull=pull.pull_id)
    withdrawn = 0
    if entity.set_of and not is_past:
        protection.find(connection, entity, pull)
        withdrawn = connection.execute(sa.text(sql.leave), values).rowcount
    return Counts(
        inserted=counts["new"],
        updated=counts["changed"],
        unchanged=counts["same"],
        superseded=counts["older"],
        withdrawn=withdrawn,
    )


class _Statements:
    """The SQL, made from the entity's declaration; names come from it, values are bound."""

    def __init__(self, entity: Entity) -> None:
        name = entity.name
        table, this_id, key = f"warehouse.{name}", f"{name}_id", entity.key
        ids = [column.replace("_key", "_id") for column in entity.references]
        fields = [*ids, *entity.fields]
        written = ", ".join([this_id, "vendor", key, *fields])
        joins = "".join(
            f" left join warehouse.source_key k{n} on k{n}.entity = '{target}' and k{n}.vendor = :vendor"
            f" and k{n}.source_key = i.{column}"
            for n, (column, target) in enumerate(entity.references.items())
        )
        told = {c: f"k{n}.id" for n, c in enumerate(ids)} | {c: f"i.{c}" for c in entity.fields}
        incoming = {
            c: f"coalesce({value}, c.{c})"
            if c in entity.sticky
            else f"case when u.key is null then {value} else coalesce({value}, c.{c}) end"
            for c, value in told.items()
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
        # `fate` says what becomes of each row: new, same, older (a past date, an older day, asked for earlier), or changed.
        # What a row only names is the same as soon as it is known.
        self.resolve = f"""
            create temporary table resolved_{name} on commit drop as
            select me.id as {this_id}, :vendor as vendor, i.{key}, {", ".join(f"{incoming[c]} as {c}" for c in fields)},
                   c.valid_from as known_from,
                   case {older} when c.{key} is null then 'new'
                        when :partial or ({stored}) is not distinct from ({arrived}) then 'same'
                        when :past or c.valid_from > :day or written.extracted_at > :asked_at then 'older'
                        else 'changed' end as fate
            from incoming_{name} i
            join warehouse.source_key me on me.entity = '{name}' and me.vendor = :vendor and me.source_key = i.{key}
            left join {table} c on c.vendor = :vendor and c.{key} = i.{key} and c.valid_to is null and c.recorded_to is null
            left join control.ledger written on written.ledger_id = c.source_run_id
            left join unnest(cast(:uncertain as text[])) as u(key) on u.key = i.{key}
            {joins}{newer}
        """  # noqa: S608
        self.count = f"""
            select count(*) filter (where fate = 'new') as new, count(*) filter (where fate = 'changed') as changed,
                   count(*) filter (where fate = 'same') as same, count(*) filter (where fate = 'older') as older
            from resolved_{name}
        """  # noqa: S608
        current = "c.valid_to is null and c.recorded_to is null"
        self.close = f"""
            update {table} c set recorded_to = now() from resolved_{name} r
            where r.fate = 'changed' and c.vendor = :vendor and c.{key} = r.{key} and {current}
        """  # noqa: S608
        # The version just closed held until the business date: known again, with its end.
        self.end = f"""
            insert into {table} ({written}, valid_from, valid_to, recorded_from, source_run_id)
            select {", ".join(f"c.{c}" for c in [this_id, "vendor", key, *fields])}, c.valid_from, :day, now(), :source_run_id
            from {table} c join resolved_{name} r on c.vendor = :vendor and c.{key} = r.{key}
            where r.fate = 'changed' and c.recorded_to = now() and c.valid_to is null and c.valid_from < :day
        """  # noqa: S608
        self.begin = f"""
            insert into {table} ({written}, valid_from, recorded_from, source_run_id, is_past_only)
            select {written}, :day, now(), :source_run_id, :past from resolved_{name} where fate in ('new', 'changed')
        """  # noqa: S608
        self.confirm = f"""
            update {table} c set is_past_only = false from resolved_{name} r
            where c.is_past_only and c.vendor = :vendor and c.{key} = r.{key} and {current}
        """  # noqa: S608
        if not set_id:
            return
        gone = f"""
            {current} and c.vendor = :vendor and c.valid_from <= :day and c.{set_id} in (select {set_id} from resolved_{name})
            and not exists (select from resolved_{name} r where r.{key} = c.{key}) and {is_unprotected(entity, "c")}
        """  # noqa: S608
        self.leave = f"""
            with gone as (
                update {table} c set recorded_to = now() where {gone} returning c.*
            )
            insert into {table} ({written}, valid_from, valid_to, recorded_from, source_run_id)
            select {written}, valid_from, :day, now(), :source_run_id from gone where valid_from < :day
        """  # noqa: S608
