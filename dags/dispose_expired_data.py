"""Every Sunday, dispose of the data whose retention period is over: rows, partitions, documents and pages.

It also alerts about persons who were forgotten, and whom a vendor has sent again.

The Variable `tributary_retention` changes the periods. A run that you start by hand is a dry run, which only lists the data that would be
deleted, unless you switch **Dry run** off. So is a scheduled run that starts more than a day late: when the DAG is switched on, Airflow starts the
run of the last Sunday at once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, Param, dag, task

from tributary.policy import DEFAULTS, GO_LIVE, is_dry_run


@dag(
    dag_id="dispose_expired_data",
    dag_display_name="Retention: dispose of expired data",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 15 * * 0", timezone="UTC"),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["retention"],
    params={
        "dry_run": Param(
            True,
            type="boolean",
            title="Dry run",
            description="List what would be disposed of, and dispose of nothing. A scheduled run disposes, unless it starts more than a day late.",
        ),
    },
)
def dispose_expired_data() -> None:
    """Dispose in one task, which continues where a killed try stopped; look for forgotten persons in another."""

    @task(execution_timeout=timedelta(hours=8))
    def dispose(params: Any = None, dag_run: Any = None) -> dict[str, int]:
        from include.retention.disposal import Places, dispose_expired
        from tributary import connections

        places, is_dry = Places(connections.database(), connections.staging()), is_dry_run(params, dag_run)
        results = dispose_expired(places, dag_run.run_id, connections.retention_periods(), is_dry=is_dry)
        return {name: each.count for name, each in results.items() if each.count}

    @task
    def report_returned() -> list[str]:
        from include.retention.forget import find_returned
        from tributary import connections
        from tributary.alerts import page, send

        site = connections.site()
        returned = [f"{vendor}:{key}" for vendor, key in find_returned(site.engine, site.keyring.redactor)]
        if returned:
            title = f"Forgotten persons are back: {len(returned)}"
            body = "\n".join(["Have the vendors delete them, then forget them again:", *returned, f"Link: {page('dispose_expired_data')}"])  # fmt: skip
            send("returned", title, body, dag_id="dispose_expired_data", subject=" ".join(returned))
        return returned

    dispose()
    report_returned()


dispose_expired_data()
