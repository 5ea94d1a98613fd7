"""How large and how deep a body may be, how many values it may hold, and how long it may take to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager

from include.gateway.problem import Refusal

MAX_DEPTH = 50
"""Objects and lists within one another; the deepest of the known payloads has twelve."""
MAX_VALUES = 500_000
BODY_S = 20.0
"""How long a body may take to arrive."""
FREE_BYTES = 64 * 1024
"""Of each body, outside the budget: nearly every call is smaller, and comes through whatever large ones do."""


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


async def read_body(
    headers: Mapping[str, str], stream: AsyncIterator[bytes], max_bytes: int, grow: Callable[[int], None]
) -> bytes:
    """Reads a body as it arrives, and stops where it is too large.

    Args:
        headers: Of the request, names in lower case.
        stream: The body.
        max_bytes: The most.
        grow: A share of `IN_FLIGHT`, kept for as long as the body is.

    Raises:
        Refusal: 413, too large; 408, too slow; 503, too many at once.
    """
    too_large = Refusal(413, f"A body may have {max_bytes} bytes")
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or len(length) > 15 or int(length) > max_bytes:
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
