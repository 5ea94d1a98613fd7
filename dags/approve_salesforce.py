"""A change of Salesforce that is too great to be sent without a person: the question, the decision, and the sync that follows.

Started by the DAG `salesforce`, which continues meanwhile and sends everything else. A question waits for twenty hours. What is approved is
sent by the run of `salesforce` that this one starts; a rejection counts, with its reason, until the difference is another one.
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
            [], type="array", items={"type": "integer"}, title="Questions", description="By their ids."
        ),
        "wordings": Param([], type="array", items={"type": "string"}, title="What would change"),
        "page": Param("", type="string", title="Page of the first changes"),
    },
)
def approve_salesforce() -> None:
    """Alerts people, waits for the decision, keeps it, and has what was approved sent."""

    @task
    def alert_people(params: Any = None, run_id: Any = None) -> None:
        """Alert once of the questions of this run, however often the task is tried."""
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
        """Records the decision with who made it and why; continues where something was approved."""
        from include.crm.sync import approval
        from tributary import connections

        answer = ti.xcom_pull(task_ids="decide")
        is_approved = answer["chosen_options"] == [APPROVE]
        reason = str(answer["params_input"].get("reason") or "").strip() or (
            "" if is_approved else "No reason was given"
        )
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
