"""Limits on the time and bytes of one response and the rows of one pull."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits far above normal traffic; exceeding one is a fault of the vendor.

    Attributes:
        response_seconds: Maximum time from the request to the last byte of its response.
        bytes_per_second: A response that exceeds `response_seconds` may continue while its average rate is at least this.
        received_bytes: Maximum bytes of one response on the wire.
        expanded_bytes: Maximum bytes of one response after decompression, and of one file in a ZIP archive.
        rows: Maximum rows of one pull of a table.
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
