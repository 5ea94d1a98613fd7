"""Soft deletes: record keys missing from a full pull; never delete rows. The cause may also be a merge at the vendor, or a filter."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from include.canonical import Entity
from include.contract import FanOut, Vendor
from include.control.ledger import LATEST_START, Pull
from include.warehouse import protection
from include.warehouse.protection import is_unprotected

NOT_FOUND = 404

# The entities that dead letters of this run describe in the parent tables: the child rows of a dead parent row were never requested.
_DEAD_ABOVE = """
create temporary table dead_above on commit drop as
select distinct k.entity, k.id, not exists (select from jsonb_array_elements(l.describes) e where e ? 'key') as is_any
from control.dead_letter l
cross join jsonb_to_recordset(l.describes) as d(entity text, key text)
left join warehouse.source_key k on k.entity = d.entity and k.vendor = l.vendor and k.source_key = d.key
where l.run_id = :run_id and l.vendor = :vendor and l.table_name = any(:tables) and l.status = 'open'
"""


def is_whole(vendor: Vendor, entity: Entity, pull: Pull) -> bool:
    """Return whether a pull lists every instance of a description, so that an instance missing from it is missing at the vendor.

    True only for a current pull that is not a window. Always false for:

    - instances that are listed only while they are held (securities)
    - members of a set (the owners of an account), which have a rule of their own
    - tables for which the vendor may report a row as not available yet

    Rows that a map drops because they are not instances of the entity (a group among accounts) make no difference.
    """
    [is_merged] = [m.merged for m in vendor.maps if (m.entity, m.table) == (entity.name, pull.table_name)]
    table = vendor.table(pull.table_name)
    may_wait = isinstance(table.shape, FanOut) and set(table.shape.missing) > {NOT_FOUND}
    return pull.pulled == "current" and table.pull != "window" and not (is_merged or entity.set_of or may_wait)


def end(connection: sa.Connection, entity: Entity, pull: Pull) -> None:
    """End the absence of keys that the pull lists again. The pull's keys are in the temporary table `incoming_<entity>`."""
    connection.execute(
        sa.text(f"""
        with ended as (
            delete from control.absence a using incoming_{entity.name} i
            where a.vendor = :vendor and a.entity = :entity and a.source_key = i.{entity.key} returning a.*
        )
        insert into control.past_absence (vendor, entity, source_key, absent_since, noted_at)
        select vendor, entity, source_key, absent_since, noted_at from ended
        """),  # noqa: S608
        {"vendor": pull.vendor, "entity": entity.name},
    )


def record(connection: sa.Connection, vendor: Vendor, entity: Entity, pull: Pull) -> int:
    """Record the stored keys that are missing from a full pull; return the number of all absent keys of the entity.

    A stored row counts as missing only if:

    - the same table wrote it last, in a pull that is not newer than this one
    - no open dead letter may describe it
    - its parent row is not a dead letter of this run

    Args:
        connection: With the temporary table `incoming_<entity>`.
        vendor: The declaration.
        entity: A description.
        pull: The pull that was copied.
    """
    protection.find(connection, entity, pull)
    connection.execute(sa.text("drop table if exists pg_temp.dead_above"))
    values: dict[str, Any] = {
        "vendor": pull.vendor, "entity": entity.name, "table": pull.table_name, "day": pull.business_date,
        "run_id": pull.run_id, "extracted_at": pull.extracted_at, "tables": _list_ancestors(vendor, pull.table_name),
    }  # fmt: skip
    connection.execute(sa.text(_DEAD_ABOVE), values)
    is_below_dead = " or ".join(
        [
            "d.is_any",
            *(
                f"d.entity = '{target}' and d.id = c.{column.replace('_key', '_id')}"
                for column, target in entity.references.items()
            ),
        ]
    )
    connection.execute(
        sa.text(f"""
        insert into control.absence (vendor, entity, source_key, table_name, absent_since, run_id)
        select :vendor, :entity, c.{entity.key}, :table, :day, :run_id from warehouse.{entity.name} c
        where c.vendor = :vendor and c.valid_to is null and c.recorded_to is null and not c.is_past_only
          and {is_unprotected(entity, "c")} and not exists (select from dead_above d where {is_below_dead})
          and exists (select from control.ledger l where l.ledger_id = c.source_run_id and l.table_name = :table
                                                     and (l.extracted_at <= :extracted_at or l.extracted_at > {LATEST_START}))
          and not exists (select from incoming_{entity.name} i where i.{entity.key} = c.{entity.key})
        on conflict (vendor, entity, source_key) do nothing
        """),  # noqa: S608
        values,
    )
    count = "select count(*) from control.absence where vendor = :vendor and entity = :entity"
    return int(connection.execute(sa.text(count), values).scalar_one())


def _list_ancestors(vendor: Vendor, table: str) -> list[str]:
    """Return the parent of a table, the parent's parent, and so on; empty if its requests don't depend on another table."""
    ancestors: list[str] = []
    while table := vendor.table(table).parent:
        ancestors.append(table)
    return ancestors
