"""The tasks of the DAG `replay_dead_letters`."""

from __future__ import annotations

from typing import Any

from airflow.sdk import task


@task.branch
def choose_action(params: Any = None) -> str:
    """Return the id of the task to run: the action that the user selected, `replay` or `discard`."""
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

    vendor_name, table = params["table"].split(".")
    requested = params["business_date"]
    day = date.fromisoformat(requested) if requested else business_dates.business_date(None)
    vendor_run = connections.vendor_run(vendor_name, Run.of_day(run_id, day))
    outcome = replay_dead_letters(vendor_run, table, params["dead_letters"] or None, is_dry=params["dry_run"])
    return asdict(outcome)


@task
def discard(params: Any = None, dag_run: Any = None) -> dict[str, Any]:
    """Close the listed dead letters without loading their rows, and log them. A dry run changes nothing, and returns what would happen.

    Returns:
        `dead_letters`: how many were closed. `money_usd`: the sum of their readable amounts as text, or None. `released`: how many stored
        rows they no longer protect, so that the next run may withdraw these rows. `is_dry`: whether this was a dry run.
    """
    import logging

    from include.control import dead_letters
    from tributary import connections

    ids, is_dry = params["dead_letters"], params["dry_run"]
    who = str(dag_run.triggering_user_name or "unknown")
    outcome = dead_letters.discard(connections.database(), ids, params["reason"], who, dag_run.run_id, is_dry=is_dry)
    logging.getLogger(__name__).info("%s%s", "Dry run, nothing was discarded. " if is_dry else "", outcome)
    money = None if outcome.money_usd is None else str(outcome.money_usd)
    return {
        "dead_letters": len(outcome.dead_letters),
        "money_usd": money,
        "released": len(outcome.released),
        "is_dry": is_dry,
    }


@task.short_circuit
def has_landed(outcome: dict[str, Any], params: Any = None) -> bool:
    """Return whether the replay loaded a row; if not, the notification is skipped."""
    return outcome["landed"] > 0 and not params["dry_run"]
