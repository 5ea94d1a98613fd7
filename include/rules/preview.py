"""Count the findings of the rules under other thresholds. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pyarrow as pa
import sqlalchemy as sa

from include.errors import FatalError
from include.rules import HOUSEHOLD_RULES, RULES
from include.rules.evaluation import evaluate
from include.rules.household_view import HouseholdView, read_household_view
from include.rules.policy import Policy
from include.rules.rule import Data, Rule
from include.rules.snapshot import Snapshot, find_present_days, read_snapshot


class RulePreview(TypedDict):
    """The number of findings of one rule today.

    Attributes:
        rule: Name of the rule.
        severity: Severity of its findings.
        now: Number of findings under the thresholds in force; None if the rule can't be evaluated today.
        proposed: Number of findings under the proposed thresholds; None if the rule can't be evaluated today.
    """

    rule: str
    severity: str
    now: int | None
    proposed: int | None


def preview(
    engine: sa.Engine,
    now: Policy,
    proposed: Policy,
    day_rules: Sequence[Rule[Snapshot]] = RULES,
    household_rules: Sequence[Rule[HouseholdView]] = HOUSEHOLD_RULES,
) -> list[RulePreview]:
    """Count each rule's findings on the vendors' current days and on the household view, under two sets of thresholds.

    Days that are not reconciled are left out, as in an evaluation, and so are vendors that the firm no longer uses, and subjects with a dead
    letter. Findings that are no longer found, and stay open during their grace period, do not count.

    Args:
        engine: The database, as a role that reads the warehouse.
        now: The thresholds in force.
        proposed: The proposed thresholds.
        day_rules: The rules on a vendor's day.
        household_rules: The rules on the household view.

    Raises:
        FatalError: A rule raised an error.
    """
    policies, failed = (now, proposed), dict[str, Exception]()
    counts: dict[str, list[int]] = {}
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with reading.begin() as connection:
        for day in find_present_days(connection):
            if day.is_compared and not day.is_unused:
                snapshot = read_snapshot(connection, day)
                rules = [rule for rule in day_rules if day.is_balanced or rule.is_about_data]
                _count(counts, snapshot, snapshot.silent, rules, policies, failed)
        if view := read_household_view(connection):
            _count(counts, view, view.silent, household_rules, policies, failed)
    if failed:
        raise FatalError("Rules failed, so there is no preview", rules=", ".join(sorted(failed)))
    all_rules = [(rule.name, rule.severity) for rule in day_rules] + [
        (rule.name, rule.severity) for rule in household_rules
    ]
    return [_describe(name, severity, counts.get(name)) for name, severity in all_rules]


def _describe(name: str, severity: str, counted: list[int] | None) -> RulePreview:
    before, after = counted or (None, None)
    return {"rule": name, "severity": severity, "now": before, "proposed": after}


def _count(
    counts: dict[str, list[int]],
    data: Data,
    silent: pa.Table,
    rules: Sequence[Rule[Data]],
    policies: Sequence[Policy],
    failed: dict[str, Exception],
) -> None:
    """Add the number of findings of each rule, under each of the policies, to `counts`."""
    quiet = set(zip(silent["subject_entity"].to_pylist(), silent["subject_id"].to_pylist(), strict=True))
    for place, policy in enumerate(policies):
        found, evaluated = evaluate(data, policy, rules, failed)
        for name in evaluated:
            counts.setdefault(name, [0] * len(policies))
        rows = found.select(["rule", "subject_entity", "subject_id"]).to_pydict()
        for name, entity, subject in zip(rows["rule"], rows["subject_entity"], rows["subject_id"], strict=True):
            counts[name][place] += (entity, subject) not in quiet
