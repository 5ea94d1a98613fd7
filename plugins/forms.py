"""The forms of the DAGs' parameters."""

from __future__ import annotations

from airflow.sdk import Param


def vendor_form(tables: list[str], *, has_clients: bool) -> dict[str, Param]:
    """What a person may choose for a run of a vendor's day.

    Args:
        tables: The vendor's.
        has_clients: Whether single clients can be asked for.
    """
    form = {
        "tables": Param(
            tables,
            type="array",
            items={"type": "string", "enum": tables},
            minItems=1,
            examples=tables,  # what the form offers
            title="Tables",
            description="What to pull.",
        ),
        "business_date": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Business date",
            description="Empty: the latest closed session. A past date takes only what can be stated as of then.",
        ),
        "full_refresh": Param(
            False, type="boolean", title="Full refresh", description="Ignore when tables were last pulled."
        ),
        "wait": Param(
            True, type="boolean", title="Wait until closed", description="Off: do not wait, take what the vendor has."
        ),
        "on_demand": Param(
            False, type="boolean", title="On demand", description="Use the share of the rate budget kept for people."
        ),
    }
    if has_clients:
        form["keys"] = Param(
            [],
            type=["null", "array"],
            items={"type": "string"},
            title="Clients",
            description="The vendor's ids of clients, one a line; empty takes all. Takes from the share kept for people.",
        )
    return form
