"""What the inbox keeps of an authentic webhook body, and what makes two bodies the same."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import orjson

from include.control.inbox import Delivery
from include.gateway.bounds import MAX_DEPTH, MAX_VALUES
from include.gateway.problem import Refusal
from include.gateway.webhooks.authenticity import Head
from include.gateway.webhooks.senders import Sender

_ID_LENGTH, _HEADER_LENGTH = 200, 500


def read_delivery(sender: Sender, head: Head, body: bytes) -> Delivery:
    """Read from an authentic body what the inbox keeps.

    Raises:
        Refusal: 400, it is no JSON object, or too deep or manifold to be one of the sender's.
    """
    members = _read(body, sender.json_setting)
    event_id = members.get(sender.event_id) if sender.event_id else None
    is_id = isinstance(event_id, str) and event_id.isprintable() and 0 < len(event_id) <= _ID_LENGTH
    headers = {
        name: head.headers[name][:_HEADER_LENGTH].replace("\x00", "") for name in sender.headers if name in head.headers
    }
    return Delivery(sender.name, body, _hash(sender, body), event_id if is_id else None, headers)


def _hash(sender: Sender, body: bytes) -> str:
    if sender.attempt is not None:
        # Members as they came, unread: numbers with many digits must not look the same because we rounded them.
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        members.pop(sender.attempt, None)
        body = msgspec.json.encode(members)
    return hashlib.sha256(body).hexdigest()


def _read(body: bytes, json_setting: str) -> dict[str, Any]:
    if body.startswith(b"\x1f\x8b"):
        raise Refusal(
            400, f"The body is compressed (gzip), which is not accepted. Send it uncompressed; {json_setting}"
        )
    if body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise Refusal(400, f"The body is XML, and only JSON is accepted: {json_setting}")
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise Refusal(400, f"A body may have {MAX_VALUES} values")
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError:  # says the same of one that is deeper than it reads
        raise Refusal(400, f"The body is no JSON in UTF-8, or deeper than {MAX_DEPTH}") from None
    if not isinstance(whole, dict):
        raise Refusal(400, "The body is no JSON object")
    if _is_deeper(whole, MAX_DEPTH):
        raise Refusal(400, f"The body is nested deeper than {MAX_DEPTH}")
    return whole


def _is_deeper(whole: Any, depth: int) -> bool:
    level = [whole]
    for _ in range(depth):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
        if not level:
            return False
    return True
