"""The forms of the DAGs' parameters."""

from __future__ import annotations

from airflow.sdk import Param


def vendor_form(tables: list[str]) -> dict[str, Param]:
    """What a person may choose for a run of a vendor's day; `tables` are the vendor's."""
    return {
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
        "accept_unusual": Param(
            False,
            type="boolean",
            title="Accept an unusual day",
            description="Load a day whose totals, prices or number of rows differ much from earlier days; the ledger notes it.",
        ),
        "on_demand": Param(
            False, type="boolean", title="On demand", description="Use the share of the rate budget kept for people."
        ),
    }


def client_form(tables: list[str]) -> dict[str, Param]:
    """What a person may choose for single clients, who always take from the share kept for people."""
    form = vendor_form(tables)
    del form["on_demand"]
    clients = Param(
        None,
        type="array",
        items={"type": "string"},
        minItems=1,
        title="Clients",
        description="The vendor's ids of clients, one a line.",
    )
    return {"keys": clients, **form}
