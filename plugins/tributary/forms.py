"""The forms of the DAGs' parameters. Airflow rejects invalid values before it creates a run."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param
from jsonschema import FormatChecker

from include.contract import Vendor
from include.pipeline.plan import find_key_table

# The API server checks a form against its JSON schema before it creates a run or a backfill. It knows this format because it loads this
# module as a plugin (see .airflowignore); other components import it with the DAGs.
TRADING_DAY = "closed trading day of the New York Stock Exchange"


def _is_closed_trading_day(value: Any) -> bool:
    """Return True for a business date, and for a value that is not text.

    Raises:
        InputRejected: The date is not a closed trading day; Airflow shows the reason under the form.
    """
    from include import business_dates

    if isinstance(value, str):
        business_dates.parse_business_date(value)
    return True


FormatChecker.checkers[TRADING_DAY] = (_is_closed_trading_day, ())


def day_param(description: str) -> Param:
    """Return a parameter for an optional business date; Airflow rejects an invalid date before it creates a run."""
    return Param(
        None,
        type=["null", "string"],
        format="date",  # the calendar of the form
        allOf=[{"format": TRADING_DAY}],
        title="Business date",
        description=description,
    )


def vendor_form(vendor: Vendor) -> dict[str, Param]:
    """Return the parameters of a vendor's daily DAG."""
    tables = [table.name for table in vendor.requested_tables]
    form = {
        "tables": Param(
            tables,
            type="array",
            items={"type": "string", "enum": tables},
            minItems=1,
            examples=tables,  # the choices in the form
            title="Tables",
            description=f"Tables to pull. {_describe_past(vendor)}",
        ),
        "business_date": day_param(
            "Empty: the latest closed trading day. Leave it empty in a backfill: each run has its own."
        ),
        "full_refresh": Param(
            False,
            type="boolean",
            title="Full refresh",
            description="Pull everything, not only edits since the last pull.",
        ),
    }
    if vendor.closed:
        form["wait"] = Param(
            True,
            type="boolean",
            title="Wait until closed",
            description="Off: do not wait; load the data that the vendor has now.",
        )
    form["accept_unusual"] = Param(
        False,
        type="boolean",
        title="Accept an unusual day",
        description="Load a day whose totals, prices or row counts differ much from earlier days, or that failed reconciliation in an earlier"
        " run. Your name is recorded, and the marts show the day as accepted.",
    )
    form["on_demand"] = Param(
        False,
        type="boolean",
        title="On demand",
        description="Use the share of the rate budget that is reserved for users.",
    )
    return form


def client_form(vendor: Vendor) -> dict[str, Param]:
    """Return the parameters of the DAG that refreshes single clients or envelopes.

    They have no `on_demand`: such a run always uses the share of the rate budget that is reserved for users.
    """
    form = vendor_form(vendor)
    del form["on_demand"]
    noun = find_key_table(vendor)
    keys = Param(
        None,
        type="array",
        items={"type": "string"},
        minItems=1,
        title=noun.capitalize(),
        description=f"The vendor's ids of {noun}, one per line.",
    )
    return {"keys": keys, **form}


def _describe_past(vendor: Vendor) -> str:
    """Return a sentence about the tables that a run for a past business date does not pull."""
    left_out = [table.name for table in vendor.requested_tables if not table.states_past]
    if len(left_out) == len(vendor.requested_tables):
        return f"Only the latest day: {vendor.title} can't return past days."
    if not left_out:
        return "A past date pulls all tables."
    return f"A past date omits {', '.join(left_out)}: {vendor.title} can't return them as of a past date."
