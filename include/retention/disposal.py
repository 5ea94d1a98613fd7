"""Dispose of all data whose retention period is over, or only count it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from include.crm.sync.difference import PLACE as CHANGES
from include.errors import FatalError, RetriableError, TributaryError
from include.retention import pages, rows, staging
from include.retention.datasets import DATASETS, FOR_EVER, Dataset
from include.retention.periods import days_of
from include.retention.rows import Expired
from include.staging.partitions import Staging

log = logging.getLogger(__name__)

_WRITTEN = {"pages: salesforce_changes": CHANGES, "staging: logs": staging.LOGS}
"""Dataset -> its folder in staging; each file in it is disposed of by its own age."""
_RECORD = sa.text("select control.record_disposed_files(:run_id, :dataset, cast(:details as jsonb))")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a firm's data is.

    Attributes:
        engine: The database, as the loading role.
        staging: The staging folder.
        clock: Returns the current time, from which the age of files is computed. The age of rows is computed by the database.
    """

    engine: sa.Engine
    staging: Staging
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


def dispose_expired(places: Places, run_id: str, periods: Mapping[str, str], *, is_dry: bool) -> dict[str, Expired]:
    """Dispose of the expired rows and files of each dataset, one dataset after the other.

    The audit trail gets one entry for each batch of rows, and two for each dataset of files: what is due, before the first file is deleted,
    and what was deleted. If this is killed in between, the first entry remains; run it again.

    Args:
        places: Where the data is.
        run_id: The run, which is the actor in the audit trail.
        periods: Dataset -> period, from `read_periods`.
        is_dry: Whether to only count, and to dispose of nothing.

    Returns:
        Name of a dataset -> the rows or files that were disposed of; with `is_dry`, those that are due.

    Raises:
        RetriableError: Datasets failed, all because the database, or staging was unavailable. The other datasets
            were disposed of.
        FatalError: A dataset failed for another reason. The datasets without an error were disposed of.
    """
    results, failures = dict[str, Expired](), dict[str, Exception]()
    for dataset in _list_due(periods):
        try:
            results[dataset.name] = _expire(places, run_id, dataset, periods[dataset.name], is_dry=is_dry)
        except Exception as error:  # whatever it is, continue with the other datasets
            failures[dataset.name] = error
            log.exception("%s failed", dataset.name)
    log.info("%s", describe(results, is_dry=is_dry))
    _raise(failures)
    return results


def describe(results: Mapping[str, Expired], *, is_dry: bool) -> str:
    """Return the summary of a disposal: a line per dataset with the number of rows or files, bytes, and the oldest and newest date."""
    lines = [
        f"{name}: {each.count:,} rows or files, {each.bytes:,} bytes, {_show(each.oldest)} to {_show(each.newest)}"
        for name, each in results.items()
        if each.count
    ]
    head = "Dry run, nothing was disposed of. It would be:" if is_dry else "Disposed of:"
    return "\n".join([head, *(lines or ["nothing"])])


def _list_due(periods: Mapping[str, str]) -> Iterator[Dataset]:
    return (each for each in DATASETS if each.is_disposable and periods[each.name] != FOR_EVER)


def _expire(places: Places, run_id: str, dataset: Dataset, period: str, *, is_dry: bool) -> Expired:
    if dataset.is_table:
        if is_dry:
            return rows.measure(places.engine, dataset.name, period)
        return rows.dispose(places.engine, run_id, dataset.name, period)
    before = places.clock() - timedelta(days=days_of(period))
    due = _expire_files(places, dataset.name, before, is_dry=True)
    if is_dry or not due.count:
        return due
    _record(places.engine, run_id, dataset.name, due, period, "due")
    expired = _expire_files(places, dataset.name, before, is_dry=False)
    _record(places.engine, run_id, dataset.name, expired, period, "deleted")
    return expired


def _expire_files(places: Places, name: str, before: datetime, *, is_dry: bool) -> Expired:
    if name in _WRITTEN:
        return staging.expire_written(places.staging, _WRITTEN[name], before, is_dry=is_dry)
    if name == "pages: data_docs":
        return pages.expire_reports(places.staging, places.engine, before, is_dry=is_dry)
    if name == "staging: documents":
        return staging.expire_documents(places.staging, places.engine, before, is_dry=is_dry)
    if name == "staging: partitions":
        return staging.expire_partitions(places.staging, places.engine, before, is_dry=is_dry)
    return staging.expire_incomplete(places.staging, before, is_dry=is_dry)


def _record(engine: sa.Engine, run_id: str, dataset: str, expired: Expired, period: str, step: str) -> None:
    details: dict[str, Any] = {
        "step": step,
        "files": expired.count, "bytes": expired.bytes, "oldest": _show(expired.oldest),
        "newest": _show(expired.newest), "kept_for": period,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(_RECORD, {"run_id": run_id, "dataset": dataset, "details": json.dumps(details)})


def _show(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d}"


def _raise(failures: Mapping[str, Exception]) -> None:
    if failures:
        is_passing = all(isinstance(each, RetriableError) for each in failures.values())
        first = next(iter(failures.values()))
        message = (
            f"{len(failures)} datasets were not disposed of completely: {', '.join(failures)}. The first error: {first}"
        )
        error: TributaryError = RetriableError(message) if is_passing else FatalError(message)
        raise error from first
