"""What the status of a vendor's answer says before anybody reads its body: too many calls, or the vendor is down."""

from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime

import requests

from include.errors import RateLimited, VendorUnavailable

_BURST_S = 30.0
_NUMBER = re.compile(r"[0-9]{1,12}")


def refuse_overload(answer: requests.Response, throttled: str = "", /, **facts: object) -> None:
    """Lets every other answer pass; `facts` are told with the error.

    Args:
        answer: The vendor's.
        throttled: Pattern of the error codes (`errorCode`) by which a status of 400 says the same as 429; a vendor that has
            them tells in `X-RateLimit-Reset` when its hour ends.
        **facts: Told with the error.

    Raises:
        RateLimited: 429, or 503 that says when to come back; with the seconds, where they are said.
        VendorUnavailable: Any other 5xx.
    """
    status = answer.status_code
    is_throttled = bool(throttled) and not answer.ok and bool(re.search(throttled, _error_code(answer)))
    if (
        status == requests.codes.too_many_requests
        or (status == requests.codes.unavailable and "Retry-After" in answer.headers)
        or (status == requests.codes.bad_request and is_throttled)
    ):
        wait = _seconds(answer.headers.get("Retry-After", ""))
        if wait is None and is_throttled:
            wait = _until_reset(answer)
        raise RateLimited("The vendor asks for fewer calls", wait, **facts)
    if status >= requests.codes.internal_server_error:
        raise VendorUnavailable("The vendor failed", **facts)


def _seconds(retry_after: str) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number or an HTTP date; None where it says nothing usable."""
    if _NUMBER.fullmatch(retry_after.strip()):
        return float(retry_after)
    try:
        when = email.utils.parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
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
    if answer.headers.get("X-RateLimit-Remaining", "") == "0" and _NUMBER.fullmatch(reset):
        return max(1.0, int(reset) - datetime.now(UTC).timestamp())
    return _BURST_S
