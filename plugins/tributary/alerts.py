"""Tells people: a task failed, a run missed its deadline, a stage is late."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseNotifier

log = logging.getLogger(__name__)

UNATTENDED = ("scheduled", "asset_triggered")
"""Runs whose input no person chose."""


class Alert(BaseNotifier):
    """Sends an alert with DAG, task, reason, counts and a link; usable as failure callback and in a deadline.

    Each alert is sent once: per run and deadline, per task and try, and per run and try where its vendor can't be reached. None is sent of

    - a backfill's deadline: its runs wait for each other;
    - a run whose input was rejected: the person who started it sees why;
    - a run that sent nothing to Salesforce because everything is held back: `approve_salesforce` and `report_held_back` alert of that.

    Args:
        what: The first words of the title, such as `Failed` or `Deadline missed`.
        context: What a deadline is about. Airflow's triggerer gives it here, and only to a callable that names it;
            a callback is given its own when it is called.
    """

    template_fields = ("what",)

    def __init__(self, what: str, context: Any = None) -> None:
        super().__init__(context)
        self.what = what

    def notify(self, context: Any) -> None:
        """Sends it, unless it is not to be sent or was sent before."""
        run, deadline = context.get("dag_run"), context.get("deadline")
        dag_id, run_id = _of(run, "dag_id"), _run_id(run)
        if deadline and (_of(run, "run_type") == "backfill" or _is_silent(dag_id, run_id)):
            return
        reason = context.get("exception")
        if _is_reported_elsewhere(reason, _of(run, "run_type")):
            _record_silent(dag_id, run_id, reason)
            return
        title, body = describe(self.what, context)
        task = context.get("ti") or context.get("task_instance")
        about = (
            {"task": name_task(task, by_index=True), "subject": f"{self.what}, try {task.try_number}"} if task else {}
        )
        if _is_out_of_reach(context.get("exception")):
            about["task"] = ""  # one alert of the vendor, not one of each table
        if deadline:
            about["subject"] = str(_of(deadline, "id") or _of(deadline, "deadline_time"))
        kind = "deadline" if deadline else "failed" if self.what == "Failed" else "question"
        send(kind, title, body, dag_id=dag_id, run_id=run_id, **about)

    async def async_notify(self, context: Any) -> None:
        """Sends it from the triggerer, where deadlines are kept."""
        await asyncio.to_thread(self.notify, context)


def send(kind: str, title: str, body: str, **about: str) -> bool:
    """Sends an alert unless the same one was sent before; returns whether it was sent now.

    Where the database can't record it, it is sent all the same.

    Args:
        kind: What happened, such as `failed`; see `include.control.alerts`.
        title: One line.
        body: Reason, counts, a link.
        about: `dag_id`, `run_id`, `task`, `subject`: with `kind`, which alert it is.
    """
    from include import alerts
    from include.control.alerts import Record, send_once
    from tributary import connections

    tries: list[str] = []

    def deliver() -> None:
        tries.append(title)
        alerts.send(connections.alert_urls(), title, body)

    try:
        with open_database() as engine:
            return send_once(engine, Record(kind, title, **about), deliver)
    except Exception as error:
        if tries:
            raise
        log.warning("The alert %r could not be recorded, and is sent all the same: %s", title, type(error).__name__)
        deliver()
        return True


@contextmanager
def open_database() -> Iterator[Any]:
    """The firm's database for a statement or two."""
    from tributary import connections

    engine = connections.database()
    try:
        yield engine
    finally:
        engine.dispose()


def _is_reported_elsewhere(reason: Any, run_type: str) -> bool:
    """Whether people learn of a failure without an alert of the run: from the form, or from alerts of what is held back."""
    from include.errors import HeldBack, InputRejected

    return isinstance(reason, HeldBack) or (isinstance(reason, InputRejected) and run_type not in UNATTENDED)


def _record_silent(dag_id: str, run_id: str, reason: Any) -> None:
    """Keep the run's deadline from alerting, too."""
    from include.control import alerts

    log.warning("%s: no alert is sent: %s", dag_id, reason)
    try:
        with open_database() as engine:
            alerts.record_silent(engine, dag_id, run_id, f"{type(reason).__name__}: {reason}")
    except Exception as error:
        log.warning("%s: that its deadline sends no alert is not recorded: %s", dag_id, type(error).__name__)


def _is_out_of_reach(reason: Any) -> bool:
    from include.errors import ClockSkew, VendorUnavailable

    return isinstance(reason, (ClockSkew, VendorUnavailable))


def _is_silent(dag_id: str, run_id: str) -> bool:
    from include.control import alerts

    try:
        with open_database() as engine:
            return alerts.is_silent(engine, dag_id, run_id)
    except Exception as error:
        log.warning("%s: whether its deadline may alert can't be read: %s", dag_id, type(error).__name__)
        return False


def describe(what: str, context: Any) -> tuple[str, str]:
    """Returns title and body of an alert.

    A deadline's context holds only the run (as a dict) and the deadline; a task's holds the task instance as well.
    """
    run = context.get("dag_run")
    dag_id, run_id = _of(run, "dag_id"), _run_id(run)
    link = f"{page(dag_id)}/runs/{quote(run_id)}"
    lines = [f"Run: {run_id}"]
    task = context.get("ti") or context.get("task_instance")
    if task is not None:
        lines.insert(0, f"Task: {name_task(task)}, try {task.try_number}")
        # A task of a group has its group in its id; Airflow's page of one of several mapped ones is its own.
        link += f"/tasks/{task.task_id}" + (f"/mapped/{task.map_index}" if _is_mapped(task) else "")
    if reason := context.get("exception"):
        lines.append(f"Reason: {type(reason).__name__}: {_message(reason)}")
    if deadline := context.get("deadline"):
        lines.append(f"Deadline: {_of(deadline, 'deadline_time')}")
    if counts := _counts(dag_id, run_id):
        lines.append(f"So far: {counts}")
    return f"{what}: {dag_id}", "\n".join([*lines, f"Link: {link}"])


def fingerprint(content: str) -> str:
    """A short name of an alert's content, for its subject: changed content is another alert."""
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def page(dag_id: str) -> str:
    """The address of a DAG's page."""
    from airflow.sdk.configuration import conf

    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/dags/{dag_id}"


def _counts(dag_id: str, run_id: str) -> str:
    """What the ledger knows of a vendor's run; nothing where it can't be asked: an alert goes out all the same."""
    from include.control.lateness import describe_progress
    from tributary.policy import vendor_of

    try:
        with open_database() as engine:
            return describe_progress(engine, vendor_of(dag_id), run_id)
    except Exception as error:
        log.warning("An alert of %s goes without counts: %s", dag_id, type(error).__name__)
        return ""


def _is_mapped(task: Any) -> bool:
    index = getattr(task, "map_index", None)
    return index is not None and index >= 0


def name_task(task: Any, by_index: bool = False) -> str:
    """A task's id with what is mapped: its name in words where it has one, or its index."""
    shown = None if by_index else getattr(task, "rendered_map_index", None)
    if shown is None and _is_mapped(task):
        shown = task.map_index
    return f"{task.task_id}[{shown}]" if shown not in (None, "") else str(task.task_id)


def _run_id(run: Any) -> str:
    return str(_of(run, "run_id") or _of(run, "dag_run_id"))


def _message(reason: BaseException) -> str:
    """What may be told of an error: ours hold no secret and no row, others quote what they were given."""
    from include.errors import TributaryError

    return str(reason) if isinstance(reason, TributaryError) else "see the task's log"


def _of(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
