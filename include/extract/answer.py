"""What the status of a vendor's answer says before anybody reads its body: too many calls, or the vendor is down."""

from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime

import requests

from include.errors import RateLimited, VendorUnavailable

_BURST_S = 30.0


def refuse_overload(answer: requests.Response, throttled: str = "", /, **facts: object) -> None:
    """Lets every other answer pass; `facts` are told with the error.

    Args:
        answer: The vendor's.
        throttled: Pattern of the error codes (`errorCode`) by which a status of 400 says the same as 429.
        **facts: Told with the error.

    Raises:
        RateLimited: 429, or 503 that says when to come back; with the seconds, where they are said.
        VendorUnavailable: Any other 5xx.
    """
    status = answer.status_code
    if status == requests.codes.too_many_requests or (
        status == requests.codes.unavailable and "Retry-After" in answer.headers
    ):
        retry_after = _seconds(answer.headers.get("Retry-After"))
        raise RateLimited("The vendor asks for fewer calls", retry_after, **facts)
    if status == requests.codes.bad_request and throttled and re.search(throttled, _error_code(answer)):
        raise RateLimited("The vendor asks for fewer calls", _until_reset(answer), **facts)
    if status >= requests.codes.internal_server_error:
        raise VendorUnavailable("The vendor failed", **facts)


def _seconds(retry_after: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number or an HTTP date; None where it says nothing usable."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        when = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _error_code(answer: requests.Response) -> str:
    try:
        return str(answer.json()["errorCode"])
    except (ValueError, KeyError, TypeError):
        return ""


def _until_reset(answer: requests.Response) -> float:
    """Seconds until the hour's calls are new, where they are used up; else those of a burst, for which no end is told."""
    reset = answer.headers.get("X-RateLimit-Reset", "")
    if answer.headers.get("X-RateLimit-Remaining", "") == "0" and reset.isdigit():
        return max(1.0, int(reset) - datetime.now(UTC).timestamp())
    return _BURST_S
