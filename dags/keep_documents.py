"""Signed documents of completed envelopes: fetched once, every ten minutes, and kept by what they hold.

A document that can't be had is noted (`control.document_try`) and asked for again later, and the longer the rarer. Salesforce links to
it the next time that envelopes are shown.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from include.vendors import VENDORS
from tributary.policy import DEFAULTS, GO_LIVE


@dag(
    dag_id="keep_documents",
    dag_display_name="Signed documents into the store",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("3-59/10 * * * *", timezone="UTC"),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["events"],
)
def keep_documents() -> None:
    """Each vendor by itself, in its own pool."""
    for vendor in VENDORS:
        if vendor.documents:

            @task(task_id=vendor.name, pool=f"{vendor.name}_api")
            def keep(name: str, run_id: Any = None) -> int:
                from include.pipeline import documents
                from include.pipeline.run import Run
                from include.vendors import named
                from tributary import connections

                site, vendor = connections.site(), named(name)
                if not documents.is_lacking(site, vendor):
                    return 0
                run = Run.of_now(run_id, site.clock())
                years = connections.retention_years()
                return documents.keep_documents(site, vendor, connections.connection(name), run, years=years)

            keep(vendor.name)


keep_documents()
