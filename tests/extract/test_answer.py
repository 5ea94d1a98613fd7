"""How long to wait before the next try, from a response's status and headers."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
import requests

from include.contract import Throttling
from include.errors import RateLimited
from include.extract.answer import refuse_overload

THROTTLED = Throttling("errorCode", r"(?i)_LIMIT_EXCEEDED$", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def read_wait(status: int, code: str = "", **headers: str) -> float | None:
    """Return the seconds that a response asks the caller to wait."""
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    response._content = b'{"errorCode": "%s"}' % code.encode()
    with pytest.raises(RateLimited) as error:
        refuse_overload(response, THROTTLED)
    return error.value.retry_after


@pytest.mark.parametrize("status", [400, 429])
def test_hour_that_is_used_up_is_waited_for_whatever_the_status(status: int) -> None:
    ends = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(int(time.time()) + 600)}
    assert read_wait(status, "HOURLY_APIINVOCATION_LIMIT_EXCEEDED", **ends) == pytest.approx(599, abs=2)
    going_on = ends | {"X_RateLimit_Remaining": "7"}
    assert read_wait(status, "BURST_APIINVOCATION_LIMIT_EXCEEDED", **going_on) == 30
    assert read_wait(status, "HOURLY_APIINVOCATION_LIMIT_EXCEEDED", **ends, Retry_After="7") == 7


def test_response_without_a_retry_time_causes_no_guessed_wait() -> None:
    assert read_wait(429) is None
    assert read_wait(429, X_RateLimit_Remaining="0", X_RateLimit_Reset="60") is None


@pytest.mark.parametrize("hours", [0, 2, -11])
def test_date_of_any_zone_is_a_moment(hours: int) -> None:
    date = (datetime.now(UTC) + timedelta(seconds=600)).astimezone(timezone(timedelta(hours=hours)))
    assert read_wait(429, Retry_After=format_datetime(date)) == pytest.approx(599, abs=2)


@pytest.mark.parametrize(
    "header", ["\xb2", "soon", "", "-5", "Thu, 26 Nov 2026 19:00:00 +9999", "Thu, 26 Nov T026 19:00:00 +99999999999"]
)
def test_invalid_retry_after_is_ignored(header: str) -> None:
    assert read_wait(429, Retry_After=header) is None
    assert read_wait(400, "HOURLY_X_LIMIT_EXCEEDED", X_RateLimit_Remaining="0", X_RateLimit_Reset=header) == 30
