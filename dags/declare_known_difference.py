"""Declare that a vendor states the value of an account, but never delivers its positions.

Without a declaration, such an account stops every day of the vendor. With it, the account's difference is accepted on each of these days: the
marts and the digest show it with your name, and the audit trail records your reason. It applies only while the vendor delivers no position of
the account. Every other difference stops the day as before.

To end a declaration, declare the account again: the first day is the first one without the declaration, and the last day is the day before it.
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from include.vendors import VENDORS
from tributary.forms import day_param
from tributary.policy import DEFAULTS
from tributary.tasks.known_difference import declare

TOTALED = [vendor.name for vendor in VENDORS if any(table.agrees for table in vendor.requested_tables)]


@dag(
    dag_id="declare_known_difference",
    dag_display_name="Declare a known difference",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["vendor"],
    params={
        "vendor": Param(TOTALED[0], enum=TOTALED, title="Vendor"),
        "account": Param(
            "",
            type="string",
            minLength=1,
            maxLength=200,
            title="Account",
            description="The vendor's key of the account, as the error of the rejected day shows it.",
        ),
        "business_date": day_param("The first day. Empty: the latest closed trading day."),
        "last_day": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Last day",
            description="Required. At most 366 days after the first day; then declare it again.",
        ),
        "reason": Param(
            "",
            type="string",
            minLength=1,
            maxLength=500,
            title="Reason",
            description="Required; recorded with your name. Why does the vendor not deliver the positions?",
        ),
    },
)
def declare_known_difference() -> None:
    """Declare a known difference."""
    declare()


declare_known_difference()
