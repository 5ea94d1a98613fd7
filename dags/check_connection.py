"""Check the connection of a vendor or of Salesforce: log in, and make one small call that changes nothing.

The page of each vendor in **Operations** starts this DAG and shows the result. A connection that does not work is a result, not a failed
run, so it sends no alert.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from include.vendors import VENDORS
from tributary.policy import DEFAULTS

SYSTEMS = [*(vendor.name for vendor in VENDORS), "salesforce"]


@dag(
    dag_id="check_connection",
    dag_display_name="Check a connection",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=4,
    is_paused_upon_creation=False,
    default_args=DEFAULTS | {"execution_timeout": timedelta(minutes=5)},
    tags=["watch"],
    params={"system": Param(SYSTEMS[0], enum=SYSTEMS, title="System", description="The vendor, or Salesforce.")},
)
def check_connection() -> None:
    """Check one connection and return a sentence about it."""

    @task
    def check(params: Any = None, run_id: Any = None) -> str:
        from include import business_dates
        from include.control.calls import CallLog
        from include.crm.salesforce import VENDOR
        from include.errors import TributaryError
        from include.pipeline.connection_check import check_salesforce, check_vendor
        from include.pipeline.run import Run
        from tributary import connections

        system = params["system"]
        if not connections.is_connected(system):
            return f"There is no connection {system}. Add it: see docs/reference/connections.md."
        try:
            if system == VENDOR:
                calls = CallLog(connections.database(), VENDOR, "", run_id)
                return check_salesforce(connections.connection(VENDOR), calls)
            return check_vendor(
                connections.vendor_run(system, Run.of_day(run_id, business_dates.business_date(None), on_demand=True))
            )
        except TributaryError as error:
            return f"The connection does not work. {error}"

    check()


check_connection()
