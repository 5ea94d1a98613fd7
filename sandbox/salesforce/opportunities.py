"""Opportunities: what their stage says of them, as the platform's own stages do."""

from sandbox.salesforce.store import Body

_WON, _LOST = "Closed Won", "Closed Lost"


def settle_stage(body: Body) -> None:
    """Brings the fields that follow from the stage in step with it."""
    stage = body.get("StageName")
    body |= {"IsWon": stage == _WON, "IsClosed": stage in (_WON, _LOST)}
