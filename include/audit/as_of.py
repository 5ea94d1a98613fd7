"""Show what was known at a time: the fields of one record, or the firm's totals, each with the load that wrote it.

Each query reads personal data, so it is recorded in the audit trail before its result is returned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from include import canonical
from include.audit import trail
from include.errors import ConfigurationError, DataQualityError

Row = dict[str, Any]
_FIND = sa.text("select entity, vendor, source_key from warehouse.source_key where id = :id")
_ENTITIES = sa.text("""
select distinct entity from control.ledger where vendor = :vendor and table_name = :table and stage = 'load' order by entity
""")
_FIELDS = sa.text("""
select field, value, lower(valid) as valid_from, upper(valid) as valid_to, known_from, ledger_id
from mart.record_as_known(:entity, :vendor, :key, :at, :on) order by field
""")
_TOTALS = sa.text("""
select * from mart.firm_as_known(:at, coalesce(:first, date '-infinity'), coalesce(:last, date 'infinity'))
order by business_date, vendor, entity
""").bindparams(sa.bindparam("first", type_=sa.Date), sa.bindparam("last", type_=sa.Date))
_SOURCES = sa.text("""
select ledger_id, run_id, table_name, pulled, partition, calls, first_call_at, last_call_at, paths
from mart.load_source where ledger_id = any(:ids)
""")


@dataclass(frozen=True, slots=True)
class Record:
    """A vendor's record: canonical entity, vendor and the vendor's key."""

    entity: str
    vendor: str
    key: str


def find_record(engine: sa.Engine, record_id: int) -> Record:
    """Return the record with one of our ids (`warehouse.source_key.id`).

    Raises:
        DataQualityError: No record has this id.
    """
    with engine.connect() as connection:
        row = connection.execute(_FIND, {"id": record_id}).first()
    if row is None:
        raise DataQualityError("No record has this id", id=record_id)
    return Record(*row)


def find_entities(engine: sa.Engine, vendor: str, name: str) -> list[str]:
    """Return the canonical entities of a name: the entity with this name, or the entities loaded from the vendor's table.

    Raises:
        ConfigurationError: The name is neither an entity nor a table of the vendor from which rows were loaded.
    """
    if any(entity.name == name for entity in canonical.ENTITIES):
        return [name]
    with engine.connect() as connection:
        entities = list(connection.scalars(_ENTITIES, {"vendor": vendor, "table": name}))
    if not entities:
        raise ConfigurationError(
            "The name is neither an entity nor a loaded table of the vendor", vendor=vendor, name=name
        )
    return entities


def read_record(engine: sa.Engine, record: Record, at: datetime, on: date | None, reader: str) -> list[Row]:
    """Return the fields of a record as known at a time, each with the load that wrote its value.

    Args:
        engine: The database, as the reading role.
        record: The record.
        at: The fields are as known at this time.
        on: The fields are those of the version that is valid on this day; None for the newest version.
        reader: The person who reads, for the audit trail.

    Returns:
        One row per field, with the columns of `mart.record_as_known` and `mart.load_source`; empty if the record was not known then.
    """
    values = {"entity": record.entity, "vendor": record.vendor, "key": record.key, "at": at, "on": on}
    _record(engine, reader, f"{record.entity} {record.vendor} {record.key}", at, on=on)
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(_FIELDS, values).mappings()]
        sources = _read_sources(connection, (row["ledger_id"] for row in rows))
    return [row | sources.get(row["ledger_id"], {}) for row in rows]


def read_firm(engine: sa.Engine, at: datetime, first: date | None, last: date | None, reader: str) -> list[Row]:
    """Return the firm's totals by vendor and business date as known at a time, each with the loads that wrote its rows.

    Args:
        engine: The database, as the reading role.
        at: The totals are as known at this time.
        first: First business date; None for no limit.
        last: Last business date; None for no limit.
        reader: The person who reads, for the audit trail.

    Returns:
        One row per total, with the columns of `mart.firm_as_known`, and `sources`: the rows of `mart.load_source`, the oldest first.
    """
    _record(engine, reader, "firm", at, first=first, last=last)
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(_TOTALS, {"at": at, "first": first, "last": last}).mappings()]
        sources = _read_sources(connection, (each for row in rows for each in row["ledger_ids"]))
    return [row | {"sources": [sources[each] for each in row["ledger_ids"] if each in sources]} for row in rows]


def _read_sources(connection: sa.Connection, ledger_ids: Iterable[int]) -> dict[int, Row]:
    rows = connection.execute(_SOURCES, {"ids": sorted(set(ledger_ids))}).mappings()
    return {row["ledger_id"]: dict(row) for row in rows}


def _record(engine: sa.Engine, reader: str, subject: str, at: datetime, **days: date | None) -> None:
    details = {"at": at.isoformat()} | {name: day.isoformat() for name, day in days.items() if day}
    with engine.begin() as connection:
        trail.record(connection, reader, "as_of.read", subject, details)
