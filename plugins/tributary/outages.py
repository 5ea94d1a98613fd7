"""Alerts about a vendor that can't be reached: one per run when an outage begins, and one when it is over."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from include.errors import VendorUnavailable
from tributary.alerts import name_task, open_database, page, send

log = logging.getLogger(__name__)


def alert_of_outage(context: Any) -> None:
    """Record a try that did not reach its vendor; alert once if the outage lasts `OUTAGE_MINUTES` or longer (`on_retry_callback`).

    The alert is sent after a failed try if the next try would start when the outage has already lasted that long. So it may be sent a few
    minutes early. Errors other than `VendorUnavailable` are ignored.
    """
    error = context.get("exception")
    if not isinstance(error, VendorUnavailable):
        return
    from include.control.outages import find_next_tries, record_failure
    from include.extract.session import PATIENCE_S
    from tributary.policy import OUTAGE_MINUTES, vendor_of

    task, run, now = context["ti"], context["dag_run"], datetime.now(UTC)
    vendor = str(error.facts.get("vendor") or vendor_of(run.dag_id))
    try:
        with open_database() as engine:
            outage = record_failure(engine, vendor, run.run_id, name_task(task, by_index=True), error, now)
    except Exception as failure:
        log.warning("The outage of %s could not be recorded: %s", vendor, type(failure).__name__)
        return
    patience = timedelta(seconds=PATIENCE_S)
    next_try, gives_up = find_next_tries(now, _list_delays(task), patience)
    if next_try - outage.since < timedelta(minutes=OUTAGE_MINUTES):
        return
    lines = [
        f"Table: {error.facts.get('table') or 'none'} (task {name_task(task)})",
        f"Unreachable since: {_write(outage.since)}",
        f"Last error: {error}",
        f"Requests that failed: {outage.tries:,}",
        f"Next try: by {_write(next_try)}",
        f"Gives up: by {_write(gives_up)}, unless the vendor responds earlier",
        f"Run: {run.run_id}",
        f"Link: {_link(run)}",
    ]
    title = f"Unreachable: {_title(vendor)}"
    send("outage", title, "\n".join(lines), dag_id=run.dag_id, run_id=run.run_id, subject=outage.subject)


def report_answer(vendor: str) -> None:
    """Record that the vendor responded to the current task. Alert about each outage that this ends, if its start was alerted.

    Call it at the end of each task that reaches the vendor. If a task does not, its outage lasts until the vendor responds to another run.

    Errors are logged and never fail the task.
    """
    from airflow.sdk import get_current_context

    from include.control.outages import record_answer

    now = datetime.now(UTC)
    try:
        context = get_current_context()
        run = context["dag_run"]
        with open_database() as engine:
            ended = record_answer(engine, vendor, run.run_id, name_task(context["ti"], by_index=True), now)
        for outage in ended:
            body = f"Responded again at: {_write(now)}\nUnreachable since: {_write(outage.since)}\nRequests that failed: {outage.tries:,}"
            body += f"\nRun: {run.run_id}\nLink: {_link(run)}"
            about = {"dag_id": run.dag_id, "run_id": run.run_id, "subject": outage.subject}
            send("outage over", f"Reachable again: {_title(vendor)}", body, **about)
    except Exception as failure:
        log.warning("The end of the outage of %s could not be reported: %s", vendor, type(failure).__name__)


def _list_delays(task: Any) -> list[timedelta]:
    """Return the longest possible delay before each remaining try. Airflow doubles the delay each time and adds up to 100 % jitter."""
    base, longest = task.task.retry_delay, task.task.max_retry_delay or timedelta(days=1)
    left = range(task.try_number, max(task.max_tries, task.try_number) + 1)
    return [min(2 * base * 2 ** (number - 1), longest) for number in left]


def _link(run: Any) -> str:
    return f"{page(run.dag_id)}/runs/{quote(run.run_id)}"


def _title(vendor: str) -> str:
    from include.vendors import VENDORS

    return next((each.title for each in VENDORS if each.name == vendor), vendor)


def _write(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
