"""Tells people: a task failed, a run missed its deadline, a stage is late."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from airflow.sdk import BaseNotifier

log = logging.getLogger(__name__)


class Alert(BaseNotifier):
    """Sends an alert with DAG, task, reason, counts and a link; usable as failure callback and in a deadline.

    Nobody is told of a backfill's deadline: its runs wait for each other, and nobody waits for them.

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
        """Sends it."""
        from firm import alert_urls

        from include import alerts

        if context.get("deadline") and _of(context.get("dag_run"), "run_type") == "backfill":
            return
        title, body = describe(self.what, context)
        alerts.send(alert_urls(), title, body)

    async def async_notify(self, context: Any) -> None:
        """Sends it from the triggerer, where deadlines are kept."""
        await asyncio.to_thread(self.notify, context)


def describe(what: str, context: Any) -> tuple[str, str]:
    """Returns title and body of an alert.

    A deadline's context holds only the run (as a dict) and the deadline; a task's holds the task instance as well.
    """
    run = context.get("dag_run")
    dag_id, run_id = _of(run, "dag_id"), _of(run, "run_id") or _of(run, "dag_run_id")
    link = f"{page(dag_id)}/runs/{run_id}"
    lines = [f"Run: {run_id}"]
    task = context.get("ti") or context.get("task_instance")
    if task is not None:
        name = task.task_id + (f"[{task.rendered_map_index}]" if getattr(task, "rendered_map_index", None) else "")
        lines.insert(0, f"Task: {name}, try {task.try_number}")
        link += f"/tasks/{task.task_id}"
    if reason := context.get("exception"):
        lines.append(f"Reason: {type(reason).__name__}: {_message(reason)}")
    if deadline := context.get("deadline"):
        lines.append(f"Deadline: {_of(deadline, 'deadline_time')}")
    if counts := _counts(dag_id, run_id):
        lines.append(f"So far: {counts}")
    return f"{what}: {dag_id}", "\n".join([*lines, f"Link: {link}"])


def page(dag_id: str) -> str:
    """The address of a DAG's page."""
    from airflow.sdk.configuration import conf

    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/dags/{dag_id}"


def _counts(dag_id: str, run_id: str) -> str:
    """What the ledger knows of a vendor's run; nothing where it can't be asked: an alert goes out all the same."""
    import firm
    from policy import vendor_of

    from include.control.lateness import say_progress

    try:
        engine = firm.database()
        try:
            return say_progress(engine, vendor_of(dag_id), run_id)
        finally:
            engine.dispose()
    except Exception as error:
        log.warning("An alert of %s goes without counts: %s", dag_id, type(error).__name__)
        return ""


def _message(reason: BaseException) -> str:
    """What may be told of an error: ours hold no secret and no row, others quote what they were given."""
    from include.errors import TributaryError

    return str(reason) if isinstance(reason, TributaryError) else "see the task's log"


def _of(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
