"""The steps of a vendor's day. Each can be killed and run again; Airflow's tasks are thin wrappers.

stage  ->  validate  ->  transform  ->  publish (load and reconcile: the day becomes visible as a whole, or not at all)
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa
import sqlalchemy as sa

from include.control import dead_letters, ledger, validations
from include.control.ledger import Counts
from include.control.rejections import record_rejection
from include.errors import BalanceError
from include.extract.pull import Span
from include.keys.register import hold_hash_keys
from include.pipeline.pull import fetch, span_of
from include.pipeline.run import VendorRun
from include.staging.partitions import Partition
from include.transform import entities as transforming
from include.transform.dead_rows import (
    read_refused_dead_letters,
    read_unreadable_dead_letters,
    sum_money,
    sum_refused_money,
)
from include.warehouse.known_difference import find_in_force
from include.warehouse.load import load as load_partitions
from include.warehouse.reconcile import Check, reconcile, stop_if_broken
from include.warehouse.reconcile import record as record_checks

if TYPE_CHECKING:
    from include.contract import Table
    from include.validation.check import Outcome

_EVIDENCE = 100
"""Maximum number of dead letters recorded for a table if more rows died than its suite allows: it must be pulled again anyway."""


@contextmanager
def _release_memory() -> Iterator[None]:
    """Return freed memory to the system after a step: otherwise a process that runs several steps keeps the memory of all of them."""
    try:
        yield
    finally:
        pa.default_memory_pool().release_unused()


def stage(vendor_run: VendorRun, table_name: str) -> Partition:
    """Pull one table of the vendor's day into staging and record it.

    Raises:
        TributaryError: The pull failed; `include.extract.pull.pull` lists the errors.
    """
    since = _find_start(vendor_run, vendor_run.vendor.table(table_name))
    with _rejection(vendor_run, "stage"):
        return stage_span(vendor_run, table_name, span_of(vendor_run.site, vendor_run.run, since))


def _find_start(vendor_run: VendorRun, table: Table) -> datetime | None:
    """Return the time since which a run requests edits: since the last pull, or earlier in a week's first run; None for all rows."""
    site, run = vendor_run.site, vendor_run.run
    last = (
        None
        if run.full_refresh
        else ledger.find_last_window(site.engine, vendor_run.vendor.name, table.name, site.clock())
    )
    if last is None or not run.starts_week or run.keys:
        return last
    return last - timedelta(days=max(0, table.weekly_days - table.overlap_days))


@_release_memory()
def stage_span(vendor_run: VendorRun, table_name: str, span: Span) -> Partition:
    """Pull a given span of one table into staging and record it.

    Raises:
        TributaryError: The pull failed; `include.extract.pull.pull` lists the errors.
    """
    started = time.perf_counter()
    partition = fetch(vendor_run, table_name, span)
    record_staged(vendor_run, partition, time.perf_counter() - started)
    return partition


def _rejection(vendor_run: VendorRun, step: str) -> AbstractContextManager[None]:
    """Return a context manager that records the error if a step rejects the vendor's day.

    It does nothing if the run is a replay or pulls single clients, because such a run is not a whole day.
    """
    run = vendor_run.run
    if run.keys or run.is_replay:
        return nullcontext()
    return record_rejection(vendor_run.site.engine, run.run_id, vendor_run.vendor.name, run.business_date, step)


def record_staged(vendor_run: VendorRun, partition: Partition, seconds: float) -> None:
    """Record a staged partition in the database: its ledger row, dead letters and schema drift. Idempotent."""
    manifest, vendor = partition.manifest, vendor_run.vendor
    table = vendor.table(manifest.table)
    unreadable = list(read_unreadable_dead_letters(vendor, table, partition))
    money = sum_money(unreadable)
    counts = Counts(
        fetched=manifest.fetched,
        staged=manifest.staged,
        duplicate=manifest.duplicate,
        dead=manifest.dead,
        dead_money_usd=money.usd,
        dead_money_unreadable=money.unreadable,
        seconds=round(seconds, 3),
        notes={"money": str(manifest.money), "undeclared": list(manifest.undeclared)},
    )
    pull = vendor_run.pull_of(partition)
    with vendor_run.site.engine.begin() as connection:
        hold_hash_keys(connection, vendor_run.site.redactor.length)
        ledger.record(connection, pull, "stage", counts)
        dead_letters.insert(connection, pull, "stage", partition.path, unreadable, own_day=table.pull == "snapshot")
        for name in manifest.undeclared:
            connection.execute(
                sa.text("""
                insert into control.drift (vendor, table_name, field) values (:vendor, :table_name, :field)
                on conflict (vendor, table_name, field) do update set last_seen_at = clock_timestamp()
                """),
                {"vendor": manifest.vendor, "table_name": manifest.table, "field": name},
            )


@_release_memory()
def validate(vendor_run: VendorRun, partitions: Sequence[Partition], *, rows_only: bool = False) -> dict[str, int]:
    """Run the suites over the day's partitions, record dead letters, and stop an unfit day.

    If validation refuses more rows of a table than its suite allows, only the first of them become dead letters. The partition's `faults.parquet` lists
    all of them with reasons, and the ledger has their count.

    Args:
        vendor_run: The vendor's run.
        partitions: The day's partitions, one per table.
        rows_only: Whether to skip the batch-level expectations, because the rows are not a whole day (a replay).

    Returns:
        Table -> number of rows that validation refused.

    Raises:
        DataQualityError: A batch-level expectation failed; nothing of the day may be loaded.
    """
    from include.validation.check import stop_if_unfit, validate_day

    started = time.perf_counter()
    engine, by_table = vendor_run.site.engine, {each.table: each for each in partitions}
    pulls = {name: vendor_run.pull_of(each) for name, each in by_table.items()}
    with engine.connect() as connection:
        undelivered = find_in_force(connection, vendor_run.vendor.name, vendor_run.run.business_date)
    outcomes = validate_day(
        vendor_run.vendor,
        by_table,
        {name: ledger.count_recent_rows(engine, pull) for name, pull in pulls.items()},
        earlier={
            name: vendor_run.site.open_validated(ledger.find_earlier_partitions(engine, pull))
            for name, pull in pulls.items()
        },
        accept_unusual=vendor_run.run.accept_unusual,
        undelivered=undelivered.keys(),
        rows_only=rows_only,
    )
    seconds = round((time.perf_counter() - started) / len(partitions), 3)
    for name, outcome in outcomes.items():
        record_validated(vendor_run, by_table[name], outcome, seconds)
    with _rejection(vendor_run, "validate"):
        stop_if_unfit(vendor_run.vendor, outcomes)
    return {name: outcome.refused for name, outcome in outcomes.items()}


def record_validated(vendor_run: VendorRun, partition: Partition, outcome: Outcome, seconds: float) -> None:
    """Record a validated partition in the database: its ledger row, results and dead letters. Idempotent."""
    vendor, pull = vendor_run.vendor, vendor_run.pull_of(partition)
    table = vendor.table(partition.table)
    recorded = min(outcome.refused, _EVIDENCE) if outcome.exceeds_dead_ratio else outcome.refused
    money = sum_refused_money(table, partition)
    counts = Counts(
        staged=outcome.staged,
        dead=outcome.refused,
        produced=outcome.staged - outcome.refused,
        dead_money_usd=money.usd,
        dead_money_unreadable=money.unreadable,
        seconds=seconds,
        notes={"failed": outcome.failed, "accepted": outcome.accepted, "dead_letters": recorded},
    )
    refused = islice(read_refused_dead_letters(vendor, table, partition), recorded)
    with vendor_run.site.engine.begin() as connection:
        hold_hash_keys(connection, vendor_run.site.redactor.length)
        ledger.record(connection, pull, "validate", counts)
        validations.record(connection, pull, outcome.results, outcome.measures)
        dead_letters.insert(connection, pull, "validate", partition.path, refused, own_day=table.pull == "snapshot")


@_release_memory()
def transform(vendor_run: VendorRun, partition: Partition) -> dict[str, int]:
    """Produce the canonical entities of a partition and record the counts; return the number of rows by entity."""
    started = time.perf_counter()
    # Several maps may read the same table, so each table is looked up once.
    is_pushed = partition.manifest.pulled == "pushed"
    find = functools.cache(functools.partial(vendor_run.open_staged, is_pushed=is_pushed))
    find_last = functools.cache(vendor_run.open_last_loaded)
    results = transforming.transform(vendor_run.vendor, partition, find, find_last)
    seconds = round((time.perf_counter() - started) / max(1, len(results)), 3)
    record_transformed(vendor_run, partition, results, seconds)
    return {result.entity: result.produced for result in results}


def record_transformed(
    vendor_run: VendorRun, partition: Partition, results: Sequence[transforming.Produced], seconds: float
) -> None:
    """Record a transformed partition in the database: one ledger row per entity. Idempotent."""
    pull = vendor_run.pull_of(partition)
    with vendor_run.site.engine.begin() as connection:
        for result in results:
            ledger.record(connection, pull, "transform", _count_transformed(result, seconds), result.entity)


def _count_transformed(result: transforming.Produced, seconds: float) -> Counts:
    money_out = None if result.money is None or result.money_in is None else result.money + result.money_dropped
    return Counts(
        staged=result.staged,
        produced=result.produced,
        split=result.split,
        merged=result.merged,
        dropped=sum(result.dropped.values()),
        money_in=result.money_in,
        money_out=money_out,
        seconds=seconds,
        notes={
            "dropped": dict(result.dropped),
            "money_dropped": str(result.money_dropped),
            "money_held_back": str(result.money_held_back),
        },
    )


@_release_memory()
def load(vendor_run: VendorRun, partition: Partition) -> dict[str, Counts]:
    """Load one partition that is not a whole day, such as rows of webhooks; return the counts by entity.

    Raises:
        TributaryError: Any error of `warehouse.load.load`.
    """
    pulls = {partition: vendor_run.pull_of(partition)}
    return load_partitions(vendor_run.site.engine, vendor_run.vendor, pulls)[partition.table]


@_release_memory()
def publish(vendor_run: VendorRun, partitions: Sequence[Partition]) -> tuple[dict[str, dict[str, Counts]], list[Check]]:
    """Load a vendor's day and reconcile it in one transaction: it becomes visible as a whole, or not at all.

    Args:
        vendor_run: The vendor's run.
        partitions: The day's partitions, transformed.

    Returns:
        Table -> entity -> counts, and the reconciliation checks.

    Raises:
        BalanceError: The day does not balance, dead letters do not explain the difference, and no operator accepts it. The warehouse
            keeps its last good day. The differences are in `control.reconciliation`, `control.roll_forward_break` and
            `control.control_total_break`.
        DataQualityError: The day failed validation or was not validated, and its validation was marked as successful by hand.
        TributaryError: Any error of `warehouse.load.load`.
    """
    from include.validation.check import read_outcome, stop_if_unfit

    checks: list[Check] = []
    vendor, run, engine = vendor_run.vendor, vendor_run.run, vendor_run.site.engine
    pulls = {each: vendor_run.pull_of(each) for each in partitions}

    def verify(connection: sa.Connection) -> None:
        checks[:] = reconcile(connection, vendor, run.business_date, run.previous_date, accepted_by=run.accepted_by)
        stop_if_broken(vendor.name, run.business_date, checks)
        record_checks(connection, vendor.name, run.business_date, run.run_id, checks)

    if run.is_replay:  # if a replay fails, the day stays as it was loaded and reconciled, so nothing is recorded
        return load_partitions(engine, vendor, pulls, verify), checks
    with _rejection(vendor_run, "load"):
        stop_if_unfit(vendor, {each.table: read_outcome(each) for each in partitions})
        try:
            return load_partitions(engine, vendor, pulls, verify), checks
        except BalanceError:
            with engine.begin() as connection:
                hold_hash_keys(connection, vendor_run.site.redactor.length)
                record_checks(connection, vendor.name, run.business_date, run.run_id, checks)
            raise
