"""What a vendor's whole pull has no more: noted, never deleted. Somebody merged two households, or a filter was set."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from include.canonical import Entity
from include.contract import EntityMap, Vendor
from include.control.ledger import Pull


def is_whole(vendor: Vendor, entity: Entity, pull: Pull) -> bool:
    """Whether a pull names every one of a description's things: so that what it lacks is absent.

    A thing that only shows while somebody holds it (a security) is no less there when nobody does, and members of a set
    have a rule of their own.
    """
    [how, *others] = [m for m in vendor.maps if m.entity == entity.name]
    if others:  # each of several tables tells a part
        return False
    return pull.pulled == "present" and vendor.table(pull.table_name).pull != "window" and _names_all(how, entity)


def _names_all(how: EntityMap, entity: Entity) -> bool:
    return entity.kind == "description" and not how.merged and not how.dropped and not entity.set_of


def note(connection: sa.Connection, entity: Entity, pull: Pull, dead_keys: list[str]) -> int:
    """Notes what is missing from a whole pull, and forgets what is back; returns how many are missing now.

    Args:
        connection: With the temporary table `incoming_<entity>`.
        entity: A description; its key is the table's.
        pull: Whose rows they are.
        dead_keys: Rows that are dead letters now: unreadable, but not absent.
    """
    values: dict[str, Any] = {
        "vendor": pull.vendor, "entity": entity.name, "table": pull.table_name, "day": pull.business_date,
        "run_id": pull.run_id, "dead_keys": dead_keys,
    }  # fmt: skip
    connection.execute(
        sa.text(f"""
        delete from control.absence a using incoming_{entity.name} i
        where a.vendor = :vendor and a.entity = :entity and a.source_key = i.{entity.key}
        """),  # noqa: S608
        values,
    )
    connection.execute(
        sa.text(f"""
        insert into control.absence (vendor, entity, source_key, table_name, absent_since, run_id)
        select :vendor, :entity, c.{entity.key}, :table, :day, :run_id from warehouse.{entity.name} c
        where c.vendor = :vendor and c.valid_to is null and c.recorded_to is null and not c.is_past_only
          and not (c.{entity.key} = any(:dead_keys))
          and not exists (select from incoming_{entity.name} i where i.{entity.key} = c.{entity.key})
        on conflict (vendor, entity, source_key) do nothing
        """),  # noqa: S608
        values,
    )
    count = "select count(*) from control.absence where vendor = :vendor and entity = :entity"
    return int(connection.execute(sa.text(count), values).scalar_one())
