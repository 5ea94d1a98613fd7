"""Every Sunday: what Salesforce really holds against what we believe. People edit, merge and delete records there.

A field that we write and somebody edited is written over by the next sync; a field that we write once is the firm's. What
is deleted or merged in Salesforce is left alone, and told of; with **Make again** the next sync creates it anew.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, Param, dag, task

from tributary.policy import DEFAULTS, GO_LIVE


@dag(
    dag_id="read_back_salesforce",
    dag_display_name="Salesforce: is it as we believe?",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 7 * * 0", timezone="UTC"),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["crm"],
    params={
        "make_again": Param(
            False,
            type="boolean",
            title="Make again",
            description="Let the next sync create what was deleted or merged in Salesforce.",
        )
    },
)
def read_back_salesforce() -> None:
    """Reads, repairs what we believe, and tells."""

    @task
    def read_back(run_id: Any = None) -> dict[str, dict[str, int]]:
        import logging
        from dataclasses import asdict

        from include.crm.sync.readback import read_back as read
        from tributary import connections

        connections.skip_without_salesforce()
        say = logging.getLogger(__name__).info
        found = read(
            connections.site().engine, connections.connection("salesforce"), run_id, connections.crm_settings(), say
        )
        return {entity: asdict(each) for entity, each in found.items()}

    @task
    def tell_differences(found: dict[str, dict[str, int]], run_id: Any = None) -> list[str]:
        from tributary.alerts import send

        lines = [
            f"{entity}: " + ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in kinds.items() if count)
            for entity, kinds in ((e, {k: n for k, n in c.items() if k != "read"}) for e, c in found.items())
            if any(kinds.values())
        ]
        if lines:
            where = f"Each record: control.crm_difference, run_id {run_id}"
            title = "Salesforce is not as we believed"
            send("crm_difference", title, "\n".join([*lines, where]), dag_id="read_back_salesforce", run_id=run_id)
        return lines

    @task
    def make_again(params: Any = None) -> int:
        from include.crm.sync.readback import recreate
        from tributary import connections

        return recreate(connections.site().engine, connections.crm_settings()) if params["make_again"] else 0

    found = read_back()
    tell_differences(found) >> make_again()


read_back_salesforce()
