"""How large, how deep and how manifold a body may be, and what makes two of them the same."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import orjson

from include.control.inbox import Delivery
from include.gateway.authenticity import Head
from include.gateway.problem import Refusal
from include.gateway.senders import Sender

MAX_DEPTH = 50
"""Objects and lists within one another; the deepest of the known payloads has twelve."""
MAX_VALUES = 500_000
BODY_S = 20.0
"""How long a body may take to arrive."""
FREE_BYTES = 64 * 1024
"""Of each body, outside the budget: nearly every call is smaller, and comes through whatever large ones do."""
_ID_LENGTH, _HEADER_LENGTH = 200, 500


class Budget:
    """Bytes of bodies that a process has in its memory at once, for whatever reads in its event loop.

    Args:
        most: So many, beyond what is free of each.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Gives what a body calls with its size as it grows; all of it is given back at the end of the block.

        What it gives raises `Refusal` (503) where nothing is left.
        """
        held = 0

        def grow(size: int) -> None:
            nonlocal held
            more = max(0, size - FREE_BYTES) - held
            if more > self._left:
                raise Refusal(503, "Too many large bodies come at once; send it again", {"Retry-After": "5"})
            self._left -= more
            held += more

        try:
            yield grow
        finally:
            self._left += held


IN_FLIGHT = Budget(64 * 1024 * 1024)
"""A body is copied some times while it is looked at and kept."""


async def read_body(head: Head, stream: AsyncIterator[bytes], max_bytes: int, grow: Callable[[int], None]) -> bytes:
    """Reads a body as it arrives, and stops where it is too large.

    Args:
        head: Of the call.
        stream: The body.
        max_bytes: The most.
        grow: A share of `IN_FLIGHT`, kept for as long as the body is.

    Raises:
        Refusal: 413, too large; 408, too slow; 503, too many at once.
    """
    too_large = Refusal(413, f"A body may have {max_bytes} bytes")
    said = head.headers.get("content-length", "0")
    if not said.isascii() or not said.isdigit() or len(said) > 15 or int(said) > max_bytes:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in stream:
                size += len(part)
                if size > max_bytes:
                    raise too_large
                grow(size)
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, f"The body did not arrive within {BODY_S:.0f} s") from None
    return b"".join(parts)


def read_delivery(sender: Sender, head: Head, body: bytes) -> Delivery:
    """Reads of an authentic body what the inbox wants to know.

    Raises:
        Refusal: 400, it is no JSON object, or too deep or manifold to be one of the sender's.
    """
    members = _read(body, sender.json_setting)
    event_id = members.get(sender.event_id) if sender.event_id else None
    is_id = isinstance(event_id, str) and event_id.isprintable() and 0 < len(event_id) <= _ID_LENGTH
    told = {
        name: head.headers[name][:_HEADER_LENGTH].replace("\x00", "") for name in sender.headers if name in head.headers
    }
    return Delivery(sender.name, body, _hash(sender, body), event_id if is_id else None, told)


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
