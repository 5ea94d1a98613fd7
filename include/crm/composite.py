"""Composite calls: several requests in one call, each with its own response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from include.crm.salesforce import SalesforceSession
from include.errors import ConfigurationError, TargetUnavailable

COLLECTION_ROWS = 200
"""Salesforce's maximum number of rows of a collection."""
CALL_COLLECTIONS = 5
"""Salesforce's maximum number of collections among the 25 subrequests of a composite call."""


def send_requests(session: SalesforceSession, requests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Send requests that are safe to repeat in one call; return the responses (`httpStatusCode`, `body`) in order.

    Raises:
        ConfigurationError: Salesforce rejected the call.
        TargetUnavailable: Salesforce is unavailable, or failed within one of the requests.
    """
    answer = session.call("POST", "/composite", {"allOrNone": False, "compositeRequest": requests})
    responses = answer.body.get("compositeResponse") if isinstance(answer.body, dict) else None
    if not answer.is_ok or not isinstance(responses, list) or len(responses) != len(requests):
        raise ConfigurationError("Salesforce rejected a composite call", status=answer.status, code=answer.code)
    for each in responses:
        if int(each["httpStatusCode"]) >= 500:
            raise TargetUnavailable("Salesforce failed", request=each.get("referenceId"), status=each["httpStatusCode"])
    return responses
