"""Set the fields that Salesforce derives from the stage of an opportunity or the status of a task.

Only Salesforce's standard stages are known. Several statuses can mean that a task is closed: the sandbox's org has added one.
https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_taskstatus.htm
"""

from sandbox.salesforce.store import Body

_WON, _LOST = "Closed Won", "Closed Lost"
_CLOSED_TASKS = ("Completed", "Done")


def settle(sobject: str, body: Body) -> None:
    """Set `IsWon` and `IsClosed` of an opportunity, or `IsClosed` of a task."""
    if sobject == "Opportunity":
        stage = body.get("StageName")
        body |= {"IsWon": stage == _WON, "IsClosed": stage in (_WON, _LOST)}
    elif sobject == "Task":
        body |= {"IsClosed": body.get("Status") in _CLOSED_TASKS}
