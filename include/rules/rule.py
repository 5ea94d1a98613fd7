"""What a business rule is: a pure function on a vendor's day or on the whole picture, and what its findings are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import pyarrow as pa

from include.rules.policy import Policy

Looked = TypeVar("Looked")
"""What a rule looks at: a `Book`, or a `Picture`."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[Looked]):
    """One rule.

    Attributes:
        name: Stands in `control.finding`; never changed, for the history hangs on it.
        judge: Gives the findings, in the columns of `finding.FINDINGS`; one a subject. None where it can't
            tell: then nothing closes either.
        severity: How loud.
        task_subject: Subject of the Task that an advisor gets; None raises none.
        due_days: Calendar days from the finding in which the Task is due.
        open_days: Calendar days that a finding stays open after the day on which it was last seen. 0 for what is a
            state; more for what happens and is over the next day, but must be looked at.
        is_about_data: It judges our data, so that it also speaks on a day that does not balance.
    """

    name: str
    judge: Callable[[Looked, Policy], pa.Table | None]
    severity: Literal["info", "warning", "critical"]
    task_subject: str | None
    due_days: int
    open_days: int = 0
    is_about_data: bool = False
