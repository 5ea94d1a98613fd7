"""The report of a check: one finding per subject, stored in `control.check_report`.

green   the subject fits
grey    the subject was not checked, and why
amber   a run works, but an engineer should look at it
red     a run would fail or lose rows; the finding describes the correction
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from include.errors import TributaryError

State = Literal["green", "grey", "amber", "red"]
STATES: tuple[State, ...] = ("green", "grey", "amber", "red")
"""The states, from the best to the worst."""

OWN_PARTS = "tributary"
"""Name of our own parts among the systems that are checked."""

_INSERT = sa.text("""
insert into control.check_report (system, run_id, state, findings) values (:system, :run_id, :state, cast(:findings as jsonb))
""")
_NEWEST = sa.text("""
select distinct on (system) system, run_id, checked_at, findings from control.check_report
where cast(:system as text) is null or system = :system order by system, check_report_id desc
""")
_HISTORY = sa.text("""
select run_id, checked_at, state from control.check_report where system = :system order by check_report_id desc limit 20
""")


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        subject: What was checked: `login`, `accounts.currentValue` (a table and the vendor's field), `Account.Name`, a role, ...
        state: `green`, `grey`, `amber` or `red`.
        detail: The observation, without secrets and clients' data.
        action: What to do; empty if nothing is needed.
    """

    subject: str
    state: State
    detail: str
    action: str = ""

    def __post_init__(self) -> None:
        if self.state == "red" and not self.action:
            raise ValueError(f"a red finding needs an action: {self.subject}")


class Findings:
    """Collects the findings of one system. Of several findings about the same subject, the first of the worst state counts."""

    def __init__(self) -> None:
        self._by_subject: dict[str, Finding] = {}

    def add(self, subject: str, state: State, detail: str, action: str = "") -> None:
        """Add a finding; the arguments are those of `Finding`."""
        known = self._by_subject.get(subject)
        if known is None or STATES.index(state) > STATES.index(known.state):
            self._by_subject[subject] = Finding(subject, state, detail, action)

    def add_error(self, subject: str, error: TributaryError, action: str) -> None:
        """Add a red finding for an error that ended a step."""
        self.add(subject, "red", str(error), action)

    def list(self) -> list[Finding]:
        """Return the findings, in the order in which their subjects were first added."""
        return list(self._by_subject.values())


@dataclass(frozen=True, slots=True)
class Report:
    """The stored report of one check of one system."""

    system: str
    run_id: str
    checked_at: datetime
    findings: tuple[Finding, ...]

    @property
    def state(self) -> State:
        """The worst state of the findings."""
        return find_worst(self.findings)

    def count(self, state: State) -> int:
        """Return the number of findings with a state."""
        return sum(finding.state == state for finding in self.findings)


def find_worst(findings: Iterable[Finding]) -> State:
    """Return the worst state of some findings; green if there are none."""
    return max((finding.state for finding in findings), key=STATES.index, default="green")


def record(engine: sa.Engine, system: str, run_id: str, findings: Sequence[Finding]) -> None:
    """Store the report of a check."""
    values = {"system": system, "run_id": run_id, "state": find_worst(findings)}
    with engine.begin() as connection:
        connection.execute(_INSERT, values | {"findings": json.dumps([asdict(finding) for finding in findings])})


def read_newest(connection: sa.Connection, system: str | None = None) -> list[Report]:
    """Return the newest report of each system, or of one, in the order of their names."""
    rows = connection.execute(_NEWEST, {"system": system})
    return [
        Report(row.system, row.run_id, row.checked_at, tuple(Finding(**finding) for finding in row.findings))
        for row in rows
    ]


def read_history(connection: sa.Connection, system: str) -> Sequence[sa.Row[tuple[str, datetime, str]]]:
    """Return the run, time and state of a system's 20 newest reports, newest first."""
    return connection.execute(_HISTORY, {"system": system}).all()
