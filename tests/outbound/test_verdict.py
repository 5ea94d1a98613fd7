"""The verdict on a receiver's response."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.outbound.post import Answer
from include.outbound.verdict import JITTER, WAITS, evaluate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FAILED = Answer(500)


def test_waits_grow_over_about_five_days() -> None:
    assert list(WAITS) == sorted(WAITS)
    assert timedelta(days=5) < sum(WAITS, timedelta()) < timedelta(days=5.5)


@given(tries=st.integers(1, len(WAITS)), chance=st.floats(-1, 1))
def test_a_failed_try_waits_for_its_time_give_or_take_the_jitter(tries: int, chance: float) -> None:
    verdict = evaluate(FAILED, tries, NOW, chance)
    wait = WAITS[tries - 1]
    assert verdict.status == "waiting"
    assert abs((verdict.due_at - NOW) / wait - 1) <= JITTER + 1e-6


def test_the_last_try_is_the_last() -> None:
    assert evaluate(FAILED, len(WAITS) + 1, NOW, 0).status == "dead"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    assert evaluate(Answer(status), 12, NOW, 0).status == "delivered"


@pytest.mark.parametrize("answer", [Answer(302), Answer(100), Answer(404), Answer(500), Answer(error="ConnectError")])
def test_all_else_is_tried_again(answer: Answer) -> None:
    verdict = evaluate(answer, 1, NOW, 0)
    assert (verdict.status, verdict.is_gone, verdict.paused_until) == ("waiting", False, None)


def test_410_is_goodbye() -> None:
    assert evaluate(Answer(410), 1, NOW, 0).is_gone


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("Fri, 20 Nov 2026 12:10:00 GMT", 600),
        ("Fri, 20 Nov 2026 07:10:00 -0500", 600),
        ("999999999999999", 86400),
        ("Fri, 20 Nov 2099 12:10:00 GMT", 86400),
    ],
)
def test_retry_after_pauses_up_to_a_day(text: str, seconds: int) -> None:
    verdict = evaluate(Answer(503, text), 1, NOW, 0)
    assert verdict.paused_until == verdict.due_at == NOW + timedelta(seconds=seconds)


def test_retry_after_does_not_shorten_a_wait() -> None:
    verdict = evaluate(Answer(503, "2"), 3, NOW, 0)
    assert verdict.due_at == NOW + WAITS[2]


@given(st.text())
def test_a_retry_after_that_means_nothing_changes_nothing(text: str) -> None:
    verdict = evaluate(Answer(503, f"x{text}"), 1, NOW, 0)
    assert verdict.due_at == NOW + WAITS[0]
