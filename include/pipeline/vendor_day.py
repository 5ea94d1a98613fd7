"""The steps of a vendor-day, each of which can be killed and run again. Airflow's tasks are two lines around these.

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
"""Rows that become dead letters where more died than the suite allows: the table is at fault, and all its rows come anew."""


def stage(site: Site, vendor: Vendor, table_name: str, connection: Connection, run: Run) -> str:
    """Pull one table into staging and record it.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        table_name: What to pull.
        connection: Address and credentials.
        run: For which day.

    Returns:
        The partition's path below the staging root.

    Raises:
        TributaryError: As `pull` raises.
    """
    started = time.perf_counter()
    since = None if run.full_refresh else ledger.last_window(site.engine, vendor.name, table_name, site.clock())
    with _rejection(site, vendor, run, "stage"):
        path = fetch(site, vendor, table_name, connection, run, span_of(site, run, since))
    record_staged(site, vendor, path, run, time.perf_counter() - started)
    return path


def _rejection(site: Site, vendor: Vendor, run: Run, step: str) -> AbstractContextManager[None]:
    """Record why a step refuses a vendor's day; single clients and replays are no day."""
    if run.keys or run.is_replay:
        return nullcontext()
    return record_rejection(site.engine, run.run_id, vendor.name, run.business_date, step)


def record_staged(site: Site, vendor: Vendor, path: str, run: Run, seconds: float) -> None:
    """Write the ledger's row of a staged partition, its dead letters and its drift; idempotent."""
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
    of = pull_of(manifest, run)
    with site.engine.begin() as connection:
        ledger.record(connection, of, "stage", counts)
        dead_letters.bury(connection, of, "stage", path, letters, own_day=table.pull == "snapshot")
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

    Where more rows of a table died than its suite allows, only the first become dead letters: which died, and of what, is
    whole in its partition (`faults.parquet`), and how many is in the ledger.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        paths: Partition by table.
        run: For which day.
        rows_only: Leaves batch-level expectations out (a replay is no whole day).

    Returns:
        Dead letters by table.

    Raises:
        DataQualityError: A batch-level expectation failed; nothing of the day may be loaded.
    """
    from include.validation.check import stop_if_unfit, validate_day

    started = time.perf_counter()
    pulls = {name: pull_of(site.staging.manifest(path), run) for name, path in paths.items()}
    recent = {name: ledger.count_recent_rows(site.engine, of) for name, of in pulls.items()}
    earlier = {name: ledger.find_earlier_partitions(site.engine, of) for name, of in pulls.items()}
    outcomes = validate_day(
        vendor, paths, site.staging, recent, earlier=earlier, accept_unusual=run.accept_unusual, rows_only=rows_only
    )
    seconds = round((time.perf_counter() - started) / len(paths), 3)
    for name, outcome in outcomes.items():
        _record_validated(site, vendor, paths[name], pulls[name], outcome, seconds)
    with _rejection(site, vendor, run, "validate"):
        stop_if_unfit(vendor, outcomes)
    return {name: outcome.refused for name, outcome in outcomes.items()}


def _record_validated(site: Site, vendor: Vendor, path: str, of: Pull, outcome: Outcome, seconds: float) -> None:
    """Write the ledger's row of a validated partition and its dead letters."""
    table = vendor.table(of.table_name)
    buried = min(outcome.refused, _EVIDENCE) if outcome.exceeds_dead_ratio else outcome.refused
    money = sum_refused_money(vendor, table, path, site.staging)
    counts = Counts(
        staged=outcome.staged,
        dead=outcome.refused,
        produced=outcome.staged - outcome.refused,
        dead_money_usd=money.usd,
        dead_money_unreadable=money.unreadable,
        seconds=seconds,
        notes={"failed": outcome.failed, "accepted": outcome.accepted, "buried": buried},
    )
    letters = islice(read_refused_dead_letters(vendor, table, path, site.staging), buried)
    with site.engine.begin() as connection:
        ledger.record(connection, of, "validate", counts)
        dead_letters.bury(connection, of, "validate", path, letters, own_day=table.pull == "snapshot")


def transform(site: Site, vendor: Vendor, path: str, run: Run) -> dict[str, int]:
    """Produce the canonical entities of a partition and record them; return rows by entity."""
    started = time.perf_counter()
    of = pull_of(site.staging.manifest(path), run)
    results = transforming.transform(
        vendor,
        path,
        site.staging,
        lambda table: ledger.staged_partition(site.engine, run.run_id, vendor.name, table),
        lambda table: ledger.last_partition(site.engine, vendor.name, table),
    )
    seconds = round((time.perf_counter() - started) / max(1, len(results)), 3)
    with site.engine.begin() as connection:
        for made in results:
            ledger.record(connection, of, "transform", _count_transformed(made, seconds), made.entity)
    return {made.entity: made.produced for made in results}


def _count_transformed(made: transforming.Produced, seconds: float) -> Counts:
    money_out = None if made.money is None or made.money_in is None else made.money + made.money_dropped
    return Counts(
        staged=made.staged,
        produced=made.produced,
        split=made.split,
        merged=made.merged,
        dropped=sum(made.dropped.values()),
        money_in=made.money_in,
        money_out=money_out,
        seconds=seconds,
        notes={
            "dropped": dict(made.dropped),
            "money_dropped": str(made.money_dropped),
            "money_held_back": str(made.money_held_back),
        },
    )


def load(site: Site, vendor: Vendor, path: str, run: Run) -> dict[str, Counts]:
    """Load one partition that is no whole day, such as rows that a webhook brought; raises as `warehouse.load` does."""
    of = pull_of(site.staging.manifest(path), run)
    return load_partitions(site.engine, vendor, {path: of}, site.staging)[of.table_name]


def publish(
    site: Site, vendor: Vendor, paths: Sequence[str], run: Run
) -> tuple[dict[str, dict[str, Counts]], list[Check]]:
    """Load a vendor's day and reconcile it in one transaction: it becomes visible as a whole, or not at all.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        paths: The day's partitions, transformed.
        run: For which day.

    Returns:
        Counts by table and entity, and what was compared.

    Raises:
        BalanceError: The day does not add up, dead letters do not explain it, and no operator accepts it. The last good day stays
            in force; the differences are in `control.reconciliation` and the tables of breaks.
        TributaryError: As `warehouse.load` raises.
    """
    checks: list[Check] = []

    def verify(connection: sa.Connection) -> None:
        checks[:] = reconcile(connection, vendor, run.business_date, run.previous_date, accepted_by=run.accepted_by)
        stop_if_broken(vendor.name, run.business_date, checks)
        record_checks(connection, vendor.name, run.business_date, run.run_id, checks)

    partitions = {path: pull_of(site.staging.manifest(path), run) for path in paths}
    if run.is_replay:  # rows that are refused leave the day as it is: in force, and reconciled
        return load_partitions(site.engine, vendor, partitions, site.staging, verify), checks
    with _rejection(site, vendor, run, "load"):
        try:
            return load_partitions(site.engine, vendor, partitions, site.staging, verify), checks
        except BalanceError:
            with site.engine.begin() as connection:
                record_checks(connection, vendor.name, run.business_date, run.run_id, checks)
            raise


def pull_of(manifest: Manifest, run: Run) -> Pull:
    """Return how the ledger names the pull of a partition."""
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
