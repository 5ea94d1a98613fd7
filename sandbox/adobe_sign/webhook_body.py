"""Validation of a webhook's body: the fields that a caller may set, and the vendor's error code for each invalid field.

Documented: the fields, values and error codes. One difference is deliberate: the vendor rejects loopback addresses, but the sandbox
accepts only loopback addresses, with http or https.
"""

import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson

from sandbox.adobe_sign.login import write_error
from sandbox.server.response import Refused

Row = dict[str, Any]

# fmt: off
EVENTS = frozenset((
    *(f"AGREEMENT_{name}" for name in (
        "CREATED", "ACTION_DELEGATED", "RECALLED", "REJECTED", "EXPIRED", "ACTION_COMPLETED", "WORKFLOW_COMPLETED",
        "EMAIL_VIEWED", "MODIFIED", "SHARED", "VAULTED", "ACTION_REQUESTED", "ACTION_REPLACED_SIGNER",
        "AUTO_CANCELLED_CONVERSION_PROBLEM", "DOCUMENTS_DELETED", "EMAIL_BOUNCED", "KBA_AUTHENTICATED", "OFFLINE_SYNC",
        "USER_ACK_AGREEMENT_MODIFIED", "UPLOADED_BY_SENDER", "WEB_IDENTITY_AUTHENTICATED", "ALL", "RESTARTED",
        "EXPIRATION_UPDATED", "DELETED", "DOCUMENTS_VIEWED", "PARTICIPANT_COMPLETED", "PARTICIPANT_REPLACED",
        "REMINDER_SENT", "REMINDER_INITIATED", "UNSHARED",
    )),
    *(f"MEGASIGN_{name}" for name in ("CREATED", "RECALLED", "SHARED", "ALL")),
    *(f"WIDGET_{name}" for name in (
        "CREATED", "MODIFIED", "SHARED", "ENABLED", "DISABLED", "AUTO_CANCELLED_CONVERSION_PROBLEM", "ALL",
    )),
))
# fmt: on
"""Events to which a webhook can subscribe, from the vendor's specification and from its guide."""
SCOPES, RESOURCES = ("ACCOUNT", "GROUP", "USER", "RESOURCE"), ("AGREEMENT", "WIDGET", "MEGASIGN")
_PARAMS = {
    "webhookAgreementEvents": (
        "includeDetailedInfo",
        "includeDocumentsInfo",
        "includeParticipantsInfo",
        "includeSignedDocuments",
    ),
    "webhookWidgetEvents": ("includeDetailedInfo", "includeDocumentsInfo", "includeParticipantsInfo"),
    "webhookMegaSignEvents": ("includeDetailedInfo",),
}


def read_object(body: bytes) -> Row:
    """Parse the JSON object in a body.

    Raises:
        Refused: 400, if the body is not a JSON object.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise refuse("INVALID_JSON", "An invalid JSON was specified.")
    return fields


def read_webhook(body: bytes, has: Callable[[str], bool]) -> Row:
    """Validate the body of a webhook. Return the fields that a caller may set, except `state`.

    Args:
        body: WebhookInfo in JSON.
        has: Whether an agreement with this id exists.

    Raises:
        Refused: 400, with the vendor's error code, if a field is missing or invalid.
    """
    fields = read_object(body)
    info = fields.get("webhookUrlInfo")
    needed = [fields.get(name) for name in ("name", "scope", "state", "webhookSubscriptionEvents")]
    if None in needed or not isinstance(info, dict) or info.get("url") is None:
        raise refuse("MISSING_REQUIRED_PARAM", "Required parameters are missing.")
    name, scope, state, events = needed
    if not isinstance(name, str) or not name or scope not in SCOPES:
        raise refuse("INVALID_ARGUMENTS", "One or more arguments to the method are invalid.")
    if state != "ACTIVE":
        raise refuse("INVALID_WEBHOOK_STATE", "The webhook state specified is invalid.")
    if not isinstance(events, list) or not events or not all(isinstance(e, str) and e in EVENTS for e in events):
        message = "One or more webhook subscription events specified is invalid."
        raise refuse("INVALID_WEBHOOK_SUBSCRIPTION_EVENTS", message)
    if not _is_callable(info["url"]):
        raise refuse(
            "INVALID_WEBHOOK_URL", "The webhook url specified is invalid: the sandbox calls only loopback addresses."
        )
    webhook = {
        "name": name,
        "scope": scope,
        "webhookSubscriptionEvents": events,
        "webhookUrlInfo": {"url": info["url"]},
    }
    return webhook | _read_resource(fields, has) | _read_params(fields)


def _read_resource(fields: Row, has: Callable[[str], bool]) -> Row:
    if fields["scope"] != "RESOURCE":
        return {}
    if fields.get("resourceType") not in RESOURCES:
        raise refuse("INVALID_WEBHOOK_RESOURCE_TYPE", "The resource type specified is invalid.")
    id_ = fields.get("resourceId")
    if fields["resourceType"] != "AGREEMENT" or not isinstance(id_, str) or not has(id_):
        raise refuse("INVALID_WEBHOOK_RESOURCE_ID", "The resource id specified is invalid.")
    return {"resourceType": "AGREEMENT", "resourceId": id_}


def _read_params(fields: Row) -> Row:
    params = fields.get("webhookConditionalParams")
    if params is None:
        return {}
    is_known = isinstance(params, dict) and all(
        name in _PARAMS
        and isinstance(each, dict)
        and all(key in _PARAMS[name] and isinstance(value, bool) for key, value in each.items())
        for name, each in params.items()
    )
    if not is_known:
        message = "The webhook conditional parameters specified are invalid."
        raise refuse("INVALID_WEBHOOK_CONDITIONAL_PARAMS", message)
    return {"webhookConditionalParams": params}


def _is_callable(url: Any) -> bool:
    """Return whether a webhook's URL is http or https to a loopback address."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            return False
        return parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return False


def refuse(code: str, message: str) -> Refused:
    """Return the error for an invalid request (400), to be raised."""
    return Refused(400, write_error(code, message))
