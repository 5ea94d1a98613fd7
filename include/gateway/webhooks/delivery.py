"""Convert an authentic webhook body to a delivery for the inbox, with the hash that detects duplicates."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import orjson

from include.contract.webhook import Sender
from include.control.inbox import Delivery
from include.gateway.bounds import MAX_DEPTH, MAX_VALUES
from include.gateway.problem import Refusal
from include.gateway.webhooks.authenticity import Head

CHECK = b'{"tributary": "check"}'
"""Body of a check delivery. The gateway authenticates it like any other, and stores nothing. No sender sends this body."""
VERIFIED = "verified"
"""Status in the response to an authentic check delivery."""

_ID_LENGTH, _HEADER_LENGTH = 200, 500


def read_delivery(sender: Sender, head: Head, body: bytes) -> Delivery:
    """Return the delivery to store for an authentic body.

    Raises:
        Refusal: 400, the body is compressed, is not a JSON object, is nested too deep, or has too many values.
    """
    members = _parse(body, sender.json_setting)
    event_id = members.get(sender.event_id) if sender.event_id else None
    is_id = isinstance(event_id, str) and event_id.isprintable() and 0 < len(event_id) <= _ID_LENGTH
    headers = {
        name: head.headers[name][:_HEADER_LENGTH].replace("\x00", "") for name in sender.headers if name in head.headers
    }
    return Delivery(sender.name, body, _hash(sender, body), event_id if is_id else None, headers)


def _hash(sender: Sender, body: bytes) -> str:
    if sender.attempt is not None:
        # Keep the members as raw text: parsing would round long numbers and make different bodies equal.
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        members.pop(sender.attempt, None)
        body = msgspec.json.encode(members)
    return hashlib.sha256(body).hexdigest()


def _parse(body: bytes, json_setting: str) -> dict[str, Any]:
    if body.startswith(b"\x1f\x8b"):
        raise Refusal(
            400, f"The body is compressed (gzip), which is not accepted. Send it uncompressed; {json_setting}"
        )
    if body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise Refusal(400, f"The body is XML, and only JSON is accepted: {json_setting}")
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise Refusal(400, f"The body has more than {MAX_VALUES} values")
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError:  # orjson raises the same for nesting beyond its own limit
        raise Refusal(
            400, f"The body is not valid JSON in UTF-8, or is nested deeper than {MAX_DEPTH} levels"
        ) from None
    if not isinstance(members, dict):
        raise Refusal(400, "The body is not a JSON object")
    if _is_deeper(members, MAX_DEPTH):
        raise Refusal(400, f"The body is nested deeper than {MAX_DEPTH} levels")
    return members


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
        if not level:
            return False
    return True
