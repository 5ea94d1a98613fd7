"""Limits of a request body: size, depth, number of values, and time to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager

from include.gateway.problem import Refusal

MAX_DEPTH = 50
"""Maximum nesting of objects and lists in a body. The deepest known payload has twelve levels."""
MAX_VALUES = 500_000
BODY_S = 20.0
"""Seconds that a body may take to arrive."""
FREE_BYTES = 64 * 1024
"""Bytes of each body that a `Budget` does not count. Nearly every body is smaller, so it is accepted even if large bodies have used up the
budget."""


class Budget:
    """A limit on the bytes of request bodies in a process's memory. Not thread-safe: use it in the event loop only.

    Args:
        max_bytes: The limit. The first `FREE_BYTES` of each body do not count.
    """

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that reserves bytes for one body; release them at the end of the block.

        Call the function with the body's size so far, each time that the body has grown. It raises `Refusal` (503) when the budget is
        exhausted.
        """
        reserved = 0

        def grow(size: int) -> None:
            nonlocal reserved
            more = max(0, size - FREE_BYTES) - reserved
            if more > self._left:
                raise Refusal(503, "Too many large bodies at once; send the request again", {"Retry-After": "5"})
            self._left -= more
            reserved += more

        try:
            yield grow
        finally:
            self._left += reserved


IN_FLIGHT = Budget(64 * 1024 * 1024)
"""The budget of this process. Actual memory use is a few times higher, because a body is copied while it is checked and stored."""


async def read_body(
    headers: Mapping[str, str], stream: AsyncIterator[bytes], max_bytes: int, grow: Callable[[int], None]
) -> bytes:
    """Read a body as it arrives; stop when it exceeds the limit.

    Args:
        headers: The request's headers, names in lower case.
        stream: The body.
        max_bytes: The largest body to accept.
        grow: The function that `IN_FLIGHT.share()` yields; it reserves memory. Use the body only inside that `with` block: the memory
            is released at its end.

    Raises:
        Refusal: 413, the body is too large or its Content-Length is not a number; 408, the body did not arrive within `BODY_S`;
            503, too many large bodies at once.
    """
    too_large = Refusal(413, f"The body is larger than {max_bytes} bytes, or its Content-Length is not a number")
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
