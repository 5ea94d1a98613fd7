"""Run the suites over a vendor-day.

Great Expectations is imported inside the task, once for all tables, because the import takes seconds and 270 MB. It runs in an ephemeral
context on one part of a table at a time. The results of the parts are added up to one result per expectation of the suite.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import pandas as pd
import pyarrow as pa

from include.contract import Table, Vendor
from include.errors import ConfigurationError, DataQualityError
from include.extract.columns import staged_schema
from include.staging.partitions import FAULTS, Partition
from include.staging.row_key import format_keys
from include.validation.cached_expectation import register_cached
from include.validation.compared import ACCEPTABLE
from include.validation.date_bounds import read_anchors
from include.validation.measures import measure
from include.validation.suite import Expectation, find_suite
from include.validation.view import plain, view

_COUNTS = {"result_format": "BASIC"}
_PLACES = {
    "result_format": "COMPLETE",
    "include_unexpected_rows": False,
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}


class Validator:
    """An ephemeral context of Great Expectations that checks data frames."""

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
        """Check a frame; return one result of Great Expectations per expectation, in the same order.

        Raises:
            ConfigurationError: Great Expectations does not know an expectation or can't run it.
        """
        configurations = [
            {"type": register_cached(e.type), "kwargs": e.kwargs, "meta": {"place": n}}
            for n, e in enumerate(expectations)
        ]
        if not configurations:
            return []
        batch = self._batches.get_batch(batch_parameters={"dataframe": frame})
        validated = batch.validate(self._suite(name="part", expectations=configurations), result_format=result_format)
        results: list[Any] = [None] * len(configurations)
        for result in validated.results:
            assert result.expectation_config is not None
            place = result.expectation_config.meta["place"]
            if result.exception_info.get("raised_exception"):
                raise ConfigurationError(
                    f"An expectation can't be run: {result.exception_info['exception_message']}",
                    expectation=expectations[place].type,
                )
            results[place] = result
        for expectation, result in zip(expectations, results, strict=True):
            if result is None:  # Great Expectations only logs and skips it
                raise ConfigurationError("Unknown expectation", expectation=expectation.name)
        return results


@dataclass
class Outcome:
    """Validation result of one table.

    Attributes:
        table: Name of the table.
        staged: Rows that were checked.
        refused: Rows that a row-level expectation refused.
        failed: Messages of batch-level expectations that failed.
        accepted: Messages of batch-level expectations that failed and that the operator accepted for this run.
        results: One entry per expectation of the suite, with counts, success and the expectation's configuration.
        measures: Name -> value of each measure that batch-level expectations may check.
        details: Name of a measure -> explanation with keys, counts or sums.
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
    def exceeds_dead_ratio(self) -> bool:
        """Whether the ratio of dead rows exceeds the suite's limit. If so, the table or the suite is wrong, rather than single rows."""
        return any(e["kwargs"]["column"] == "dead_ratio" and not e["success"] for e in self._of("batch"))

    @property
    def worst(self) -> dict[str, Any]:
        """The entry of `results` of the row-level expectation that refused the most rows; empty if no row was refused."""
        most = max(self._of("row"), key=itemgetter("unexpected_count"), default={})
        return most if most.get("unexpected_count") else {}

    def _of(self, level: str) -> list[dict[str, Any]]:
        return [entry for entry in self.results if entry["level"] == level]


def validate_day(
    vendor: Vendor,
    partitions: Mapping[str, Partition],
    recent: Mapping[str, Sequence[int]],
    *,
    earlier: Mapping[str, Sequence[Partition]] | None = None,
    accept_unusual: bool = False,
    undelivered: Collection[str] = (),
    rows_only: bool = False,
) -> dict[str, Outcome]:
    """Validate every table of a vendor-day: rows first, then the day as a whole.

    Writes the refused rows (`faults.parquet`) and the results (`validation.json`) to each partition.

    Args:
        vendor: The declaration.
        partitions: Table -> its partition.
        recent: Table -> row counts of recent days, for `rows_ratio`.
        earlier: Table -> its partitions of the last loaded days, newest first.
        accept_unusual: Whether an operator accepts failures of the measures in `compared.ACCEPTABLE`.
        undelivered: Keys of accounts whose rows the vendor never delivers; see `include.warehouse.known_difference`.
        rows_only: Whether to skip the batch-level expectations.

    Returns:
        Table -> outcome. Failures of batch-level expectations are in the outcomes and do not raise; see `stop_if_unfit`.

    Raises:
        ConfigurationError: A partition was staged under another declaration, or a suite names a column or measure that the table does
            not have.
    """
    for name, partition in partitions.items():
        _refuse_other_contract(vendor, vendor.table(name), partition)
    validator = Validator()
    outcomes = {name: _validate_rows(validator, vendor, vendor.table(name), each) for name, each in partitions.items()}
    for name, outcome in outcomes.items():
        table, partition = vendor.table(name), partitions[name]
        if not rows_only:
            comparison = measure(
                vendor, table, partitions, recent.get(name, ()), (earlier or {}).get(name, ()), undelivered
            )
            outcome.measures, outcome.details = comparison.measures, comparison.details
            _validate_batch(validator, vendor, table, outcome, accept_unusual=accept_unusual)
            if outcome.exceeds_dead_ratio and (worst := outcome.worst):
                outcome.failed.append(
                    f"suite {vendor.name}__{name}: {worst['reason']} refuses {worst['unexpected_count']:,}"
                    f" of {outcome.staged:,} rows"
                )
            if outcome.failed and not outcome.exceeds_dead_ratio and (reason := partition.find_commonest_reason()):
                outcome.failed.append(f"most common reason of unreadable rows: {reason}")
        partition.folder.write("validation.json", json.dumps(vars(outcome), default=str, indent=1).encode())
    return outcomes


def _refuse_other_contract(vendor: Vendor, table: Table, partition: Partition) -> None:
    """Raise ConfigurationError if a partition was staged under another declaration: its types and names may be different."""
    staged = partition.manifest.contract
    if staged != table.staged_hash:
        raise ConfigurationError(
            "The partition was staged under another contract: pull it again",
            vendor=vendor.name,
            table=table.name,
            partition=partition.path,
            staged=staged,
            declared=table.staged_hash,
        )


def read_outcome(partition: Partition) -> Outcome:
    """Return the outcome that `validate_day` wrote to a partition.

    Raises:
        DataQualityError: The partition was not validated by a suite.
    """
    try:
        return Outcome(**json.loads(partition.folder.read("validation.json")))
    except FileNotFoundError as error:
        raise DataQualityError(
            "The partition was not validated: clear the task validate of the run, and do not mark it as successful",
            table=partition.manifest.table,
            partition=partition.path,
        ) from error


def stop_if_unfit(vendor: Vendor, outcomes: Mapping[str, Outcome]) -> None:
    """Stop a vendor-day if a batch-level expectation failed.

    Raises:
        DataQualityError: The message lists every failure.
    """
    failures = [f"{outcome.table}: {failure}" for outcome in outcomes.values() for failure in outcome.failed]
    if failures:
        raise DataQualityError(
            "The day failed validation and is not loaded: " + "; ".join(failures), vendor=vendor.name
        )


def _validate_rows(validator: Validator, vendor: Vendor, table: Table, partition: Partition) -> Outcome:
    suite = [e for e in find_suite(vendor, table) if e.level == "row"]
    columns = sorted({e.staged for e in suite} | set(table.key))
    if unknown := set(columns) - set(staged_schema(table).names):
        raise ConfigurationError(
            "The suite names columns that are not staged",
            vendor=vendor.name,
            table=table.name,
            columns=",".join(sorted(unknown)),
        )
    anchors = read_anchors(partition.manifest)
    outcome, faults = Outcome(table.name, results=[_start_entry(e) for e in suite]), []
    for part, rows in partition.rows(columns):
        frame, applied = view(rows, suite, anchors)
        failures = _find_bad_rows(validator, frame, applied, outcome)
        outcome.staged += rows.num_rows
        if failures:
            faults.append(_build_faults(part, rows, table, failures))
    refused = pa.concat_tables([FAULTS.empty_table(), *faults])
    outcome.refused = refused.num_rows
    partition.write_faults(refused)
    return outcome


def _find_bad_rows(
    validator: Validator, frame: pd.DataFrame, applied: Sequence[Expectation], outcome: Outcome
) -> dict[int, list[str]]:
    """Return the bad rows of a part: index of the row -> reasons of the expectations that refused it.

    Every expectation is run once to count its bad rows, which is cheap. Expectations with bad rows are run again to locate them.
    """
    failures: dict[int, list[str]] = {}
    counted = validator.check(frame, applied, _COUNTS)
    failing = [n for n, result in enumerate(counted) if not result.success]
    placed = validator.check(frame, [applied[n] for n in failing], _PLACES)
    for n, result in enumerate(counted):
        _add_up(outcome.results[n], result)
    for n, result in zip(failing, placed, strict=True):
        for place in result.result["unexpected_index_list"]:
            failures.setdefault(int(place), []).append(str(outcome.results[n]["reason"]))
    return failures


def _build_faults(part: str, rows: pa.Table, table: Table, failures: dict[int, list[str]]) -> pa.Table:
    places = sorted(failures)
    picked = rows.take(pa.array(places, pa.int64()))
    return pa.table(
        {
            "part": [part] * len(places),
            "row_number": places,
            "row_key": format_keys(picked, table.key),
            "expectations": [failures[place] for place in places],
        },
        schema=FAULTS,
    )


def _validate_batch(
    validator: Validator, vendor: Vendor, table: Table, outcome: Outcome, *, accept_unusual: bool
) -> None:
    suite = [e for e in find_suite(vendor, table) if e.level == "batch"]
    frame = pd.DataFrame({name: [value] for name, value in outcome.measures.items()}, dtype="float64")
    for expectation in suite:
        if expectation.column not in outcome.measures:
            raise ConfigurationError(
                "The suite names a measure that the table does not have: fix the suite",
                table=table.name,
                measure=expectation.column,
            )
    applied = [Expectation(e.type, plain(e.kwargs), e.level, e.notes) for e in suite]
    for expectation, result in zip(suite, validator.check(frame, applied, _COUNTS), strict=True):
        entry = _start_entry(expectation)
        _add_up(entry, result)
        outcome.results.append(entry)
        if not result.success:
            detail = outcome.details.get(expectation.column, "")
            failure = f"{expectation.name} is {outcome.measures[expectation.column]}, expected {expectation.limits}"
            is_accepted = accept_unusual and expectation.column in ACCEPTABLE
            entry["accepted"] = is_accepted
            (outcome.accepted if is_accepted else outcome.failed).append(f"{failure} ({detail})" if detail else failure)


def _start_entry(expectation: Expectation) -> dict[str, Any]:
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
    """Add the result of an expectation on one part to its entry in `Outcome.results`."""
    entry["success"] = entry["success"] and bool(result.success)
    for name in ("element_count", "unexpected_count", "missing_count"):
        entry[name] += result.result.get(name) or 0
    examples = [str(value) for value in result.result.get("partial_unexpected_list", [])]
    entry["partial_unexpected_list"] = (entry["partial_unexpected_list"] + examples)[:20]
