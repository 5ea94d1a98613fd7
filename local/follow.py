"""Start and follow runs of several DAGs at the same time: report finished and running tasks, and why a run failed."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from include.errors import TargetUnavailable
from local.airflow_api import QUIET_SECONDS, AirflowApi, ReportLine

POLL_SECONDS = 0.5
STALLED_SECONDS = 15 * 60.0
"""Seconds without a changed task after which the runs count as stuck; longer than Airflow's longest retry delay."""
OVERLAP = timedelta(seconds=15)
"""Overlap of successive queries for changes, because a transaction becomes visible later than the time that it wrote."""

REPORTED = ("success", "failed", "upstream_failed", "up_for_retry")
WAITING = ("running", "queued", "scheduled", "up_for_retry", "deferred", "awaiting_input")

Key = tuple[str, str, str, int]
"""DAG id, run id, task id, map index."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of the last run of a DAG.

    Attributes:
        state: `success` or `failed`.
        reasons: For a failed run, one text per failed task, with the reason; empty for a successful run.
    """

    state: str
    reasons: tuple[str, ...] = ()


class Follower:
    """Start runs and report their progress until they end.

    Args:
        api: Airflow's API, logged in.
        report_line: Called with each line of progress.
        alerts: The file that the demo's alerts are appended to. They contain the reasons of failures.
    """

    def __init__(self, api: AirflowApi, report_line: ReportLine, alerts: Path) -> None:
        self._api = api
        self._report_line = report_line
        self._alerts = alerts
        self._began = self._changed = self._reported = time.monotonic()
        self._since = datetime.now(UTC)
        self._tasks: dict[Key, dict[str, Any]] = {}

    def run(self, dag_ids: Sequence[str], also: Sequence[str] = ()) -> dict[str, Outcome]:
        """Start a run of each DAG and follow them until no run of any followed DAG is active. Approve tasks that wait for approval.

        Args:
            dag_ids: DAGs to unpause, start and follow.
            also: Further DAGs to unpause and follow, which the started runs trigger.

        Returns:
            The outcome of the last run of each DAG that ran, by DAG id.

        Raises:
            TargetUnavailable: No task changed its state for `STALLED_SECONDS`; the message lists the unfinished tasks.
        """
        for dag_id in (*also, *dag_ids):
            self._api.wait_dag(dag_id, STALLED_SECONDS)
            self._api.unpause(dag_id)
        self._began = self._changed = self._reported = time.monotonic()
        self._since = datetime.now(UTC)
        runs = [(dag_id, self._api.trigger(dag_id)) for dag_id in dag_ids]
        while True:
            try:
                active = self._api.find_active([*dag_ids, *also])
                runs += [run for run in active if run not in runs]
                self._report_changes(runs)
                if not active:
                    return self._find_outcomes(runs)
            except TargetUnavailable as error:
                self._line(f"Airflow does not respond, waiting: {error}")
            self._report_quiet(runs)
            time.sleep(POLL_SECONDS)

    def _report_changes(self, runs: Sequence[tuple[str, str]]) -> None:
        begun = datetime.now(UTC)
        for task in self._api.find_changed_tasks(self._since - OVERLAP):
            key = (task["dag_id"], task["dag_run_id"], task["task_id"], task["map_index"])
            if key[:2] not in runs or task["state"] == self._tasks.get(key, {}).get("state"):
                continue
            self._tasks[key] = task
            self._changed = time.monotonic()
            if task["state"] in REPORTED:
                self._line(f"{key[0]}: {_name(task)} {task['state']}")
            elif task["state"] == "awaiting_input":
                self._approve(*key[:3])
        self._since = begun

    def _approve(self, dag_id: str, run_id: str, task_id: str) -> None:
        time.sleep(2)  # a decision must not arrive while the task's process is still ending
        self._api.approve(dag_id, run_id, task_id)
        self._line(f"{dag_id}: {task_id}: approved by the demo (a first load is sent only once it is approved)")

    def _report_quiet(self, runs: Sequence[tuple[str, str]]) -> None:
        now = time.monotonic()
        if now - self._changed > STALLED_SECONDS:
            minutes = f"{STALLED_SECONDS / 60:.0f}"
            waiting = "; ".join(self._list_waiting(runs))
            raise TargetUnavailable(
                "No task changed its state: look at the task's log in Airflow and at the components' logs",
                minutes=minutes, waiting=waiting, page=self._api.url,
            )  # fmt: skip
        if now - self._reported > QUIET_SECONDS:
            self._line("waiting for " + ("; ".join(self._list_waiting(runs)) or "the scheduler"))

    def _list_waiting(self, runs: Sequence[tuple[str, str]]) -> list[str]:
        """Return one line per DAG with its unfinished tasks, such as `<dag>: pull[<table>] running for 34 s`."""
        waiting = defaultdict(list)
        for (dag_id, run_id, *_), task in self._tasks.items():
            if (dag_id, run_id) in runs and task["state"] in WAITING:
                waiting[dag_id].append(f"{_name(task)} {task['state']}{_for_seconds(task)}")
        return [f"{dag_id}: {', '.join(tasks)}" for dag_id, tasks in waiting.items()]

    def _find_outcomes(self, runs: Sequence[tuple[str, str]]) -> dict[str, Outcome]:
        """Return the outcome of each DAG's last run, by DAG id."""
        outcomes = {}
        for dag_id, run_id in dict(runs).items():
            state = self._api.run_state(dag_id, run_id)
            reasons = self._find_reasons(dag_id, run_id) if state == "failed" else ()
            outcomes[dag_id] = Outcome(state, tuple(reasons))
        return outcomes

    def _find_reasons(self, dag_id: str, run_id: str) -> list[str]:
        """Return the reasons in the alerts of a run; if there is no alert, return a line with the failed tasks."""
        if reasons := read_reasons(self._alerts, dag_id, run_id):
            return reasons
        failed = [name for name, state in self._api.task_states(dag_id, run_id).items() if state == "failed"]
        page = f"{self._api.url}/dags/{dag_id}/runs/{quote(run_id)}"
        return [f"{', '.join(failed) or 'The run'} failed without an alert: {page}"]

    def _line(self, text: str) -> None:
        self._reported = time.monotonic()
        self._report_line(f"  {self._reported - self._began:5.1f} s  {text}")


def read_reasons(alerts: Path, dag_id: str, run_id: str) -> list[str]:
    """Return the text of each failure alert of this run: the task, the reason and the link; empty without alerts."""
    if not alerts.exists():
        return []
    sent = [json.loads(line) for line in alerts.read_text(encoding="utf-8").splitlines()]
    bodies = [alert["body"].splitlines() for alert in sent if alert["title"] == f"Failed: {dag_id}"]
    return [_explain(lines) for lines in bodies if f"Run: {run_id}" in lines]


def _explain(lines: Sequence[str]) -> str:
    """Return an alert's text without the lines of the run and the counts. The reason may have several lines."""
    left_out = ("Run: ", "So far: ")
    return "\n".join(line for line in lines if not line.startswith(left_out))


def _name(task: Mapping[str, Any]) -> str:
    shown = task["rendered_map_index"] or task["map_index"]
    return f"{task['task_id']}[{shown}]" if task["map_index"] >= 0 else str(task["task_id"])


def _for_seconds(task: Mapping[str, Any]) -> str:
    if task["state"] != "running" or not task["start_date"]:
        return ""
    return f" for {(datetime.now(UTC) - datetime.fromisoformat(task['start_date'])).total_seconds():.0f} s"
