"""Canonical rows into the warehouse: COPY, then one transaction with guarded changes, history and the ledger's rows.

Facts keep both states of a correction: the old row is closed (`recorded_to`), the new one opens. Descriptions have a
second time, the days on which they hold. A row that did not change is not written. Nothing is deleted.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace

import psycopg
import sqlalchemy as sa

from include import arrow, canonical, transform
from include.canonical import Entity
from include.contract import Table, Vendor
from include.control import dead_letters, ledger, writer
from include.control.ledger import Counts, Pull
from include.control.writer import Fence
from include.errors import BalanceError, ConfigurationError, TargetUnavailable, WriterSuperseded
from include.staging import Manifest, Staging
from include.validation.rows import good_rows
from include.warehouse import absence, description, fact
from include.warehouse.copy import copy_in

_MANY = 10_000
_REFUSALS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,  # a key that is longer than an index can hold
)


def load(engine: sa.Engine, vendor: Vendor, path: str, pull: Pull, staging: Staging) -> dict[str, Counts]:
    """Loads the canonical entities of one partition: all of them, or nothing.

    A pull that was loaded before is left alone, and its counts are told again.

    Args:
        engine: As the loading role.
        vendor: The declaration.
        path: The partition, transformed.
        pull: Whose rows they are.
        staging: Where they are.

    Returns:
        Counts by entity.

    Raises:
        WriterSuperseded: A newer pull of this partition was loaded, or another writer took over.
        BalanceError: Rows or money do not add up; nothing was committed.
        ConfigurationError: The schema is another version's.
        TargetUnavailable: The database went away, or another writer was in the way.
    """
    entities = [canonical.named(m.entity) for m in vendor.maps if m.table == pull.table_name]
    table, manifest = vendor.table(pull.table_name), staging.manifest(path)
    fences: list[Fence] = []
    try:
        with engine.connect() as connection:
            fences += writer.take_all(connection, _subjects(pull, manifest))
            if newer := ledger.newer_load(connection, pull):
                raise WriterSuperseded("A newer pull was loaded already", pull=pull.pull_id, newer=newer)
            connection.rollback()
            _add_source_keys(connection, entities, path, pull, staging)
            with connection.begin():
                _close_letters(connection, table, path, pull, staging)
                counts = {e.name: _load_entity(connection, vendor, e, path, pull, staging) for e in entities}
                for fence in fences:
                    fence.check(connection)
            return counts
    except (TargetUnavailable, sa.exc.DBAPIError, psycopg.Error) as error:
        # Without its cause: the database quotes rows.
        raise _classed(engine, fences, pull, error) from None


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
    engine: sa.Engine, fences: list[Fence], pull: Pull, error: TargetUnavailable | sa.exc.DBAPIError | psycopg.Error
) -> Exception:
    """The database's error as ours: taken over by a newer writer, worth another try, or a row that it refuses."""
    cause = getattr(error, "orig", error)
    facts = {
        "vendor": pull.vendor, "table": pull.table_name, "business_date": pull.business_date,
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
    if waiting := set(dead_letters.open_keys(connection, pull, own_day=own_day)):
        landed: set[str] = set()
        for rows in good_rows(staging, path, list(table.key)):
            landed |= waiting & {
                ":".join(map(str, row)) for row in zip(*(rows.column(k).to_pylist() for k in table.key), strict=True)
            }
        dead_letters.close_landed(connection, pull, landed, own_day=own_day, partition=path)
    if table.pull != "window" and pull.is_whole:
        dead_letters.supersede_rest(connection, pull, path, own_day=own_day)


def _load_entity(
    connection: sa.Connection, vendor: Vendor, entity: Entity, path: str, pull: Pull, staging: Staging
) -> Counts:
    if before := ledger.found(connection, pull, "load", entity.name):
        return Counts(**{name: before[name] for name in Counts.__dataclass_fields__})
    started = time.perf_counter()
    made = transform.produced(staging, path, entity.name)
    schema = arrow.schema(entity.columns)
    copied = copy_in(connection, f"incoming_{entity.name}", schema, transform.rows(staging, path, entity.name))
    if copied != made.produced:
        raise BalanceError("Not every row was copied", entity=entity.name, produced=made.produced, copied=copied)
    if copied > _MANY:
        # The planner has no statistics of rows that have just come, and takes them for a handful.
        connection.execute(sa.text("set local enable_nestloop = off"))
        connection.execute(sa.text("set local work_mem = '128MB'"))
    source_run_id = ledger.next_id(connection)
    if entity.kind == "description":
        is_past = staging.manifest(path).pulled == "past"
        counts = description.load(connection, entity, pull, source_run_id, is_past=is_past)
        if not is_past:
            absence.forget(connection, entity, pull)
        if (
            absence.is_whole(vendor, entity, pull)
            and (unread := absence.find_dead(connection, vendor, pull)) is not None
        ):
            dead_keys = [*dead_letters.open_keys(connection, pull, own_day=False), *unread]
            counts = replace(counts, notes={"absent": absence.note(connection, entity, pull, dead_keys)})
    else:
        dead_keys = dead_letters.open_keys(connection, pull, own_day=True)
        counts = fact.load(connection, entity, pull, source_run_id, dead_keys)
    counts = replace(counts, produced=copied, money_in=made.money, seconds=round(time.perf_counter() - started, 3))
    ledger.record(connection, pull, "load", counts, entity.name, source_run_id)
    return counts
