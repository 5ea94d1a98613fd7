"""Protect stored rows that an open dead letter may describe: an unreadable row does not prove that the stored row was removed."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa

from include.canonical import Entity
from include.control.ledger import Pull

_FIND = """
create temporary table protected on commit drop as
select distinct d.key, p.id as parent_id, d.key is null and d.parent is null as is_any
from control.dead_letter l
cross join jsonb_to_recordset(l.describes) as d(entity text, key text, parent text)
left join warehouse.source_key p on p.entity = :parent and p.vendor = l.vendor and p.source_key = d.parent
where l.vendor = :vendor and l.status = 'open' and (d.entity = :entity or d.entity = '*' and l.table_name = :table_name)
  and (not :own_day or l.business_date = :business_date)
"""


def find(connection: sa.Connection, entity: Entity, pull: Pull) -> None:
    """Create the temporary table `protected`, which lists the rows of an entity that an open dead letter may describe.

    Each entry protects one key, all rows of one parent (`parent_id`), or every row (`is_any`). For a snapshot, only dead letters of the
    pull's business date count.
    """
    connection.execute(sa.text("drop table if exists pg_temp.protected"))
    connection.execute(
        sa.text(_FIND),
        asdict(pull) | {"entity": entity.name, "parent": entity.parent, "own_day": entity.kind == "snapshot"},
    )
    connection.execute(sa.text("analyze protected"))


def is_unprotected(entity: Entity, row: str) -> str:
    """Return the SQL condition that no entry of `protected` covers a stored row; `row` is the alias of the stored row's table.

    A protected key also covers keys that begin with it and a colon. They belong to rows derived from the same vendor row, such as
    the cash leg of a transaction.
    """
    of_parent = f" or p.parent_id = {row}.{entity.parent}_id" if entity.parent else ""
    return (
        f"not exists (select from protected p where p.is_any or p.key = {row}.{entity.key}"
        f" or starts_with({row}.{entity.key}, p.key || ':'){of_parent})"
    )
