"""Between the daily runs: what was edited at a vendor, every few minutes; and what it could not deliver, once more.

Its runs are many and small. They never stand in the way of the day: the ledger calls what they load `pushed`, the next daily run
asks for all of it again, and where both meet at a row, one of them tries again. The warehouse's bell rings only where something changed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from include.contract import Vendor
from include.vendors import VENDORS
from tributary.policy import DEFAULTS, GO_LIVE, WAREHOUSE


def vendor_live(vendor: Vendor) -> None:
    """Makes the DAG of one vendor."""

    @dag(
        dag_id=f"{vendor.name}_live",
        dag_display_name=f"{vendor.title}: what was edited since",
        doc_md=__doc__,
        schedule=CronTriggerTimetable(vendor.live, timezone=vendor.timezone),
        start_date=pendulum.parse(GO_LIVE, tz=vendor.timezone),
        catchup=False,
        max_active_runs=1,
        default_args={**DEFAULTS, "retries": 2, "execution_timeout": timedelta(minutes=10)},
        tags=["vendor", "events", vendor.name],
    )
    def live() -> None:
        @task.short_circuit(pool=f"{vendor.name}_api")
        def look_for_edits(run_id: Any = None) -> int:
            from include.pipeline.incremental import look_for_edits as look
            from include.pipeline.run import Run
            from tributary import connections

            site = connections.site()
            return look(site, vendor, connections.connection(vendor.name), Run.of_now(run_id, site.clock()))

        @task(outlets=[WAREHOUSE])
        def ring_bell() -> None:
            """Tells the CRM that the warehouse has news; the news itself is in the warehouse."""

        look_for_edits() >> ring_bell()

    live()


for vendor in VENDORS:
    if vendor.live:
        vendor_live(vendor)
