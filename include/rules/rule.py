"""The type of a business rule: a pure function of a snapshot or of the household view, with the properties of its findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import pyarrow as pa

from include.rules.policy import Policy

Data = TypeVar("Data")
"""The input of a rule: a `Snapshot`, or a `HouseholdView`."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[Data]):
    """One rule.

    Attributes:
        name: Name of the rule in `control.finding`. It never changes, because the history of findings refers to it.
        evaluate: Returns the findings in the columns of `finding.FINDINGS`, up to one per subject. It returns None if the rule can't be
            evaluated on this data; then none of its findings open or close.
        severity: Severity of its findings.
        task_subject: Subject of the Task that an advisor gets; None creates no Task.
        due_days: Calendar days from the finding until the Task is due.
        open_days: Calendar days that a finding stays open after the last day on which the rule found it. 0 for a state that lasts, more
            for an event of one day that needs attention afterwards.
        is_about_data: Whether the rule checks our data. If so, it is also evaluated on a day that failed to reconcile.
    """

    name: str
    evaluate: Callable[[Data, Policy], pa.Table | None]
    severity: Literal["info", "warning", "critical"]
    task_subject: str | None
    due_days: int
    open_days: int = 0
    is_about_data: bool = False
