"""Send the current state of the warehouse to Salesforce: when the warehouse has new data, and every hour in case a notification was lost.

A run resolves identities across vendors, evaluates the business rules, compares all objects with the state that Salesforce last accepted,
and sends the changes. It holds back

- the rows of a vendor whose newest day is not reconciled;
- an object with a large change, until a user approves it in the DAG `approve_salesforce`;
- an object whose sync fails;
- a new record that the org may have from elsewhere, until a user approves or decides (DAG `adopt_salesforce_records`);
- the records that refer to any of these.

All other changes are sent. By default, a change of an object is large if it

- is a first load of more than 200 records;
- changes more than 200 records, and more than 30 % of the object's records;
- closes more than 25 accounts;
- changes the total worth by more than 20 %.

To stop every run from writing, set the Variable `tributary_crm_paused` to `true`.
"""

from __future__ import annotations

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag

from tributary.policy import DEADLINE_HOURS, DEFAULTS, GO_LIVE, WAREHOUSE, deadline
from tributary.tasks import salesforce as crm_steps


@dag(
    dag_id="salesforce",
    dag_display_name="Salesforce: sync",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("17 * * * *", timezone="UTC"), assets=[WAREHOUSE]),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["crm"],
    deadline=deadline(f"Salesforce is up to date within {DEADLINE_HOURS:g} hours"),
    params={
        "dry_run": Param(False, type="boolean", title="Dry run", description="Show the changes, and write nothing."),
        "match_all": Param(
            False,
            type="boolean",
            title="Match all records",
            description="Compare all records of persons with each other, as once a week, instead of only those that changed.",
        ),
        "resend_refused": Param(
            False,
            type="boolean",
            title="Resend rejected rows",
            description="Include rows that have not changed since Salesforce rejected them, such as after a fix in the org.",
        ),
        "resend_error": Param(
            "",
            type=["null", "string"],
            pattern=r"^(\S+: .*)?$",
            title="Resend one error",
            description="Include the rejected rows of this object and error code, such as `Account: REQUIRED_FIELD_MISSING`.",
        ),
        "request_rejected": Param(
            False,
            type="boolean",
            title="Request rejected approvals again",
            description="Request an approval even for changes that were rejected and have not changed since.",
        ),
    },
)
def salesforce() -> None:
    """Resolve identities, evaluate the rules, show the changes, request approvals, and send the changes that need none."""
    request_approval = TriggerDagRunOperator(
        task_id="request_approval",
        trigger_dag_id="approve_salesforce",
        trigger_run_id=crm_steps.APPROVAL_RUN,
        skip_when_already_exists=True,
        conf=crm_steps.APPROVALS,  # type: ignore[arg-type]  # a template of JSON
        logical_date=None,
        openlineage_inject_parent_info=False,
    )
    evaluated, shown, sent = crm_steps.evaluate_rules(), crm_steps.show_changes(), crm_steps.send_changes()
    compared = crm_steps.compare_org()
    questions = crm_steps.open_approvals(shown)
    crm_steps.resolve_identity() >> evaluated >> compared >> shown >> crm_steps.may_write() >> [questions, sent]
    questions >> request_approval
    [sent, evaluated] >> crm_steps.raise_tasks()
    sent >> crm_steps.report_held_back()


salesforce()
