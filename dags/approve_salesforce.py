"""Approval of a large Salesforce change: the request, the decision, and the sync that follows.

The DAG `salesforce` starts it, and meanwhile sends all other changes. A request waits for twenty hours. After an approval, this DAG starts
a run of `salesforce`, which sends the approved changes. A rejection stays in force, with its reason, until the difference changes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pendulum
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag, task

from tributary.policy import DEFAULTS, GO_LIVE

APPROVE, REJECT = "Approve", "Reject"


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
    """Alert, wait for the decision, record it, and start the sync of the approved changes."""

    @task
    def alert_people(params: Any = None, run_id: Any = None) -> None:
        """Alert once about the requests of this run, however often the task is retried."""
        from tributary.alerts import page, send

        ids = ",".join(map(str, params["question_ids"]))
        where = f"Decide: {page('approve_salesforce')}/runs/{quote(run_id)}/tasks/decide/required_actions"
        body = "\n".join([*params["wordings"], f"Run: {run_id}", where])
        send("approval", "Approval required: Salesforce", body, dag_id="approve_salesforce", run_id=run_id, subject=ids)

    decide = HITLOperator(
        task_id="decide",
        subject="Approve this large Salesforce update?",
        body="{% for wording in params.wordings %}- {{ wording }}\n{% endfor %}\n[The first changes]({{ params.page }})",
        options=[APPROVE, REJECT],
        params={"reason": Param("", type="string", title="Reason", description="Needed when you reject.")},
        response_timeout=timedelta(hours=20),
    )

    @task.short_circuit
    def record_decision(params: Any = None, ti: Any = None) -> bool:
        """Record the decision with its user and reason; continue after an approval."""
        from include.crm.sync import approval
        from tributary import connections

        answer = ti.xcom_pull(task_ids="decide")
        is_approved = answer["chosen_options"] == [APPROVE]
        reason = str(answer["params_input"].get("reason") or "").strip() or ("" if is_approved else "No reason given")
        user = answer["responded_by_user"] or {}
        approval.decide(
            connections.database(),
            params["question_ids"],
            is_approved,
            reason,
            str(user.get("name") or user.get("id") or "unknown"),
        )
        return is_approved

    send = TriggerDagRunOperator(
        task_id="send", trigger_dag_id="salesforce", logical_date=None, openlineage_inject_parent_info=False
    )
    alert_people() >> decide >> record_decision() >> send


approve_salesforce()
