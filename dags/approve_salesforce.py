"""Approval of a large Salesforce change: the request, the decision, and the sync that follows.

The DAG `salesforce` starts a run of this DAG, and sends all other changes in the meantime.

- The task `decide` waits twenty hours for a decision, and then fails.
- After an approval, this DAG starts a run of `salesforce`, which sends the approved changes.
- A rejection stays in force, with its reason, until the proposed changes are different, or until an operator requests the approval again.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag

from tributary.policy import DEFAULTS, GO_LIVE
from tributary.tasks import approval


@dag(
    dag_id="approve_salesforce",
    dag_display_name="Salesforce: approve a large change",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=20,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["crm"],
    params={
        "question_ids": Param(
            [], type="array", items={"type": "integer"}, title="Requests", description="Ids of the approval requests."
        ),
        "wordings": Param([], type="array", items={"type": "string"}, title="Changes"),
        "page": Param("", type="string", title="Page of the first changes"),
    },
)
def approve_salesforce() -> None:
    """Send an alert, wait for the decision, record it, and start the sync of the approved changes."""

    decide = HITLOperator(
        task_id="decide",
        subject="Approve this large Salesforce update?",
        body=approval.BODY,
        options=[approval.APPROVE, approval.REJECT],
        # Airflow's form requires every field that can't be null, also of someone who approves.
        params={"reason": Param("", type=["null", "string"], title="Reason", description="If you reject, enter why.")},
        response_timeout=timedelta(hours=20),
        trigger_rule="all_done",  # if the alert can't be sent, the page still shows the request
    )

    send = TriggerDagRunOperator(
        task_id="send", trigger_dag_id="salesforce", logical_date=None, openlineage_inject_parent_info=False
    )
    approval.alert_people() >> decide >> approval.record_decision() >> send


approve_salesforce()
