"""From 6:00 to 18:45 in New York, alert once about each step of a vendor's day that is due and not in the ledger.

A vendor without a connection is never late. A day after its last pull, it is recorded as not used, and nothing of it is held back from Salesforce.

Also alert once a day if the last backup of the databases is too old.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from include.vendors import VENDORS
from tributary.policy import DEFAULTS, GO_LIVE, show_argument


@dag(
    dag_id="watch_lateness",
    dag_display_name="Vendors and backups: lateness",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("*/15 6-18 * * *", timezone="America/New_York"),
    start_date=pendulum.parse(GO_LIVE, tz="America/New_York"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS | {"execution_timeout": timedelta(minutes=5)},
    tags=["watch"],
)
def watch_lateness() -> None:
    """Check each vendor in its own mapped task, and the backups in another task."""

    @task(map_index_template=show_argument("vendor_name"))
    def report_late(vendor_name: str) -> list[str]:
        from datetime import UTC, datetime

        from include.control.lateness import find_late, mark_alerted, record_use
        from include.vendors import named
        from tributary import connections
        from tributary.alerts import page, send

        vendor, engine, now = named(vendor_name), connections.database(), datetime.now(UTC)
        is_used = connections.is_connected(vendor_name)
        record_use(engine, vendor_name, is_used=is_used)
        if not is_used:
            return []
        late = find_late(engine, vendor, now, pendulum.parse(GO_LIVE, tz=vendor.timezone))
        lines = [each.describe(now) for each in late]
        if late:
            title = f"Late: {vendor.title}, business date {late[0].business_date}"
            body = [*lines, f"DAG: {vendor_name}", f"Link: {page(vendor_name)}"]
            send("late", title, "\n".join(body), dag_id=vendor_name, subject=now.isoformat())
            mark_alerted(engine, late)
        return lines

    @task
    def report_missing_backup() -> str:
        from datetime import UTC, datetime

        from include.control.backups import find_missing
        from tributary import connections
        from tributary.alerts import page, send

        missing = find_missing(connections.database(), datetime.now(UTC), connections.backup_limit())
        if missing is None:
            return ""
        body = f"{missing}\nRead the log of the container `backup`; see docs/how-to/backing_up_and_restoring.md\nLink: {page('watch_lateness')}"
        subject = f"{missing.since.isoformat()} {missing.number}"
        send("backup", f"Backup missing: {missing}", body, dag_id="watch_lateness", subject=subject)
        return str(missing)

    report_missing_backup()
    report_late.expand(vendor_name=[vendor.name for vendor in VENDORS])


watch_lateness()
