"""Every ten minutes, download the signed documents of completed envelopes that are not stored yet.

Each document is stored once, under the hash of its content. A failed download is recorded in `control.document_try` and retried at growing
intervals. The next sync of envelopes to Salesforce adds the link to the stored document.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from include.vendors import VENDORS
from tributary.policy import DEFAULTS, GO_LIVE, PULLS


@dag(
    dag_id="store_documents",
    dag_display_name="Signed documents: store",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("3-59/10 * * * *", timezone="UTC"),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["events"],
)
def store_documents() -> None:
    """Run one task per vendor that has documents."""
    for vendor in VENDORS:
        if vendor.documents:

            @task(task_id=vendor.name, queue=PULLS, pool=PULLS)
            def store(name: str, run_id: Any = None) -> int:
                from include.pipeline import documents
                from include.pipeline.run import Run
                from include.vendors import named
                from tributary import connections
                from tributary.outages import report_answer

                if not documents.is_lacking(connections.database(), named(name)):
                    return 0
                vendor_run = connections.vendor_run(name, Run.of_now(run_id))
                years, scanner = connections.retention_years(), connections.malware_scanner()
                stored = documents.store_documents(vendor_run, years=years, scanner=scanner)
                report_answer(name)
                return stored

            store(vendor.name)


store_documents()
