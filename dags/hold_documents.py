"""Place a retention hold on the documents of an envelope for a dispute or an audit, or end the hold."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from include.vendors import VENDORS
from tributary.policy import DEFAULTS

SIGNING = [vendor.name for vendor in VENDORS if vendor.documents]


@dag(
    dag_id="hold_documents",
    dag_display_name="Signed documents: retention hold",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["events"],
    params={
        "vendor": Param(SIGNING[0], enum=SIGNING, title="Vendor"),
        "envelope": Param(
            "", type="string", minLength=1, title="Envelope", description="The vendor's id of the envelope."
        ),
        "reason": Param(
            "",
            type="string",
            minLength=3,
            title="Reason",
            description="Stored with the documents and the name of the user.",
        ),
        "end_hold": Param(
            False,
            type="boolean",
            title="End the hold",
            description="The retention date applies again. The run stores the reason.",
        ),
    },
)
def hold_documents() -> None:
    """Place or end the hold on all documents of the envelope; fail if none is stored."""

    @task
    def hold(params: Any = None, dag_run: Any = None) -> int:
        from include.errors import ConfigurationError
        from include.pipeline import documents
        from tributary import connections

        who = dag_run.triggering_user_name or "unknown"
        reason = None if params["end_hold"] else params["reason"]
        held = documents.hold(connections.database(), params["vendor"], params["envelope"].strip(), who, reason)
        if not held:
            raise ConfigurationError(
                "No document of this envelope is stored", vendor=params["vendor"], envelope=params["envelope"]
            )
        return held

    hold()


hold_documents()
