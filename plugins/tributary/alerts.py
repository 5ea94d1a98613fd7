"""Send alerts, each once: about a failed task, a missed deadline, a late step, and whatever a DAG reports."""

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
"""Types of runs that Airflow starts by itself, so that no user entered their input."""


class Alert(BaseNotifier):
    """Send an alert about a failed task or a missed deadline. It contains the DAG, the task, the reason, the counts and a link.

    A failure sends one alert per task and try; if the vendor can't be reached, one per run and try. A missed deadline sends one alert per run.
    No alert is sent about

    - the deadline of a backfill run, because these runs wait for each other;
    - a run that a user started and whose input was rejected, because the user sees the reason;
    - a run that sent nothing to Salesforce because every change is held back: `approve_salesforce` and `report_held_back` alert about it.

    Args:
        what: The first words of the title, such as `Failed` or `Deadline missed`.
        context: Context of a missed deadline. Airflow's triggerer passes it only if the constructor has an argument of this name.
            A failure callback receives its context in `notify` instead.
    """

    template_fields = ("what",)

    def __init__(self, what: str, context: Any = None) -> None:
        super().__init__(context)
        self.what = what

    def notify(self, context: Any) -> None:
        """Send the alert, unless it is suppressed or was sent before."""
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
            about["task"] = ""  # one alert about the vendor, not one about each table
        if deadline:
            about["subject"] = str(_of(deadline, "id") or _of(deadline, "deadline_time"))
        send("deadline" if deadline else "failed", title, body, dag_id=dag_id, run_id=run_id, **about)

    async def async_notify(self, context: Any) -> None:
        """Send the alert from the triggerer, which evaluates deadlines."""
        await asyncio.to_thread(self.notify, context)


def send(kind: str, title: str, body: str, **about: str) -> bool:
    """Send an alert unless the same one was sent before; return whether it was sent now.

    If an address fails, the next try sends the alert only to the addresses that failed. If the database can't record the alert, it is sent
    anyway.

    Args:
        kind: What happened, such as `failed`; see `include.control.alerts`.
        title: Title, one line.
        body: Text, with the reason, the counts and a link.
        about: Any of `dag_id`, `run_id`, `task` and `subject`. Two alerts are the same if these and `kind` are equal.

    Raises:
        Exception: The alert could not be sent to every address.
    """
    from include import alerts
    from include.control.alerts import Record, send_once, send_to_each
    from tributary import connections

    record, tries = Record(kind, title, **about), []

    def deliver(address: str) -> None:
        tries.append(title)
        alerts.send([address], title, body)

    try:
        with open_database() as engine:
            urls = connections.alert_urls(kind)
            return send_once(engine, record, lambda: send_to_each(engine, record, urls, deliver))
    except Exception as error:
        if tries:
            raise
        log.warning("The alert %r could not be recorded, and is sent anyway: %s", title, type(error).__name__)
        alerts.send(connections.alert_urls(kind), title, body)
        return True


@contextmanager
def open_database() -> Iterator[Any]:
    """Yield an engine for the firm's database; close its connections at the end."""
    from tributary import connections

    engine = connections.database()
    try:
        yield engine
    finally:
        engine.dispose()


def _is_reported_elsewhere(reason: Any, run_type: str) -> bool:
    """Return whether a failure needs no alert: the user sees rejected input, and other alerts report that every change is held back."""
    from include.errors import HeldBack, InputRejected

    return isinstance(reason, HeldBack) or (isinstance(reason, InputRejected) and run_type not in UNATTENDED)


def _record_silent(dag_id: str, run_id: str, reason: Any) -> None:
    """Record that the run failed without an alert, so that its deadline sends none either; log a database error instead of raising it."""
    from include.control import alerts

    log.warning("%s: no alert is sent: %s", dag_id, reason)
    try:
        with open_database() as engine:
            alerts.record_silent(engine, dag_id, run_id, f"{type(reason).__name__}: {reason}")
    except Exception as error:
        log.warning("%s: could not record that its deadline sends no alert: %s", dag_id, type(error).__name__)


def _is_out_of_reach(reason: Any) -> bool:
    from include.errors import ClockSkew, VendorUnavailable

    return isinstance(reason, (ClockSkew, VendorUnavailable))


def _is_silent(dag_id: str, run_id: str) -> bool:
    from include.control import alerts

    try:
        with open_database() as engine:
            return alerts.is_silent(engine, dag_id, run_id)
    except Exception as error:
        log.warning("%s: could not read whether its deadline may alert: %s", dag_id, type(error).__name__)
        return False


def describe(what: str, context: Any) -> tuple[str, str]:
    """Return the title and the body of an alert.

    Args:
        what: The first words of the title.
        context: Airflow's context. For a deadline, it contains only the run (as a dict) and the deadline; for a failed task, it also
            contains the task instance and the exception.
    """
    run = context.get("dag_run")
    dag_id, run_id = _of(run, "dag_id"), _run_id(run)
    link = f"{page(dag_id)}/runs/{quote(run_id)}"
    lines = [f"Run: {run_id}"]
    task = context.get("ti") or context.get("task_instance")
    if task is not None:
        lines.insert(0, f"Task: {name_task(task)}, try {task.try_number}")
        # The id of a task in a group contains the group; each mapped task instance has a page of its own.
        link += f"/tasks/{task.task_id}" + (f"/mapped/{task.map_index}" if _is_mapped(task) else "")
    if reason := context.get("exception"):
        lines.append(f"Reason: {type(reason).__name__}: {_message(reason)}")
    elif task is not None:  # the scheduler found the task dead; the DAG processor sends its alert
        lines.append("Reason: the task's process ended without a result, such as by a lack of memory or a lost worker")
    if deadline := context.get("deadline"):
        lines.append(f"Deadline: {_of(deadline, 'deadline_time')}")
    if counts := _counts(dag_id, run_id):
        lines.append(f"So far: {counts}")
    return f"{what}: {dag_id}", "\n".join([*lines, f"Link: {link}"])


def fingerprint(content: str) -> str:
    """Return a short hash of an alert's content.

    As the alert's subject, it makes an alert with changed content a new one, which is sent.
    """
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def page(dag_id: str) -> str:
    """Return the URL of a DAG's page."""
    from airflow.sdk.configuration import conf

    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/dags/{dag_id}"


def _counts(dag_id: str, run_id: str) -> str:
    """Return the ledger's counts of a run as text; empty for a run without any, and if the database does not respond."""
    from include.control.lateness import describe_progress
    from tributary.policy import vendor_of

    try:
        with open_database() as engine:
            return describe_progress(engine, vendor_of(dag_id), run_id)
    except Exception as error:
        log.warning("An alert about %s is sent without counts: %s", dag_id, type(error).__name__)
        return ""


def _is_mapped(task: Any) -> bool:
    index = getattr(task, "map_index", None)
    return index is not None and index >= 0


def name_task(task: Any, by_index: bool = False) -> str:
    """Return a task's id; for a mapped instance, with its name in brackets, or with its index if it has no name or `by_index` is set."""
    shown = None if by_index else getattr(task, "rendered_map_index", None)
    if shown is None and _is_mapped(task):
        shown = task.map_index
    return f"{task.task_id}[{shown}]" if shown not in (None, "") else str(task.task_id)


def _run_id(run: Any) -> str:
    return str(_of(run, "run_id") or _of(run, "dag_run_id"))


def _message(reason: BaseException) -> str:
    """Return the text of a `TributaryError`, which contains no secret and no row; for any other error, only refer to the task's log."""
    from include.errors import TributaryError

    return str(reason) if isinstance(reason, TributaryError) else "see the task's log"


def _of(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
