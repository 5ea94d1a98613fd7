"""Runs the suites over a vendor-day.

Great Expectations is imported here, inside the task, once for all tables (seconds and 270 MB). It runs in an ephemeral
context, part by part; what it says of the parts is added up to one result a table, in the suite's own words.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import pandas as pd
import pyarrow as pa

from include.contract import Table, Vendor
from include.errors import ConfigurationError, DataQualityError
from include.extract.columns import staged_schema
from include.staging.partitions import Staging
from include.staging.rows import FAULTS, commonest_reason, write_faults
from include.validation.compared import ACCEPTABLE
from include.validation.date_bounds import anchors_of
from include.validation.measures import measure
from include.validation.suite import Expectation, read_suite
from include.validation.view import plain, view

_COUNTS = {"result_format": "BASIC"}
_PLACES = {
    "result_format": "COMPLETE",
    "include_unexpected_rows": False,
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}


class Validator:
    """Great Expectations, ready to check frames."""

    def __init__(self) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_pandas("staging").add_dataframe_asset("part")
        self._batches = asset.add_batch_definition_whole_dataframe("whole")
        self._suite = gx.ExpectationSuite

    def check(self, frame: pd.DataFrame, expectations: Sequence[Expectation], result_format: Any) -> list[Any]:
        """Checks a frame; one result for each expectation, in order.

        Raises:
            ConfigurationError: An expectation can't be checked at all.
        """
        described = [{"type": e.type, "kwargs": e.kwargs, "meta": {"place": n}} for n, e in enumerate(expectations)]
        if not described:
            return []
        batch = self._batches.get_batch(batch_parameters={"dataframe": frame})
        answered = batch.validate(self._suite(name="part", expectations=described), result_format=result_format)
        results: list[Any] = [None] * len(described)
        for result in answered.results:
            assert result.expectation_config is not None
            if result.exception_info.get("raised_exception"):
                raise ConfigurationError(
                    f"An expectation can't be checked: {result.exception_info['exception_message']}",
                    expectation=result.expectation_config.type,
                )
            results[result.expectation_config.meta["place"]] = result
        for expectation, result in zip(expectations, results, strict=True):
            if result is None:  # it was logged and left out
                raise ConfigurationError(
                    "Great Expectations does not know an expectation", expectation=expectation.name
                )
        return results


@dataclass
class Outcome:
    """What validation says of one table.

    Attributes:
        table: Its name.
        staged: Rows that were looked at.
        refused: Rows that became dead letters.
        failed: Batch-level expectations that failed, in words.
        accepted: Those that failed and that the operator accepted for this run.
        results: One entry an expectation of the suite: counts, success, and the configuration as people wrote it.
        measures: What the batch-level expectations looked at.
        details: What is behind a measure, in words.
    """

    table: str
    staged: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    measures: dict[str, float | None] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)

    @property
    def is_wreck(self) -> bool:
        """Whether more rows died than the suite bears: something is wrong with the table or the suite, not with its rows."""
        return any(e["kwargs"]["column"] == "dead_ratio" and not e["success"] for e in self._of("batch"))

    @property
    def worst(self) -> dict[str, Any]:
        """The entry of the row-level expectation that refused the most rows; empty where none did."""
        most = max(self._of("row"), key=itemgetter("unexpected_count"), default={})
        return most if most.get("unexpected_count") else {}

    def _of(self, level: str) -> list[dict[str, Any]]:
        return [entry for entry in self.results if entry["level"] == level]


def validate_day(
    vendor: Vendor,
    paths: Mapping[str, str],
    staging: Staging,
    recent: Mapping[str, Sequence[int]],
    *,
    earlier: Mapping[str, Sequence[str]] | None = None,
    accept_unusual: bool = False,
    rows_only: bool = False,
) -> dict[str, Outcome]:
    """Validates every table of a vendor-day: rows first, then the day as a whole.

    Bad rows are written beside the parts (`faults.parquet`), results as `validation.json`.

    Args:
        vendor: The declaration.
        paths: Partition by table.
        staging: Where they are.
        recent: Rows of recent days by table, for the band.
        earlier: Partitions of the last loaded days by table, the newest first.
        accept_unusual: Lets a day pass that compares badly with earlier ones, or does not add up (`compared.ACCEPTABLE`).
        rows_only: Leaves batch-level expectations out.

    Returns:
        Outcomes by table; a batch-level failure is told in them, see `stop_if_unfit`.

    Raises:
        ConfigurationError: A partition was staged as the table is not declared any more, or a suite does not fit it.
    """
    for name, path in paths.items():
        _refuse_other_contract(vendor, vendor.table(name), path, staging)
    validator = Validator()
    outcomes = {
        name: _validate_rows(validator, vendor, vendor.table(name), path, staging) for name, path in paths.items()
    }
    for name, outcome in outcomes.items():
        table = vendor.table(name)
        if not rows_only:
            found = measure(vendor, table, paths, staging, recent.get(name, ()), (earlier or {}).get(name, ()))
            outcome.measures, outcome.details = found.measures, found.details
            _validate_batch(validator, vendor, table, outcome, accept_unusual=accept_unusual)
            if outcome.is_wreck and (worst := outcome.worst):
                outcome.failed.append(
                    f"suite {vendor.name}__{name}: {worst['reason']} refuses {worst['unexpected_count']:,}"
                    f" of {outcome.staged:,} rows"
                )
            if outcome.failed and not outcome.is_wreck and (reason := commonest_reason(staging, paths[name])):
                outcome.failed.append(f"most rows that can't be read: {reason}")
        staging.folder(paths[name]).write("validation.json", json.dumps(vars(outcome), default=str, indent=1).encode())
    return outcomes


def _refuse_other_contract(vendor: Vendor, table: Table, path: str, staging: Staging) -> None:
    """Types and names of an old declaration would be read as those of the new one."""
    staged = staging.manifest(path).contract
    if staged != table.staged_hash:
        raise ConfigurationError(
            "The partition was staged under another contract: pull again",
            vendor=vendor.name,
            table=table.name,
            partition=path,
            staged=staged,
            declared=table.staged_hash,
        )


def stop_if_unfit(vendor: Vendor, outcomes: Mapping[str, Outcome]) -> None:
    """Stops a vendor-day that a batch-level expectation refuses.

    Raises:
        DataQualityError: With every failure.
    """
    failures = [f"{outcome.table}: {failure}" for outcome in outcomes.values() for failure in outcome.failed]
    if failures:
        raise DataQualityError("The day is not fit to be loaded: " + "; ".join(failures), vendor=vendor.name)


def _validate_rows(validator: Validator, vendor: Vendor, table: Table, path: str, staging: Staging) -> Outcome:
    suite = [e for e in read_suite(vendor.name, table.name) if e.level == "row"]
    columns = sorted({e.staged for e in suite} | set(table.key))
    if unknown := set(columns) - set(staged_schema(table).names):
        raise ConfigurationError(
            "The suite names columns that are not staged",
            vendor=vendor.name,
            table=table.name,
            columns=",".join(sorted(unknown)),
        )
    anchors = anchors_of(staging.manifest(path))
    outcome, faults = Outcome(table.name, results=[_blank(e) for e in suite]), []
    for part, rows in staging.rows(path, columns):
        frame, applied = view(rows, suite, anchors)
        found = _places(validator, frame, applied, outcome)
        outcome.staged += rows.num_rows
        if found:
            faults.append(_faults(part, rows, table, found))
    refused = pa.concat_tables([FAULTS.empty_table(), *faults])
    outcome.refused = refused.num_rows
    write_faults(staging, path, refused)
    return outcome


def _places(
    validator: Validator, frame: pd.DataFrame, applied: Sequence[Expectation], outcome: Outcome
) -> dict[int, list[str]]:
    """Bad rows of a part, by place, with the expectations that they failed.

    Counting is cheap and finding is not, so places are asked for only where something failed.
    """
    found: dict[int, list[str]] = {}
    counted = validator.check(frame, applied, _COUNTS)
    failing = [n for n, result in enumerate(counted) if not result.success]
    placed = validator.check(frame, [applied[n] for n in failing], _PLACES)
    for n, result in enumerate(counted):
        _add_up(outcome.results[n], result)
    for n, result in zip(failing, placed, strict=True):
        for place in result.result["unexpected_index_list"]:
            found.setdefault(int(place), []).append(str(outcome.results[n]["reason"]))
    return found


def _faults(part: str, rows: pa.Table, table: Table, found: dict[int, list[str]]) -> pa.Table:
    places = sorted(found)
    picked = rows.take(pa.array(places, pa.int64()))
    keys = [":".join(str(value) for value in key.values()) for key in picked.select(list(table.key)).to_pylist()]
    return pa.table(
        {
            "part": [part] * len(places),
            "row_number": places,
            "row_key": keys,
            "expectations": [found[place] for place in places],
        },
        schema=FAULTS,
    )


def _validate_batch(
    validator: Validator, vendor: Vendor, table: Table, outcome: Outcome, *, accept_unusual: bool
) -> None:
    suite = [e for e in read_suite(vendor.name, table.name) if e.level == "batch"]
    frame = pd.DataFrame({name: [value] for name, value in outcome.measures.items()}, dtype="float64")
    for expectation in suite:
        if expectation.column not in outcome.measures:
            raise ConfigurationError(
                "The suite names a measure that the table does not have", table=table.name, measure=expectation.column
            )
    applied = [Expectation(e.type, plain(e.kwargs), e.level, e.notes) for e in suite]
    for expectation, result in zip(suite, validator.check(frame, applied, _COUNTS), strict=True):
        entry = _blank(expectation)
        _add_up(entry, result)
        outcome.results.append(entry)
        if not result.success:
            detail = outcome.details.get(expectation.column, "")
            failure = f"{expectation.name} is {outcome.measures[expectation.column]}, expected {expectation.limits}"
            is_accepted = accept_unusual and expectation.column in ACCEPTABLE
            (outcome.accepted if is_accepted else outcome.failed).append(f"{failure} ({detail})" if detail else failure)


def _blank(expectation: Expectation) -> dict[str, Any]:
    return {
        "name": expectation.name,
        "reason": expectation.reason,
        "type": expectation.type,
        "kwargs": plain(expectation.kwargs),
        "level": expectation.level,
        "notes": expectation.notes,
        "success": True,
        "element_count": 0,
        "unexpected_count": 0,
        "missing_count": 0,
        "partial_unexpected_list": [],
    }


def _add_up(entry: dict[str, Any], result: Any) -> None:
    """Adds what was found in one part to the table's result."""
    entry["success"] = entry["success"] and bool(result.success)
    for name in ("element_count", "unexpected_count", "missing_count"):
        entry[name] += result.result.get(name) or 0
    examples = [str(value) for value in result.result.get("partial_unexpected_list", [])]
    entry["partial_unexpected_list"] = (entry["partial_unexpected_list"] + examples)[:20]
