"""The warehouse's present state into Salesforce: when the warehouse has news, and every hour in case a bell was lost."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, task
from policy import DEFAULTS, GO_LIVE, WAREHOUSE, deadline


@dag(
    dag_id="salesforce",
    dag_display_name="Salesforce: what changed",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("17 * * * *", timezone="UTC"), assets=[WAREHOUSE]),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["crm"],
    deadline=deadline("Salesforce is in step within 2 hours", 2),
    params={
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Show what would change, and change nothing."
        )
    },
)
def salesforce() -> None:
    """Shows what would change, then sends it."""

    @task.short_circuit
    def is_reconciled() -> bool:
        """Whether the newest day adds up; while it is being loaded, the next bell or the next hour will do."""
        import firm

        from include.crm.load import is_settled

        return is_settled(firm.site().engine)

    @task
    def show_changes(params: Any = None) -> dict[str, str]:
        import logging

        import firm

        from include.crm.load import preview

        previews = preview(firm.site().engine, firm.firm_name(), 20 if params["dry_run"] else 0)
        for name, shown in previews.items():
            logging.getLogger(__name__).info("\n".join([f"{name}: {shown.delta}", *map(str, shown.sample)]))
        return {name: str(shown.delta) for name, shown in previews.items()}

    @task.short_circuit
    def is_real_run(params: Any = None) -> bool:
        return not params["dry_run"]

    @task
    def send_changes(run_id: Any = None) -> dict[str, dict[str, int]]:
        import firm

        from include import sessions
        from include.crm.load import sync

        counts = sync(
            firm.site().engine,
            firm.connection("salesforce"),
            firm.work_folder(),
            run_id,
            sessions.business_date(None),
            firm.firm_name(),
        )
        return {name: {"sent": c.sent, "created": c.created, "updated": c.updated} for name, c in counts.items()}

    is_reconciled() >> show_changes() >> is_real_run() >> send_changes()


salesforce()
