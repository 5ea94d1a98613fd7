"""The warehouse's present state into Salesforce: when the warehouse has news, and every hour in case a bell was lost.

First, identity is resolved across vendors; then the business rules evaluate the day. Then everything is compared and sent. Held back are
the rows of a vendor whose newest day is not reconciled, an object that would change too much (a first load, a third of its records,
dozens of accounts that close) until a person approves it in the DAG `approve_salesforce`, an object that fails, and what names any of
these; the rest goes. The Variable `tributary_crm_paused` set to `true` keeps every run from writing.
"""

from __future__ import annotations

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag

from tributary.policy import DEADLINE_HOURS, DEFAULTS, GO_LIVE, WAREHOUSE, deadline
from tributary.tasks import salesforce as crm_steps


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
    deadline=deadline(f"Salesforce is in step within {DEADLINE_HOURS:g} hours"),
    params={
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Show what would change, and change nothing."
        ),
        "resend_refused": Param(
            False,
            type="boolean",
            title="Send refused rows again",
            description="Also those that did not change since Salesforce refused them: the org was mended.",
        ),
    },
)
def salesforce() -> None:
    """Evaluate the day, show what would change, request approval where it must, and send the rest."""
    request_approval = TriggerDagRunOperator(
        task_id="request_approval",
        trigger_dag_id="approve_salesforce",
        conf="{{ ti.xcom_pull(task_ids='find_questions') | tojson }}",  # type: ignore[arg-type]  # JSON is read
        logical_date=None,
        openlineage_inject_parent_info=False,
    )
    judged, shown, sent = crm_steps.judge_day(), crm_steps.show_changes(), crm_steps.send_changes()
    questions = crm_steps.find_questions(shown)
    crm_steps.resolve_identity() >> judged >> shown >> crm_steps.may_write() >> [questions, sent]
    questions >> request_approval
    [sent, judged] >> crm_steps.raise_tasks()
    sent >> crm_steps.report_held_back()


salesforce()
