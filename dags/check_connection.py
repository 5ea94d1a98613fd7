"""Check a system before a run fails: a vendor, Salesforce, or Tributary's own parts.

A check logs in, requests a small page of each table, and compares it with the declaration; it compares the Salesforce org with the mapping, and
the database roles, keys, staging and gateway with what they must be. It loads nothing. The pages **Checks** of **Operations** start this DAG and
show the newest report of each system. A finding is a result, not a failed run, so it sends no alert.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from include.vendors import VENDORS
from tributary.policy import DEFAULTS

SYSTEMS = ["all", "tributary", *(vendor.name for vendor in VENDORS), "salesforce"]


@dag(
    dag_id="check_connection",
    dag_display_name="Check before a run",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=4,
    is_paused_upon_creation=False,
    default_args=DEFAULTS | {"execution_timeout": timedelta(minutes=30)},
    tags=["watch"],
    params={
        "system": Param(
            SYSTEMS[0], enum=SYSTEMS, title="System", description="A vendor, Salesforce, Tributary's own parts, or all."
        ),
        "send_alert": Param(False, type="boolean", title="Send a test alert", description="To every alert address."),
    },
)
def check_connection() -> None:
    """Check one system or all, store the reports, and return a sentence about them."""

    @task
    def check(params: Any = None, run_id: Any = None) -> str:
        from tributary.tasks import check as checking

        return checking.check(params["system"], run_id, must_send_alert=params["send_alert"])

    check()


check_connection()
