"""The steps of a vendor's day. Each can be killed and run again; Airflow's tasks are thin wrappers.

stage  ->  validate  ->  transform  ->  publish (load and reconcile: the day becomes visible as a whole, or not at all)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import sqlalchemy as sa

from include.connection import Connection
from include.contract import Vendor
from include.control import dead_letters, ledger
from include.control.ledger import Counts, Pull
from include.control.rejections import record_rejection
from include.errors import BalanceError
from include.pipeline.pull import fetch, span_of
from include.pipeline.run import Run, Site
from include.staging.partitions import Manifest
from include.transform import entities as transforming
from include.transform.dead_rows import (
    read_refused_dead_letters,
    read_unreadable_dead_letters,
    sum_money,
    sum_refused_money,
)
from include.warehouse.load import load as load_partitions
from include.warehouse.reconcile import Check, reconcile, stop_if_broken
from include.warehouse.reconcile import record as record_checks

if TYPE_CHECKING:
    from include.validation.check import Outcome

_EVIDENCE = 100
"""Rows recorded as dead letters if more died than the suite allows: the table must be pulled again as a whole anyway."""


def stage(site: Site, vendor: Vendor, table_name: str, connection: Connection, run: Run) -> str:
    """Pull one table into staging and record it.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        table_name: The table to pull.
        connection: Address and credentials.
        run: The run, with its business date.

    Returns:
        The partition's path below the staging root.

    Raises:
        TributaryError: As `pull` raises.
    """
    started = time.perf_counter()
    since = None if run.full_refresh else ledger.find_last_window(site.engine, vendor.name, table_name, site.clock())
    with _rejection(site, vendor, run, "stage"):
        path = fetch(site, vendor, table_name, connection, run, span_of(site, run, since))
    record_staged(site, vendor, path, run, time.perf_counter() - started)
    return path


def _rejection(site: Site, vendor: Vendor, run: Run, step: str) -> AbstractContextManager[None]:
    """Return a context that records why a step rejects a vendor's day; it does nothing for single clients and replays."""
    if run.keys or run.is_replay:
        return nullcontext()
    return record_rejection(site.engine, run.run_id, vendor.name, run.business_date, step)


def record_staged(site: Site, vendor: Vendor, path: str, run: Run, seconds: float) -> None:
    """Record a staged partition: its ledger row, dead letters and schema drift. Idempotent."""
    manifest = site.staging.manifest(path)
    table = vendor.table(manifest.table)
    letters = list(read_unreadable_dead_letters(vendor, table, path, site.staging))
    money = sum_money(letters)
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
    source = pull_of(manifest, run)
    with site.engine.begin() as connection:
        ledger.record(connection, source, "stage", counts)
        dead_letters.insert(connection, source, "stage", path, letters, own_day=table.pull == "snapshot")
        for name in manifest.undeclared:
            connection.execute(
                sa.text("""
                insert into control.drift (vendor, table_name, field) values (:vendor, :table_name, :field)
                on conflict (vendor, table_name, field) do update set last_seen_at = clock_timestamp()
                """),
                {"vendor": manifest.vendor, "table_name": manifest.table, "field": name},
            )


def validate(
    site: Site, vendor: Vendor, paths: Mapping[str, str], run: Run, *, rows_only: bool = False
) -> dict[str, int]:
    """Run the suites over the day's partitions, record dead letters, and stop an unfit day.

    If more rows of a table died than its suite allows, only the first become dead letters. The partition's `faults.parquet` lists
    all of them with reasons; the ledger has their number.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        paths: Table -> its partition.
        run: The run, with its business date.
        rows_only: Skip batch-level expectations (a replay is not a whole day).

    Returns:
        Table -> number of dead rows.

    Raises:
        DataQualityError: A batch-level expectation failed; nothing of the day may be loaded.
    """
    from include.validation.check import stop_if_unfit, validate_day

    started = time.perf_counter()
    pulls = {name: pull_of(site.staging.manifest(path), run) for name, path in paths.items()}
    recent = {name: ledger.count_recent_rows(site.engine, source) for name, source in pulls.items()}
    earlier = {name: ledger.find_earlier_partitions(site.engine, source) for name, source in pulls.items()}
    outcomes = validate_day(
        vendor, paths, site.staging, recent, earlier=earlier, accept_unusual=run.accept_unusual, rows_only=rows_only
    )
    seconds = round((time.perf_counter() - started) / len(paths), 3)
    for name, outcome in outcomes.items():
        _record_validated(site, vendor, paths[name], pulls[name], outcome, seconds)
    with _rejection(site, vendor, run, "validate"):
        stop_if_unfit(vendor, outcomes)
    return {name: outcome.refused for name, outcome in outcomes.items()}


def _record_validated(site: Site, vendor: Vendor, path: str, source: Pull, outcome: Outcome, seconds: float) -> None:
    """Record a validated partition: its ledger row and dead letters."""
    table = vendor.table(source.table_name)
    recorded = min(outcome.refused, _EVIDENCE) if outcome.exceeds_dead_ratio else outcome.refused
    money = sum_refused_money(vendor, table, path, site.staging)
    counts = Counts(
        staged=outcome.staged,
        dead=outcome.refused,
        produced=outcome.staged - outcome.refused,
        dead_money_usd=money.usd,
        dead_money_unreadable=money.unreadable,
        seconds=seconds,
        notes={"failed": outcome.failed, "accepted": outcome.accepted, "buried": recorded},
    )
    letters = islice(read_refused_dead_letters(vendor, table, path, site.staging), recorded)
    with site.engine.begin() as connection:
        ledger.record(connection, source, "validate", counts)
        dead_letters.insert(connection, source, "validate", path, letters, own_day=table.pull == "snapshot")


def transform(site: Site, vendor: Vendor, path: str, run: Run) -> dict[str, int]:
    """Produce and record the canonical entities of a partition; return entity -> number of rows."""
    started = time.perf_counter()
    source = pull_of(site.staging.manifest(path), run)
    results = transforming.transform(
        vendor,
        path,
        site.staging,
        lambda table: ledger.find_staged_partition(site.engine, run.run_id, vendor.name, table),
        lambda table: ledger.find_last_partition(site.engine, vendor.name, table),
    )
    seconds = round((time.perf_counter() - started) / max(1, len(results)), 3)
    with site.engine.begin() as connection:
        for result in results:
            ledger.record(connection, source, "transform", _count_transformed(result, seconds), result.entity)
    return {result.entity: result.produced for result in results}


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


def load(site: Site, vendor: Vendor, path: str, run: Run) -> dict[str, Counts]:
    """Load one partition that is not a whole day, such as rows of webhooks; raises as `warehouse.load` does."""
    source = pull_of(site.staging.manifest(path), run)
    return load_partitions(site.engine, vendor, {path: source}, site.staging)[source.table_name]


def publish(
    site: Site, vendor: Vendor, paths: Sequence[str], run: Run
) -> tuple[dict[str, dict[str, Counts]], list[Check]]:
    """Load a vendor's day and reconcile it in one transaction: it becomes visible as a whole, or not at all.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        paths: The day's partitions, transformed.
        run: The run, with its business date.

    Returns:
        Counts by table and entity, and the reconciliation checks.

    Raises:
        BalanceError: The day does not balance, dead letters do not explain it, and no operator accepts it. The last good day stays
            in force; the differences are in `control.reconciliation` and the tables of breaks.
        TributaryError: As `warehouse.load` raises.
    """
    checks: list[Check] = []

    def verify(connection: sa.Connection) -> None:
        checks[:] = reconcile(connection, vendor, run.business_date, run.previous_date, accepted_by=run.accepted_by)
        stop_if_broken(vendor.name, run.business_date, checks)
        record_checks(connection, vendor.name, run.business_date, run.run_id, checks)

    partitions = {path: pull_of(site.staging.manifest(path), run) for path in paths}
    if run.is_replay:  # a failed replay does not affect the day, which stays in force and reconciled
        return load_partitions(site.engine, vendor, partitions, site.staging, verify), checks
    with _rejection(site, vendor, run, "load"):
        try:
            return load_partitions(site.engine, vendor, partitions, site.staging, verify), checks
        except BalanceError:
            with site.engine.begin() as connection:
                record_checks(connection, vendor.name, run.business_date, run.run_id, checks)
            raise


def pull_of(manifest: Manifest, run: Run) -> Pull:
    """Return the ledger's record of the pull of a partition."""
    return Pull(
        run_id=run.run_id,
        vendor=manifest.vendor,
        table_name=manifest.table,
        business_date=manifest.business_date,
        pull_id=manifest.pull_id,
        pulled="replay" if run.is_replay else manifest.pulled,
        extracted_at=manifest.extracted_at,
        window_to=None if manifest.window is None else datetime.fromisoformat(manifest.window[1]),
    )
