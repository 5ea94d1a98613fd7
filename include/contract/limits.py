"""Limits: on the time and bytes of one response, on the rows of one pull, and on the rate of calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits far above normal traffic; exceeding one is a fault of the vendor.

    Attributes:
        response_seconds: Maximum time that a task waits for one response, up to its last byte.
        bytes_per_second: Minimum rate of a long response: each of this many bytes received extends `response_seconds` by one second.
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


@dataclass(frozen=True, slots=True)
class Budget:
    """Rate budget of a vendor, shared by every process of the firm.

    Attributes:
        calls_per_minute: Maximum calls in any minute.
        burst: Maximum number of these calls that may be made at once after a pause.
        reserved_ratio: Share (0-1) of the rate that batch runs leave to on-demand runs.
        calls_per_hour: Additional limits for calls that the vendor also counts separately: bucket name -> maximum calls in any hour.
    """

    calls_per_minute: float
    burst: int = 8
    reserved_ratio: float = 0.2
    calls_per_hour: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Throttling:
    """How a vendor reports an exceeded rate limit by HTTP 400 with an error code, in addition to HTTP 429.

    Attributes:
        field: Field of the response with the error code.
        codes: Regular expression of the error codes that mean rate limiting.
        remaining: Header with the number of calls that remain in the hour.
        reset: Header with the end of the hour, in seconds since 1970.
    """

    field: str
    codes: str
    remaining: str
    reset: str


DEFAULT = Limits()
