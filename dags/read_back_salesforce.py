"""Every Sunday, find the records that users edited, merged or deleted in Salesforce since our last sync of them.

- **Edited:** the next sync overwrites the edit. Fields that we write only once, when we create a record, belong to the firm and are not compared.
- **Deleted or merged:** the record is reported and not sent again. Select **Recreate missing records** to let the next sync create it again.
- **Unknown or other id:** a record has one of our keys, but we did not create it. We adopt it, and the next sync updates it.

Run it also after the database was restored from a backup: until then, no sync writes to Salesforce.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, Param, dag, task

from tributary.policy import DEFAULTS, GO_LIVE


@dag(
    dag_id="read_back_salesforce",
    dag_display_name="Salesforce: drift check",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 7 * * 0", timezone="UTC"),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["crm"],
    params={
        "recreate_missing": Param(
            False,
            type="boolean",
            title="Recreate missing records",
            description="Let the next sync create the records that were deleted or merged in Salesforce.",
        )
    },
)
def read_back_salesforce() -> None:
    """Read the records, update our copy of the accepted state, alert about differences, and recreate missing records if selected."""

    @task
    def read_back(run_id: Any = None) -> dict[str, dict[str, int]]:
        import logging
        from dataclasses import asdict

        from include.crm.run import Org
        from include.crm.sync.readback import read_back as read
        from tributary import connections

        connections.skip_without_salesforce()
        report_line = logging.getLogger(__name__).info
        org = Org(connections.site().engine, connections.connection("salesforce"), connections.crm_settings())
        found = read(org, run_id, report_line)
        return {entity: asdict(each) for entity, each in found.items()}

    @task
    def report_differences(found: dict[str, dict[str, int]], run_id: Any = None) -> list[str]:
        from tributary.alerts import send

        lines = [
            f"{entity}: " + ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in kinds.items() if count)
            for entity, kinds in ((e, {k: n for k, n in c.items() if k != "read"}) for e, c in found.items())
            if any(kinds.values())
        ]
        if lines:
            where = f"Each record: control.crm_difference, run_id {run_id}"
            title = "Salesforce differs from the accepted state"
            send("crm_difference", title, "\n".join([*lines, where]), dag_id="read_back_salesforce", run_id=run_id)
        return lines

    @task
    def recreate_missing(params: Any = None) -> int:
        from include.crm.sync.readback import recreate
        from tributary import connections

        return recreate(connections.site().engine, connections.crm_settings()) if params["recreate_missing"] else 0

    found = read_back()
    report_differences(found) >> recreate_missing()


read_back_salesforce()
