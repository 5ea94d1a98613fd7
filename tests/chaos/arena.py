"""A disturbed demo and its undisturbed twin: start, one round, and the checks after it has settled."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import requests

from include.errors import TargetUnavailable
from local import day, warehouse_rows
from local.airflow_api import AirflowApi, ReportLine
from local.demo import DATABASE, Demo, Place, listen
from local.follow import STALLED_SECONDS
from local.processes import find_free_port
from tests.chaos import compare
from tests.chaos.checks import find_breaches, find_unsettled
from tests.chaos.plan import Edit, Round, draw_round
from tests.chaos.strike import Striker
from tests.chaos.twin import Twin, post

HOUSEHOLDS = 8
SIGNING = "docusign"
SEND = f"{SIGNING}/send"
QUIET_S = 4.0
"""Seconds without activity after which a phase counts as settled; a notification may still be on its way before."""


@dataclass
class Report:
    """The result of a round.

    Attributes:
        faults: The faults, each with the second of its phase.
        settled_s: Seconds from the last fault until no run was active.
        is_swept: Whether the hourly schedules were needed to complete the work.
        reasons: Why the round failed; empty if both sides are equal.
    """

    plan: Round
    faults: list[str] = field(default_factory=list)
    settled_s: float = 0.0
    is_swept: bool = False
    seconds: float = 0.0
    reasons: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = f"FAILED: {' | '.join(self.reasons)[:400]}" if self.reasons else "passed"
        swept = ", after a sweep" if self.is_swept else ""
        faults = ", ".join(self.faults)
        return f"seed {self.plan.seed}  {self.plan}  [{faults}]  settled {self.settled_s:.0f} s after the last fault{swept}, {self.seconds:.0f} s in all  {verdict}"


@dataclass
class Arena:
    """Both sides, which have loaded the same first day."""

    demo: Demo
    place: Place
    twin: Twin

    @classmethod
    def start(cls, folder: Path, report_line: ReportLine) -> Arena:
        """Start a demo, load its first day undisturbed, and copy it.

        Raises:
            TributaryError: The demo did not start, or its first day failed.
        """
        demo = Demo(folder / "demo", {name: find_free_port() for name in ("airflow", "sandbox", "org", "postgres")})
        try:
            place = demo.start(report_line, households=HOUSEHOLDS)
            outcomes = day.run_day(place, lambda line: None)
            if failed := {name: each.reasons for name, each in outcomes.items() if each.state != "success"}:
                raise TargetUnavailable("The undisturbed first day failed", reasons=failed)
            settle(demo, place)
            arena = cls(demo, place, Twin.copy(demo, folder / "twin"))
            if differences := find_all_differences(arena, []):
                raise TargetUnavailable("The copy differs from the demo", differences=differences)
        except KeyboardInterrupt:
            for here in (demo, Demo(folder / "twin")):
                here.remove()
            raise
        except Exception:
            for here in (demo, Demo(folder / "twin")):
                here.stop()
            raise
        listen(place)
        return arena

    def run(self, seed: int) -> Report:
        """Run one round; raises nothing except KeyboardInterrupt."""
        with warehouse_rows.connect(self.twin.postgres.url(DATABASE)) as database:
            plan = draw_round(seed, database)
        report, began = Report(plan), time.monotonic()
        try:
            self._run(plan, report)
        except Exception as error:
            report.reasons.append(f"{type(error).__name__}: {error}")
        report.seconds = time.monotonic() - began
        return report

    def _run(self, plan: Round, report: Report) -> None:
        failed_before = self._find_failed()
        edits = self.twin.edit([*plan.edits, *map(_send, plan.envelopes)])
        for each, _ in edits:
            post(self.place.sandbox_url, each).raise_for_status()
        envelopes = [response["envelopeId"] for each, response in edits if each.path == SEND]
        with ThreadPoolExecutor(2) as pool:
            runs: list[tuple[str, str]] = []
            with Striker(self.demo, plan.day_faults, report.faults) as striker:
                signing = pool.submit(self._sign, envelopes)
                runs += [(name, self._trigger(name, day)) for name, day in plan.days.items()]
                # Not earlier: both sides need the same run ids.
                undisturbed = pool.submit(self._run_twin, plan, list(runs), envelopes)
                striker.join()
                settle(self.demo, self.place)
            last = striker.last
            signing.result()
            with Striker(self.demo, plan.sync_faults, report.faults, "sync ") as striker:
                runs += [(name, self._trigger(name, None)) for name in ([SIGNING] if envelopes else []) + [day.SYNC]]
                striker.join()
                settle(self.demo, self.place)
            last = max(last, striker.last)
            report.settled_s = time.monotonic() - last
            undisturbed.result()
        report.reasons = self._examine(runs)
        if report.reasons:  # the hourly schedules would pick up what a run that began too early missed
            self._trigger("drain_inbox", None)
            self._trigger(day.SYNC, None)
            settle(self.demo, self.place)
            report.settled_s = time.monotonic() - last
            report.is_swept, report.reasons = True, self._examine(runs)
        report.reasons += [f"DAG run failed: {dag} {run}" for dag, run in self._find_failed() - failed_before]

    def _examine(self, runs: Sequence[tuple[str, str]]) -> list[str]:
        compared = [run for dag, run in runs if dag not in (SIGNING, day.SYNC)]
        return find_breaches(self.demo, runs) + find_all_differences(self, compared)

    def _run_twin(self, plan: Round, runs: Sequence[tuple[str, str]], envelopes: Sequence[str]) -> None:
        for name, run_id in runs:
            self.twin.run_day(name, plan.days[name], run_id)
        if envelopes:
            self.twin.edit([step for envelope in envelopes for step in _sign(envelope)])
            self.twin.run_day(SIGNING, None, f"twin-{uuid.uuid4()}")
        self.twin.sync(f"twin-{uuid.uuid4()}")

    def _sign(self, envelopes: Sequence[str]) -> None:
        """Have envelopes opened and signed, also while components are down; each step sends a webhook."""
        for step in [step for envelope in envelopes for step in _sign(envelope)]:
            time.sleep(4)
            self._persist(step)

    def _persist(self, step: Edit) -> None:
        """Retry a step at the sandbox until it is up; a step that was done before a crash is rejected the second time."""
        end = time.monotonic() + STALLED_SECONDS
        while time.monotonic() < end:
            with suppress(requests.ConnectionError, requests.Timeout):
                if post(self.place.sandbox_url, step).status_code in (200, 400):
                    return
            time.sleep(0.5)
        raise TargetUnavailable("The sandbox stays unavailable: an operator must act", step=step.path)

    def _trigger(self, dag_id: str, business_date: str | None) -> str:
        conf = {"business_date": business_date} if business_date else {}
        return str(call_patiently(lambda: self.place.api.trigger(dag_id, conf)))

    def _find_failed(self) -> set[tuple[str, str]]:
        body = {"states": ["failed"], "page_limit": 1000}
        page = call_patiently(lambda: self.place.api._call("POST", "dags/~/dagRuns/list", json=body))
        return {(run["dag_id"], run["dag_run_id"]) for run in page["dag_runs"]}

    def stop(self) -> None:
        """End both sides and keep their folders."""
        self.demo.stop()
        if self.twin:
            self.twin.stop()

    def remove(self) -> None:
        """End both sides and delete their folders."""
        self.demo.remove()
        if self.twin:
            self.twin.remove()
        shutil.rmtree(self.demo.folder.parent, ignore_errors=True)


def settle(demo: Demo, place: Place) -> None:
    """Wait until no work is running or pending. Approve what the sync asks, as the twin does: edits may separate two people.

    Raises:
        TargetUnavailable: Nothing changed for `STALLED_SECONDS`; an operator would have to act.
    """
    changed, quiet, before = time.monotonic(), 0.0, ""
    while True:
        unsettled = call_patiently(lambda: find_unsettled(demo, place.api))
        call_patiently(lambda: approve(place.api))
        now = time.monotonic()
        if unsettled != before:
            changed, before = now, unsettled
        if not unsettled:
            quiet = quiet or now
            if now - quiet > QUIET_S:
                return
        else:
            quiet = 0.0
        if unsettled and now - changed > STALLED_SECONDS:
            raise TargetUnavailable("No progress: an operator must act", waiting=unsettled)
        time.sleep(1)


def approve(api: AirflowApi) -> None:
    """Approve the open requests of the sync."""
    for dag_id, run_id in api.find_active([day.APPROVAL]):
        for task_id, state in api.task_states(dag_id, run_id).items():
            if state == "awaiting_input":
                time.sleep(2)  # a decision must not arrive while the task's process is still ending
                api.approve(dag_id, run_id, task_id)


def call_patiently(call: Callable[[], Any]) -> Any:
    """Retry a call until Airflow and its database respond."""
    end = time.monotonic() + STALLED_SECONDS
    while True:
        try:
            return call()
        except (TargetUnavailable, psycopg.Error) as error:
            if time.monotonic() > end:
                raise TargetUnavailable("Airflow stays unavailable: an operator must act", cause=str(error)) from error
            time.sleep(1)


def find_all_differences(arena: Arena, run_ids: Sequence[str]) -> list[str]:
    """List the differences between a demo and its twin."""
    disturbed = compare.read(arena.demo.postgres.url(DATABASE), arena.place.sandbox_url, run_ids)
    twin = compare.read(arena.twin.postgres.url(DATABASE), arena.twin.sandbox_url, run_ids)
    return warehouse_rows.find_differences({"disturbed": disturbed, "twin": twin})


def _send(household: int) -> Edit:
    return Edit(SEND, {"household": household, "template": "Advisory agreement"})


def _sign(envelope: str) -> list[Edit]:
    signer = {"envelope_id": envelope, "recipient": "1"}
    return [Edit(f"{SIGNING}/deliver", signer), Edit(f"{SIGNING}/sign", signer)]
