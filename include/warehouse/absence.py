"""What a vendor's whole pull has no more: noted, never deleted. Somebody merged two households, or a filter was set."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from include.canonical import Entity
from include.contract import FanOut, Vendor
from include.control.ledger import Pull
from include.warehouse import protection
from include.warehouse.protection import is_unprotected

NOT_FOUND = 404

# What the rows describe that this run could not read, of the tables by whose rows another is requested.
_DEAD_ABOVE = """
create temporary table dead_above on commit drop as
select distinct k.entity, k.id, not exists (select from jsonb_array_elements(l.describes) e where e ? 'key') as is_any
from control.dead_letter l
cross join jsonb_to_recordset(l.describes) as d(entity text, key text)
left join warehouse.source_key k on k.entity = d.entity and k.vendor = l.vendor and k.source_key = d.key
where l.run_id = :run_id and l.vendor = :vendor and l.table_name = any(:tables) and l.status = 'open'
"""


def is_whole(vendor: Vendor, entity: Entity, pull: Pull) -> bool:
    """Whether a pull names every one of a description's things that its table tells of: so that what it lacks is absent.

    A thing that only shows while somebody holds it (a security) is no less there when nobody does, nor one of which the vendor
    says that it can't be told yet; members of a set have a rule of their own. A row that is none of them is not counted among
    them: an account's group, an expense that is no goal.
    """
    [is_merged] = [m.merged for m in vendor.maps if (m.entity, m.table) == (entity.name, pull.table_name)]
    table = vendor.table(pull.table_name)
    may_wait = isinstance(table.shape, FanOut) and set(table.shape.missing) > {NOT_FOUND}
    return pull.pulled == "present" and table.pull != "window" and not (is_merged or entity.set_of or may_wait)


def forget(connection: sa.Connection, entity: Entity, pull: Pull) -> None:
    """Forgets what was absent and is back; with the temporary table `incoming_<entity>`."""
    connection.execute(
        sa.text(f"""
        delete from control.absence a using incoming_{entity.name} i
        where a.vendor = :vendor and a.entity = :entity and a.source_key = i.{entity.key}
        """),  # noqa: S608
        {"vendor": pull.vendor, "entity": entity.name},
    )


def note(connection: sa.Connection, vendor: Vendor, entity: Entity, pull: Pull) -> int:
    """Notes what is missing from a whole pull of what its table told last, and not later; returns how many are absent now.

    What a dead row may describe is not absent, nor what belongs to a thing of which the row could not be read in this run.

    Args:
        connection: With the temporary table `incoming_<entity>`.
        vendor: The declaration.
        entity: A description.
        pull: Whose rows they are.
    """
    protection.find(connection, entity, pull)
    connection.execute(sa.text("drop table if exists pg_temp.dead_above"))
    values: dict[str, Any] = {
        "vendor": pull.vendor, "entity": entity.name, "table": pull.table_name, "day": pull.business_date,
        "run_id": pull.run_id, "asked_at": pull.extracted_at, "tables": _tables_above(vendor, pull.table_name),
    }  # fmt: skip
    connection.execute(sa.text(_DEAD_ABOVE), values)
    theirs = " or ".join(
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
          and {is_unprotected(entity, "c")} and not exists (select from dead_above d where {theirs})
          and exists (select from control.ledger l where l.ledger_id = c.source_run_id and l.table_name = :table
                                                     and l.extracted_at <= :asked_at)
          and not exists (select from incoming_{entity.name} i where i.{entity.key} = c.{entity.key})
        on conflict (vendor, entity, source_key) do nothing
        """),  # noqa: S608
        values,
    )
    count = "select count(*) from control.absence where vendor = :vendor and entity = :entity"
    return int(connection.execute(sa.text(count), values).scalar_one())


def _tables_above(vendor: Vendor, table: str) -> list[str]:
    """The tables by whose rows a table is requested, the nearest first."""
    above: list[str] = []
    while table := vendor.table(table).over:
        above.append(table)
    return above
