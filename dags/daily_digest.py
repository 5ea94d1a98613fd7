"""Each weekday at seven in New York, send one alert with everything that needs attention. Send none if there is nothing to report.

The digest lists

- vendors whose newest day was rejected, so that an earlier day is in force;
- open dead letters by table, and how many are new since the last digest;
- reconciliation checks since the last digest that failed, that an operator accepted, or that passed only because dead letters explain
  the breaks;
- vendors whose newest day is held back from Salesforce;
- securities that vendors describe as different kinds;
- fields that a vendor began to send since the last digest and that no declaration names;
- a missing backup.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from tributary.policy import DEFAULTS, GO_LIVE


@dag(
    dag_id="daily_digest",
    dag_display_name="Daily digest",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 7 * * 1-5", timezone="America/New_York"),
    start_date=pendulum.parse(GO_LIVE, tz="America/New_York"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS | {"execution_timeout": timedelta(minutes=5)},
    tags=["watch"],
)
def daily_digest() -> None:
    """Write the digest and send it, in one task."""

    @task
    def send_digest(run_id: Any = None) -> str:
        from datetime import UTC, datetime

        from include.control.digest import write_digest
        from tributary import connections
        from tributary.alerts import page, send

        now = datetime.now(UTC)
        body = write_digest(connections.database(), now, connections.backup_limit())
        if body:
            title = f"Daily digest of {now.astimezone(pendulum.timezone('America/New_York')):%Y-%m-%d}"
            send("digest", title, f"{body}\nLink: {page('daily_digest')}", dag_id="daily_digest", run_id=run_id)
        return body

    send_digest()


daily_digest()
