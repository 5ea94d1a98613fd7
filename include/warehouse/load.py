"""Load canonical rows into the warehouse. One transaction copies the rows, applies them with history, and writes the ledger's rows.

A corrected fact keeps both states: the old row is closed (`recorded_to`) and a new row is opened. A description also states the days on
which each version is valid (`valid_from`, `valid_to`). A row that did not change is not written again. No row is deleted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include import canonical
from include.business_dates import previous
from include.canonical import Entity
from include.contract import BINARY, Vendor, arrow
from include.control import dead_letters, ledger, writer
from include.control.ledger import Counts, Pull
from include.control.writer import Fence
from include.database.copy import copy_in
from include.errors import BalanceError, ConfigurationError, TargetUnavailable, WriterSuperseded
from include.keys.register import hold_hash_keys
from include.staging.partitions import Partition
from include.staging.row_key import format_keys
from include.transform.entities import SEALED, Canonical
from include.warehouse import absence, description, fact, sealed_values, source_key
from include.warehouse.fact import Reach
from include.warehouse.selection import Selection, confirm, select
from include.warehouse.source_key import Ids, replace_keys

# The window's bounds may be days in another time zone, so an edit this close to its start may lie outside it.
_EDGE = timedelta(days=1)
_REFUSALS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,  # a key too long for its index
)


Pulls = Mapping[Partition, Pull]
"""Transformed partitions, each with the pull that the ledger records."""


def load(
    engine: sa.Engine,
    vendor: Vendor,
    pulls: Pulls,
    verify: Callable[[sa.Connection], None] = lambda connection: None,
) -> dict[str, dict[str, Counts]]:
    """Load the canonical entities of one or more partitions of a vendor, in one transaction.

    A pull that was loaded before is not loaded again; its recorded counts are returned.

    Args:
        engine: As the loading role.
        vendor: The declaration.
        pulls: The partitions to load.
        verify: Checks the loaded rows within the transaction; if it raises, everything is rolled back.

    Returns:
        Counts by table and entity.

    Raises:
        WriterSuperseded: A newer pull of one of the partitions was loaded, or another writer took over.
        BalanceError: Rows or money do not add up; nothing was committed.
        ConfigurationError: The schema is another version's, or the role may not write.
        TargetUnavailable: The database was unavailable or busy, another load changed the same rows, or the hash key was rotated.
    """
    subjects = {name for partition, pull in pulls.items() for name in _subjects(pull, partition)}
    fences: list[Fence] = []
    try:
        with engine.connect() as connection:
            fences += writer.take_all(connection, sorted(subjects))
            for pull in pulls.values():
                if newer := find_superseding(connection, vendor, pull):
                    raise WriterSuperseded(
                        "A newer pull is loaded already; nothing was changed", pull=pull.pull_id, newer=newer
                    )
            connection.rollback()
            loads = [_Loading(vendor, partition, pull) for partition, pull in pulls.items()]
            for each in loads:
                _add_source_keys(connection, each)
            with connection.begin():
                _hold_hash_keys(connection, loads)
                counts = {each.pull.table_name: _load_partition(connection, each) for each in loads}
                verify(connection)
                for fence in fences:
                    fence.check(connection)
            return counts
    except (TargetUnavailable, sa.exc.DBAPIError, psycopg.Error) as error:
        # Without the cause, because the database's message quotes rows.
        raise _translate(engine, fences, vendor.name, pulls, error) from None


def find_superseding(connection: sa.Connection, vendor: Vendor, pull: Pull) -> datetime | None:
    """Return when the loaded pull began that supersedes this one; None if there is none.

    Pushed rows of a table that is pulled by window are never superseded as a whole: a window lacks some of them, and their own times
    decide.
    """
    if pull.pulled == "pushed" and vendor.table(pull.table_name).pull == "window":
        return None
    return ledger.find_newer_load(connection, pull)


class _Loading:
    """One partition to load: its pull, its table, and its canonical rows by entity, opened once."""

    def __init__(self, vendor: Vendor, partition: Partition, pull: Pull) -> None:
        self.vendor, self.partition, self.pull = vendor, partition, pull
        self.table = vendor.table(partition.table)
        entities = [canonical.named(each.entity) for each in vendor.maps if each.table == partition.table]
        self.canonical = [(entity, Canonical(partition.folder, entity.name)) for entity in entities]
        self.selections: dict[str, Selection] = {}


def _hold_hash_keys(connection: sa.Connection, loads: Iterable[_Loading]) -> None:
    for each in loads:
        hold_hash_keys(connection, each.partition.folder.redactor.length)


def _load_partition(connection: sa.Connection, loading: _Loading) -> dict[str, Counts]:
    _close_dead_letters(connection, loading)
    reach = _find_reach(loading)
    counts = {}
    for entity, rows in loading.canonical:
        counts[entity.name] = _load_entity(connection, loading, entity, rows, reach)
        connection.execute(sa.text("discard temporary"))  # another table may produce the same entity
    return counts


def _find_reach(loading: _Loading) -> Reach | None:
    """Return the range of which the pull has every row; None if it has only selected, pushed or replayed rows."""
    table, pull, window = loading.table, loading.pull, loading.partition.manifest.window
    if not pull.is_whole:
        return None
    if table.pull != "window":
        return Reach()
    if window is None:
        first = pull.business_date if len(table.dated) == 1 else previous(pull.business_date) + timedelta(days=1)
        return Reach(first_date=first)
    since, until = map(datetime.fromisoformat, window)
    return Reach(edited=(since + _EDGE, until))


def _is_time_order_violation(cause: object) -> bool:
    """Return whether an error is a violation of `check (recorded_from <= recorded_to)` or `check (valid_from < valid_to)`.

    PostgreSQL names a check on several columns `<table>_check`, and the warehouse has no other such checks.
    """
    if not isinstance(cause, psycopg.errors.CheckViolation):
        return False
    return re.fullmatch(rf"{cause.diag.table_name}_check\d*", cause.diag.constraint_name or "") is not None


def _subjects(pull: Pull, partition: Partition) -> list[str]:
    """Return the names of the locks (fences) that a load takes: a later load that takes one of them supersedes this load.

    A daily pull locks its table and day and, unless it is historical, the table's descriptions. Pushed rows have a lock of their own,
    because they may arrive during the daily pull: an event's own time decides which state is newer. A pull of selected clients locks
    only its own run, because several of them may run at the same time.
    """
    table = f"load:{pull.vendor}:{pull.table_name}"
    kind = partition.manifest.pulled  # the pull's own may be `replay`
    if kind == "pushed":
        return [f"{table}:pushed"]
    if kind == "selected":
        return [f"{table}:selected:{pull.run_id}"]
    return [f"{table}:{pull.business_date}"] + ([table] if kind != "historical" else [])


def _translate(
    engine: sa.Engine,
    fences: list[Fence],
    vendor: str,
    pulls: Pulls,
    error: TargetUnavailable | sa.exc.DBAPIError | psycopg.Error,
) -> Exception:
    """Return the error to raise for a database error; it quotes no rows.

    TargetUnavailable   another load changed the same rows, or the database is unavailable or busy
    BalanceError        the database rejects the rows
    ConfigurationError  the schema is another version's, or the role may not write
    WriterSuperseded    another writer took over
    """
    cause = getattr(error, "orig", error)
    facts = {
        "vendor": vendor, "tables": ",".join(pull.table_name for pull in pulls.values()),
        "business_date": next((pull.business_date for pull in pulls.values()), None),
        "cause": type(cause).__name__, "constraint": getattr(getattr(cause, "diag", None), "constraint_name", None),
    }  # fmt: skip
    if isinstance(
        cause, (psycopg.errors.UniqueViolation, psycopg.errors.ExclusionViolation)
    ) or _is_time_order_violation(cause):
        # The rows were validated before, so the conflict is with another load of the same rows.
        return TargetUnavailable("Another load changed the same rows meanwhile; try again", **facts)
    if isinstance(cause, _REFUSALS):
        return BalanceError("The database rejects the rows; nothing was loaded", **facts)
    if isinstance(cause, psycopg.ProgrammingError):
        return ConfigurationError(
            "The schema is not this version's, or the role may not write; migrate the schema", **facts
        )
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
        else TargetUnavailable("The database is unavailable or busy; try again", **facts)
    )


def _add_source_keys(connection: sa.Connection, loading: _Loading) -> None:
    """Assign surrogate ids to new keys, in transactions of their own before the load: an id without a row does no harm."""
    for entity, rows in loading.canonical:
        with connection.begin():
            selection = select(connection, entity, loading.pull, rows, loading.partition.folder)
        loading.selections[entity.name] = selection
        own = {entity.key: entity.name} if entity.kind == "description" else {}
        for column, name in (own | entity.references).items():
            keys = selection.sort_keys(column)
            if len(keys.distinct):
                with connection.begin():
                    _hold_hash_keys(connection, [loading])
                    source_key.add(connection, name, loading.pull.vendor, keys)
    pa.default_memory_pool().release_unused()  # the memory that sorting and sending the keys took


def _close_dead_letters(connection: sa.Connection, loading: _Loading) -> None:
    """Close the dead letters whose row is valid in this pull, or (for a full pull) no longer in it."""
    table, pull, path = loading.table, loading.pull, loading.partition.path
    own_day = table.pull == "snapshot"
    if open_keys := dead_letters.find_open_keys(connection, pull, own_day=own_day):
        known, loaded = pa.array(open_keys, pa.string()), set[str]()
        for rows in loading.partition.good_rows(list(table.key)):
            keys = format_keys(rows, table.key)
            loaded |= set(keys.filter(pc.is_in(keys, value_set=known)).to_pylist())
        dead_letters.close_loaded(connection, pull, loaded, own_day=own_day, partition=path)
    if table.pull != "window" and pull.is_whole:
        dead_letters.supersede_rest(connection, pull, path, own_day=own_day)


def _load_entity(
    connection: sa.Connection, loading: _Loading, entity: Entity, rows: Canonical, reach: Reach | None
) -> Counts:
    pull, result = loading.pull, rows.result
    if before := ledger.find(connection, pull, "load", entity.name):
        return Counts(**{name: before[name] for name in Counts.__dataclass_fields__})
    started = time.perf_counter()
    selection = confirm(connection, entity, pull, loading.selections[entity.name])
    # The planner has no statistics on rows just copied, and assumes that there are few.
    has_few = fact.is_few(selection.copied, selection.stored)
    connection.execute(sa.text(f"set local enable_nestloop = {'on' if has_few else 'off'}"))
    if not has_few:
        connection.execute(sa.text("set local work_mem = '128MB'"))
    source_run_id = ledger.take_id(connection)
    if entity.kind == "description":
        counts = _load_description(connection, loading, entity, rows, source_run_id)
    else:
        is_covered = entity.kind == "snapshot" or (entity.is_removable and loading.table.pull == "window")
        counts = _load_fact(connection, loading, entity, selection, source_run_id, reach if is_covered else None)
    if selection.last and counts.money_out != result.money:
        raise fact.build_conflict_error(entity, pull)  # a row that was not copied, because it was stored as it is
    if counts.produced != result.produced:
        raise BalanceError(
            "Not every row was copied; nothing was loaded",
            entity=entity.name, produced=result.produced, copied=counts.produced,
        )  # fmt: skip
    counts = replace(
        counts,
        money_in=result.money,
        notes=counts.notes | ({"digest": result.digest} if result.digest else {}),
        seconds=round(time.perf_counter() - started, 3),
    )
    ledger.record(connection, pull, "load", counts, entity.name, source_run_id)
    return counts


def _load_fact(
    connection: sa.Connection,
    loading: _Loading,
    entity: Entity,
    selection: Selection,
    source_run_id: int,
    reach: Reach | None,
) -> Counts:
    vendor = loading.pull.vendor
    if selection.last and not selection.copied:
        return Counts(produced=selection.stored, unchanged=selection.stored, money_out=selection.last.money)
    ids = {
        column: Ids.find(connection, target, vendor, selection.sort_keys(column))
        for column, target in entity.references.items()
    }
    pa.default_memory_pool().release_unused()  # the memory that sorting the keys took
    parts = (replace_keys(part, entity, ids, vendor) for part in selection.parts())
    schema = replace_keys(arrow.schema(entity.columns).empty_table(), entity, ids, vendor).schema
    return fact.load(connection, entity, loading.pull, source_run_id, reach, schema, parts, selection.stored)


def _load_description(
    connection: sa.Connection, loading: _Loading, entity: Entity, rows: Canonical, source_run_id: int
) -> Counts:
    vendor, pull, result = loading.vendor, loading.pull, rows.result
    schema = arrow.schema(entity.columns | {f"{name}{SEALED}": BINARY for name in result.sealed})
    copied = copy_in(connection, f"incoming_{entity.name}", schema, rows.rows())
    is_past = loading.partition.manifest.pulled == "historical"
    is_partial = any(m.is_partial for m in vendor.maps if (m.entity, m.table) == (entity.name, pull.table_name))
    counts = description.load(
        connection, entity, pull, source_run_id, is_past=is_past, uncertain=result.uncertain, is_partial=is_partial
    )
    if not is_past:
        absence.end(connection, entity, pull)
    if absence.is_whole(vendor, entity, pull):
        counts = replace(counts, notes={"absent": absence.record(connection, vendor, entity, pull)})
    for name in result.sealed:
        sealed_values.insert(connection, entity, name, pull.vendor, source_run_id)
    return replace(counts, produced=copied)
