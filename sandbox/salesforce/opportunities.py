"""Opportunities: the fields derived from their stage, as for the platform's own stages."""

from sandbox.salesforce.store import Body

_WON, _LOST = "Closed Won", "Closed Lost"


def settle_stage(body: Body) -> None:
    """Set the fields derived from the stage."""
    stage = body.get("StageName")
    body |= {"IsWon": stage == _WON, "IsClosed": stage in (_WON, _LOST)}
