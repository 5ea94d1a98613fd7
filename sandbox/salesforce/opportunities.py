"""Set the fields of an opportunity that Salesforce derives from its stage; only Salesforce's standard stages are known."""

from sandbox.salesforce.store import Body

_WON, _LOST = "Closed Won", "Closed Lost"


def settle_stage(body: Body) -> None:
    """Set `IsWon` and `IsClosed` of an opportunity by its stage."""
    stage = body.get("StageName")
    body |= {"IsWon": stage == _WON, "IsClosed": stage in (_WON, _LOST)}
