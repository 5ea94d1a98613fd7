"""The tasks of the DAG `approve_salesforce`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import task

APPROVE, REJECT = "Approve", "Reject"
BODY = "{% for wording in params.wordings %}- {{ wording }}\n{% endfor %}\n[The first changes]({{ params.page }})"
"""Template of the text on the page where the user decides, in Markdown: the requests, and a link to the changes."""


@task
def alert_people(params: Any = None, run_id: Any = None) -> None:
    """Send one alert about the approval requests of this run; a retry of the task does not send it again."""
    from tributary.alerts import page, send

    ids = ",".join(map(str, params["question_ids"]))
    where = f"Decide: {page('approve_salesforce')}/runs/{quote(run_id)}/tasks/decide/required_actions"
    body = "\n".join([*params["wordings"], f"Run: {run_id}", where])
    send("approval", "Approval required: Salesforce", body, dag_id="approve_salesforce", run_id=run_id, subject=ids)


@task.short_circuit
def record_decision(params: Any = None) -> bool:
    """Record the decision with its user and reason; return whether it is an approval. After a rejection, the sync is skipped.

    Raises:
        TargetUnavailable: The audit trail has no answer of a user.
    """
    from include.crm.sync import approval
    from tributary import connections

    engine, questions = connections.database(), params["question_ids"]
    answer = approval.find_answer(engine, questions)
    is_approved = answer.option == APPROVE
    reason = answer.reason or ("" if is_approved else "No reason given")
    approval.decide(engine, questions, is_approved, reason, answer.answered_by)
    return is_approved
