"""Raise errors for responses that show rate limiting or an outage, before their rows are parsed."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable
from datetime import UTC, datetime

import requests

from include.contract.limits import Throttling
from include.errors import RateLimited, VendorUnavailable

_BURST_S = 30.0
_ELSEWHERE = (requests.codes.found, requests.codes.see_other, requests.codes.temporary_redirect)
_NUMBER = re.compile(r"[0-9]{1,12}")


def refuse_overload(answer: requests.Response, throttling: Throttling | None = None, /, **facts: object) -> None:
    """Raise an error if a response means rate limiting or a failure of the vendor; do nothing for all others.

    Args:
        answer: The vendor's response.
        throttling: Error codes with which HTTP 400 means rate limiting; None if there are none.
        **facts: Context for the error.

    Raises:
        RateLimited: HTTP 429, 503 with `Retry-After`, or 400 with an error code of `throttling`. The error contains the seconds to wait
            if they are known.
        VendorUnavailable: Any other 5xx.
    """
    status = answer.status_code
    reported = throttling if throttling is not None and not answer.ok and _has_code(answer, throttling) else None
    if (
        status == requests.codes.too_many_requests
        or (status == requests.codes.unavailable and "Retry-After" in answer.headers)
        or (status == requests.codes.bad_request and reported is not None)
    ):
        wait = _parse_retry_after(answer.headers.get("Retry-After", ""))
        if wait is None and reported is not None:
            wait = _compute_reset_wait(answer, reported)
        raise RateLimited("The vendor's rate limit is exceeded", wait, **facts)
    if status >= requests.codes.internal_server_error:
        raise VendorUnavailable("The vendor failed", **facts)


def refuse_maintenance(answer: requests.Response, has_worked: Callable[[], bool], /, **facts: object) -> None:
    """Raise an error if an unsuccessful response is not from the vendor's API but, for example, a maintenance or login page.

    Such a response is an outage, and the request is retried. If the function returns, the connection or the declaration is wrong, and
    the caller raises an error that is not retried. The rules, in this order:

    * HTTP 400 or 401, or JSON: return. The API itself refuses the request, even if the path worked before.
    * A temporary redirect (302, 303, 307) or a web page (HTML): an outage, because no supported API redirects or sends HTML.
    * Anything else (an empty body, plain text, a permanent redirect): an outage if the same path has worked before.

    Do not call it for a success status, 429 or 5xx. A web page with a success status is detected later, because it is not JSON.

    Args:
        answer: The vendor's response.
        has_worked: Returns whether a call to the same path has succeeded before (`CallLog.has_answered`); called only for the last rule.
        **facts: Context for the error.

    Raises:
        VendorUnavailable: The response is an outage by these rules.
    """
    status, kind = answer.status_code, read_kind(answer)
    if status in (requests.codes.bad_request, requests.codes.unauthorized) or "json" in kind:
        return
    if status in _ELSEWHERE or is_web_page(answer) or has_worked():
        raise VendorUnavailable(
            "The response is not from the vendor's API but, for example, a maintenance page; if it persists, check the connection's URL",
            **facts, content_type=kind or None,
        )  # fmt: skip


def is_web_page(answer: requests.Response) -> bool:
    """Return whether a response is HTML, which no supported API sends."""
    return read_kind(answer) == "text/html"


def read_kind(answer: requests.Response) -> str:
    """Return a response's media type, in lower case and without parameters; empty if it has none."""
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _parse_retry_after(retry_after: str) -> float | None:
    """Parse a `Retry-After` header (seconds or an HTTP date) to seconds; return None if it is empty or invalid."""
    if _NUMBER.fullmatch(retry_after.strip()):
        return float(retry_after)
    try:
        when = email.utils.parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _has_code(answer: requests.Response, throttling: Throttling) -> bool:
    try:
        return bool(re.search(throttling.codes, str(answer.json()[throttling.field])))
    except (ValueError, KeyError, TypeError):
        return False


def _compute_reset_wait(answer: requests.Response, throttling: Throttling) -> float:
    """Return the seconds to wait after a rate-limit error: until the hourly limit resets if it is used up; otherwise `_BURST_S`.

    If the hourly limit is not used up, a limit on bursts was exceeded. The vendor does not send when that limit ends.
    """
    reset = answer.headers.get(throttling.reset, "")
    if answer.headers.get(throttling.remaining, "") == "0" and _NUMBER.fullmatch(reset):
        return max(1.0, int(reset) - datetime.now(UTC).timestamp())
    return _BURST_S
