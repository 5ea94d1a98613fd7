"""Repeat the steps of the original in an empty database, with the functions of the daily runs.

The results of validation and transformation are read from staging, not computed again, because suites and maps may have changed since.
Nothing is written to staging. A rebuild that was interrupted continues after the last step in the ledger of the new database.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import sqlalchemy as sa

from include.connection import Connection
from include.control import dead_letters, rejections
from include.errors import BalanceError, ConfigurationError, DataQualityError, WriterSuperseded
from include.pipeline import vendor_day
from include.pipeline.comparison import compare_changed_days
from include.pipeline.run import Site, VendorRun
from include.rebuild.history import Step
from include.staging.partitions import Partition, Staging
from include.transform.entities import Canonical
from include.vendors import named
from include.warehouse import withdrawal

_PUSHED = re.compile(r"-push\d+$")
_DONE = sa.text("select distinct stage, pull_id from control.ledger")
_FIND_DISCARDED = sa.text("""
select l.dead_letter_id from control.dead_letter l
join jsonb_to_recordset(cast(:places as jsonb)) as p(partition text, part text, row_number bigint, stage text)
  on (l.partition, l.part, l.row_number, l.stage) = (p.partition, p.part, p.row_number, p.stage)
where l.status = 'open'
""")
# Subscribers received these events from the original. A database that is being rebuilt has no deliveries, so none is sent.
_ROUTE = sa.text("update control.outbox set routed_at = clock_timestamp() where routed_at is null")


@dataclass
class Progress:
    """How far a rebuild is.

    Attributes:
        loads: Number of loads in the whole rebuild. A load is of one partition or of a vendor's day.
        loaded: Number of loads that are done, including those before an interruption.
        rows: Canonical rows that were loaded since the last start.
        seconds: Time since the last start.
        problems: One line for each reason why the result may differ from the original: partitions that staging no longer has, whose steps
            are left out; days that were rejected and not loaded; and, without a ledger, pushes, which may have been withdrawn.
        is_done: Whether nothing remains.
    """

    loads: int
    loaded: int
    rows: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    is_done: bool = False

    def __str__(self) -> str:
        """Return one line: `120 of 340 loads, 81,234 rows in 12 s, 6,770 rows/s`."""
        rate = self.rows / self.seconds if self.seconds else 0
        return f"{self.loaded} of {self.loads} loads, {self.rows:,} rows in {self.seconds:.0f} s, {rate:,.0f} rows/s"


def rebuild(
    site: Site, steps: Sequence[Step], connect: Callable[[str], Connection], *, is_exact: bool
) -> Iterator[Progress]:
    """Repeat the steps; yield the progress after each load, and at the end.

    Args:
        site: The empty, migrated database, as a role that may write all of it; the staging folder and keys of the original.
        steps: From `include.rebuild.history`.
        connect: Returns the connection of a vendor, whose extra may override the declaration. No vendor is called.
        is_exact: Whether the steps come from a ledger. Then all loads succeeded in the original, so a BalanceError or a
            WriterSuperseded stops the rebuild. Otherwise such a day is rejected, as in a daily run, and the rebuild continues. A
            DataQualityError never stops the rebuild; it becomes a problem.

    Raises:
        ConfigurationError: The database is not empty: its ledger has steps that are not in `steps`.
        TributaryError: A step failed.
    """
    begin, started = _find_begin(site.engine, steps), time.monotonic()
    available = set(site.staging.list_partitions())
    loads, loaded = (sum(step.stage == "load" for step in some) for some in (steps, steps[:begin]))
    progress = Progress(loads, loaded)
    missing = sorted({path for step in steps for path in step.paths} - available)
    progress.problems += [f"missing: {path}" for path in missing]
    if not is_exact:
        progress.problems += [f"may have been withdrawn: {path}" for path in _list_pushes(steps)]
    for step in steps[begin:]:
        if available.issuperset(step.paths):
            try:
                progress.rows += _repeat(site, step, connect)
            except (BalanceError, DataQualityError, WriterSuperseded) as error:
                if is_exact and not isinstance(error, DataQualityError):
                    raise
                progress.problems.append(f"rejected: {step.vendor} {step.run.business_date}: {error}")
        progress.seconds = time.monotonic() - started
        if step.stage == "load":
            progress.loaded += 1
            yield progress
    with site.engine.begin() as connection:
        connection.execute(_ROUTE)
    progress.is_done = True
    yield progress


def describe(staging: Staging, step: Step, available: Collection[str]) -> str:
    """Return one line about a load for a dry run: `<vendor> 2026-11-20 run_1: accounts 120, positions 3,400 rows`."""
    named_rows = [
        f"{path.split('/')[1]} {staging.open(path).manifest.staged:,}" if path in available else f"{path} is missing"
        for path in step.paths
    ]
    accepted = f", accepted by {step.run.accepted_by}" if step.run.accepted_by else ""
    return f"{step.vendor} {step.run.business_date} {step.run.run_id}: {', '.join(named_rows)} rows{accepted}"


def _find_begin(engine: sa.Engine, steps: Sequence[Step]) -> int:
    """Return the index of the first step to repeat, which follows the last step in the ledger; 0 if the ledger is empty."""
    with engine.connect() as connection:
        done = set(connection.execute(_DONE).tuples().all())
    known = {(_stage_of(step), pull) for step in steps for pull in step.pulls}
    if strange := done - known:
        raise ConfigurationError(
            "The database is not empty: it holds steps that are not in staging", steps=len(strange)
        )
    return 1 + max((n for n, step in enumerate(steps) if _is_done(step, done)), default=-1)


def _is_done(step: Step, done: Collection[tuple[str, str]]) -> bool:
    return step.stage != "reject" and any((_stage_of(step), pull) in done for pull in step.pulls)


def _stage_of(step: Step) -> str:
    """Return the stage as which the ledger records a step."""
    return "load" if step.stage in ("reject", "withdraw") else step.stage


def _list_pushes(steps: Sequence[Step]) -> list[str]:
    """Return the partitions of pushes that are loaded. Only the ledger shows which pushes were withdrawn."""
    return [path for step in steps if step.stage == "load" for path in step.paths if _PUSHED.search(path)]


def _repeat(site: Site, step: Step, connect: Callable[[str], Connection]) -> int:
    """Repeat one step; return the number of canonical rows that it loaded."""
    vendor_run = VendorRun(site, named(step.vendor), connect(step.vendor), step.run)
    partitions = [site.staging.open(path) for path in step.paths]
    if step.stage == "load":
        return _load(vendor_run, partitions)
    if step.facts:
        _CORRECT[step.stage](vendor_run, step, partitions)
        return 0
    for each in partitions:
        _RECORD[step.stage](vendor_run, each)
    return 0


def _load(vendor_run: VendorRun, partitions: Sequence[Partition]) -> int:
    is_pushed = partitions[0].manifest.pulled == "pushed" and not vendor_run.run.is_replay
    if is_pushed:
        loaded = {each.table: vendor_day.load(vendor_run, each) for each in partitions}
        compare_changed_days(vendor_run.site.engine, vendor_run.vendor, vendor_run.run.run_id)
    else:
        loaded, _ = vendor_day.publish(vendor_run, partitions)
    return sum(counts.produced for entities in loaded.values() for counts in entities.values())


def _record_staged(vendor_run: VendorRun, partition: Partition) -> None:
    vendor_day.record_staged(vendor_run, partition, 0.0)


def _record_validated(vendor_run: VendorRun, partition: Partition) -> None:
    from include.validation.check import read_outcome

    vendor_day.record_validated(vendor_run, partition, read_outcome(partition), 0.0)


def _record_transformed(vendor_run: VendorRun, partition: Partition) -> None:
    entities = [each.entity for each in vendor_run.vendor.maps if each.table == partition.table]
    results = [Canonical(partition.folder, entity).result for entity in entities]
    vendor_day.record_transformed(vendor_run, partition, results, 0.0)


_RECORD = {"stage": _record_staged, "validate": _record_validated, "transform": _record_transformed}


def _reject(vendor_run: VendorRun, step: Step, partitions: Sequence[Partition]) -> None:
    """Record that a day was rejected. If its load was rejected, repeat the load: it fails and records the breaks again.

    An operator may have accepted these breaks later.

    Raises:
        DataQualityError: The load did not fail.
    """
    run, facts = step.run, step.facts
    if not partitions:
        engine = vendor_run.site.engine
        rejections.record(engine, run.run_id, step.vendor, run.business_date, facts["step"], facts["reason"])
        return
    with suppress(BalanceError):
        vendor_day.publish(vendor_run, partitions)
        raise DataQualityError(
            "The original rejected this day, but here it balances and was loaded",
            vendor=step.vendor,
            day=run.business_date,
        )


def _discard(vendor_run: VendorRun, step: Step, _: Sequence[Partition]) -> None:
    """Discard the dead letters that an operator discarded. Find them by their place in staging, because their ids are new."""
    facts, places = step.facts, json.dumps(step.facts["places"])
    engine = vendor_run.site.engine
    with engine.connect() as connection:
        ids = list(connection.scalars(_FIND_DISCARDED, {"places": places}))
    if ids:
        by, run_id = facts["discarded_by"], step.run.run_id
        dead_letters.discard(engine, ids, facts["discard_reason"], by, run_id, is_dry=False)


def _withdraw(vendor_run: VendorRun, step: Step, _: Sequence[Partition]) -> None:
    facts, engine = step.facts, vendor_run.site.engine
    withdrawal.withdraw(engine, step.vendor, facts["table"], facts["push"], step.run.run_id, facts["caller"])
    compare_changed_days(engine, vendor_run.vendor, step.run.run_id)


_CORRECT = {"reject": _reject, "discard": _discard, "withdraw": _withdraw}
