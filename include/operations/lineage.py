"""The lineage of a record: back to the load, the run, the partition and the vendor's calls; forward to identity, findings and Salesforce.

The rows show clients. The caller records in the audit trail who reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa

from include import canonical
from include.audit.as_of import Record
from include.vendors import VENDORS

MOST_CALLS = 200
"""Maximum number of calls that are listed for a load."""
PORTFOLIO = {"household", "person", "legal_entity", "account"}
"""Entities with balances."""

_SEARCH = sa.text("select * from mart.lineage_search(:text)")
_FIND = sa.text("select * from mart.lineage_find(:id, :external_key)")
_VERSIONS = sa.text("select * from mart.lineage_version(:entity, :vendor, :key, :day, :at)")
_CLUSTER = sa.text("select * from mart.lineage_cluster(:id, :at)")
_SALESFORCE = sa.text("select * from mart.lineage_salesforce(:records)")
_FINDINGS = sa.text("select * from mart.lineage_finding(:ids)")
_BALANCE = sa.text("select * from mart.lineage_balance(:entity, :id, :day, :at)")
_NET_WORTH = sa.text("select * from mart.lineage_net_worth(:id, :at)")
_WRITTEN = sa.text("select * from mart.lineage_load(:ledger_id, :offset, :limit)")
_NEWEST_DAY = sa.text("""
select business_date from control.ledger where vendor = :vendor and stage = 'load' and pulled in ('current', 'historical')
order by business_date desc limit 1
""")
_LOADS = sa.text("""
select l.*, format('%s/%s/%s/%s', vendor, table_name, business_date, pull_id) as partition
from control.ledger l where ledger_id = any(:ids)
""")
_CALLS = sa.text("""
select called_at, method, path, status, latency_ms, correlation_id from control.api_call
where run_id = :run_id and vendor = :vendor and table_name = :table_name order by called_at limit :most
""")
_LOADS_OF_RUN = sa.text("""
select ledger_id, vendor, table_name, entity, business_date, pulled, stage, inserted, updated, unchanged, withdrawn, sent, failed, recorded_at
from control.ledger where run_id = :run_id and stage in ('load', 'crm') order by ledger_id limit 1000
""")
_LOADS_OF_PARTITION = sa.text("""
select ledger_id, entity, run_id, pulled, pull_id, recorded_at from control.ledger
where vendor = :vendor and table_name = :table and business_date = :day and stage = 'load' order by ledger_id desc limit 200
""")
_DEAD = sa.text("""
select dead_letter_id, stage, reasons, status, describes, died_at, run_id from control.dead_letter_row
where vendor = :vendor and table_name = :table and row_key = :key order by dead_letter_id desc limit 100
""")

_Rows = Sequence[sa.RowMapping]


@dataclass(frozen=True, slots=True)
class Load:
    """A load: its ledger row, with `partition`, and the vendor's calls that its run made for the table."""

    ledger: sa.RowMapping
    calls: _Rows


@dataclass(frozen=True, slots=True)
class Lineage:
    """The lineage of a record: its sources, and the findings and Salesforce records derived from it.

    Attributes:
        record: The record.
        day: The business date of its balances; for a snapshot, of its versions.
        versions: The versions that were known at the time, the newest first.
        load: The load that wrote the newest of them; None if there is none.
        row_key: Key of the row of the load's partition; None if the record's key is not that of a row.
        cluster: The records that are the same, itself included; empty for a record without an id.
        parts: The rows of which its balances on the day consist.
        net_worth: The rows of which the net worth of a household consists, and those that are not counted, because another record of the
            account is (`counted_key`).
        findings: The findings about it.
        salesforce: Its Salesforce records, with the state that was accepted last.
    """

    record: Record
    day: date | None
    versions: _Rows
    load: Load | None
    row_key: str | None
    cluster: _Rows
    parts: _Rows
    net_worth: _Rows
    findings: _Rows
    salesforce: _Rows

    def sum_parts(self, entity: str) -> Decimal | None:
        """Return the sum of the balance's rows of one entity, in dollars and cents, rounded as `mart.aum_by_household` does."""
        return _sum(row for row in self.parts if row["entity"] == entity)

    @property
    def net_worth_usd(self) -> Decimal | None:
        """The net worth of a household, in dollars and cents, rounded as `mart.net_worth` does."""
        return _sum(row for row in self.net_worth if row["counted_key"] is None)


def _sum(rows: Iterable[sa.RowMapping]) -> Decimal | None:
    """Return the sum of the rows' values, as the marts do: 0 without rows, and None if no row has a value."""
    values = [row["value_usd"] for row in rows]
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)).quantize(Decimal("0.01"), "ROUND_HALF_UP") if known or not values else None


@dataclass(frozen=True, slots=True)
class RowLineage:
    """The outcome of one row of a vendor's table on one business date: loads, records and dead letters.

    Attributes:
        loads: The loads of the table and day, the newest first.
        records: The records with the row's key.
        dead_letters: The dead letters of the row, of all days.
    """

    loads: _Rows
    records: tuple[Record, ...]
    dead_letters: _Rows


def search(connection: sa.Connection, text: str) -> _Rows:
    """Return the records that match a text: a part of a name, a vendor's key, or the id or key of a Salesforce record; at most 50 of each kind."""
    return connection.execute(_SEARCH, {"text": text.strip()}).mappings().all()


def find_record(connection: sa.Connection, record_id: int | None, external_key: str | None) -> Record | None:
    """Return the record with one of our ids, or the one that the external key of a Salesforce record identifies; None if there is none."""
    row = connection.execute(_FIND, {"id": record_id, "external_key": external_key}).first()
    return None if row is None else Record(*row)


def read_lineage(connection: sa.Connection, record: Record, day: date | None, at: datetime) -> Lineage:
    """Return the lineage of a record as known at a time.

    Args:
        connection: The database, as the role of the pages.
        record: The record.
        day: The business date of the balances, and of a snapshot; None for the newest loaded day of the vendor.
        at: Versions, identity and balances are as known at this time. Findings and Salesforce are as they are now.
    """
    day = day or connection.scalar(_NEWEST_DAY, {"vendor": record.vendor})
    of = {"entity": record.entity, "vendor": record.vendor, "key": record.key, "day": day, "at": at}
    versions = connection.execute(_VERSIONS, of).mappings().all()
    newest = versions[0] if versions else None
    loads = read_loads(connection, [newest["ledger_id"]]) if newest else []
    record_id = newest["id"] if newest else None
    cluster = _read(connection, _CLUSTER, id=record_id, at=at) if record_id else []
    has_balance = record.entity in PORTFOLIO and record_id and day
    about = [each["id"] for each in cluster] or ([newest["account_id"]] if newest and newest["account_id"] else [])
    return Lineage(
        record,
        day,
        versions,
        loads[0] if loads else None,
        find_row_key(record, loads[0].ledger["table_name"]) if loads else None,
        cluster,
        _read(connection, _BALANCE, entity=record.entity, id=record_id, day=day, at=at) if has_balance else [],
        _read(connection, _NET_WORTH, id=record_id, at=at) if has_balance else [],
        _read(connection, _FINDINGS, ids=about) if about else [],
        _read(connection, _SALESFORCE, records=_list_keys(connection, record, cluster, about, at)),
    )


def find_row_key(record: Record, table_name: str) -> str | None:
    """Return the key of the row from which a record was made in a vendor's table; None if records and rows have different keys."""
    vendor = next((each for each in VENDORS if each.name == record.vendor), None)
    table = next((each for each in vendor.tables if each.name == table_name), None) if vendor else None
    if vendor is None or table is None:
        return None
    maps = (each for each in vendor.maps if each.entity == record.entity and each.table == table_name)
    columns = [each.columns.get(canonical.named(record.entity).key) for each in maps]
    return record.key if columns == [table.key[0]] and len(table.key) == 1 else None


def _list_keys(
    connection: sa.Connection, record: Record, cluster: _Rows, about: Sequence[int], at: datetime
) -> list[str]:
    """Return the keys of the records under which Salesforce may hold the record: its own, and those of its cluster or its account."""
    others = cluster or [row for each in about for row in _read(connection, _CLUSTER, id=each, at=at)]
    keys = [f"{row['vendor']}:{row['entity']}:{row['source_key']}" for row in others]
    return list(dict.fromkeys([f"{record.vendor}:{record.entity}:{record.key}", *keys]))


def _read(connection: sa.Connection, query: sa.TextClause, **values: object) -> _Rows:
    return connection.execute(query, values).mappings().all()


def read_loads(connection: sa.Connection, ledger_ids: Sequence[int]) -> list[Load]:
    """Return loads, each with the calls of its run for the table; ids that are not in the ledger are left out."""
    return [
        Load(row, _read(connection, _CALLS, run_id=row["run_id"], vendor=row["vendor"], table_name=row["table_name"], most=MOST_CALLS))
        for row in _read(connection, _LOADS, ids=list(ledger_ids))
    ]  # fmt: skip


def read_written(connection: sa.Connection, ledger_id: int, offset: int, limit: int) -> _Rows:
    """Return a part of the records that a load wrote, in the order of their keys."""
    return _read(connection, _WRITTEN, ledger_id=ledger_id, offset=offset, limit=limit)


def read_loads_of_run(connection: sa.Connection, run_id: str) -> _Rows:
    """Return the ledger rows of a run's loads and of its syncs of Salesforce."""
    return _read(connection, _LOADS_OF_RUN, run_id=run_id)


def read_row(connection: sa.Connection, vendor: str, table: str, day: date, key: str, at: datetime) -> RowLineage:
    """Return the loads, records and dead letters of one row of a vendor's table.

    Args:
        connection: The database, as the role of the pages.
        vendor: Name of the vendor.
        table: Name of the table.
        day: The business date.
        key: The row's key, as in dead letters.
        at: The records are those known at this time.
    """
    of = {"vendor": vendor, "table": table, "day": day, "key": key}
    loads = _read(connection, _LOADS_OF_PARTITION, **of)
    entities = dict.fromkeys(row["entity"] for row in loads) or [entity.name for entity in canonical.ENTITIES]
    known = (Record(entity, vendor, key) for entity in entities)
    records = (
        record
        for record in known
        if _read(connection, _VERSIONS, entity=record.entity, vendor=vendor, key=key, day=day, at=at)
    )
    return RowLineage(loads, tuple(records), _read(connection, _DEAD, **of))
