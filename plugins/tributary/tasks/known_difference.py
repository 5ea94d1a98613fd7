"""The task of the DAG `declare_known_difference`."""

from __future__ import annotations

from typing import Any

from airflow.sdk import task


@task
def declare(params: Any = None, dag_run: Any = None) -> str:
    """Record the declaration of the form; return it as one line."""
    from datetime import date

    from include import business_dates
    from include.errors import InputRejected
    from include.warehouse import known_difference
    from tributary import connections

    if not params["last_day"]:
        raise InputRejected("State the last day of the known difference")
    requested = params["business_date"]
    first = date.fromisoformat(requested) if requested else business_dates.business_date(None)
    last, vendor, account = date.fromisoformat(params["last_day"]), params["vendor"], params["account"]
    who = str(dag_run.triggering_user_name or "unknown")
    engine = connections.site().engine
    known_difference.declare(engine, vendor, account, (first, last), params["reason"], who, dag_run.run_id)
    return f"{vendor}, account {account}, from {first} to {last}, declared by {who}"
