"""Convert a partition's `validation.json` to a result of Great Expectations."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

from great_expectations.core import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
    RunIdentifier,
)
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from include.staging.partitions import Partition
from include.validation.date_bounds import read_anchors, resolve_bounds

_CONSEQUENCES = {"row": "The row becomes a dead letter.", "batch": "The day stops before anything is loaded."}


def read_result(
    partition: Partition, run_id: str
) -> tuple[ValidationResultIdentifier, ExpectationSuiteValidationResult]:
    """Read the validation result of a partition; return its key in the store and the result.

    The same partition and run always have the same key.
    """
    manifest = partition.manifest
    outcome = json.loads(partition.folder.read("validation.json"))
    suite, day = f"{manifest.vendor}__{manifest.table}", manifest.business_date.isoformat()
    run = RunIdentifier(run_id, manifest.extracted_at.astimezone(UTC))
    result = ExpectationSuiteValidationResult(
        success=all(entry["success"] for entry in outcome["results"]),
        results=[
            _convert_entry(
                entry | {"kwargs": resolve_bounds(entry["kwargs"], read_anchors(manifest))},
                outcome["measures"],
                outcome.get("details", {}),
            )
            for entry in outcome["results"]
        ],
        suite_name=suite,
        statistics=_compute_statistics(outcome["results"]),
        meta={
            "run_id": {"run_name": run_id, "run_time": run.run_time.isoformat()},
            "batch_spec": {
                "data_asset_name": f"{manifest.vendor} {manifest.table}",
                "business_date": day,
                "partition": partition.path,
                "rows_staged": outcome["staged"],
                "rows_refused": outcome["refused"],
            },
        },
    )
    return ValidationResultIdentifier(ExpectationSuiteIdentifier(suite), run, day), result


def _compute_statistics(entries: list[dict[str, Any]]) -> dict[str, Any]:
    passed = sum(entry["success"] for entry in entries)
    return {
        "evaluated_expectations": len(entries),
        "successful_expectations": passed,
        "unsuccessful_expectations": len(entries) - passed,
        "success_percent": 100 * passed / len(entries) if entries else None,
    }


def _convert_entry(
    entry: dict[str, Any], measures: dict[str, float | None], details: dict[str, str]
) -> ExpectationValidationResult:
    configuration = ExpectationConfiguration(
        type=entry["type"],
        kwargs=dict(entry["kwargs"]),
        meta={"consequence": _CONSEQUENCES[entry["level"]], "why": entry["notes"]},
        notes=entry["notes"] or None,
    )
    return ExpectationValidationResult(
        success=entry["success"],
        expectation_config=configuration,
        result=_format_observed(entry, measures, details),
        exception_info={"raised_exception": False, "exception_message": None, "exception_traceback": None},
    )


def _format_observed(
    entry: dict[str, Any], measures: dict[str, float | None], details: dict[str, str]
) -> dict[str, Any]:
    if entry["level"] == "batch":  # show the measure itself, not a count of one
        value = measures[entry["kwargs"]["column"]]
        detail = "" if entry["success"] else details.get(entry["kwargs"]["column"], "")
        return {"observed_value": f"{value} ({detail})" if detail else value}
    present = entry["element_count"] - entry["missing_count"]
    return {
        "element_count": entry["element_count"],
        "missing_count": entry["missing_count"],
        "unexpected_count": entry["unexpected_count"],
        "unexpected_percent": 100 * entry["unexpected_count"] / present if present else 0.0,
        "partial_unexpected_list": entry["partial_unexpected_list"],
    }
