"""Decide about records that users edited, deleted or merged in Salesforce. The list **Drift** in Operations starts this DAG for one record.

- **create again**: the next sync creates a record that was deleted or merged.
- **leave to Salesforce**: syncs no longer write the selected fields of a record, so users' edits stay.
- **write again**: ends an earlier *leave to Salesforce*; the next sync writes all fields of the record.

The audit trail records the decision with its user.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from tributary.policy import DEFAULTS

CREATE, LEAVE, WRITE = "create again", "leave to Salesforce", "write again"
OUTCOMES = {
    CREATE: "The next sync creates {}.",
    LEAVE: "Syncs no longer write these fields of {}. If a sync has already overwritten an edit, enter it again in Salesforce.",
    WRITE: "The next sync writes {} completely.",
}


@dag(
    dag_id="settle_salesforce_drift",
    dag_display_name="Salesforce: decide about a difference",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=4,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["crm"],
    params={
        "action": Param(CREATE, enum=[CREATE, LEAVE, WRITE], title="Decision"),
        "object": Param(
            "", type="string", minLength=1, title="Object", description="API name of the object in Salesforce."
        ),
        "keys": Param(
            [], type="array", items={"type": "string"}, title="Records", description="Tributary's keys, one per line."
        ),
        "fields": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Fields",
            description="API names, one per line. Only for `leave to Salesforce`.",
        ),
    },
)
def settle_salesforce_drift() -> None:
    """Record the decision and return what the next sync does."""

    @task
    def settle(params: Any = None, dag_run: Any = None) -> str:
        from include.crm.sync import drift
        from tributary import connections

        engine, action, records = connections.database(), params["action"], (params["object"], params["keys"])
        user = str(dag_run.triggering_user_name or "unknown")
        if action == CREATE:
            count = drift.create_again(engine, *records, user)
        elif action == LEAVE:
            count = drift.leave_to_salesforce(engine, *records, params["fields"], user)
        else:
            count = drift.write_again(engine, *records, user)
        if not count:
            return "Nothing changed: the decision no longer applies to these records. Reload the page."
        return OUTCOMES[action].format("1 record" if count == 1 else f"{count:,} records")

    settle()


settle_salesforce_drift()
