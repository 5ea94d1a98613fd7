"""The results of validations in the database: one row per expectation and partition, for the pages of data quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from include.control.ledger import Pull

_INSERT = sa.text("""
insert into control.validation (vendor, table_name, business_date, pull_id, pulled, run_id, expectation, check_name, level, notes,
                                is_passed, is_accepted, rows_checked, rows_missing, rows_failed, measure)
values (:vendor, :table_name, :business_date, :pull_id, :pulled, :run_id, :reason, :name, :level, :notes,
        :success, :accepted, :element_count, :missing_count, :unexpected_count, :measure)
on conflict (vendor, table_name, business_date, pull_id, expectation) do nothing
""")


def record(
    connection: sa.Connection,
    pull: Pull,
    results: Sequence[Mapping[str, Any]],
    measures: Mapping[str, float | None],
) -> None:
    """Record the result of each expectation on a pull's partition. Recording the same partition again changes nothing.

    Args:
        connection: An open transaction.
        pull: The pull that was validated.
        results: `Outcome.results` of `include.validation.check`.
        measures: `Outcome.measures`: name -> value.
    """
    of = asdict(pull)
    rows = [of | {"accepted": False, **entry, **_count(entry, measures)} for entry in results]
    if rows:
        connection.execute(_INSERT, rows)


def _count(entry: Mapping[str, Any], measures: Mapping[str, float | None]) -> dict[str, Any]:
    """Return the counts of an expectation on rows, or the measure of one on a batch, whose own counts only state that one value was checked."""
    if entry["level"] == "row":
        return {"measure": None}
    return {
        "element_count": 0,
        "missing_count": 0,
        "unexpected_count": 0,
        "measure": measures.get(entry["kwargs"]["column"]),
    }
