"""The steps of the original in their order: from its ledger, or from the manifests in staging.

The ledger states the exact order of all steps, and the database has the rejected days and the dead letters that an operator discarded.
Without them, the manifests are ordered by the time of extraction, and each run is loaded as a whole at the time of its last pull.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from include.contract import Vendor
from include.errors import ConfigurationError, DataQualityError
from include.pipeline.run import Run
from include.staging.partitions import Manifest, Origin, Partition, Staging
from include.staging.reference import partition_path
from include.vendors import VENDORS

_SINGLE = ("pushed", "replay")
"""Kinds of pulls that are loaded one at a time, not together with the other tables of a day."""
_WITHDRAWAL = "withdrawal-"
"""Begin of the ledger's pull id of a withdrawal; the id of the push follows."""

_LEDGER = sa.text("""
select vendor, run_id, table_name, business_date, stage, pull_id, pulled, recorded_at
from control.ledger where stage <> 'crm' and vendor = any(:vendors) order by vendor, run_id, ledger_id
""")
_ACCEPTED = sa.text("""
select vendor, run_id, business_date, max(accepted_by) from control.reconciliation where accepted_by is not null group by 1, 2, 3
""")
_REJECTED = sa.text("""
select vendor, run_id, business_date, step, reason, recorded_at from control.rejection where vendor = any(:vendors)
""")
_DISCARDED = sa.text("""
select vendor, replayed_by as run_id, max(business_date) as business_date, max(closed_at) as recorded_at, discard_reason, discarded_by,
       jsonb_agg(jsonb_build_object('partition', partition, 'part', part, 'row_number', row_number, 'stage', stage)) as places
from control.dead_letter where status = 'discarded' and stage <> 'crm' and vendor = any(:vendors)
group by vendor, replayed_by, closed_at, discard_reason, discarded_by
""")


_CALLERS = sa.text("""
select p.inbox_id::text, w.headers ->> 'caller' from control.inbox w
join control.inbox p on p.event_id = w.event_id and p.sender like 'push.%' where w.sender like 'withdraw.%'
""")


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the original that the rebuild repeats.

    Attributes:
        stage: stage, validate, transform, load, withdraw, reject or discard.
        vendor: Name of the vendor.
        run: The run, with only the properties that its steps need.
        at: When the original recorded the step; without a ledger, when the last pull of its run started.
        paths: Its partitions; for a load, and for the rejection of a load, all partitions of the run's day.
        facts: For withdraw, `push`, `table` and `caller`. For reject and discard, the recorded details, such as step and reason. Empty
            for the other stages.
    """

    stage: str
    vendor: str
    run: Run
    at: datetime
    paths: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def pulls(self) -> set[str]:
        """Ids of the pulls for which the ledger records the step."""
        if self.stage == "withdraw":
            return {f"{_WITHDRAWAL}{self.facts['push']}"}
        return {path.rpartition("/")[2] for path in self.paths}


def read_ledger(engine: sa.Engine) -> list[Step]:
    """Return the steps that the original's database recorded, in their order: ledger, rejected days and discarded dead letters."""
    vendors = {"vendors": [vendor.name for vendor in VENDORS]}
    with engine.connect() as connection:
        accepted = {(vendor, run_id, day): by for vendor, run_id, day, by in connection.execute(_ACCEPTED)}
        callers: dict[str, str] = dict(connection.execute(_CALLERS).tuples().all())
        rows = connection.execute(_LEDGER, vendors).all()
        rejected = [
            Step("reject", row.vendor, _run_of(row), row.recorded_at, _list_rejected(row, rows), dict(row._mapping))
            for row in connection.execute(_REJECTED, vendors)
        ]
        discarded = [
            Step("discard", row.vendor, _run_of(row), row.recorded_at, facts=dict(row._mapping))
            for row in connection.execute(_DISCARDED, vendors)
        ]
    steps = [
        step for _, run in groupby(rows, attrgetter("vendor", "run_id")) for step in _list_steps(run, accepted, callers)
    ]
    return sorted(steps + rejected + discarded, key=attrgetter("at"))


def _run_of(row: Any) -> Run:
    return Run.of_day(row.run_id, row.business_date)


def _list_rejected(rejection: Any, rows: Iterable[Any]) -> tuple[str, ...]:
    """Return the partitions of a day whose load was rejected; empty if an earlier step rejected it."""
    of_run = attrgetter("vendor", "run_id", "business_date")
    staged = {
        row.table_name: _path_of(row)
        for row in rows
        if of_run(row) == of_run(rejection) and row.stage == "stage" and row.recorded_at < rejection.recorded_at
    }
    return tuple(staged.values()) if rejection.step == "load" else ()


def _list_steps(
    rows: Iterable[Any], accepted: dict[tuple[str, str, date], str], callers: dict[str, str]
) -> Iterator[Step]:
    """Yield the steps of one run. The load of a day has the partitions of all tables, because some are loaded through another table."""
    newest: dict[tuple[str, date], dict[str, str]] = defaultdict(dict)
    for _, group in groupby(rows, lambda row: (row.stage, row.pull_id if _is_single(row) else row.business_date)):
        *_, row = group
        if row.pull_id.startswith(_WITHDRAWAL):
            yield _make_withdrawal(row, callers)
            continue
        path = _path_of(row)
        of_day = newest[row.pulled, row.business_date]
        if row.stage == "stage":
            of_day[row.table_name] = path
        accepted_by = accepted.get((row.vendor, row.run_id, row.business_date), "")
        run = _make_run(row.business_date, row.pulled, Origin(row.run_id, row.pulled == "replay", accepted_by))
        yield Step(row.stage, row.vendor, run, row.recorded_at, (path,) if _is_single(row) else tuple(of_day.values()))


def _make_withdrawal(row: Any, callers: dict[str, str]) -> Step:
    push = row.pull_id.removeprefix(_WITHDRAWAL)
    # Later, the inbox no longer has the push and its caller.
    facts = {"push": int(push), "table": row.table_name, "caller": callers.get(push, "unknown")}
    return Step("withdraw", row.vendor, _run_of(row), row.recorded_at, facts=facts)


def _path_of(row: Any) -> str:
    return partition_path(row.vendor, row.table_name, row.business_date, row.pull_id)


def _is_single(row: Any) -> bool:
    """Return whether a ledger row records a step of one partition. Only the load of a day has several."""
    return row.stage != "load" or row.pulled in _SINGLE


def _make_run(day: date, pulled: str, origin: Origin) -> Run:
    # The keys of a selected pull are not recorded. It matters only that there are some: such a run never rejects a day.
    keys = ("*",) if pulled == "selected" else ()
    by = origin.accepted_by
    return Run.of_day(origin.run_id, day, is_replay=origin.is_replay, keys=keys, accept_unusual=bool(by), user=by)


def read_staging(staging: Staging) -> list[Step]:
    """Return the steps to repeat, derived from the partitions in staging, in the order in which the partitions were extracted.

    Raises:
        ConfigurationError: A partition was staged by a version whose manifests do not name the run.
    """
    vendors = {vendor.name: vendor for vendor in VENDORS}
    partitions = [staging.open(path) for path in staging.list_partitions() if path.split("/")[0] in vendors]
    if unnamed := [each.path for each in partitions if not each.manifest.origin.run_id]:
        raise ConfigurationError(
            "Staging has partitions of an earlier version, which do not name their run: give the ledger of the original",
            partitions=len(unnamed), first=unnamed[0],
        )  # fmt: skip
    ordered = sorted(partitions, key=lambda each: (_unit_of(each.manifest), each.manifest.extracted_at))
    steps = [
        step
        for _, unit in groupby(ordered, lambda each: _unit_of(each.manifest))
        for day in _split_repeated(unit)
        for step in _repeat_day(vendors[day[0].manifest.vendor], day)
    ]
    return sorted(steps, key=attrgetter("at"))


def _unit_of(manifest: Manifest) -> tuple[str, ...]:
    """Return the key of the partitions that are loaded together: all with the same key."""
    is_single = manifest.pulled in _SINGLE or manifest.origin.is_replay
    unit = (manifest.vendor, manifest.origin.run_id, str(manifest.business_date), manifest.pulled)
    return (*unit, manifest.pull_id if is_single else "")


def _split_repeated(partitions: Iterable[Partition]) -> Iterator[list[Partition]]:
    """Yield the partitions of each attempt of a run. A run that was cleared pulled its tables again in another attempt."""
    attempt: dict[str, Partition] = {}
    for each in partitions:
        if each.table in attempt and _is_validated(attempt[each.table]):
            yield list(attempt.values())
            attempt = {}
        attempt[each.table] = each  # replaces a partition of a task that was killed before it ended
    yield list(attempt.values())


def _repeat_day(vendor: Vendor, partitions: Sequence[Partition]) -> Iterator[Step]:
    """Yield the steps of partitions that are loaded together. Leave out a step if the files do not show that it ran."""
    manifest = partitions[-1].manifest
    is_transformed = all(_is_transformed(vendor, each) for each in partitions)
    if manifest.origin.is_replay and not is_transformed:
        return  # a dry run records nothing
    run = _make_run(manifest.business_date, manifest.pulled, manifest.origin)
    paths = tuple(each.path for each in partitions)
    validated = [each.path for each in partitions if each.folder.has("validation.json")]
    stages = [("stage", paths), ("validate", validated), ("transform", paths if is_transformed else ())]
    for stage, some in stages:
        yield from (Step(stage, vendor.name, run, manifest.extracted_at, (path,)) for path in some)
    if is_transformed:
        yield Step("load", vendor.name, run, manifest.extracted_at, paths)
    elif reason := _find_rejection(vendor, partitions):
        facts = {"step": "validate", "reason": reason}
        yield Step("reject", vendor.name, run, manifest.extracted_at, facts=facts)


def _find_rejection(vendor: Vendor, partitions: Sequence[Partition]) -> str:
    """Return why validation rejected the day of these partitions; empty if it did not."""
    from include.validation.check import read_outcome, stop_if_unfit

    try:
        stop_if_unfit(
            vendor, {each.table: read_outcome(each) for each in partitions if each.folder.has("validation.json")}
        )
    except DataQualityError as error:
        return str(error)
    return ""


def _is_validated(partition: Partition) -> bool:
    return partition.folder.has("faults.parquet")


def _is_transformed(vendor: Vendor, partition: Partition) -> bool:
    entities = {each.entity for each in vendor.maps if each.table == partition.table}
    done = all(partition.folder.below(f"canonical/{entity}").has("manifest.json") for entity in entities)
    return done and _is_validated(partition)
