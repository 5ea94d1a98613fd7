"""Adopt existing Salesforce records. The list **Adoption** in Operations starts this DAG.

- **compare**: read the changed records of the org and compare them with the vendors' data. Nothing is written to Salesforce.
- **approve**: approve writing our key to matched records of these entities, now and in later syncs. **withdraw** ends the approval.
- **write keys**: compare, then write our key to the matched records of approved entities. No other field is written.
- **same**, **not the same**: decide about one org record and one of our records. **undecided** removes the decision.
- **undo**: remove every key that adoption has written, and withdraw the approvals.

A new record that may be in the org already is not created before it is approved or decided. The audit trail records decisions, approvals and keys.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from tributary.policy import DEFAULTS

ACTIONS = ["compare", "approve", "withdraw", "write keys", "same", "not the same", "undecided", "undo"]
ENTITIES = ["household", "person", "legal_entity", "account"]


@dag(
    dag_id="adopt_salesforce_records",
    dag_display_name="Salesforce: adopt records",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS | {"execution_timeout": timedelta(hours=3)},
    tags=["crm"],
    params={
        "action": Param(ACTIONS[0], enum=ACTIONS, title="Action"),
        "entities": Param(
            ENTITIES,
            type="array",
            items={"type": "string", "enum": ENTITIES},
            title="Entities",
            description="To approve or withdraw, one per line.",
        ),
        "record": Param("", type=["null", "string"], title="Record", description="Salesforce's id of the record."),
        "key": Param("", type=["null", "string"], title="Key", description="Tributary's key of our record."),
        "reason": Param(
            "",
            type=["null", "string"],
            title="Reason",
            description="Of a decision, for the audit trail; may be empty.",
        ),
    },
)
def adopt_salesforce_records() -> None:
    """Run the selected action, and return a sentence about its result."""

    @task
    def work(params: Any = None, dag_run: Any = None, run_id: Any = None) -> str:
        from tributary.tasks import adoption

        return adoption.work(params, str(dag_run.triggering_user_name or "unknown"), run_id)

    work()


adopt_salesforce_records()
