"""Between the daily runs, pull and load every few minutes the rows that a vendor's users edited since the last daily run.

These runs never replace or block the daily run:

- the ledger records their loads as `pushed`, and the next daily run pulls the same rows again;
- if both write the same row at the same time, one of them retries.

A run notifies the DAG `salesforce` (asset `warehouse_updated`) only if a row changed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from include.contract import Vendor
from include.vendors import VENDORS
from tributary.policy import DEFAULTS, GO_LIVE, live
from tributary.tasks.vendor_day import notify_warehouse_updated


def vendor_live(vendor: Vendor) -> None:
    """Create the DAG that pulls the edits of one vendor."""

    @dag(
        dag_id=live(vendor.name),
        dag_display_name=f"{vendor.title}: edits since the last run",
        doc_md=__doc__,
        schedule=CronTriggerTimetable(vendor.live, timezone=vendor.timezone),
        start_date=pendulum.parse(GO_LIVE, tz=vendor.timezone),
        catchup=False,
        max_active_runs=1,
        default_args={**DEFAULTS, "retries": 2, "execution_timeout": timedelta(minutes=10)},
        tags=["vendor", "events", vendor.name],
    )
    def edits() -> None:
        @task.short_circuit
        def pull_edits(run_id: Any = None) -> int:
            from include.pipeline import incremental
            from include.pipeline.run import Run
            from tributary import connections
            from tributary.outages import report_answer

            changed = incremental.pull_edits(connections.vendor_run(vendor.name, Run.of_now(run_id)))
            report_answer(vendor.name)
            return changed

        pull_edits() >> notify_warehouse_updated()

    edits()


for vendor in VENDORS:
    if vendor.live:
        vendor_live(vendor)
