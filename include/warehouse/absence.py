"""What a vendor's whole pull has no more: noted, never deleted. Somebody merged two households, or a filter was set."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from include.canonical import Entity
from include.contract import FanOut, Vendor
from include.control.ledger import Pull

NOT_FOUND = 404


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


def note(connection: sa.Connection, entity: Entity, pull: Pull, dead_keys: list[str]) -> int:
    """Notes what is missing from a whole pull of what its table told last, and forgets what is back; returns how many are now.

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
          and exists (select from control.ledger l where l.ledger_id = c.source_run_id and l.table_name = :table)
          and not exists (select from incoming_{entity.name} i where i.{entity.key} = c.{entity.key})
        on conflict (vendor, entity, source_key) do nothing
        """),  # noqa: S608
        values,
    )
    count = "select count(*) from control.absence where vendor = :vendor and entity = :entity"
    return int(connection.execute(sa.text(count), values).scalar_one())
