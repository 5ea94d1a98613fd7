"""The ledger: one row per step with its input and output counts. The database rejects a row whose counts do not balance.

The balance rules are constraints of `control.ledger`. A load's ledger row commits in the same transaction as its data, and its id is
the `source_run_id` of every warehouse row that the load wrote.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from include.errors import BalanceError, FatalError
from include.staging.reference import partition_path, split_path


@dataclass(frozen=True, slots=True)
class Pull:
    """The pull of a table that a ledger row is about.

    Attributes:
        run_id: The run that made the pull.
        business_date: The day that the data is about.
        pull_id: Id of the pull, which is part of the partition's path.
        pulled: Kind of pull: `current`, `historical`, `selected` or `pushed`; see `include.staging.partitions.Manifest`.
        extracted_at: When the pull started.
        window_to: End of the pull's edit window; None if there was none.
        manifest_hash: SHA-256 of the partition's manifest; None if the pull has no partition, as for Salesforce.
    """

    run_id: str
    vendor: str
    table_name: str
    business_date: date
    pull_id: str
    pulled: str
    extracted_at: datetime
    window_to: datetime | None = None
    manifest_hash: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether this is a pull of the whole table (or edit window), not of selected keys or pushed rows."""
        return self.pulled in ("current", "historical")


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of one step. Counts that do not apply to the step stay 0. Money is in dollars; None if the step has no money."""

    fetched: int = 0
    staged: int = 0
    duplicate: int = 0
    dead: int = 0
    split: int = 0
    produced: int = 0
    merged: int = 0
    dropped: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    withdrawn: int = 0
    sent: int = 0
    created: int = 0
    failed: int = 0
    unprocessed: int = 0
    money_in: Decimal | None = None
    money_out: Decimal | None = None
    dead_money_usd: Decimal | None = None
    dead_money_unreadable: int = 0
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


_COLUMNS = ("ledger_id", *Pull.__dataclass_fields__, "entity", "stage", "firm_hash", *Counts.__dataclass_fields__)
_INSERT = sa.text(
    f"insert into control.ledger ({', '.join(_COLUMNS)}) values ({', '.join(f':{c}' for c in _COLUMNS)})"  # noqa: S608
    " on conflict (pull_id, vendor, table_name, entity, business_date, stage) do nothing returning ledger_id"
)
_FIND = sa.text("""
select * from control.ledger
where pull_id = :pull_id and vendor = :vendor and table_name = :table_name and entity = :entity
  and business_date = :business_date and stage = :stage
""")
_MANIFEST_HASHES = sa.text("""
select distinct manifest_hash from control.ledger
where pull_id = :pull_id and vendor = :vendor and table_name = :table_name and business_date = cast(:business_date as date)
  and manifest_hash is not null
""")
LATEST_START = "now() + interval '5 minutes'"
"""SQL expression: the latest time at which a pull can have started. A later `extracted_at` was recorded under a wrong clock.

It never makes its pull the newer one. Otherwise, corrections would be refused until the clock has caught up.
"""
IS_LOADED = """
exists (select from control.ledger l
        where l.run_id = s.run_id and l.vendor = s.vendor and l.business_date = s.business_date and l.stage = 'load'
          and (l.pulled = 'pushed') = (s.pulled = 'pushed')  -- another DAG may have a run of the same id
          and l.recorded_at > s.recorded_at)
"""
"""SQL condition: after the step `s` staged a table, its run loaded any table. Some tables are loaded through another table."""
LAST_PARTITIONS = """
select distinct on (vendor, table_name) vendor, table_name,
       vendor || '/' || table_name || '/' || business_date || '/' || pull_id as partition
from control.ledger where stage = 'load' and pulled = 'current'
order by vendor, table_name, business_date desc, ledger_id desc
"""
"""SQL query: of each table, the last loaded partition whose pull was `current`, as a path below the staging root."""
# Earlier days for which the table was staged and loaded.
_LOADED_DAYS = f"""
select distinct on (s.business_date) s.business_date, s.pull_id, s.staged
from control.ledger s
where s.vendor = :vendor and s.table_name = :table_name and s.stage = 'stage' and s.pulled = any(cast(:kinds as text[]))
  and s.business_date < :business_date and {IS_LOADED}
order by s.business_date desc, s.recorded_at desc
"""  # noqa: S608


def take_id(connection: sa.Connection) -> int:
    """Return a new id for a ledger row that will be recorded later, so that data can already contain it as `source_run_id`."""
    return int(connection.scalar(sa.text("select nextval('control.ledger_id')")) or 0)


def record(
    connection: sa.Connection, pull: Pull, stage: str, counts: Counts, entity: str = "", ledger_id: int | None = None
) -> int:
    """Record a step. If the step was recorded before, its first row stays unchanged.

    Args:
        connection: An open transaction. Its engine has the hash of the firm's folder in force (`include.warehouse.schema.engine`).
        pull: The pull that the step processed.
        stage: stage, validate, transform, load or crm.
        counts: The step's input and output counts.
        entity: Canonical entity, for transform and load.
        ledger_id: Id from `take_id`; None takes a new one.

    Returns:
        Id of the step's row.

    Raises:
        BalanceError: Rows or money do not add up.
    """
    values = asdict(pull) | asdict(counts) | {"entity": entity, "stage": stage, "notes": json.dumps(counts.notes)}
    values["ledger_id"] = take_id(connection) if ledger_id is None else ledger_id
    values["firm_hash"] = connection.get_execution_options().get("firm_hash")
    try:
        written = connection.scalar(_INSERT, values)
    except sa.exc.IntegrityError:
        raise BalanceError(
            "The step does not balance; nothing was committed",
            vendor=pull.vendor, table=pull.table_name, business_date=pull.business_date, stage=stage,
            counts={name: value for name, value in asdict(counts).items() if value},
        ) from None  # fmt: skip
    return int(written if written is not None else find(connection, pull, stage, entity)["ledger_id"])


def find(connection: sa.Connection, pull: Pull, stage: str, entity: str = "") -> dict[str, Any]:
    """Return the row of a pull's step as a dict; empty if it was not recorded."""
    row = connection.execute(_FIND, asdict(pull) | {"entity": entity, "stage": stage}).mappings().first()
    return dict(row) if row else {}


def require_manifest(engine: sa.Engine, path: str, manifest_hash: str) -> None:
    """Compare a partition's manifest with the one that its steps recorded. The ledger can't be changed by the loading role.

    Args:
        engine: The database.
        path: Path of the partition below the staging root.
        manifest_hash: SHA-256 of the manifest that is there now.

    Raises:
        FatalError: It is not the manifest that was staged. Someone who has the staging key altered or exchanged the partition.
    """
    with engine.connect() as connection:
        recorded = connection.scalars(_MANIFEST_HASHES, split_path(path)).all()
    if any(each != manifest_hash for each in recorded):
        raise FatalError(
            "The partition is not the one that was staged: its manifest differs from the ledger. Investigate who changed it, then pull"
            " it again",
            partition=path,
        )


def find_last_window(engine: sa.Engine, vendor: str, table: str, now: datetime) -> datetime | None:
    """Return the end of the newest edit window of a table that was loaded; None if there was none. The next window starts from it.

    Windows that end after `now` are ignored. A wrong clock recorded them, and a window that starts there would miss edits.
    """
    with engine.connect() as connection:
        newest: datetime | None = connection.scalar(
            sa.text("""
            select max(window_to) from control.ledger
            where vendor = :vendor and table_name = :table and stage = 'load' and pulled = 'current'
              and window_to <= :now
            """),
            {"vendor": vendor, "table": table, "now": now},
        )
    return newest


def find_most_fetched(engine: sa.Engine, vendor: str, table: str) -> int | None:
    """Return the number of rows that the table's largest loaded pull fetched; None if no pull was loaded."""
    with engine.connect() as connection:
        most: int | None = connection.scalar(
            sa.text("""
            select max(s.fetched) from control.ledger s
            where s.vendor = :vendor and s.table_name = :table and s.stage = 'stage'
              and exists (select from control.ledger l where l.pull_id = s.pull_id and l.stage = 'load')
            """),
            {"vendor": vendor, "table": table},
        )
    return most


def find_earlier_partitions(engine: sa.Engine, pull: Pull) -> list[str]:
    """Return the paths of the table's partitions of the last two loaded days before a pull, the newest first.

    There is no age limit, because some tables are pulled quarterly.
    """
    query = f"select business_date, pull_id from ({_LOADED_DAYS}) days order by business_date desc limit 2"  # noqa: S608
    with engine.connect() as connection:
        rows = connection.execute(sa.text(query), asdict(pull) | {"kinds": ["current", "historical"]})
        return [partition_path(pull.vendor, pull.table_name, *row) for row in rows]


def count_recent_rows(engine: sa.Engine, pull: Pull) -> list[int]:
    """Return the numbers of rows staged on the last five loaded days before a pull, the newest first; only pulls of the same kind."""
    query = f"select staged from ({_LOADED_DAYS}) days order by business_date desc limit 5"  # noqa: S608
    with engine.connect() as connection:
        return list(connection.scalars(sa.text(query), asdict(pull) | {"kinds": [pull.pulled]}))


def find_newer_load(connection: sa.Connection, pull: Pull) -> datetime | None:
    """Return `extracted_at` of the newest loaded full pull of the same table and day, if it is newer than this pull; else None."""
    newer: datetime | None = connection.scalar(
        sa.text(f"""
        select max(extracted_at) from control.ledger
        where vendor = :vendor and table_name = :table_name and business_date = :business_date
          and stage = 'load' and pulled in ('current', 'historical') and extracted_at > :extracted_at and extracted_at <= {LATEST_START}
        """),  # noqa: S608
        asdict(pull),
    )
    return newer


@dataclass(frozen=True, slots=True)
class LastLoad:
    """The last load of an entity for a day.

    Attributes:
        pull_id: Its pull.
        produced: Number of its rows.
        money: Their money, in dollars; None if the entity has none.
        digest: Digest of its rows; empty if unknown.
    """

    pull_id: str
    produced: int
    money: Decimal | None
    digest: str


def find_last_load(connection: sa.Connection, pull: Pull, entity: str) -> LastLoad | None:
    """Return the last load of an entity for a pull's vendor and day.

    Returns:
        None if there was none, or if any load of that day was another kind: of another table, or not of the whole table. Loads of a
        whole table follow one another; the others may run at the same time, so their order is unknown.
    """
    row = connection.execute(
        sa.text("""
        select pull_id, produced, money_out, coalesce(notes ->> 'digest', '') as digest,
               bool_and(table_name = :table_name and pulled in ('current', 'historical')) over () as is_whole
        from control.ledger
        where vendor = :vendor and business_date = :business_date and stage = 'load' and entity = :entity
        order by ledger_id desc limit 1
        """),
        asdict(pull) | {"entity": entity},
    ).one_or_none()
    return LastLoad(row.pull_id, row.produced, row.money_out, row.digest) if row and row.is_whole else None


def find_last_partition(engine: sa.Engine, vendor: str, table: str) -> str | None:
    """Return the path of the table's last loaded partition whose pull was `current`; None if there was none."""
    query = f"select partition from ({LAST_PARTITIONS}) p where vendor = :vendor and table_name = :table"  # noqa: S608
    with engine.connect() as connection:
        path: str | None = connection.scalar(sa.text(query), {"vendor": vendor, "table": table})
    return path


def find_staged_partition(
    engine: sa.Engine, run_id: str, vendor: str, table: str, *, is_pushed: bool = False
) -> str | None:
    """Return the path of the last partition that a run staged for a table; None if it staged none.

    A run id is unique within a DAG only: the vendor's daily DAG and one that pulls between the daily runs may have runs of the same id.

    Args:
        engine: The database.
        run_id: The run.
        vendor: The vendor.
        table: The table.
        is_pushed: Whether to find rows that arrived between the daily runs, or those of a daily run. A replay has its own ids.
    """
    query = sa.text("""
    select business_date, pull_id from control.ledger
    where run_id = :run_id and vendor = :vendor and table_name = :table and stage = 'stage'
      and (pulled = 'replay' or (pulled = 'pushed') = :is_pushed)
    order by ledger_id desc limit 1
    """)
    values = {"run_id": run_id, "vendor": vendor, "table": table, "is_pushed": is_pushed}
    with engine.connect() as connection:
        row = connection.execute(query, values).first()
    return None if row is None else partition_path(vendor, table, *row)
