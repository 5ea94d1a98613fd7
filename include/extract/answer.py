"""What the status of a vendor's answer says before anybody reads its body: too many calls, or the vendor is down."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable
from datetime import UTC, datetime

import requests

from include.errors import RateLimited, VendorUnavailable

_BURST_S = 30.0
_ELSEWHERE = (requests.codes.found, requests.codes.see_other, requests.codes.temporary_redirect)
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


def refuse_maintenance(answer: requests.Response, has_worked: Callable[[], bool], /, **facts: object) -> None:
    """Raise for a response that something in front of the vendor's API gave: a maintenance or status page, a login page, a proxy.

    The rule, for any status but success, 400, 401, 429 and 5xx:

    * a redirect that is not permanent (302, 303, 307), or a web page (HTML): an outage. An API of ours redirects nobody and writes no HTML;
    * JSON: the API itself refuses. That is an error of the connection or the declaration, whatever worked before;
    * anything else (an empty body, plain text, a permanent redirect): an outage where the same path has been answered before, in
      this run or in the last days (`control.api_call`); else an error of the connection or the declaration.

    A web page with a status of success is no JSON, and an outage by that.

    Args:
        answer: The vendor's.
        has_worked: Whether the same path was answered before; called only where it decides.
        **facts: Named in the error.

    Raises:
        VendorUnavailable: It is an outage by this rule.
    """
    status, kind = answer.status_code, read_kind(answer)
    if status in (requests.codes.bad_request, requests.codes.unauthorized) or "json" in kind:
        return
    if status in _ELSEWHERE or kind == "text/html" or has_worked():
        raise VendorUnavailable(
            "Something other than the vendor's API answered, such as a maintenance page; if it stays, check the connection's URL",
            **facts, content_type=kind or None,
        )  # fmt: skip


def read_kind(answer: requests.Response) -> str:
    """Return a response's media type, in lower case and without parameters; empty where it names none."""
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


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
