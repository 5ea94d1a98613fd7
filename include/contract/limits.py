"""What one response, and one pull, of a vendor may take at most: time, bytes and rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds far above what a vendor sends on a normal day; what exceeds them is a fault of the vendor.

    Attributes:
        response_seconds: How long we wait for one response, from the request to its last byte.
        bytes_per_second: A response that exceeds `response_seconds` may continue while its average rate is at least this.
        received_bytes: Most bytes of one response as they are on the wire.
        expanded_bytes: Most bytes of one response after decompression, and of one file in a ZIP archive.
        rows: Most rows of one pull of a table.
    """

    response_seconds: float = 300.0
    bytes_per_second: float = 100_000.0
    received_bytes: int = 256 * 2**20
    expanded_bytes: int = 512 * 2**20
    rows: int = 20_000_000

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")


DEFAULT = Limits()
