"""What validation left in a partition, as a result of Great Expectations' own kind."""

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

from include.staging.partitions import Staging
from include.validation.date_bounds import anchors_of, name_days

_CONSEQUENCES = {"row": "The row becomes a dead letter.", "batch": "The day stops before anything is loaded."}


def read_result(
    staging: Staging, path: str, run_id: str
) -> tuple[ValidationResultIdentifier, ExpectationSuiteValidationResult]:
    """Reads `validation.json` of a partition; the same partition and run give the same key and result."""
    manifest = staging.manifest(path)
    outcome = json.loads(staging.folder(path).read("validation.json"))
    suite, day = f"{manifest.vendor}__{manifest.table}", manifest.business_date.isoformat()
    run = RunIdentifier(run_id, manifest.extracted_at.astimezone(UTC))
    result = ExpectationSuiteValidationResult(
        success=all(entry["success"] for entry in outcome["results"]),
        results=[
            _result(
                entry | {"kwargs": name_days(entry["kwargs"], anchors_of(manifest))},
                outcome["measures"],
                outcome.get("details", {}),
            )
            for entry in outcome["results"]
        ],
        suite_name=suite,
        statistics=_statistics(outcome["results"]),
        meta={
            "run_id": {"run_name": run_id, "run_time": run.run_time.isoformat()},
            "batch_spec": {
                "data_asset_name": f"{manifest.vendor} {manifest.table}",
                "business_date": day,
                "partition": path,
                "rows_staged": outcome["staged"],
                "rows_refused": outcome["refused"],
            },
        },
    )
    return ValidationResultIdentifier(ExpectationSuiteIdentifier(suite), run, day), result


def _statistics(entries: list[dict[str, Any]]) -> dict[str, Any]:
    passed = sum(entry["success"] for entry in entries)
    return {
        "evaluated_expectations": len(entries),
        "successful_expectations": passed,
        "unsuccessful_expectations": len(entries) - passed,
        "success_percent": 100 * passed / len(entries) if entries else None,
    }


def _result(
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
        result=_seen(entry, measures, details),
        exception_info={"raised_exception": False, "exception_message": None, "exception_traceback": None},
    )


def _seen(entry: dict[str, Any], measures: dict[str, float | None], details: dict[str, str]) -> dict[str, Any]:
    if entry["level"] == "batch":  # it looked at one number, which says more than the count of one
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
