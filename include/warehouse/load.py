"""Canonical rows into the warehouse: COPY, then one transaction with guarded changes, history and the ledger's rows.

Facts keep both states of a correction: the old row is closed (`recorded_to`), the new one opens. Descriptions have a
second time, the days on which they hold. A row that did not change is not written. Nothing is deleted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg
import sqlalchemy as sa

from include import canonical
from include.business_dates import previous
from include.canonical import Entity
from include.contract import Table, Vendor, arrow
from include.control import dead_letters, ledger, writer
from include.control.ledger import Counts, Pull
from include.control.writer import Fence
from include.database.copy import copy_in
from include.errors import BalanceError, ConfigurationError, TargetUnavailable, WriterSuperseded
from include.staging.partitions import Manifest, Staging
from include.staging.rows import good_rows
from include.transform import entities as transform
from include.warehouse import absence, description, fact
from include.warehouse.fact import Reach

_MANY = 10_000
# Bounds of an edit window may be days of another time zone: what was edited so near its beginning may lie outside.
_EDGE = timedelta(days=1)
_REFUSALS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,  # a key that is longer than an index can hold
)


Partitions = Mapping[str, Pull]
"""Paths of partitions below the staging root, each with its pull."""


def load(
    engine: sa.Engine,
    vendor: Vendor,
    partitions: Partitions,
    staging: Staging,
    verify: Callable[[sa.Connection], None] = lambda connection: None,
) -> dict[str, dict[str, Counts]]:
    """Loads the canonical entities of some partitions of a vendor: all of them, or nothing.

    A pull that was loaded before is left alone, and its counts are returned again.

    Args:
        engine: As the loading role.
        vendor: The declaration.
        partitions: What to load, transformed.
        staging: Where they are.
        verify: Looks at what was loaded, within the transaction; what it raises rolls all of it back.

    Returns:
        Counts by table and entity.

    Raises:
        WriterSuperseded: A newer pull of one of the partitions was loaded, or another writer took over.
        BalanceError: Rows or money do not add up; nothing was committed.
        ConfigurationError: The schema is another version's.
        TargetUnavailable: The database went away, or another writer was in the way.
    """
    manifests = {path: staging.manifest(path) for path in partitions}
    subjects = {name for path, pull in partitions.items() for name in _subjects(pull, manifests[path])}
    fences: list[Fence] = []
    try:
        with engine.connect() as connection:
            fences += writer.take_all(connection, sorted(subjects))
            for pull in partitions.values():
                if newer := ledger.find_newer_load(connection, pull):
                    raise WriterSuperseded("A newer pull was loaded already", pull=pull.pull_id, newer=newer)
            connection.rollback()
            for path, pull in partitions.items():
                _add_source_keys(connection, _entities(vendor, pull), path, pull, staging)
            with connection.begin():
                counts = {
                    pull.table_name: _load_partition(connection, vendor, path, pull, manifests[path], staging)
                    for path, pull in partitions.items()
                }
                verify(connection)
                for fence in fences:
                    fence.check(connection)
            return counts
    except (TargetUnavailable, sa.exc.DBAPIError, psycopg.Error) as error:
        # Without its cause: the database quotes rows.
        raise _classed(engine, fences, vendor.name, partitions, error) from None


def _entities(vendor: Vendor, pull: Pull) -> list[Entity]:
    return [canonical.named(m.entity) for m in vendor.maps if m.table == pull.table_name]


def _load_partition(
    connection: sa.Connection, vendor: Vendor, path: str, pull: Pull, manifest: Manifest, staging: Staging
) -> dict[str, Counts]:
    table = vendor.table(pull.table_name)
    _close_letters(connection, table, path, pull, staging)
    reach = _reach(table, pull, manifest)
    counts = {}
    for entity in _entities(vendor, pull):
        counts[entity.name] = _load_entity(connection, vendor, entity, path, pull, staging, reach)
        connection.execute(sa.text("discard temporary"))  # another table of the day may give the same entity
    return counts


def _reach(table: Table, pull: Pull, manifest: Manifest) -> Reach | None:
    """What a pull covers whole; None where it brings only what somebody asked for."""
    if not pull.is_whole:
        return None
    if table.pull != "window":
        return Reach()
    if manifest.window is None:
        first = pull.business_date if len(table.dated) == 1 else previous(pull.business_date) + timedelta(days=1)
        return Reach(first_date=first)
    since, until = map(datetime.fromisoformat, manifest.window)
    return Reach(edited=(since + _EDGE, until))


def _is_order(cause: object) -> bool:
    """Whether a check between columns stopped it, which PostgreSQL names after the table alone: that of the times of record."""
    if not isinstance(cause, psycopg.errors.CheckViolation):
        return False
    return re.fullmatch(rf"{cause.diag.table_name}_check\d*", cause.diag.constraint_name or "") is not None


def _subjects(pull: Pull, manifest: Manifest) -> list[str]:
    """What this load alone may change: its partition and, if it speaks of the present, the table's descriptions.

    What webhooks bring comes while the vendor is asked, too: an event tells by its own time which state is newer. So do single
    clients, several at once: of them each run fences only itself.
    """
    table = f"load:{pull.vendor}:{pull.table_name}"
    if manifest.pulled == "pushed":
        return [f"{table}:pushed"]
    if manifest.pulled == "chosen":
        return [f"{table}:chosen:{pull.run_id}"]
    return [f"{table}:{pull.business_date}"] + ([table] if manifest.pulled != "past" else [])


def _classed(
    engine: sa.Engine,
    fences: list[Fence],
    vendor: str,
    partitions: Partitions,
    error: TargetUnavailable | sa.exc.DBAPIError | psycopg.Error,
) -> Exception:
    """The database's error as ours: taken over by a newer writer, worth another try, or a row that it refuses."""
    cause = getattr(error, "orig", error)
    facts = {
        "vendor": vendor, "tables": ",".join(pull.table_name for pull in partitions.values()),
        "business_date": next((pull.business_date for pull in partitions.values()), None),
        "cause": type(cause).__name__, "constraint": getattr(getattr(cause, "diag", None), "constraint_name", None),
    }  # fmt: skip
    if isinstance(cause, (psycopg.errors.UniqueViolation, psycopg.errors.ExclusionViolation)) or _is_order(cause):
        # Rows are judged before they come here: what stands in the way is another load of the same rows.
        return TargetUnavailable("Another load changed the same rows meanwhile", **facts)
    if isinstance(cause, _REFUSALS):
        return BalanceError("The database refuses the rows", **facts)
    if isinstance(cause, psycopg.ProgrammingError):
        return ConfigurationError("The schema is not this version's, or the role may not write; migrate it", **facts)
    try:
        with engine.connect() as connection:
            for fence in fences:
                fence.check(connection)
    except WriterSuperseded as superseded:
        return superseded
    except (TargetUnavailable, sa.exc.DBAPIError):
        pass
    return (
        error
        if isinstance(error, TargetUnavailable)
        else TargetUnavailable("The database went away or was busy", **facts)
    )


def _add_source_keys(
    connection: sa.Connection, entities: list[Entity], path: str, pull: Pull, staging: Staging
) -> None:
    """Gives new keys their surrogate ids, in a transaction of its own: an id without a row harms nobody."""
    for entity in entities:
        wanted = {entity.key: entity.name} if entity.kind == "description" else {}
        for column, name in (wanted | entity.references).items():
            keys = transform.distinct(staging, path, entity.name, column)
            with connection.begin():
                copy_in(connection, "keys", keys.schema, [keys])
                connection.execute(
                    sa.text("""
                    insert into warehouse.source_key (entity, vendor, source_key)
                    select :entity, :vendor, key from keys k
                    where not exists (select from warehouse.source_key s
                                      where s.entity = :entity and s.vendor = :vendor and s.source_key = k.key)
                    order by key collate "C"
                    on conflict do nothing
                    """),
                    {"entity": name, "vendor": pull.vendor},
                )


def _close_letters(connection: sa.Connection, table: Table, path: str, pull: Pull, staging: Staging) -> None:
    """A dead letter whose row has come good, or is gone, ends with the load that says so."""
    own_day = table.pull == "snapshot"
    if waiting := set(dead_letters.find_open_keys(connection, pull, own_day=own_day)):
        landed: set[str] = set()
        for rows in good_rows(staging, path, list(table.key)):
            landed |= waiting & {
                ":".join(map(str, row)) for row in zip(*(rows.column(k).to_pylist() for k in table.key), strict=True)
            }
        dead_letters.close_loaded(connection, pull, landed, own_day=own_day, partition=path)
    if table.pull != "window" and pull.is_whole:
        dead_letters.supersede_rest(connection, pull, path, own_day=own_day)


def _load_entity(
    connection: sa.Connection,
    vendor: Vendor,
    entity: Entity,
    path: str,
    pull: Pull,
    staging: Staging,
    reach: Reach | None,
) -> Counts:
    if before := ledger.find(connection, pull, "load", entity.name):
        return Counts(**{name: before[name] for name in Counts.__dataclass_fields__})
    started = time.perf_counter()
    made = transform.produced(staging, path, entity.name)
    schema = arrow.schema(entity.columns)
    copied = copy_in(connection, f"incoming_{entity.name}", schema, transform.rows(staging, path, entity.name))
    if copied != made.produced:
        raise BalanceError("Not every row was copied", entity=entity.name, produced=made.produced, copied=copied)
    # The planner has no statistics of rows that have just come, and takes them for a handful.
    connection.execute(sa.text(f"set local enable_nestloop = {'off' if copied > _MANY else 'on'}"))
    if copied > _MANY:
        connection.execute(sa.text("set local work_mem = '128MB'"))
    source_run_id = ledger.take_id(connection)
    if entity.kind == "description":
        is_past = staging.manifest(path).pulled == "past"
        is_partial = any(m.is_partial for m in vendor.maps if (m.entity, m.table) == (entity.name, pull.table_name))
        counts = description.load(
            connection, entity, pull, source_run_id, is_past=is_past, uncertain=made.uncertain, is_partial=is_partial
        )
        if not is_past:
            absence.forget(connection, entity, pull)
        if absence.is_whole(vendor, entity, pull):
            counts = replace(counts, notes={"absent": absence.note(connection, vendor, entity, pull)})
    else:
        is_covered = entity.kind == "snapshot" or (
            entity.is_removable and vendor.table(pull.table_name).pull == "window"
        )
        counts = fact.load(connection, entity, pull, source_run_id, reach if is_covered else None)
    counts = replace(counts, produced=copied, money_in=made.money, seconds=round(time.perf_counter() - started, 3))
    ledger.record(connection, pull, "load", counts, entity.name, source_run_id)
    return counts
