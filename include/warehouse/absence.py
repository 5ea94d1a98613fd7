"""What a vendor's whole pull has no more: noted, never deleted. Somebody merged two households, or a filter was set."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from include.canonical import Entity
from include.contract import FanOut, Vendor
from include.control.ledger import Pull

NOT_FOUND = 404

_DEAD = sa.text("""
select distinct row_key from control.dead_letter where run_id = :run_id and vendor = :vendor and table_name = any(:tables)
""")


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


def find_dead(connection: sa.Connection, vendor: Vendor, pull: Pull) -> list[str] | None:
    """Returns the keys of rows that this run could not read, of a pull's table and of those by whose rows it is asked.

    Returns:
        The keys; what is one of these, or belongs to one, may be there all the same. None where a row has not even a key.
    """
    tables, above = [pull.table_name], vendor.table(pull.table_name).over
    while above:
        tables.append(above)
        above = vendor.table(above).over
    values = {"run_id": pull.run_id, "vendor": pull.vendor, "tables": tables}
    keys = list(connection.scalars(_DEAD, values))
    return None if None in keys else keys


def forget(connection: sa.Connection, entity: Entity, pull: Pull) -> None:
    """Forgets what was absent and is back; with the temporary table `incoming_<entity>`."""
    connection.execute(
        sa.text(f"""
        delete from control.absence a using incoming_{entity.name} i
        where a.vendor = :vendor and a.entity = :entity and a.source_key = i.{entity.key}
        """),  # noqa: S608
        {"vendor": pull.vendor, "entity": entity.name},
    )


def note(connection: sa.Connection, entity: Entity, pull: Pull, dead_keys: list[str]) -> int:
    """Notes what is missing from a whole pull of what its table told last, and not later; returns how many are absent now.

    Args:
        connection: With the temporary table `incoming_<entity>`.
        entity: A description.
        pull: Whose rows they are.
        dead_keys: Rows that are dead letters now: what is one of them, or belongs to one, is not absent.
    """
    theirs = " or ".join(
        f"k.entity = '{target}' and k.id = c.{column.replace('_key', '_id')}"
        for column, target in entity.references.items()
    )
    values: dict[str, Any] = {
        "vendor": pull.vendor, "entity": entity.name, "table": pull.table_name, "day": pull.business_date,
        "run_id": pull.run_id, "asked_at": pull.extracted_at, "dead_keys": dead_keys,
    }  # fmt: skip
    connection.execute(
        sa.text(f"""
        insert into control.absence (vendor, entity, source_key, table_name, absent_since, run_id)
        select :vendor, :entity, c.{entity.key}, :table, :day, :run_id from warehouse.{entity.name} c
        where c.vendor = :vendor and c.valid_to is null and c.recorded_to is null and not c.is_past_only
          and not (c.{entity.key} = any(:dead_keys))
          and not exists (select from warehouse.source_key k
                          where k.vendor = :vendor and k.source_key = any(:dead_keys) and ({theirs or "false"}))
          and exists (select from control.ledger l where l.ledger_id = c.source_run_id and l.table_name = :table
                                                     and l.extracted_at <= :asked_at)
          and not exists (select from incoming_{entity.name} i where i.{entity.key} = c.{entity.key})
        on conflict (vendor, entity, source_key) do nothing
        """),  # noqa: S608
        values,
    )
    count = "select count(*) from control.absence where vendor = :vendor and entity = :entity"
    return int(connection.execute(sa.text(count), values).scalar_one())
