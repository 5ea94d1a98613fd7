"""The tasks of the DAG `replay_dead_letters`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import task

if TYPE_CHECKING:
    from sqlalchemy import Engine

MOST_SHOWN = 200
"""Maximum number of dead letters of a vendor whose content one run copies."""


@task.branch
def choose_action(params: Any = None) -> str:
    """Return the id of the task to run: the action that the user selected, `replay`, `discard` or `show`."""
    return str(params["action"])


@task
def replay(params: Any = None, run_id: Any = None) -> dict[str, Any]:
    """Request the rows of the dead letters again and load the good ones; return the counts as in `Replayed`."""
    from dataclasses import asdict
    from datetime import date

    from include import business_dates
    from include.pipeline.replay import replay as replay_dead_letters
    from include.pipeline.run import Run
    from tributary import connections
    from tributary.outages import report_answer

    vendor_name, table = params["table"].split(".")
    requested = params["business_date"]
    day = date.fromisoformat(requested) if requested else business_dates.business_date(None)
    vendor_run = connections.vendor_run(vendor_name, Run.of_day(run_id, day))
    ids = _list_selected(vendor_run.site.engine, params) or None
    outcome = replay_dead_letters(vendor_run, table, ids, is_dry=params["dry_run"])
    if outcome.found:
        report_answer(vendor_name)
    return asdict(outcome)


@task
def discard(params: Any = None, dag_run: Any = None) -> dict[str, Any]:
    """Close the selected dead letters without loading their rows, and log them. A dry run changes nothing, and returns what would happen.

    Returns:
        `dead_letters`: how many were closed. `money_usd`: the sum of their readable amounts as text, or None. `released`: how many stored
        rows they no longer protect, so that the next run may withdraw these rows. `is_dry`: whether this was a dry run.
    """
    import logging

    from include.control import dead_letters
    from tributary import connections

    engine, is_dry = connections.database(), params["dry_run"]
    ids = _list_selected(engine, params)
    who = str(dag_run.triggering_user_name or "unknown")
    outcome = dead_letters.discard(engine, ids, params["reason"] or "", who, dag_run.run_id, is_dry=is_dry)
    logging.getLogger(__name__).info("%s%s", "Dry run, nothing was discarded. " if is_dry else "", outcome)
    money = None if outcome.money_usd is None else str(outcome.money_usd)
    return {
        "dead_letters": len(outcome.dead_letters),
        "money_usd": money,
        "released": len(outcome.released),
        "is_dry": is_dry,
    }


@task
def show(params: Any = None, run_id: Any = None) -> int:
    """Copy the masked content of the selected dead letters to the database, for the page *Dead letters*; return how many."""
    from include.control import dead_letters
    from include.pipeline.dead_content import store_content
    from include.pipeline.run import Run
    from tributary import connections

    engine = connections.database()
    by_vendor = dead_letters.group_by_vendor(engine, _list_selected(engine, params))
    return sum(
        store_content(connections.vendor_run(name, Run.of_now(run_id)), ids[:MOST_SHOWN])
        for name, ids in by_vendor.items()
    )


def _list_selected(engine: Engine, params: Mapping[str, Any]) -> list[int]:
    """Return the ids that the user listed, or those of the group that the page selected."""
    from include.control.dead_letters import find_group

    return find_group(engine, params["group"]) if params["group"] else list(params["dead_letters"])


@task.short_circuit
def has_landed(outcome: dict[str, Any], params: Any = None) -> bool:
    """Return whether the replay loaded a row; if not, the notification is skipped."""
    return outcome["landed"] > 0 and not params["dry_run"]
